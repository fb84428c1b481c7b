//! Whether the resources that an operation names are resources at all.

use proto::mesos::v1;
use proto::mesos::v1::offer::Operation;
use proto::mesos::v1::offer::operation::Type;
use resources::{Resource, Resources, format, resources_of};

/// Checks all resources of an operation and brings them into the form used inside.
pub(crate) fn operation_resources(operation: &mut Operation) -> Result<(), String> {
    check(operation)?;
    resources_of(operation).into_iter().for_each(format::upgrade);
    Ok(())
}

fn check(operation: &Operation) -> Result<(), String> {
    match operation.r#type() {
        Type::Launch => {
            let body = operation.launch.as_ref().ok_or_else(|| missing("LAUNCH", "launch"))?;
            body.task_infos.iter().try_for_each(task)
        }
        Type::LaunchGroup => {
            let body = operation.launch_group.as_ref();
            let body = body.ok_or_else(|| missing("LAUNCH_GROUP", "launch_group"))?;
            list(&body.executor.resources)?;
            body.task_group.tasks.iter().try_for_each(task)
        }
        Type::Reserve => {
            let body = operation.reserve.as_ref().ok_or_else(|| missing("RESERVE", "reserve"))?;
            list(&body.resources)?;
            list(&body.source)
        }
        Type::Unreserve => {
            let body = operation.unreserve.as_ref().ok_or_else(|| missing("UNRESERVE", "unreserve"))?;
            list(&body.resources)
        }
        Type::Create => list(&operation.create.as_ref().ok_or_else(|| missing("CREATE", "create"))?.volumes),
        Type::Destroy => {
            list(&operation.destroy.as_ref().ok_or_else(|| missing("DESTROY", "destroy"))?.volumes)
        }
        Type::GrowVolume => {
            let body = operation.grow_volume.as_ref();
            let body = body.ok_or_else(|| missing("GROW_VOLUME", "grow_volume"))?;
            one(&body.volume)?;
            one(&body.addition)
        }
        Type::ShrinkVolume => {
            let body = operation.shrink_volume.as_ref();
            one(&body.ok_or_else(|| missing("SHRINK_VOLUME", "shrink_volume"))?.volume)
        }
        Type::CreateDisk => {
            let body = operation.create_disk.as_ref();
            one(&body.ok_or_else(|| missing("CREATE_DISK", "create_disk"))?.source)
        }
        Type::DestroyDisk => {
            let body = operation.destroy_disk.as_ref();
            one(&body.ok_or_else(|| missing("DESTROY_DISK", "destroy_disk"))?.source)
        }
        Type::Unknown => Ok(()),
    }
}

fn missing(kind: &str, field: &str) -> String {
    let article = if kind.starts_with('U') { "An" } else { "A" };
    format!("{article} {kind} offer operation must have the Offer.Operation.{field} field set.")
}

fn task(task: &v1::TaskInfo) -> Result<(), String> {
    list(&task.resources)?;
    task.executor.as_ref().map_or(Ok(()), |executor| list(&executor.resources))
}

fn list(messages: &[v1::Resource]) -> Result<(), String> {
    Resources::from_protos(messages).map(drop).map_err(|why| why.to_string())
}

fn one(message: &v1::Resource) -> Result<(), String> {
    Resource::from_proto(message).map(drop).map_err(|why| why.to_string())
}
