//! The master's answers to requests that the recorded C++ master was asked too: status, type and words.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use common::{Answer, Events, json_headers, request};
use master::{Master, MasterConfig, Running};
use serde_json::{Value, json};

async fn start() -> (Running, String) {
    let running = Master::start(MasterConfig::new("127.0.0.1:0".parse().unwrap())).await.unwrap();
    let address = running.address.to_string();
    (running, address)
}

fn recorded(name: &str) -> Value {
    let path = format!("{}/tests/recorded/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The FrameworkInfo of the recording.
fn framework_info() -> Value {
    let call: Value =
        serde_json::from_str(recorded("subscribe-with-stream-id")["request"]["body"].as_str().unwrap())
            .unwrap();
    call["subscribe"]["framework_info"].clone()
}

/// A framework of ours that stands for the recorded one.
struct Framework {
    id: String,
    stream_id: String,
    events: Events,
}

async fn subscribe(address: &str) -> Framework {
    let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": framework_info()}});
    let mut events =
        Events::open(address, "/api/v1/scheduler", &json_headers(), call.to_string().as_bytes()).await;
    assert_eq!(events.head.status, 200);
    assert_eq!(events.head.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(events.head.header("Content-Type"), Some("application/json"));
    let stream_id = events.head.header("Mesos-Stream-Id").expect("a stream id").to_owned();
    let subscribed = events.next().await.unwrap();
    assert_eq!(subscribed["type"], "SUBSCRIBED");
    assert_eq!(subscribed["subscribed"]["heartbeat_interval_seconds"], 15.0);
    let id = subscribed["subscribed"]["framework_id"]["value"].as_str().unwrap().to_owned();
    assert_eq!(events.next().await.unwrap()["type"], "HEARTBEAT");
    Framework { id, stream_id, events }
}

/// Repeats a recorded request against our master, with our framework's ids in place of the recorded ones.
async fn repeat(address: &str, framework: &Framework, recorded: &Value) -> Answer {
    let ours = |text: &str| {
        text.replace("0b285185-9a1e-4b57-b9bc-151bb74edb0e-0000", &framework.id)
            .replace("a013646e-24c5-445c-8839-3174c29a743c", &framework.stream_id)
    };
    let asked = &recorded["request"];
    let headers: Vec<(String, String)> = asked["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), ours(value.as_str().unwrap())))
        .collect();
    let body = match asked["body"].as_str().unwrap_or("") {
        "base64:////" => vec![0xff, 0xff, 0xff],
        text => ours(text).into_bytes(),
    };
    let (method, path) = (asked["method"].as_str().unwrap(), asked["path"].as_str().unwrap());
    request(address, method, path, &headers, &body).await
}

/// Digits and ids differ from run to run; everything else must not.
fn normal(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_hexdigit() && c != '-') {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_hexdigit() && c != '-');
        if bare.len() >= 36 && bare.matches('-').count() >= 4 {
            out.push_str("ID");
            out.push_str(&word[bare.len()..]);
        } else {
            out.push_str(word);
        }
    }
    out
}

/// The keys and JSON types of a document, lists taken together.
fn shape(value: &Value, path: &str, out: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(members) if members.is_empty() => drop(out.insert(format!("{path}{{}}"))),
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| shape(value, &format!("{path}.{key}"), out))
        }
        Value::Array(items) if items.is_empty() => drop(out.insert(format!("{path}[]"))),
        Value::Array(items) => items.iter().for_each(|value| shape(value, &format!("{path}[]"), out)),
        Value::Null => drop(out.insert(format!("{path}:null"))),
        Value::Bool(_) => drop(out.insert(format!("{path}:bool"))),
        Value::Number(_) => drop(out.insert(format!("{path}:number"))),
        Value::String(_) => drop(out.insert(format!("{path}:string"))),
    }
}

