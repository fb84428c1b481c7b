//! A framework that runs many tasks at once on one agent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::Framework;

/// Many tasks, and what was told of each.
#[derive(Debug)]
pub struct Fleet {
    framework: Framework,
    /// The agent of the latest offer.
    pub agent_id: Value,
    /// Offers in hand, not used yet, and the cpus of each.
    offers: BTreeMap<String, f64>,
    /// The latest state of each task.
    pub states: BTreeMap<String, String>,
    /// What should not have been told.
    pub complaints: Vec<String>,
}

impl Fleet {
    /// A framework that checkpoints, in a role of its name.
    #[must_use]
    pub fn subscribe(master: SocketAddr, name: &str) -> Self {
        let info = json!({"user": "root", "name": name, "roles": [name], "failover_timeout": 60.0,
                          "checkpoint": true, "capabilities": [{"type": "MULTI_ROLE"}]});
        let framework = Framework::subscribe(master, &info);
        let (states, complaints) = (BTreeMap::new(), Vec::new());
        Self { framework, agent_id: Value::Null, offers: BTreeMap::new(), states, complaints }
    }

    /// Waits until all these fit on what is offered and launches them; each needs its name, command and resources, its
    /// cpus first.
    pub fn launch(&mut self, mut tasks: Vec<Value>, patience: Duration) -> anyhow::Result<()> {
        let cpus = tasks.iter().filter_map(|task| task["resources"][0]["scalar"]["value"].as_f64()).sum();
        self.until_offered(cpus, patience)?;
        let offers = std::mem::take(&mut self.offers);
        let offers: Vec<_> = offers.keys().map(|id| json!({"value": id})).collect();
        for task in &mut tasks {
            task["task_id"] = json!({"value": task["name"]});
            task["agent_id"] = self.agent_id.clone();
        }
        self.framework.call(json!({"type": "ACCEPT", "accept": {
            "offer_ids": offers,
            "operations": [{"type": "LAUNCH", "launch": {"task_infos": tasks}}],
            "filters": {"refuse_seconds": 0.0},
        }}));
        Ok(())
    }

    /// Waits until so many cpus are offered.
    pub fn until_offered(&mut self, cpus: f64, patience: Duration) -> anyhow::Result<()> {
        // Sums of tenths are a little less or more than they should be.
        self.until("offers", patience, |fleet| fleet.offers.values().sum::<f64>() > cpus - 0.01)
    }

    /// Kills a task at once.
    pub fn kill(&self, task: &str) {
        self.framework.call(json!({"type": "KILL", "kill": {
            "task_id": {"value": task}, "agent_id": self.agent_id,
            "kill_policy": {"grace_period": {"nanoseconds": 0}},
        }}));
    }

    /// How many tasks are in this state now.
    #[must_use]
    pub fn count(&self, state: &str) -> usize {
        self.states.values().filter(|known| *known == state).count()
    }

    /// How many tasks are in each state.
    fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        self.states.values().for_each(|state| *counts.entry(state.as_str()).or_default() += 1);
        counts
    }

    /// Hears events, acknowledging updates, until that is so.
    pub fn until(
        &mut self,
        what: &str,
        patience: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        while !done(self) {
            ensure!(Instant::now() < deadline, "{what}: not within {patience:?}: {:?}", self.counts());
            let event = self.framework.stream.next(patience)?;
            let event = event.with_context(|| format!("{what}: the stream ended"))?;
            match event["type"].as_str() {
                Some("OFFERS") => self.on_offer(&event["offers"]["offers"][0]),
                Some("RESCIND") => {
                    let gone = event["rescind"]["offer_id"]["value"].as_str().unwrap_or_default();
                    self.offers.remove(gone);
                }
                Some("UPDATE") => self.on_update(&event["update"]["status"]),
                Some("ERROR") => bail!("{what}: {event}"),
                _ => {}
            }
        }
        Ok(())
    }

    fn on_offer(&mut self, offer: &Value) {
        self.agent_id = offer["agent_id"].clone();
        let resources = offer["resources"].as_array().into_iter().flatten();
        let cpus = resources.filter(|resource| resource["name"] == "cpus");
        let cpus = cpus.filter_map(|resource| resource["scalar"]["value"].as_f64()).sum();
        let id = offer["id"]["value"].as_str().unwrap_or_default().to_owned();
        self.offers.insert(id, cpus);
    }

    fn on_update(&mut self, status: &Value) {
        let task = status["task_id"]["value"].as_str().unwrap_or_default().to_owned();
        let state = status["state"].as_str().unwrap_or_default().to_owned();
        let over = ["TASK_FINISHED", "TASK_KILLED", "TASK_FAILED", "TASK_LOST"];
        if status["uuid"].is_string() {
            self.framework.call(json!({"type": "ACKNOWLEDGE", "acknowledge": {
                "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"],
            }}));
        }
        match self.states.get(&task).map(String::as_str) {
            // An update whose acknowledgement was lost comes again.
            Some(before) if over.contains(&before) && before != state => {
                self.complaints.push(format!("{task} went from {before} to {state}"));
            }
            _ if matches!(state.as_str(), "TASK_FAILED" | "TASK_LOST") => {
                self.complaints.push(format!("{task} is {state}: {}", status["message"]));
                self.states.insert(task, state);
            }
            _ => drop(self.states.insert(task, state)),
        }
    }
}
