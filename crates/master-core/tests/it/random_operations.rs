//! Random operations on whatever there is: mostly possible ones, since those are where
//! books can go wrong.

use master_core::{AgentView, OfferView};
use proto::json::{self, Names};
use proto::mesos::internal::UpdateOperationStatusMessage;
use proto::mesos::v1::offer::Operation;
use proto::mesos::v1::offer::operation::{
    Create, Destroy, GrowVolume, Launch, Reserve, ShrinkVolume, Type, Unreserve,
};
use proto::mesos::v1::resource::DiskInfo;
use proto::mesos::v1::resource::disk_info::Persistence;
use proto::mesos::v1::volume::Mode;
use proto::mesos::v1::{self, OperationState, OperationStatus};
use resources::{Name, Reservation, Resource, Resources, Scalar, Value, conversions};
use types::Role;

/// An ACCEPT with one operation for each of `picks`, each on what those before it left.
pub(crate) fn accept(offer: &OfferView, picks: &[u8], named: bool, number: u64) -> String {
    let mut left = offer.resources.clone();
    let mut operations = Vec::new();
    for (at, pick) in picks.iter().enumerate() {
        let name = format!("{number}-{at}");
        let Some(mut operation) = operation(&left, Some(&offer.role), *pick, &name, offer.agent.as_str())
        else {
            continue;
        };
        if named && operation.r#type() != Type::Launch {
            operation.id = Some(v1::OperationId { value: name });
        }
        if let Ok(after) = conversions(&operation).and_then(|steps| left.apply(&steps)) {
            left = after;
        }
        operations.push(json::to_string(&operation, Names::V1));
    }
    format!(
        r#"{{"type":"ACCEPT","accept":{{"offer_ids":[{{"value":"{}"}}],"operations":[{}],"filters":{{"refuse_seconds":0}}}}}}"#,
        offer.id,
        operations.join(",")
    )
}

