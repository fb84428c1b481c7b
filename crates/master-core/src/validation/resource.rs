//! Whether the resources that an operation names are resources at all.

use proto::mesos::v1::Resource;
use proto::mesos::v1::offer::{Operation, operation};
use resources::{Resources, format};

/// Checks all resources of an operation and brings them into the form used inside.
pub(crate) fn operation_resources(operation: &mut Operation) -> Result<(), String> {
    match operation.r#type() {
        operation::Type::Launch => {
            for task in operation.launch.iter_mut().flat_map(|launch| &mut launch.task_infos) {
                upgrade(&mut task.resources)?;
                if let Some(executor) = &mut task.executor {
                    upgrade(&mut executor.resources)?;
                }
            }
            Ok(())
        }
        operation::Type::LaunchGroup => {
            let Some(group) = &mut operation.launch_group else { return Ok(()) };
            upgrade(&mut group.executor.resources)?;
            group.task_group.tasks.iter_mut().try_for_each(|task| upgrade(&mut task.resources))
        }
        operation::Type::Reserve => with(operation.reserve.as_mut().map(|body| &mut body.resources)),
        operation::Type::Unreserve => with(operation.unreserve.as_mut().map(|body| &mut body.resources)),
        operation::Type::Create => with(operation.create.as_mut().map(|body| &mut body.volumes)),
        operation::Type::Destroy => with(operation.destroy.as_mut().map(|body| &mut body.volumes)),
        operation::Type::GrowVolume
        | operation::Type::ShrinkVolume
        | operation::Type::CreateDisk
        | operation::Type::DestroyDisk
        | operation::Type::Unknown => Ok(()),
    }
}

fn with(resources: Option<&mut Vec<Resource>>) -> Result<(), String> {
    resources.map_or(Ok(()), |resources| upgrade(resources))
}

fn upgrade(resources: &mut [Resource]) -> Result<(), String> {
    Resources::from_protos(resources).map_err(|why| why.to_string())?;
    format::upgrade_all(resources);
    Ok(())
}
