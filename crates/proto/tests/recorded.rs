//! Answers of a C++ cluster go through our types and come out as they were: same
//! keys, same values, same JSON types. Key order is left open.

#![expect(clippy::disallowed_methods, reason = "a test reads its recordings, whatever the core may do")]

use proto::json::{self, Json, Names, Value};
use proto::mesos::v1::{agent, master, scheduler};

/// Checks the answers to the named calls.
fn check<T: Json + PartialEq>(folder: &str, calls: &str, names: Names) {
    for call in calls.split_whitespace() {
        let path = format!("{}/tests/recorded/{folder}-{call}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read(&path).expect("the recording is there");
        same::<T>(&json::parse(&text).expect("a recording is JSON"), names, call);
    }
}

fn same<T: Json + PartialEq>(recorded: &Value<'_>, names: Names, what: &str) {
    let message = T::from_json_named(recorded, names).unwrap_or_else(|error| panic!("{what}: {error}"));
    let printed = json::to_vec(&message, names);
    let printed = json::parse(&printed).expect("we print JSON");
    // `Debug` tells 15.0 from 15.
    pretty(recorded, &printed, what);
    let bytes = message.encode_to_vec();
    assert!(proto::wire::decode::<T>(bytes.as_slice()) == Ok(message), "{what}");
}

fn pretty(recorded: &Value<'_>, printed: &Value<'_>, path: &str) {
    match (recorded, printed) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = |object: &json::Object<'_>| -> Vec<String> {
                object.iter().map(|(key, _)| key.to_owned()).collect()
            };
            assert_eq!(keys(a), keys(b), "{path}");
            for (key, value) in a.iter() {
                pretty(value, b.get(key).expect("same keys"), &format!("{path}.{key}"));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                pretty(a, b, &format!("{path}[{i}]"));
            }
        }
        _ => assert_eq!(recorded, printed, "{path}"),
    }
}

#[test]
fn answers_of_the_master() {
    check::<master::Response>(
        "master",
        "GET_FLAGS GET_HEALTH GET_LOGGING_LEVEL GET_MAINTENANCE_SCHEDULE GET_MAINTENANCE_STATUS GET_MASTER \
         GET_METRICS GET_OPERATIONS GET_QUOTA GET_ROLES GET_VERSION GET_WEIGHTS",
        Names::V1,
    );
    check::<master::Response>(
        "master",
        "GET_AGENTS GET_EXECUTORS GET_FRAMEWORKS GET_STATE GET_TASKS",
        Names::V1Internal,
    );
}

#[test]
fn answers_of_the_agent() {
    check::<agent::Response>(
        "agent",
        "GET_AGENT GET_CONTAINERS GET_FLAGS GET_HEALTH GET_RESOURCE_PROVIDERS GET_VERSION",
        Names::V1,
    );
    check::<agent::Response>("agent", "GET_EXECUTORS GET_FRAMEWORKS GET_STATE GET_TASKS", Names::V1Internal);
}

#[test]
fn events_of_a_scheduler() {
    let text = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/scheduler-events.json"));
    let text = text.unwrap();
    let events = json::parse(&text).unwrap();
    for (i, event) in events.as_array().unwrap().iter().enumerate() {
        same::<scheduler::Event>(event, Names::V1, &format!("event {i}"));
    }
}
