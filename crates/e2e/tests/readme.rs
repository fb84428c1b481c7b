//! What the README promises, done.

use std::path::Path;
use std::process::{Command, Stdio};

use e2e::binary;

fn execute(arguments: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(binary())
        .args(["execute", "--local"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("mesos execute starts");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code().is_some(), "ended by a signal: {}", String::from_utf8_lossy(&output.stderr));
    (printed, output.status.code())
}

#[test]
fn a_word_count_of_a_fetched_file() {
    let license = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the root").join("LICENSE");
    let words = std::fs::read_to_string(&license).expect("LICENSE").split_whitespace().count();
    let uris = format!("--uris={}", license.display());
    let (printed, code) = execute(&["--name=count", &uris, "--command=wc -w < LICENSE"]);
    assert_eq!(code, Some(0));
    assert_eq!(printed.trim(), words.to_string());
}

#[test]
fn a_command_has_its_environment() {
    let (printed, code) = execute(&["--env={\"GREETING\":\"hello there\"}", "--command=env"]);
    assert_eq!(code, Some(0));
    let variable = |name: &str| printed.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    assert_eq!(variable("GREETING"), Some("hello there"));
    assert_eq!(variable("MESOS_ALLOCATION_ROLE"), Some("*"));
    assert_eq!(variable("MESOS_EXECUTOR_ID"), Some("mesos-execute"));
    assert_eq!(variable("MESOS_SANDBOX"), variable("PWD"));
    assert!(variable("PATH").is_some_and(|path| path.contains("/usr/bin")), "{printed}");
}

#[test]
fn the_exit_status_is_the_commands() {
    assert_eq!(execute(&["--command=exit 7"]).1, Some(7));
    assert_eq!(execute(&["--command=kill -9 $$"]).1, Some(137));
    assert_eq!(execute(&["--command=sleep 1000", "--kill_after=1secs"]).1, Some(143));
}

#[test]
fn a_local_cluster_says_where_it_is() {
    let cluster = e2e::Local::start(2, &[]).expect("mesos local starts and says where it is");
    let state = e2e::eventually("two agents", std::time::Duration::from_secs(20), || {
        let answer = e2e::request(cluster.master, "GET", "/state", &[], b"").ok()?;
        let state: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        (state["slaves"].as_array()?.len() == 2).then_some(state)
    });
    assert_eq!(state["activated_slaves"], 2.0);
    let list = Command::new(binary())
        .args(["agent", "list", &format!("--master={}", cluster.master)])
        .output()
        .expect("mesos agent list");
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert_eq!(list.lines().count(), 3, "{list}");
}
