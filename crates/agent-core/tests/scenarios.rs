//! Runs the scripts of `tests/scenarios`: each command, then all effects it has.
//!
//! A script's lines that begin with `>` are commands, with `#` comments; the rest
//! is what the agent did. `UPDATE_EXPECT=1 cargo test -p agent-core` writes it anew.
//! Long ids are printed by their number of appearance, so that scripts can name them:
//! `C1` is the first container, `U1` the first status update's UUID.

mod world;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use agent_core::{Effect, Event};
use machine::Machine;
use world::{MASTER, World, detected};

fn run(script: &str) -> String {
    let mut world = World::new();
    let mut out = String::new();
    let mut commented = true;
    for line in script.lines() {
        if line.starts_with('#') {
            let gap = if commented { "" } else { "\n" };
            writeln!(out, "{gap}{line}").expect("a string grows");
            commented = true;
        }
        let Some(command) = line.strip_prefix('>') else { continue };
        let gap = if commented { "" } else { "\n" };
        writeln!(out, "{gap}{line}").expect("a string grows");
        commented = false;
        for effect in world.run(command.trim()) {
            writeln!(out, "{effect}").expect("a string grows");
        }
    }
    out
}

impl World {
    /// Runs one command of a script, or of a test.
    pub(crate) fn run(&mut self, command: &str) -> Vec<String> {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        if let Some(secs) = (verb == "wait").then(|| rest.parse().expect("seconds")) {
            return self.wait(Duration::from_secs(secs));
        }
        let fx = if verb == "admitted" {
            // The usual beginning in one word.
            let mut fx = self.handle(Event::Recovered(Box::default()));
            fx.extend(self.handle(detected(MASTER)));
            fx.extend(self.elapse(Duration::from_secs(1)));
            fx.extend(self.handle(self.message(
                MASTER,
                "SlaveRegisteredMessage",
                r#"{"slave_id":{"value":"S"}}"#,
            )));
            let effects = fx.len();
            return vec![format!("... {effects} effects, see registration.txt")];
        } else if verb == "restart" {
            self.restart(rest == "rebooted")
        } else {
            let event = self.event(verb, rest);
            self.handle(event)
        };
        self.show(fx)
    }

    /// Lets time pass; what happens meanwhile is told with when.
    fn wait(&mut self, duration: Duration) -> Vec<String> {
        let end = self.now + duration;
        let mut lines = Vec::new();
        while let Some(at) = self.agent.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let mut fx = Vec::new();
            let now = self.time();
            self.agent.handle_timeout(now, &mut fx);
            self.agent.assert_invariants();
            self.note(&fx);
            if !fx.is_empty() {
                lines.push(format!("at {}", self.now));
                lines.extend(self.show(fx));
            }
        }
        self.now = end;
        lines
    }

    fn show(&self, fx: Vec<Effect>) -> Vec<String> {
        fx.iter().map(|effect| self.shorten(effect.to_string())).collect()
    }

    fn shorten(&self, mut line: String) -> String {
        for (long, short) in &self.names {
            line = line.replace(long, short);
        }
        line
    }
}

#[test]
fn scripts() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .expect("the directory is there")
        .map(|entry| entry.expect("it is readable").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let script = std::fs::read_to_string(&path).expect("it is readable");
        expect_test::expect_file![&path].assert_eq(&run(&script));
    }
}
