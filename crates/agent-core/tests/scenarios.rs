//! Runs the scripts of `tests/scenarios`: each command, then all effects it has.
//!
//! Long ids are printed by their number of appearance, so that scripts can name them:
//! `C1` is the first container, `U1` the first status update's UUID.

mod world;

use std::path::Path;
use std::time::Duration;

use agent_core::{Agent, Effect, Event};
use machine::Machine;
use world::{MASTER, World, detected};

impl World {
    /// Runs one command of a script.
    fn run(&mut self, verb: &str, rest: &str) -> Vec<String> {
        if let Some(secs) = (verb == "wait").then(|| rest.parse().expect("seconds")) {
            return self.wait(Duration::from_secs(secs));
        }
        match verb {
            "resources" => {
                self.set_resources(rest);
                return Vec::new();
            }
            "collects" => {
                self.collects = true;
                self.agent = Agent::new(self.config());
                return Vec::new();
            }
            "power" => {
                self.power = Some(rest.parse().expect("a number"));
                return Vec::new();
            }
            "have" => return self.have(),
            // Flags and facts of the next start.
            "cleanup" => {
                self.cleans_up = true;
                return Vec::new();
            }
            "call_back" => {
                self.call_back_secs = Some(rest.parse().expect("seconds"));
                return Vec::new();
            }
            "boot" => {
                self.boot = rest.to_owned();
                return Vec::new();
            }
            "leftovers" => {
                self.leftovers = rest.split(' ').map(str::to_owned).collect();
                return Vec::new();
            }
            "former" => {
                self.former = rest.split(' ').map(Into::into).collect();
                return Vec::new();
            }
            _ => {}
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

    /// What the agent has, and which volumes are on its disk.
    fn have(&self) -> Vec<String> {
        let view = self.agent.view();
        let volumes: Vec<&str> = self.volumes.iter().map(String::as_str).collect();
        vec![format!("{}", view.total), format!("volumes {}", volumes.join(" "))]
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
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    scenario::run_dir(&directory, World::new, |world, block| {
        world.run(&block.command, &block.arguments).join("\n")
    });
}
