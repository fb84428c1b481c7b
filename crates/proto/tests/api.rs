//! The public face of the crate, by example.

use proto::json::{self, JsonError, Names};
use proto::mesos::v1::{self, scheduler};
use proto::{unions, wire};

#[test]
fn a_call_round_trips() {
    let text = br#"{"type":"ACCEPT","framework_id":{"value":"f"},"accept":{"offer_ids":[{"value":"o"}],
        "operations":{"type":"LAUNCH","launch":{"task_infos":[{"name":"n","task_id":{"value":"t"},
        "agent_id":{"value":"a"},"slave_id":{"value":"zzz"},"data":"aGk=","limits":{"cpus":{"value":"Infinity"}},
        "resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":"0.1"},"shared":null}]}]}}}}"#;
    let call: scheduler::Call = json::from_slice(text).unwrap();
    assert_eq!(unions::scheduler(&call), Ok(scheduler::call::Type::Accept));
    let text = json::to_string(&call, Names::V1);
    assert_eq!(
        text,
        r#"{"framework_id":{"value":"f"},"type":"ACCEPT","accept":{"offer_ids":[{"value":"o"}],"operations":[{"type":"LAUNCH","launch":{"task_infos":[{"name":"n","task_id":{"value":"t"},"agent_id":{"value":"a"},"resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}}],"data":"aGk=","limits":{"cpus":{"value":"Infinity"}}}]}}]}}"#
    );
    assert_eq!(json::from_slice(text.as_bytes()), Ok(call.clone()));
    let v0 = json::to_string(&call, Names::V0);
    assert_eq!(v0, text.replace("agent_id", "slave_id"));
    let bytes = prost::Message::encode_to_vec(&call);
    assert_eq!(wire::decode(bytes.as_slice()), Ok(call));
}

#[test]
fn what_is_missing_is_named() {
    let text = br#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","roles":["a"]}}}"#;
    let error = json::from_slice::<scheduler::Call>(text).unwrap_err();
    assert_eq!(
        error.body_message("Call"),
        "Failed to convert JSON into Call protobuf: Missing required fields: subscribe.framework_info.name"
    );
    assert!(matches!(error, JsonError::Missing(_)));
    let error = wire::decode::<v1::Offer>(&b""[..]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "mesos.v1.Offer is missing required fields: id, framework_id, agent_id, hostname"
    );
}

#[test]
fn defaults_are_printed() {
    let filters = v1::Filters::default();
    assert_eq!(json::to_string(&filters, Names::V1), r#"{"refuse_seconds":5.0}"#);
}