/// An operator's call on an agent.
pub(crate) fn operator(agent: &AgentView, pick: u8, number: u64) -> Option<String> {
    let operation = operation(&agent.total, None, pick, &number.to_string(), agent.id.as_str())?;
    let id = format!(r#""agent_id":{{"value":"{}"}}"#, agent.id);
    let (kind, field) = match operation.r#type() {
        Type::Reserve => ("RESERVE_RESOURCES", "reserve"),
        Type::Unreserve => ("UNRESERVE_RESOURCES", "unreserve"),
        Type::Create => ("CREATE_VOLUMES", "create"),
        Type::Destroy => ("DESTROY_VOLUMES", "destroy"),
        Type::GrowVolume => ("GROW_VOLUME", "grow_volume"),
        Type::ShrinkVolume => ("SHRINK_VOLUME", "shrink_volume"),
        Type::Unknown | Type::Launch | Type::LaunchGroup | Type::CreateDisk | Type::DestroyDisk => {
            return None;
        }
    };
    let text = json::to_string(&operation, Names::V1);
    let start = text.find(&format!("\"{field}\":{{")).expect("the body is there") + field.len() + 4;
    let body = text[start..].trim_end_matches('}');
    let closing = text[start..].len() - body.len();
    // The last two braces end the body and the operation.
    let body = format!("{body}{}", "}".repeat(closing - 2));
    Some(format!(r#"{{"type":"{kind}","{}":{{{id},{body}}}}}"#, kind.to_lowercase()))
}

fn operation(from: &Resources, role: Option<&Role>, pick: u8, name: &str, agent: &str) -> Option<Operation> {
    let own = role.cloned().unwrap_or_else(|| Role::from("a"));
    let amount = Scalar::from_milli(i64::from(pick) * 37 + 1);
    let part = |resource: &Resource| {
        let most = resource.as_scalar().unwrap_or(Scalar::ZERO).min(amount);
        resource.clone().with_value(Value::Scalar(most))
    };
    let scalars = || from.iter().filter(|resource| resource.as_scalar().is_some());
    let volume = || from.iter().find(|resource| resource.is_persistent_volume());
    let reserved_disk =
        || scalars().find(|r| *r.name() == Name::DISK && r.is_reserved() && !r.is_persistent_volume());
    let of = |kind: Type| Operation { r#type: Some(kind.into()), ..Operation::default() };
    Some(match pick % 8 {
        0 | 1 => {
            let found = scalars().filter(|r| !r.is_persistent_volume()).nth(usize::from(pick) % 3)?;
            let stack = [found.reservations(), &[Reservation::dynamic(own, None)]].concat();
            let resources = vec![part(found).with_reservations(stack).to_proto()];
            Operation { reserve: Some(Reserve { resources, source: Vec::new() }), ..of(Type::Reserve) }
        }
        2 => {
            let found = scalars().find(|r| r.is_dynamically_reserved() && !r.is_persistent_volume())?;
            let resources = vec![part(found).to_proto()];
            Operation { unreserve: Some(Unreserve { resources }), ..of(Type::Unreserve) }
        }
        3 | 4 => {
            let mut path = v1::Volume { container_path: "data".to_owned(), ..v1::Volume::default() };
            path.set_mode(Mode::Rw);
            let persistence = Some(Persistence { id: format!("v{name}"), principal: None });
            let disk = DiskInfo { persistence, volume: Some(path), ..DiskInfo::default() };
            let made = part(reserved_disk()?).with_disk(Some(disk)).with_shared(pick.is_multiple_of(3));
            Operation { create: Some(Create { volumes: vec![made.to_proto()] }), ..of(Type::Create) }
        }
        5 => {
            let volumes = vec![volume()?.to_proto()];
            Operation { destroy: Some(Destroy { volumes }), ..of(Type::Destroy) }
        }
        6 if pick % 16 == 14 => {
            let (volume, addition) = (volume()?.to_proto(), part(reserved_disk()?).to_proto());
            Operation { grow_volume: Some(GrowVolume { volume, addition }), ..of(Type::GrowVolume) }
        }
        6 => {
            let (volume, subtract) = (volume()?.to_proto(), v1::value::Scalar { value: 0.001 });
            Operation { shrink_volume: Some(ShrinkVolume { volume, subtract }), ..of(Type::ShrinkVolume) }
        }
        _ => {
            let mut used: Vec<_> =
                scalars().filter(|r| *r.name() != Name::DISK).map(|r| part(r).to_proto()).collect();
            used.extend(volume().map(Resource::to_proto));
            let task = v1::TaskInfo {
                name: name.to_owned(),
                task_id: v1::TaskId { value: name.to_owned() },
                agent_id: v1::AgentId { value: agent.to_owned() },
                resources: used,
                command: Some(v1::CommandInfo { value: Some("true".to_owned()), ..Default::default() }),
                ..v1::TaskInfo::default()
            };
            Operation { launch: Some(Launch { task_infos: vec![task] }), ..of(Type::Launch) }
        }
    })
}

/// What an agent says of one of its operations.
pub(crate) fn report(agent: &AgentView, pick: u8) -> Option<String> {
    let at = usize::from(pick) % agent.operations.len().max(1);
    let operation = agent.operations.values().nth(at)?;
    let states = [
        OperationState::OperationFinished,
        OperationState::OperationFinished,
        OperationState::OperationFailed,
        OperationState::OperationDropped,
        OperationState::OperationPending,
    ];
    let status = OperationStatus {
        state: states[usize::from(pick) % states.len()].into(),
        uuid: (!pick.is_multiple_of(3)).then(|| v1::Uuid { value: vec![pick; 16].into() }),
        agent_id: Some((&agent.id).into()),
        ..OperationStatus::default()
    };
    let message = UpdateOperationStatusMessage {
        framework_id: operation.framework_id.clone(),
        slave_id: Some((&agent.id).into()),
        status,
        latest_status: None,
        operation_uuid: Some(operation.uuid.clone()),
    };
    Some(json::to_string(&message, Names::V1))
}

/// The framework and its acknowledgement of what an agent said.
pub(crate) fn acknowledge(agent: &AgentView) -> Option<(String, String)> {
    let said = agent.operations.values().find_map(|operation| {
        let status = operation.statuses.iter().find(|status| status.uuid.is_some())?;
        Some((operation.framework_id.as_ref()?, operation.info.id.as_ref()?, status.uuid.as_ref()?))
    });
    let (framework, id, uuid) = said?;
    let body = v1::scheduler::call::AcknowledgeOperationStatus {
        agent_id: Some((&agent.id).into()),
        resource_provider_id: None,
        uuid: uuid.value.clone(),
        operation_id: id.clone(),
    };
    let body = json::to_string(&body, Names::V1);
    let call = format!(r#"{{"type":"ACKNOWLEDGE_OPERATION_STATUS","acknowledge_operation_status":{body}}}"#);
    Some((framework.value.clone(), call))
}