fn compare(name: &str, recorded: &Value, answer: &Answer) {
    assert_eq!(Some(u64::from(answer.status)), recorded["status"].as_u64(), "{name}: {}", answer.text());
    assert_eq!(answer.header("Content-Type"), recorded["headers"]["Content-Type"].as_str(), "{name}");
    match &recorded["body"] {
        Value::String(text) => assert_eq!(normal(&answer.text()), normal(text), "{name}"),
        document => {
            let ours: Value = serde_json::from_slice(&answer.body).unwrap();
            let (mut a, mut b) = Default::default();
            shape(document, "", &mut a);
            shape(&ours, "", &mut b);
            // Our own version is ours to add.
            b.retain(|path| !path.contains("mesos_rs_version"));
            assert_eq!(b, a, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_as_recorded() {
    let (running, address) = start().await;
    let mut framework = subscribe(&address).await;
    for name in [
        "bad-content-type",
        "bad-json",
        "bad-proto",
        "get-scheduler",
        "missing-body",
        "no-content-type",
        "no-framework-id",
        "no-stream-id",
        "no-type",
        "notfound",
        "op-bad-type",
        "subscribe-with-stream-id",
        "unknown-framework",
        "unknown-type",
        "wrong-stream-id",
        "revive",
        "suppress",
        "reconcile-explicit",
        "reconcile-implicit",
        "v0-files-browse",
        "v0-files-debug",
        "v0-health",
        "v0-maintenance-schedule",
        "v0-maintenance-status",
        "v0-quota",
        "v0-weights",
        "v0-version",
        "v1-GET_EXECUTORS",
        "v1-GET_HEALTH",
        "v1-GET_LOGGING_LEVEL",
        "v1-GET_MAINTENANCE_SCHEDULE",
        "v1-GET_MAINTENANCE_STATUS",
        "v1-GET_MASTER",
        "v1-GET_OPERATIONS",
        "v1-GET_QUOTA",
        "v1-GET_VERSION",
        "v1-GET_WEIGHTS",
        "v1-UPDATE_WEIGHTS-neg",
        "v1-UPDATE_WEIGHTS",
        "teardown",
    ] {
        let recorded = recorded(name);
        let answer = repeat(&address, &framework, &recorded).await;
        compare(name, &recorded, &answer);
    }
    // The last one ended the framework, and with it its stream.
    while framework.events.next().await.is_some() {}
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_names_the_leader_without_a_scheme() {
    let (running, address) = start().await;
    let answer = request(&address, "GET", "/redirect", &[], b"").await;
    assert_eq!(answer.status, 307);
    assert_eq!(answer.header("Location"), Some(format!("//localhost:{}", running.address.port()).as_str()));
    assert_eq!(answer.header("Content-Length"), Some("0"));
    assert_eq!(request(&address, "GET", "/redirect/x", &[], b"").await.status, 404);
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_subscription_gets_an_error_and_the_end() {
    let (running, address) = start().await;
    let recorded = recorded("subscribe-dup-role");
    let body = recorded["request"]["body"].as_str().unwrap();
    let mut events = Events::open(&address, "/api/v1/scheduler", &json_headers(), body.as_bytes()).await;
    assert_eq!(events.head.status, 200);
    let error = events.next().await.unwrap();
    assert_eq!(
        error,
        json!({"type": "ERROR", "error": {"message": "'FrameworkInfo.roles' contains duplicate items: { a }"}})
    );
    assert_eq!(events.next().await, None);
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_calls_with_an_answer_look_at_accept() {
    let (running, address) = start().await;
    let html = vec![
        ("Content-Type".to_owned(), "application/json".to_owned()),
        ("Accept".to_owned(), "text/html".to_owned()),
    ];
    let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": framework_info()}}).to_string();
    let answer = request(&address, "POST", "/api/v1/scheduler", &html, call.as_bytes()).await;
    assert_eq!(answer.status, 406);
    assert_eq!(answer.text(), "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'");
    let framework = subscribe(&address).await;
    let mut headers = html;
    headers.push(("Mesos-Stream-Id".to_owned(), framework.stream_id.clone()));
    let call = json!({"type": "REVIVE", "framework_id": {"value": framework.id}}).to_string();
    assert_eq!(request(&address, "POST", "/api/v1/scheduler", &headers, call.as_bytes()).await.status, 202);
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_the_state_and_then_what_happens() {
    let (running, address) = start().await;
    let mut events =
        Events::open(&address, "/api/v1/operator", &json_headers(), br#"{"type":"SUBSCRIBE"}"#).await;
    assert_eq!(events.head.status, 200);
    let subscribed = events.next().await.unwrap();
    assert_eq!(subscribed["type"], "SUBSCRIBED");
    assert_eq!(
        subscribed["subscribed"]["get_state"]["get_agents"],
        json!({"agents": [], "recovered_agents": []})
    );
    assert_eq!(events.next().await.unwrap()["type"], "HEARTBEAT");
    let framework = subscribe(&address).await;
    let added = events.wait_for("FRAMEWORK_ADDED").await;
    assert_eq!(added["framework_added"]["framework"]["framework_info"]["id"]["value"], framework.id.as_str());
    let call = json!({"type": "TEARDOWN", "teardown": {"framework_id": {"value": framework.id}}}).to_string();
    let answer = request(&address, "POST", "/api/v1", &json_headers(), call.as_bytes()).await;
    assert_eq!((answer.status, answer.text()), (200, String::new()));
    events.wait_for("FRAMEWORK_REMOVED").await;
    let call = br#"{"type":"TEARDOWN","teardown":{"framework_id":{"value":"nope"}}}"#;
    let answer = request(&address, "POST", "/api/v1", &json_headers(), call).await;
    assert_eq!((answer.status, answer.text().as_str()), (400, "No framework found with specified ID"));
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_the_next_issue_are_refused_by_name() {
    let (running, address) = start().await;
    assert_eq!(request(&address, "GET", "/machine/down", &[], b"").await.status, 405);
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_are_put_and_shown() {
    let (running, address) = start().await;
    let put = async |body: &str| {
        let answer = request(&address, "PUT", "/weights", &[], body.as_bytes()).await;
        (answer.status, answer.text())
    };
    assert_eq!(
        put(r#"[{"role":"web","weight":0.5},{"role":" dev ","weight":2}]"#).await,
        (200, String::new())
    );
    let (status, why) = put("[{").await;
    assert_eq!(status, 400);
    assert!(why.starts_with("Failed to parse update weights request JSON '[{': "), "{why}");
    let (status, why) = put(r#"[{"role":"dev"}]"#).await;
    assert_eq!(status, 400);
    let prefix = r#"Failed to convert weights JSON array to protobuf '[{"role":"dev"}]': "#;
    assert!(why.starts_with(prefix), "{why}");
    let shown = request(&address, "GET", "/weights", &[], b"").await;
    let shown: Value = serde_json::from_slice(&shown.body).unwrap();
    assert_eq!(shown, json!([{"role": "dev", "weight": 2.0}, {"role": "web", "weight": 0.5}]));
    let answer = request(&address, "POST", "/api/v1", &json_headers(), br#"{"type":"GET_WEIGHTS"}"#).await;
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["get_weights"]["weight_infos"], shown);
    let roles = request(&address, "GET", "/roles", &[], b"").await;
    let roles: Value = serde_json::from_slice(&roles.body).unwrap();
    assert_eq!((&roles["roles"][0]["name"], &roles["roles"][0]["weight"]), (&json!("dev"), &json!(2.0)));
    assert_eq!(request(&address, "POST", "/weights", &[], b"").await.status, 405);
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_metric_has_its_name() {
    let (running, address) = start().await;
    let framework = subscribe(&address).await;
    let answer = request(&address, "GET", "/metrics/snapshot", &[], b"").await;
    let ours: Value = serde_json::from_slice(&answer.body).unwrap();
    let recorded = recorded("v0-metrics");
    let missing: Vec<String> = recorded["body"]
        .as_object()
        .unwrap()
        .keys()
        .map(|name| name.replace("0b285185-9a1e-4b57-b9bc-151bb74edb0e-0000", &framework.id))
        .filter(|name| ours.get(name).is_none())
        // What comes with a second framework, with refused tasks, with agents and with their reservations.
        .filter(|name| !name.contains("-0001/") && !name.contains("/source_master/"))
        .filter(|name| !name.contains("/quota/roles/"))
        // What is there once it has been measured.
        .filter(|name| !name.starts_with("registrar/state_store_ms"))
        .filter(|name| !name.starts_with("allocator/mesos/allocation_run_"))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
    let answer = request(&address, "GET", "/metrics", &[], b"").await;
    assert!(answer.text().contains("mesos_master_elected 1"), "{}", answer.text());
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_speaks_protobuf_to_who_asks_for_it() {
    use prost::Message as _;
    use proto::mesos::v1::master::{Call, Response, call, response};
    let (running, address) = start().await;
    let media = "application/x-protobuf".to_owned();
    let headers = ["Content-Type", "Accept"].map(|name| (name.to_owned(), media.clone()));
    for (asked, answered) in [
        (call::Type::GetState, response::Type::GetState),
        (call::Type::GetMaster, response::Type::GetMaster),
        (call::Type::GetFlags, response::Type::GetFlags),
        (call::Type::GetRoles, response::Type::GetRoles),
    ] {
        let call = Call { r#type: Some(asked as i32), ..Call::default() };
        let answer = request(&address, "POST", "/api/v1", &headers, &call.encode_to_vec()).await;
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some(media.as_str())));
        assert_eq!(Response::decode(answer.body.as_slice()).unwrap().r#type(), answered);
    }
    // A call without what it needs is refused as a whole.
    let call = Call { r#type: Some(call::Type::ReadFile as i32), ..Call::default() };
    let answer = request(&address, "POST", "/api/v1", &headers, &call.encode_to_vec()).await;
    assert_eq!(answer.text(), "Failed to validate master::Call: Expecting 'read_file' to be present");
    running.shutdown().await.unwrap();
}
