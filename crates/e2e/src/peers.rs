//! Clients that nobody here wrote, run as their users run them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One client under test; `cargo xtask peers` installs what it needs.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its script under `crates/e2e/peers`.
    pub script: &'static str,
    /// What it prints after `PASS`.
    pub name: &'static str,
}

impl Peer {
    /// Runs the client against the master and checks its verdict.
    ///
    /// # Panics
    /// When the client does not pass, with everything that it printed.
    pub fn check(self, master: SocketAddr, environment: &[(&str, &str)]) {
        let script = here().join("peers").join(self.script);
        let mut command = if self.script.ends_with(".js") {
            Command::new("node")
        } else {
            let mut python = Command::new(python());
            python.args(["-W", "ignore", "-u"]);
            python
        };
        let output = command
            .arg(script)
            .env("MASTER", master.to_string())
            .env("PEERS", home())
            .envs(environment.iter().copied())
            .output()
            .expect("the client's interpreter starts");
        let printed = String::from_utf8_lossy(&output.stdout);
        let passed = printed.lines().any(|line| line == format!("PASS {}", self.name));
        assert!(
            passed && output.status.success(),
            "{}: {}\n{printed}{}",
            self.name,
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// The Python with pymesos.
///
/// # Panics
/// When it is not installed: `cargo xtask peers` comes first.
#[must_use]
pub fn python() -> PathBuf {
    let python = home().join("python/bin/python");
    assert!(python.exists(), "{} is missing: run `cargo xtask peers` first", python.display());
    python
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the clients are installed.
pub(crate) fn home() -> PathBuf {
    here().ancestors().nth(2).expect("crates/e2e lies two folders deep").join(".cache/peers")
}
