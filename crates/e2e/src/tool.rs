//! What operators have: the tool `mesos` and the calls of the v1 API, against a running master.

use std::net::SocketAddr;
use std::process::{Command, Output};

use serde_json::Value;

use crate::{Cluster, binary, request};

/// The tool, or one verb of it, for one master.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    master: SocketAddr,
    verb: Option<&'static str>,
}

impl Cluster {
    /// The tool with all its verbs.
    #[must_use]
    pub fn tool(&self) -> Tool {
        Tool { master: self.master.address, verb: None }
    }
}

impl Tool {
    /// Only this verb of the tool.
    #[must_use]
    pub fn verb(self, verb: &'static str) -> Self {
        Self { verb: Some(verb), ..self }
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(self, arguments: &[&str]) -> Output {
        let master = format!("--master={}", self.master);
        Command::new(binary()).args(self.verb).args(arguments).arg(master).output().expect("it runs")
    }

    /// What it prints; it must succeed.
    #[track_caller]
    #[must_use]
    pub fn prints(self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// It succeeds and says this.
    #[track_caller]
    pub fn does(self, arguments: &[&str], says: &str) {
        self.ends(arguments, true, says);
    }

    /// It fails and says this.
    #[track_caller]
    pub fn fails(self, arguments: &[&str], says: &str) {
        self.ends(arguments, false, says);
    }

    #[track_caller]
    fn ends(self, arguments: &[&str], well: bool, says: &str) {
        let output = self.run(arguments);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
        assert!(output.status.success() == well && text.contains(says), "{arguments:?}: {text}");
    }
}

/// Makes a v1 call of an operator, which must succeed.
#[track_caller]
pub fn operate(master: SocketAddr, call: &Value) -> Value {
    let kinds = [("Content-Type", "application/json"), ("Accept", "application/json")];
    let body = serde_json::to_vec(call).expect("json");
    let answer = request(master, "POST", "/api/v1", &kinds, &body).expect("an answer");
    assert!(matches!(answer.status, 200 | 202), "{call}: {} {}", answer.status, answer.text());
    serde_json::from_slice(&answer.body).unwrap_or_default()
}
