//! The client against a daemon that says what it is told to.

mod fake;

use std::time::Duration;

use docker::{Client, Error, Stream};
use fake::{Daemon, json};

#[tokio::test]
async fn nobody_listens() {
    let error = Client::new("/no/such.sock").hello().await.expect_err("nobody");
    assert!(error.is_absence());
    let expected = "Cannot connect to the Docker daemon at unix:///no/such.sock: No such file or directory";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[tokio::test]
async fn a_version_is_agreed_on_once() {
    let daemon = Daemon::start(|_| Some(json(404, r#"{"message":"No such container: x"}"#)));
    let daemon_of_old = Daemon::start(|_| Some(json(200, r#"{"ApiVersion":"1.18","MinAPIVersion":"1.12"}"#)));
    let error = Client::new(daemon_of_old.socket()).inspect("x").await.expect_err("too old");
    assert_eq!(
        error.to_string(),
        "The Docker daemon speaks versions 1.12 to 1.18 of its API, this agent 1.24 to 1.47"
    );
    // What it says is no version.
    let error = Client::new(daemon.socket()).hello().await.expect_err("no version");
    assert_eq!(error.to_string(), "Docker daemon: No such container: x");
    let daemon = Daemon::start(|line| (line != "GET /version").then(|| json(404, r#"{"message":"no"}"#)));
    let client = Client::new(daemon.socket());
    for _ in 0..2 {
        assert!(client.inspect("a/b").await.expect_err("not there").is_not_found());
    }
    let inspect = "GET /v1.41/containers/a%2Fb/json";
    assert_eq!(daemon.asked(), ["GET /version", inspect, inspect]);
}

#[tokio::test]
async fn what_is_done_already_is_no_failure() {
    let daemon = Daemon::start(|line| {
        let status = match line {
            "POST /v1.41/containers/x/stop?t=3" => 304,
            "POST /v1.41/containers/x/kill?signal=SIGKILL" => 409,
            "DELETE /v1.41/containers/x?force=1&v=1" => 404,
            _ => return None,
        };
        Some(json(status, ""))
    });
    let client = Client::new(daemon.socket());
    client.stop("x", Duration::from_secs(3)).await.expect("stopped");
    client.kill("x", "SIGKILL").await.expect("killed");
    client.remove("x").await.expect("removed");
}

#[tokio::test]
async fn only_names_of_mesos_are_listed() {
    let daemon = Daemon::start(|line| {
        line.contains("/containers/json?all=1&filters=%7B%22name%22:%5B%22mesos-%22%5D%7D").then(|| {
            json(
                200,
                r#"[{"Names":["/mesos-1"]},{"Names":["/web/mesos-1","/my-mesos-2"]},{"Names":["/mesos-3"]}]"#,
            )
        })
    });
    assert_eq!(Client::new(daemon.socket()).containers().await.expect("a list"), ["mesos-1", "mesos-3"]);
}

#[tokio::test]
async fn a_pull_says_what_went_wrong_in_its_last_line() {
    let daemon = Daemon::start(|line| match line {
        "POST /v1.41/images/create?fromImage=a:1" => {
            Some(json(200, "{\"status\":\"Pulling\"}\r\n{\"error\":\"no such tag\"}\r\n"))
        }
        "POST /v1.41/images/create?fromImage=a:2" => {
            Some(json(200, "{\"status\":\"Pulling\"}\n{\"status\":\"Done\"}\n"))
        }
        _ => None,
    });
    let client = Client::new(daemon.socket());
    let error = client.pull("a:1", None).await.expect_err("no tag");
    assert_eq!(error.to_string(), "Docker daemon: no such tag");
    client.pull("a:2", Some("e30=".to_owned())).await.expect("pulled");
}

#[tokio::test]
async fn a_command_in_a_container_has_output_and_a_status() {
    let daemon = Daemon::start(|line| match line {
        "POST /v1.41/containers/x/exec" => Some(json(201, r#"{"Id":"7"}"#)),
        "POST /v1.41/exec/7/start" => Some(
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\u{1}\0\0\0\0\0\0\u{3}out\u{2}\0\0\0\0\0\0\u{3}err"
                .to_owned(),
        ),
        "GET /v1.41/exec/7/json" => Some(json(200, r#"{"ExitCode":3,"Pid":1}"#)),
        _ => None,
    });
    let mut printed = Vec::new();
    let client = Client::new(daemon.socket());
    let argv = ["true".to_owned()];
    let status = client.exec("x", &argv, &[], |bytes| printed.extend_from_slice(bytes)).await;
    assert_eq!((status.expect("a status"), printed.as_slice()), (3, b"outerr".as_slice()));
}

#[tokio::test]
async fn output_that_is_cut_short_is_told() {
    let daemon = Daemon::start(|_| None);
    drop(daemon);
    let daemon = Daemon::start(|line| {
        line.contains("attach")
            .then(|| "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\u{1}\0\0\0\0\0\0\u{9}out".to_owned())
    });
    let client = Client::new(daemon.socket());
    let attached = client.attach("x", false).await.expect("attached");
    let mut pieces = Vec::new();
    attached.copy(|stream, bytes| pieces.push((stream, bytes.to_vec()))).await.expect("a whole stream");
    assert_eq!(pieces, [(Stream::Out, b"out".to_vec())]);
}

#[tokio::test]
async fn a_daemon_that_stalls_is_given_up() {
    let daemon = Daemon::start(|_| None);
    let client = Client::new(daemon.socket());
    let error = client.inspect("x").await.expect_err("no answer");
    assert!(matches!(&error, Error::TimedOut { .. }), "{error:?}");
    assert_eq!(error.to_string(), "The Docker daemon did not answer 'GET /containers/x/json' within 5 s");
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let daemon = Daemon::start(|line| {
        line.contains("inspect-me").then(|| json(200, &format!("\"{}\"", "x".repeat(17 << 20))))
    });
    let error = Client::new(daemon.socket()).inspect("inspect-me").await.expect_err("too large");
    assert!(error.to_string().ends_with("cannot be read: it is larger than 16777216 bytes"), "{error}");
}
