//! The common routes over a real socket, compared with what a C++ master and agent answered.

#![expect(clippy::unwrap_used, reason = "test code")]

use daemon::{Common, Files, Logging};
use expect_test::{Expect, expect};
use http::{Call, Client, Response, Router, Server};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A daemon with two flags, one metric and a log.
struct Daemon {
    client: Client,
    _stop: oneshot::Sender<()>,
    _directory: tempfile::TempDir,
}

impl Daemon {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        std::fs::write(&log, "x".repeat(300_000)).unwrap();
        let files = Files::new();
        files.attach(&log, "/master/log").unwrap();
        let flags = [("port", "5050"), ("version", "false")];
        let common = Common {
            process: "master".into(),
            files,
            logging: Logging::none(),
            flags: Arc::new(flags.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()),
            metrics: Arc::new(|| {
                Box::pin(async { Ok(BTreeMap::from([("master/elected".to_owned(), 1.0)])) })
            }),
        };
        let router = common.routes().into_iter().fold(Router::new("master"), Router::route);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(listener.local_addr().unwrap().to_string());
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(Server::new(router).run(listener, async { drop(stopped.await) }));
        Self { client, _stop: stop, _directory: directory }
    }

    async fn get(&mut self, target: &str) -> String {
        let answer = self.client.call(Call::get(target)).await.unwrap();
        let media = answer.header("content-type").unwrap_or("-").to_owned();
        format!("{} {media} {}", answer.status.as_u16(), answer.text())
    }

    async fn check(&mut self, target: &str, expected: Expect) {
        expected.assert_eq(&self.get(target).await);
    }
}

#[tokio::test]
async fn answers_like_mesos() {
    let mut daemon = Daemon::start().await;
    daemon.check("/health", expect!["200 - "]).await;
    daemon.check("/master/health", expect!["200 - "]).await;
    for target in ["/flags", "/flags.json", "/master/flags"] {
        let flags = expect![[r#"200 application/json {"flags":{"port":"5050","version":"false"}}"#]];
        daemon.check(target, flags).await;
    }
    daemon.check("/files/browse?path=/none", expect!["404 text/plain; charset=utf-8 "]).await;
    daemon
        .check("/files/browse", expect!["400 text/plain; charset=utf-8 Expecting 'path=value' in query.\n"])
        .await;
    daemon
        .check(
            "/files/read.json?path=/master/log&offset=-1",
            expect![[r#"200 application/json {"data":"","offset":300000}"#]],
        )
        .await;
    assert!(daemon.get("/files/download?path=/master/log").await.ends_with(&"x".repeat(300_000)));
    daemon
        .check(
            "/version?jsonp=f",
            expect![[r#"200 text/javascript f({"build_date":"2026-11-20 00:00:00 UTC","build_time":1795132800.0,"build_user":"mesos-rs","version":"1.12.0","mesos_rs_version":"0.1.0"})"#]],
        )
        .await;
}

#[tokio::test]
async fn publishes_metrics() {
    let mut daemon = Daemon::start().await;
    for target in ["/metrics/snapshot", "/metrics/snapshot?timeout=5secs"] {
        let metrics = daemon.get(target).await;
        assert!(metrics.starts_with(r#"200 application/json {"master/elected":1.0,"system/"#), "{metrics}");
    }
    daemon
        .check(
            "/metrics/snapshot?timeout=5",
            expect!["400 text/plain; charset=utf-8 Invalid timeout '5': Invalid duration '5'.\n"],
        )
        .await;
    let text = daemon.get("/metrics").await;
    assert!(text.starts_with("200 text/plain; version=0.0.4 # TYPE mesos_master_elected gauge\n"), "{text}");
    assert!(daemon.get("/system/stats.json").await.contains("\"mem_total_bytes\":"));
    assert!(daemon.get("/help").await.contains("/metrics/snapshot"));
}

#[tokio::test]
async fn toggles_the_verbosity() {
    let mut daemon = Daemon::start().await;
    daemon.check("/logging/toggle", expect!["200 text/plain; charset=utf-8 0\n"]).await;
    for (query, words) in [
        ("level=1", "Expecting 'duration=value' in query.\n"),
        ("duration=1secs", "Expecting 'level=value' in query.\n"),
        ("level=x&duration=1secs", "Failed to convert 'x' to number.\n"),
        ("level=-1&duration=1secs", "Invalid level '-1'.\n"),
        ("level=1&duration=1", "Invalid duration '1'.\n"),
    ] {
        let answer = daemon.get(&format!("/logging/toggle?{query}")).await;
        assert_eq!(answer, format!("400 text/plain; charset=utf-8 {words}"));
    }
    daemon.check("/logging/toggle?level=2&duration=10mins", expect!["200 - "]).await;
    daemon.check("/logging/toggle", expect!["200 text/plain; charset=utf-8 2\n"]).await;
}

#[tokio::test]
async fn metrics_that_hang_leave_the_rest() {
    let common = Common {
        process: "master".into(),
        files: Files::new(),
        logging: Logging::none(),
        flags: Arc::default(),
        metrics: Arc::new(|| Box::pin(std::future::pending())),
    };
    let snapshot = common.snapshot(Some(flags::Duration::from_millis(1))).await;
    let snapshot = snapshot.map_err(|refusal: Response| refusal.status).unwrap();
    assert!(snapshot.contains_key("system/cpus_total"));
}
