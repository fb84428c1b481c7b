//! Calls whose type and body do not agree, and what is said about them.

use proto::json::{self, Json};
use proto::mesos::v1::{agent, executor, master, resource_provider, scheduler};
use proto::schema::Kind;
use proto::unions::{self, Invalid};

/// The verdict on a call, as text; empty when it is valid.
fn verdict<T: Json, K>(check: fn(&T) -> Result<K, Invalid>, text: &str) -> String {
    let call = json::from_slice::<T>(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    check(&call).err().map(|invalid| invalid.to_string()).unwrap_or_default()
}

/// Checks every type of a call that carries nothing but `more`: those of `bare` are
/// valid, the others want the body that is named as the type is.
fn without_bodies<T: Json, K>(check: fn(&T) -> Result<K, Invalid>, more: &str, bare: &str) {
    assert_eq!(
        verdict(check, &format!("{{{}}}", more.trim_start_matches(','))),
        "Expecting 'type' to be present"
    );
    let kind = T::table().fields.iter().find(|field| field.name == "type").expect("a call has a type").kind;
    let Kind::Enum(types) = kind else { panic!("type is an enum") };
    for value in types.values {
        let name = value.name;
        let expected = if bare.split_whitespace().any(|bare| bare == name) {
            String::new()
        } else {
            let stop = if name == "UPDATE_PUBLISH_RESOURCES_STATUS" { "." } else { "" };
            format!("Expecting '{}' to be present{stop}", name.to_lowercase())
        };
        assert_eq!(verdict(check, &format!(r#"{{"type":"{name}"{more}}}"#)), expected, "{name}");
    }
}

#[test]
fn a_body_must_be_there() {
    let framework = r#","framework_id":{"value":"f"}"#;
    without_bodies(unions::scheduler, framework, "UNKNOWN TEARDOWN REVIVE SUPPRESS");
    let executor = r#","framework_id":{"value":"f"},"executor_id":{"value":"e"}"#;
    without_bodies(unions::executor, executor, "UNKNOWN HEARTBEAT");
    without_bodies(
        unions::master,
        "",
        "UNKNOWN GET_HEALTH GET_FLAGS GET_VERSION GET_LOGGING_LEVEL GET_STATE GET_AGENTS GET_FRAMEWORKS \
         GET_EXECUTORS GET_OPERATIONS GET_TASKS GET_ROLES GET_WEIGHTS GET_MASTER SUBSCRIBE \
         GET_MAINTENANCE_STATUS GET_MAINTENANCE_SCHEDULE GET_QUOTA",
    );
    without_bodies(
        unions::agent,
        "",
        "UNKNOWN GET_HEALTH GET_FLAGS GET_VERSION GET_LOGGING_LEVEL GET_STATE GET_CONTAINERS GET_FRAMEWORKS \
         GET_EXECUTORS GET_OPERATIONS GET_TASKS GET_AGENT GET_RESOURCE_PROVIDERS PRUNE_IMAGES",
    );
    let provider = r#","resource_provider_id":{"value":"r"}"#;
    without_bodies(unions::resource_provider, provider, "UNKNOWN");
}

#[test]
fn calls_of_schedulers() {
    let says = |text: &str| verdict::<scheduler::Call, _>(unions::scheduler, text);
    assert_eq!(says(r#"{"type":"REVIVE"}"#), "Expecting 'framework_id' to be present");
    let info = r#""framework_info":{"user":"u","name":"n","id":{"value":"f"}}"#;
    assert_eq!(
        says(&format!(r#"{{"type":"SUBSCRIBE","subscribe":{{{info}}}}}"#)),
        "'framework_id' differs from 'subscribe.framework_info.id'"
    );
    let id = r#""framework_id":{"value":"f"}"#;
    assert_eq!(says(&format!(r#"{{"type":"SUBSCRIBE",{id},"subscribe":{{{info}}}}}"#)), "");
    assert_eq!(says(&format!(r#"{{"type":"UPDATE_FRAMEWORK",{id},"update_framework":{{{info}}}}}"#)), "");
    assert_eq!(
        says(&format!(
            r#"{{"type":"UPDATE_FRAMEWORK",{id},"update_framework":{{"framework_info":{{"user":"u","name":"n"}}}}}}"#
        )),
        "'framework_id' differs from 'update_framework.framework_info.id'"
    );
    let acknowledge = |uuid: &str| {
        says(&format!(
            r#"{{"type":"ACKNOWLEDGE",{id},"acknowledge":{{"agent_id":{{"value":"a"}},"task_id":{{"value":"t"}},"uuid":"{uuid}"}}}}"#
        ))
    };
    assert_eq!(acknowledge("aGk="), "Not a valid UUID");
    assert_eq!(acknowledge("AAAAAAAAAAAAAAAAAAAAAA=="), "Not a valid UUID");
    assert_eq!(acknowledge("AAAAAAAAQAAAAAAAAAAAAA=="), "");
    assert_eq!(
        says(&format!(
            r#"{{"type":"ACKNOWLEDGE_OPERATION_STATUS",{id},"acknowledge_operation_status":{{"uuid":"AAAAAAAAQAAAAAAAAAAAAA==","operation_id":{{"value":"o"}}}}}}"#
        )),
        "Expecting 'agent_id' to be present"
    );
}

#[test]
fn updates_of_executors() {
    let says = |status: &str| {
        verdict::<executor::Call, _>(
            unions::executor,
            &format!(
                r#"{{"type":"UPDATE","framework_id":{{"value":"f"}},"executor_id":{{"value":"e"}},"update":{{"status":{{"task_id":{{"value":"t"}},{status}}}}}}}"#
            ),
        )
    };
    let uuid = r#""uuid":"AAAAAAAAQAAAAAAAAAAAAA==""#;
    assert_eq!(says(r#""state":"TASK_RUNNING""#), "Expecting 'uuid' to be present");
    assert_eq!(says(r#""state":"TASK_RUNNING","uuid":"aGk=""#), "Not a valid UUID");
    assert_eq!(
        says(&format!(r#""state":"TASK_RUNNING",{uuid},"executor_id":{{"value":"x"}}"#)),
        "ExecutorID in Call: e does not match ExecutorID in TaskStatus: x"
    );
    assert_eq!(
        says(&format!(r#""state":"TASK_RUNNING",{uuid}"#)),
        "Received Call from executor e of framework f with invalid source, expecting 'SOURCE_EXECUTOR'"
    );
    let source = r#""source":"SOURCE_EXECUTOR""#;
    assert_eq!(
        says(&format!(r#""state":"TASK_STAGING",{uuid},{source}"#)),
        "Received TASK_STAGING from executor e of framework f which is not allowed"
    );
    let status =
        |check: &str| says(&format!(r#""state":"TASK_RUNNING",{uuid},{source},"check_status":{check}"#));
    assert_eq!(status("{}"), "CheckStatusInfo must specify 'type'");
    assert_eq!(status(r#"{"type":"UNKNOWN"}"#), "'UNKNOWN' is not a valid check's status type");
    assert_eq!(status(r#"{"type":"TCP"}"#), "Expecting 'tcp' to be set for TCP check's status");
    assert_eq!(status(r#"{"type":"HTTP","http":{}}"#), "");
}

#[test]
fn calls_to_the_agent() {
    let says = |text: &str| verdict::<agent::Call, _>(unions::agent, text);
    let wait = |id: &str| {
        says(&format!(
            r#"{{"type":"WAIT_CONTAINER","wait_container":{{"container_id":{{"value":"{id}"}}}}}}"#
        ))
    };
    assert_eq!(wait("a"), "");
    assert_eq!(wait(""), "'wait_container.container_id' is invalid: ID must not be empty");
    assert_eq!(wait(".."), "'wait_container.container_id' is invalid: '..' is disallowed");
    assert_eq!(wait("a/b"), "'wait_container.container_id' is invalid: 'a/b' contains invalid characters");
    assert_eq!(
        wait("a b"),
        "'wait_container.container_id' is invalid: 'ContainerID.value' 'a b' contains invalid characters"
    );
    let long = "x".repeat(243);
    assert_eq!(
        wait(&long),
        format!(
            "'wait_container.container_id' is invalid: 'ContainerID.value' '{long}' exceeds the maximum length (242)"
        )
    );
    assert_eq!(
        says(r#"{"type":"KILL_NESTED_CONTAINER","kill_nested_container":{"container_id":{"value":"a"}}}"#),
        "Expecting 'kill_nested_container.container_id.parent' to be present"
    );
    assert_eq!(
        says(
            r#"{"type":"KILL_NESTED_CONTAINER","kill_nested_container":{"container_id":{"value":"a","parent":{"value":""}}}}"#
        ),
        "'kill_nested_container.container_id' is invalid: 'ContainerID.parent' is invalid: ID must not be empty"
    );
    assert_eq!(
        says(r#"{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{}}"#),
        "Expecting 'attach_container_input.type' to be present"
    );
    assert_eq!(
        says(r#"{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{"type":"CONTAINER_ID"}}"#),
        "'attach_container_input.container_id' is invalid: ID must not be empty"
    );
    assert_eq!(
        says(
            r#"{"type":"ADD_RESOURCE_PROVIDER_CONFIG","add_resource_provider_config":{"info":{"type":"t","name":"n","id":{"value":"i"}}}}"#
        ),
        "Expecting 'add_resource_provider_config.info.id' to be unset"
    );
}

#[test]
fn calls_of_others() {
    let says = |text: &str| verdict::<resource_provider::Call, _>(unions::resource_provider, text);
    assert_eq!(says(r#"{"type":"UPDATE_STATE"}"#), "Expecting 'resource_provider_id' to be present");
    let says = |text: &str| verdict::<master::Call, _>(unions::master, text);
    assert_eq!(
        says(
            r#"{"type":"GROW_VOLUME","grow_volume":{"volume":{"name":"d","type":"SCALAR"},"addition":{"name":"d","type":"SCALAR"}}}"#
        ),
        "Expecting 'agent_id' to be present; only agent default resources are supported right now"
    );
}

#[test]
fn a_driver_subscribes_with_force() {
    use proto::mesos::scheduler as v0;
    let old: v0::Call = json::from_slice_v0(
        br#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"},"force":true,
            "suppressed_roles":["a"]}}"#,
    )
    .unwrap();
    let new = proto::v0::SchedulerCall::from(old);
    assert!(new.force);
    assert_eq!(unions::scheduler(&new.call), Ok(scheduler::call::Type::Subscribe));
    assert_eq!(new.call.subscribe.unwrap().suppressed_roles, ["a"]);
}
