//! The routes that every daemon has.

use crate::metrics::{self, Snapshot};
use crate::system::System;
use crate::{Files, Logging, VERSION};
use flags::Duration;
use http::{Request, Response, Route, StatusCode};
use proto::json::Writer;
use proto::mesos::v1::Flag;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Gives the daemon's metrics as of now, or the answer that says why not. The metrics of the machine are added here.
pub type MetricsSource =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Snapshot, Response>> + Send>> + Send + Sync>;

/// How long metrics may take when the request does not say.
const METRICS_PATIENCE: Duration = Duration::from_secs(30);

/// What the common routes are about.
#[derive(Clone)]
pub struct Common {
    /// The process of the daemon's own routes: `master`, `slave(1)`.
    pub process: String,
    /// The virtual file system.
    pub files: Files,
    /// The logging of this process.
    pub logging: Logging,
    /// Every flag that has a value (`flags::document`).
    pub flags: Arc<BTreeMap<String, String>>,
    /// The daemon's metrics.
    pub metrics: MetricsSource,
}

/// The flags as GET_FLAGS tells them.
pub fn flag_messages(flags: &BTreeMap<String, String>) -> Vec<Flag> {
    let message = |(name, value): (&String, &String)| Flag { name: name.clone(), value: Some(value.clone()) };
    flags.iter().map(message).collect()
}

/// The endpoints of this file, for `/help`.
const ENDPOINTS: &[(&str, &str)] = &[
    ("/version", "Which version this is."),
    ("/health", "200 while the daemon works."),
    ("/flags", "The flags it was started with."),
    ("/metrics/snapshot", "Its metrics by name; ?timeout=5secs bounds the wait."),
    ("/metrics", "Its metrics in the text format of Prometheus."),
    ("/logging/toggle", "The verbosity of its log; ?level=1&duration=10mins raises it for a while."),
    ("/files/browse", "The entries of a directory: ?path=VALUE."),
    ("/files/read", "A piece of a file: ?path=VALUE&offset=VALUE&length=VALUE."),
    ("/files/download", "A file: ?path=VALUE."),
    ("/files/debug", "Which files can be read, and under which paths."),
    ("/system/stats.json", "Load, processors and memory of the machine."),
    ("/api/v1", "The operator API (POST)."),
];

impl Common {
    /// The routes.
    pub fn routes(&self) -> Vec<Route> {
        let mut routes = self.files.routes();
        routes.push(self.logging.route());
        let health = format!("{}/health", self.process);
        routes.push(Route::new(&[], &health, |_| async { Response::ok() }));
        routes.push(self.with(&format!("{}/flags", self.process), Self::answer_flags));
        routes.push(Route::get("version", |request| async move {
            Response::ok_jsonp(VERSION.document(), request.query.get("jsonp"))
        }));
        routes.push(Route::get("system/stats.json", |request| async move {
            Response::ok_jsonp(System::look().document(), request.query.get("jsonp"))
        }));
        routes.push(self.with("metrics/snapshot", Self::answer_snapshot));
        routes.push(self.with("metrics", Self::answer_prometheus));
        routes.push(self.with("help", Self::answer_help));
        routes
    }

    fn with<A>(&self, path: &str, answer: fn(Self, Request) -> A) -> Route
    where
        A: Future<Output = Response> + Send + 'static,
    {
        let common = self.clone();
        Route::get(path, move |request| answer(common.clone(), request))
    }

    /// The metrics, with those of the machine. What is not there in time is left out.
    pub async fn snapshot(&self, timeout: Option<Duration>) -> Result<Snapshot, Response> {
        let patience = timeout.unwrap_or(METRICS_PATIENCE).to_std();
        let mut snapshot = match tokio::time::timeout(patience, (self.metrics)()).await {
            Ok(snapshot) => snapshot?,
            Err(_) => Snapshot::new(),
        };
        System::look().publish(&mut snapshot);
        Ok(snapshot)
    }

    async fn answer_snapshot(self, request: Request) -> Response {
        let timeout = match request.query.get("timeout").map(|text| (text, text.parse::<Duration>())) {
            None => None,
            Some((_, Ok(timeout))) => Some(timeout),
            Some((text, Err(error))) => {
                return Response::bad_request(format!("Invalid timeout '{text}': {error}.\n"));
            }
        };
        match self.snapshot(timeout).await {
            Ok(snapshot) => Response::ok_jsonp(metrics::document(&snapshot), request.query.get("jsonp")),
            Err(refusal) => refusal,
        }
    }

    async fn answer_prometheus(self, _: Request) -> Response {
        match self.snapshot(None).await {
            Ok(snapshot) => {
                Response::bytes(StatusCode::OK, "text/plain; version=0.0.4", metrics::prometheus(&snapshot))
            }
            Err(refusal) => refusal,
        }
    }

    async fn answer_flags(self, request: Request) -> Response {
        let mut w = Writer::new();
        w.object(|w| {
            w.field_object("flags", |w| self.flags.iter().for_each(|(name, value)| w.field_str(name, value)));
        });
        Response::ok_jsonp(w.into_bytes(), request.query.get("jsonp"))
    }

    async fn answer_help(self, _: Request) -> Response {
        let lines = ENDPOINTS.iter().map(|(path, what)| format!("{path:20} {what}\n"));
        Response::text(StatusCode::OK, lines.collect::<String>())
    }
}
