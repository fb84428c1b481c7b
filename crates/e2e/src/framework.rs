//! A framework of the v1 API by hand: JSON over the raw stream.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{Answer, Stream, request};

/// A v1 framework over one stream, acknowledging what it is told.
///
/// Its methods panic when the master does not do its part: they are for tests.
#[derive(Debug)]
pub struct Framework {
    master: SocketAddr,
    /// Its stream of events.
    pub stream: Stream,
    /// Its id, as JSON.
    pub id: Value,
}

impl Framework {
    /// Subscribes; with an `id` in `info` again.
    #[must_use]
    pub fn subscribe(master: SocketAddr, info: &Value) -> Self {
        let id = info.get("id").cloned();
        let mut call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}});
        if let Some(id) = id {
            call["framework_id"] = id;
        }
        let mut stream = Stream::open(master, "/api/v1/scheduler", &call).expect("a stream");
        let subscribed = stream.until("SUBSCRIBED", |e| e["type"] == "SUBSCRIBED").expect("SUBSCRIBED");
        let id = subscribed["subscribed"]["framework_id"].clone();
        Self { master, stream, id }
    }

    /// Subscribes a framework of today in one role, under a name of its own.
    #[must_use]
    pub fn in_role(master: SocketAddr, name: &str, role: &str) -> Self {
        let info = json!({
            "user": "root", "name": name, "roles": [role],
            "capabilities": [{"type": "MULTI_ROLE"}, {"type": "RESERVATION_REFINEMENT"}],
        });
        Self::subscribe(master, &info)
    }

    /// Makes a call, which must be accepted.
    pub fn call(&self, call: Value) {
        let kind = call["type"].clone();
        let answer = self.post(call).expect("an answer");
        assert_eq!(answer.status, 202, "{kind}: {}", answer.text());
    }

    /// Makes a call, and says whether it was accepted; not so when the master has gone.
    #[must_use]
    pub fn try_call(&self, call: Value) -> bool {
        self.post(call).is_ok_and(|answer| answer.status == 202)
    }

    fn post(&self, mut call: Value) -> anyhow::Result<Answer> {
        call["framework_id"] = self.id.clone();
        let stream_id = self.stream.stream_id.clone().expect("a stream id");
        let headers = [("Content-Type", "application/json"), ("Mesos-Stream-Id", stream_id.as_str())];
        let body = serde_json::to_vec(&call).expect("json");
        request(self.master, "POST", "/api/v1/scheduler", &headers, &body)
    }

    /// Takes the first offer and launches a shell command on it as task `t`.
    pub fn launch(&mut self, command: &str) {
        let offers = self.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
        let offer = &offers["offers"]["offers"][0];
        self.call(json!({"type": "ACCEPT", "accept": {
            "offer_ids": [offer["id"]],
            "operations": [{"type": "LAUNCH", "launch": {"task_infos": [{
                "name": "t", "task_id": {"value": "t"}, "agent_id": offer["agent_id"],
                "command": {"value": command},
                "resources": [
                    {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                    {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
                ],
            }]}}],
            "filters": {"refuse_seconds": 1000},
        }}));
    }

    /// The next update, acknowledged.
    pub fn next_update(&mut self) -> Value {
        let event = self.stream.until("an update", |e| e["type"] == "UPDATE").expect("an update");
        let status = event["update"]["status"].clone();
        if status["uuid"].is_string() {
            self.call(json!({"type": "ACKNOWLEDGE", "acknowledge": {
                "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"],
            }}));
        }
        status
    }

    /// Reads on until task `t` is told to be in `state`, acknowledging each update on the way.
    pub fn until_state(&mut self, state: &str) -> Value {
        self.until_any_state(&[state])
    }

    /// The same for any of several states.
    pub fn until_any_state(&mut self, states: &[&str]) -> Value {
        loop {
            let status = self.next_update();
            if states.iter().any(|state| status["state"] == *state) {
                return status;
            }
        }
    }
}
