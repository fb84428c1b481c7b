//! A framework that keeps account of what it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use e2e::{Stream, request};
use serde_json::{Value, json};

const OVER: &[&str] =
    &["TASK_FINISHED", "TASK_KILLED", "TASK_FAILED", "TASK_LOST", "TASK_ERROR", "TASK_DROPPED", "TASK_GONE"];

/// What was told of one task.
#[derive(Debug, Default)]
struct Told {
    /// The updates that want to be acknowledged, as UUID and state, each once.
    updates: Vec<(String, String)>,
    /// The last state, and why.
    state: String,
    message: String,
    /// Whether the agent has written down that all is acknowledged.
    closed: bool,
}

/// A framework that acknowledges everything once it hears it.
pub(crate) struct Ledger {
    master: SocketAddr,
    stream_id: String,
    pub(crate) id: Value,
    events: Receiver<Value>,
    offers: BTreeMap<String, Value>,
    tasks: BTreeMap<String, Told>,
    pub(crate) operations: BTreeMap<String, String>,
    /// What should not have been told.
    pub(crate) complaints: Vec<String>,
}

impl Ledger {
    /// A framework that checkpoints, of this name and role.
    pub(crate) fn subscribe(master: SocketAddr, name: &str) -> Self {
        let info = json!({
            "user": "root", "name": name, "roles": [name], "failover_timeout": 600.0, "checkpoint": true,
            "capabilities": [{"type": "MULTI_ROLE"}, {"type": "RESERVATION_REFINEMENT"}],
        });
        let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}});
        let mut stream = Stream::open(master, "/api/v1/scheduler", &call).expect("a stream");
        let event = stream.until("SUBSCRIBED", |event| event["type"] == "SUBSCRIBED").expect("SUBSCRIBED");
        let stream_id = stream.stream_id.clone().expect("a stream id");
        let (sender, events) = channel();
        // It ends with the stream, which ends with the framework or the master.
        std::thread::spawn(move || {
            while let Ok(Some(event)) = stream.next(Duration::from_secs(600)) {
                if sender.send(event).is_err() {
                    break;
                }
            }
        });
        let id = event["subscribed"]["framework_id"].clone();
        let (offers, tasks, operations) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { master, stream_id, id, events, offers, tasks, operations, complaints: Vec::new() }
    }

    pub(crate) fn call(&self, mut call: Value) {
        call["framework_id"] = self.id.clone();
        let kind = call["type"].clone();
        let headers = [("Content-Type", "application/json"), ("Mesos-Stream-Id", self.stream_id.as_str())];
        let body = serde_json::to_vec(&call).expect("json");
        let answer = request(self.master, "POST", "/api/v1/scheduler", &headers, &body).expect("an answer");
        assert_eq!(answer.status, 202, "{kind}: {}", answer.text());
    }

    /// Waits until something is so, hearing and acknowledging meanwhile.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            self.hear(Duration::ZERO);
            if done(self) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: not in time; tasks: {:#?}, operations: {:?}",
                self.tasks,
                self.operations
            );
            self.hear(Duration::from_millis(10));
        }
    }

    /// Hears what has come, or comes meanwhile.
    pub(crate) fn hear(&mut self, patience: Duration) {
        let mut patience = patience;
        loop {
            match self.events.recv_timeout(patience) {
                Ok(event) => self.on_event(&event),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => panic!("the framework's stream ended"),
            }
            patience = Duration::ZERO;
        }
    }

    fn on_event(&mut self, event: &Value) {
        match event["type"].as_str() {
            Some("OFFERS") => {
                for offer in event["offers"]["offers"].as_array().into_iter().flatten() {
                    self.offers.insert(offer["id"]["value"].to_string(), offer.clone());
                }
            }
            Some("RESCIND") => {
                self.offers.remove(&event["rescind"]["offer_id"]["value"].to_string());
            }
            Some("UPDATE") => self.on_update(&event["update"]["status"]),
            Some("UPDATE_OPERATION_STATUS") => self.on_operation(&event["update_operation_status"]["status"]),
            Some("ERROR") => self.complaints.push(event.to_string()),
            _ => {}
        }
    }

    fn on_update(&mut self, status: &Value) {
        let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
        let task = status["task_id"]["value"].as_str().expect("a task").to_owned();
        let (state, message) = (text("state"), text("message"));
        let told = self.tasks.entry(task.clone()).or_default();
        if OVER.contains(&told.state.as_str()) && told.state != state {
            self.complaints.push(format!("{task} went from {} to {state}", told.state));
        }
        if let Some(uuid) = status["uuid"].as_str() {
            let known = told.updates.iter().position(|(known, _)| known == uuid);
            match known {
                _ if told.closed => self.complaints.push(format!("{task} is told to be {state} after all")),
                None => told.updates.push((uuid.to_owned(), state.clone())),
                // The latest comes again where its acknowledgement was lost.
                Some(known) if known + 1 == told.updates.len() => {}
                Some(_) => self.complaints.push(format!("{task} is told to be {state} again")),
            }
        }
        (told.state, told.message) = (state, message);
        if status["uuid"].is_string() {
            self.call(json!({"type": "ACKNOWLEDGE", "acknowledge": {
                "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"],
            }}));
        }
    }

    fn on_operation(&mut self, status: &Value) {
        let id = status["operation_id"]["value"].as_str().unwrap_or_default().to_owned();
        let state = status["state"].as_str().unwrap_or_default().to_owned();
        self.operations.insert(id, state);
        if status["uuid"]["value"].is_string() {
            self.call(json!({"type": "ACKNOWLEDGE_OPERATION_STATUS", "acknowledge_operation_status": {
                "agent_id": status["agent_id"], "operation_id": status["operation_id"],
                "uuid": status["uuid"]["value"],
            }}));
        }
    }

    /// Takes an offer in which something is.
    pub(crate) fn offer(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        self.until(what, |ledger| {
            found = ledger.offers.values().find(|offer| fits(offer)).cloned();
            found.is_some()
        });
        let offer = found.expect("it was found");
        self.offers.remove(&offer["id"]["value"].to_string());
        offer
    }

    /// Does that with an offer that has cpus.
    pub(crate) fn accept(&mut self, operations: impl FnOnce(&Value) -> Value) {
        let fits = |offer: &Value| offer["resources"].to_string().contains("cpus");
        let offer = self.offer("an offer", fits);
        let operations = operations(&offer["agent_id"]);
        self.call(json!({"type": "ACCEPT", "accept": {
            "offer_ids": [offer["id"]], "operations": operations, "filters": {"refuse_seconds": 0.0},
        }}));
    }

    pub(crate) fn state(&self, task: &str) -> &str {
        self.tasks.get(task).map_or("", |told| &told.state)
    }

    pub(crate) fn is_over(&self, task: &str) -> bool {
        OVER.contains(&self.state(task))
    }

    /// Every task that was heard of, its state and why.
    pub(crate) fn states(&self) -> Vec<String> {
        let states = self.tasks.iter();
        states.map(|(task, told)| format!("{task} {} {}", told.state, told.message)).collect()
    }

    /// All is acknowledged: nothing more may come.
    pub(crate) fn close(&mut self) {
        self.tasks.values_mut().for_each(|told| told.closed = true);
    }
}
