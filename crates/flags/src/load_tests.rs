//! Scenarios of loading: what is typed, what comes out.

use super::*;
use crate::{Bytes, Duration, Json, LoggingFlags, PathOrValue};
use expect_test::expect;
use std::path::PathBuf;

crate::flags! {
    /// Flags of a made-up daemon.
    struct TestFlags {
        "Network" {
            /// Port to listen on.
            port: u16 = "5050";
            /// Whether to look the name up.
            lookup: bool = "true";
            /// Where the leader is told.
            zk: Option<PathOrValue>;
        }
        "State" {
            /// Directory of the state.
            work_dir: String;
            /// How long to wait. This help text is long enough that it has to be wrapped onto a second line of output.
            ping_timeout: Duration = "60secs" => alias("slave_ping_timeout");
            /// How much to keep.
            cache: Bytes = "2GB" => pending();
            /// Who is let in.
            gate: Option<String> => guards();
            /// What kind.
            registry: String = "local" => one_of(&["local", "in_memory"]);
            /// Who may.
            acls: Option<Json>;
            /// Names who is who.
            credentials: Option<PathBuf>;
        }
    }
}

/// Loads from words of a command line and `NAME=value` words of an environment, and prints what came of it.
fn run(arguments: &str, environment: &str) -> String {
    let input = Input {
        program: "mesos-test".into(),
        arguments: arguments.split_whitespace().map(str::to_owned).collect(),
        environment: environment
            .split_whitespace()
            .map(|word| word.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        prefix: Some("MESOS_"),
        read_file: &|path| match path.to_str() {
            Some("/etc/zk") => Ok("zk://user:secret@host/mesos\n".into()),
            Some("/etc/acls") => Ok("{\"permissive\": true}\n".into()),
            Some("/etc/port") => Ok("7\n".into()),
            _ => Err("No such file or directory".into()),
        },
        unknown: Unknown::Refuse,
    };
    let mut flags = TestFlags::default();
    match load(&input, &mut [&mut flags]) {
        Err(error) => format!("error: {error}"),
        Ok(loaded) => {
            let mut lines: Vec<String> = loaded
                .given
                .iter()
                .map(|name| format!("{name}={}", flags.print(name).unwrap_or_default()))
                .collect();
            lines.extend(loaded.warnings.iter().map(|warning| format!("warning: {warning}")));
            lines.extend(loaded.rest.iter().map(|word| format!("rest: {word}")));
            lines.join("\n")
        }
    }
}

#[track_caller]
fn check(arguments: &str, expected: expect_test::Expect) {
    expected.assert_eq(&run(&format!("--work_dir=/w {arguments}"), ""));
}

#[test]
fn takes_values_in_every_form() {
    check(
        "--port=1 --no-lookup --ping-timeout=1.5hrs x -- --y",
        expect![[r#"
            lookup=false
            ping_timeout=90mins
            port=1
            work_dir=/w
            rest: x
            rest: --y"#]],
    );
    check(
        "--lookup= --PORT=2",
        expect![[r#"
        lookup=true
        port=2
        work_dir=/w"#]],
    );
}

#[test]
fn command_line_wins_over_environment() {
    let environment = "MESOS_PORT=9 MESOS_work_dir=/e MESOS_SLAVE_PING_TIMEOUT=1secs MESOS_NONSENSE=1 PORT=3";
    expect![[r#"
        ping_timeout=1secs
        port=1
        work_dir=/e
        warning: Loaded deprecated flag 'slave_ping_timeout'; its name is 'ping_timeout' now"#]]
    .assert_eq(&run("--port=1", environment));
}

#[test]
fn reads_values_from_files() {
    check(
        "--port=file:///etc/port --zk=file:///etc/zk --acls=/etc/acls --credentials=file:///etc/c",
        expect![[r#"
            acls={"permissive": true}
            credentials=/etc/c
            port=7
            work_dir=/w
            zk=file:///etc/zk
            warning: Flag 'acls' names a file without 'file://' in front, which is deprecated: write 'file:///etc/acls'"#]],
    );
    check(
        "--port=file:///none",
        expect![
            "error: Failed to load flag 'port': Failed to load value 'file:///none': Error reading file '/none': No such file or directory"
        ],
    );
}

#[test]
fn refuses_with_mesos_words() {
    check("--nope=1", expect!["error: Failed to load unknown flag 'nope'"]);
    check("--no-nope", expect!["error: Failed to load unknown flag 'nope' via 'no-nope'"]);
    check("--port 5", expect!["error: Failed to load non-boolean flag 'port': Missing value"]);
    check("--no-port", expect!["error: Failed to load non-boolean flag 'port' via 'no-port'"]);
    check(
        "--no-lookup=1",
        expect!["error: Failed to load boolean flag 'lookup' via 'no-lookup' with value '1'"],
    );
    check("--port=1 --port=2", expect!["error: Flag 'port' is already loaded via name 'port'"]);
    check(
        "--slave_ping_timeout=1secs --ping_timeout=2secs",
        expect!["error: Flag 'slave_ping_timeout' is already loaded via name 'ping_timeout'"],
    );
    check(
        "--port=70000",
        expect![
            "error: Failed to load flag 'port': Failed to load value '70000': Failed to convert into required type"
        ],
    );
    check(
        "--lookup=maybe",
        expect![
            "error: Failed to load flag 'lookup': Failed to load value 'maybe': Expecting a boolean (e.g., true or false)"
        ],
    );
    check(
        "--registry=paper",
        expect!["error: 'paper' is not a valid value of flag 'registry'; it is one of 'local', 'in_memory'"],
    );
    expect!["error: Flag 'work_dir' is required, but it was not provided"].assert_eq(&run("", ""));
}

#[test]
fn warns_of_flags_without_effect() {
    check(
        "--cache=1GB",
        expect![[r#"
            cache=1GB
            work_dir=/w
            warning: Flag 'cache' is accepted but not effective yet"#]],
    );
    check(
        "--cache=2048MB",
        expect![[r#"
        cache=2GB
        work_dir=/w"#]],
    );
}

#[test]
fn refuses_to_start_without_the_protection_asked_for() {
    check(
        "--gate=closed",
        expect![
            "error: Flag 'gate' protects nothing yet; refusing to start unprotected. Leave it out to start all the same"
        ],
    );
}

#[test]
fn shows_help_and_the_flags_document() {
    let mut flags = TestFlags::default();
    let mut input = Input::of_process("mesos-test", vec!["--help".into()]);
    input.environment.clear();
    let loaded = load(&input, &mut [&mut flags, &mut LoggingFlags::default()]).unwrap();
    let help = loaded.help.unwrap();
    assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    expect![[r#"
        Network:
          --port=VALUE  (default: 5050)
              Port to listen on.
          --[no-]lookup  (default: true)
              Whether to look the name up.
          --zk=VALUE
              Where the leader is told.

        State:
          --work_dir=VALUE  (required)
              Directory of the state.
          --ping_timeout=VALUE  (default: 60secs)
              How long to wait. This help text is long enough that it has to be wrapped onto a second line
              of output. Old name: --slave_ping_timeout.
          --cache=VALUE  (default: 2GB)
              How much to keep. [accepted, not effective yet]
          --gate=VALUE
              Who is let in. [not there yet: a start with it is refused]
          --registry=local|in_memory  (default: local)
              What kind.
          --acls=VALUE
              Who may.
          --credentials=VALUE
              Names who is who.
    "#]]
    .assert_eq(&help[help.find("Network:").unwrap()..help.find("\nLogging:").unwrap()]);
    expect![[r#"{"cache": "2GB", "help": "false", "lookup": "true", "ping_timeout": "1mins", "port": "5050", "registry": "local", "work_dir": ""}"#]]
        .assert_eq(&format!("{:?}", document(&[&flags])));
}
