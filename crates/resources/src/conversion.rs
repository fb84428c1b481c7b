//! What an operation on resources does to them: which it consumes, and what it
//! makes of those.
//!
//! Master and agent compute it here alike, so that their books agree. Nothing is
//! checked but what the arithmetic needs; who may do it is the master's matter.

use proto::mesos::v1;
use proto::mesos::v1::offer::Operation;
use proto::mesos::v1::offer::operation::Type;

use crate::{Invalid, Resource, Resources, Scalar, Value};

/// One step of an operation: resources that become others of the same amount.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversion {
    /// What there must be.
    pub consumed: Resources,
    /// What there is instead.
    pub converted: Resources,
    /// The volume of which no copy may remain.
    pub destroyed: Option<Resource>,
}

impl Conversion {
    fn new(consumed: impl Into<Resources>, converted: impl Into<Resources>) -> Self {
        Self { consumed: consumed.into(), converted: converted.into(), destroyed: None }
    }
}

/// The steps of a RESERVE, UNRESERVE, CREATE, DESTROY, `GROW_VOLUME` or `SHRINK_VOLUME`;
/// other operations are not of this kind. The resources keep the allocation that the
/// operation names.
pub fn conversions(operation: &Operation) -> Result<Vec<Conversion>, Invalid> {
    let missing = || Invalid::new("The operation's body is missing");
    match operation.r#type() {
        Type::Unknown => Err(Invalid::new("Unknown operation")),
        Type::Launch | Type::LaunchGroup | Type::CreateDisk | Type::DestroyDisk => {
            Err(Invalid::new("Operation not supported"))
        }
        Type::Reserve => {
            let body = operation.reserve.as_ref().ok_or_else(missing)?;
            let reserved = Resources::from_protos(&body.resources)?;
            let source = if body.source.is_empty() {
                reserved.pop_reservation().ok_or_else(|| unreserved(&reserved))?
            } else {
                Resources::from_protos(&body.source)?
            };
            Ok(vec![Conversion::new(source, reserved)])
        }
        Type::Unreserve => {
            let body = operation.unreserve.as_ref().ok_or_else(missing)?;
            each(&body.resources, |reserved| {
                let popped = Resources::from(reserved.clone()).pop_reservation();
                let popped = popped.ok_or_else(|| unreserved(&Resources::from(reserved.clone())))?;
                Ok(Conversion::new(reserved, popped))
            })
        }
        Type::Create => {
            let body = operation.create.as_ref().ok_or_else(missing)?;
            each(&body.volumes, |volume| Ok(Conversion::new(volume.without_volume(), volume)))
        }
        Type::Destroy => {
            let body = operation.destroy.as_ref().ok_or_else(missing)?;
            each(&body.volumes, |volume| {
                let destroyed = Some(volume.clone());
                let freed = volume.without_volume();
                Ok(Conversion { destroyed, ..Conversion::new(volume, freed) })
            })
        }
        Type::GrowVolume => grow(operation.grow_volume.as_ref().ok_or_else(missing)?),
        Type::ShrinkVolume => shrink(operation.shrink_volume.as_ref().ok_or_else(missing)?),
    }
}

/// One conversion for each resource. They are not added up before: two volumes, or
/// two copies of a shared one, are two steps.
fn each(
    messages: &[v1::Resource],
    step: impl Fn(Resource) -> Result<Conversion, Invalid>,
) -> Result<Vec<Conversion>, Invalid> {
    let one = |message: &v1::Resource| step(Resource::from_proto(message).map_err(|why| why.of(message))?);
    messages.iter().map(one).collect()
}

fn unreserved(resources: &Resources) -> Invalid {
    Invalid::new(format!("{resources} has no reservation to take off"))
}

fn grow(body: &v1::offer::operation::GrowVolume) -> Result<Vec<Conversion>, Invalid> {
    let volume = Resource::from_proto(&body.volume).map_err(|why| why.of(&body.volume))?;
    let addition = Resource::from_proto(&body.addition).map_err(|why| why.of(&body.addition))?;
    let (old, more) = (scalar(&volume)?, scalar(&addition)?);
    let new = old.milli().checked_add(more.milli()).map(Scalar::from_milli);
    let new = new.ok_or_else(|| Invalid::new(format!("{volume} cannot grow by {more}")))?;
    let grown = volume.clone().with_value(Value::Scalar(new));
    let consumed = Resources::from_iter([volume, addition]);
    Ok(vec![Conversion::new(consumed, grown)])
}

fn shrink(body: &v1::offer::operation::ShrinkVolume) -> Result<Vec<Conversion>, Invalid> {
    let volume = Resource::from_proto(&body.volume).map_err(|why| why.of(&body.volume))?;
    let old = scalar(&volume)?;
    let less = Scalar::from_f64(body.subtract.value).filter(|less| *less > Scalar::ZERO && *less < old);
    let less =
        less.ok_or_else(|| Invalid::new(format!("{volume} cannot shrink by {}", body.subtract.value)))?;
    let freed = volume.without_volume().with_value(Value::Scalar(less));
    let shrunk = volume.clone().with_value(Value::Scalar(old - less));
    Ok(vec![Conversion::new(volume, Resources::from_iter([shrunk, freed]))])
}

fn scalar(resource: &Resource) -> Result<Scalar, Invalid> {
    if resource.provider_id().is_some() {
        return Err(Invalid::new("Operation not supported for resource provider"));
    }
    resource.as_scalar().ok_or_else(|| Invalid::new(format!("{resource} is no scalar")))
}

impl Resource {
    /// The disk that a persistent volume was made of: the same amount and source,
    /// without volume and sharing.
    #[must_use]
    pub fn without_volume(&self) -> Self {
        let disk = self.disk().filter(|disk| disk.source.is_some()).cloned();
        let disk = disk.map(|disk| v1::resource::DiskInfo { persistence: None, volume: None, ..disk });
        self.clone().with_disk(disk).with_shared(false)
    }

    /// Whether an agent must remember it, because no flag of the agent names it: a
    /// volume, or reserved by an operation.
    #[must_use]
    pub fn needs_checkpointing(&self) -> bool {
        self.provider_id().is_none() && (self.is_dynamically_reserved() || self.is_persistent_volume())
    }

    /// The configured resource that this checkpointed one was made of.
    fn origin(&self) -> Self {
        let mut origin = if self.is_persistent_volume() { self.without_volume() } else { self.clone() };
        if origin.is_dynamically_reserved() {
            let fixed = origin.reservations().iter().take(1);
            let fixed = fixed.filter(|first| first.kind == crate::ReservationKind::Static);
            let fixed = fixed.cloned().collect();
            origin = origin.with_reservations(fixed);
        }
        origin.with_shared(false)
    }
}

impl Resources {
    /// These after all steps. Fails where one of them finds too little.
    pub fn apply(&self, conversions: &[Conversion]) -> Result<Self, Invalid> {
        let mut after = self.clone();
        for Conversion { consumed, converted, destroyed } in conversions {
            after = after.checked_sub(consumed)?;
            after += converted;
            if let Some(volume) = destroyed
                && after.contains_one(volume)
            {
                return Err(Invalid::new(format!(
                    "Persistent volume {volume} cannot be removed due to additional shared copies"
                )));
            }
        }
        Ok(after)
    }

    /// What of these an agent must remember.
    #[must_use]
    pub fn checkpointed(&self) -> Self {
        self.filter(Resource::needs_checkpointing)
    }

    /// These, configured by flags, with the reservations and volumes that operations
    /// made of them. Fails for a checkpointed resource of which these have too little.
    pub fn with_checkpointed(&self, checkpointed: &Self) -> Result<Self, Invalid> {
        let mut total = self.clone();
        for made in checkpointed {
            if !made.needs_checkpointing() {
                return Err(Invalid::new(format!("Unexpected checkpointed resources {made}")));
            }
            let origin = Self::from(made.origin());
            if !total.contains(&origin) {
                return Err(Invalid::new(format!(
                    "Incompatible agent resources: {total} does not contain {origin}"
                )));
            }
            total -= &origin;
            total.push(made.clone());
        }
        Ok(total)
    }
}

/// All resources that an operation names, for changing them: those of a launch's
/// tasks and executors too.
pub fn resources_of(operation: &mut Operation) -> Vec<&mut v1::Resource> {
    let Operation {
        launch,
        launch_group,
        reserve,
        unreserve,
        create,
        destroy,
        grow_volume,
        shrink_volume,
        create_disk,
        destroy_disk,
        ..
    } = operation;
    let mut all = Vec::new();
    let mut tasks: Vec<_> = launch.iter_mut().flat_map(|body| &mut body.task_infos).collect();
    if let Some(body) = launch_group {
        all.extend(&mut body.executor.resources);
        tasks.extend(&mut body.task_group.tasks);
    }
    for task in tasks {
        all.extend(&mut task.resources);
        all.extend(task.executor.iter_mut().flat_map(|executor| &mut executor.resources));
    }
    if let Some(body) = reserve {
        all.extend(&mut body.source);
        all.extend(&mut body.resources);
    }
    all.extend(unreserve.iter_mut().flat_map(|body| &mut body.resources));
    all.extend(create.iter_mut().flat_map(|body| &mut body.volumes));
    all.extend(destroy.iter_mut().flat_map(|body| &mut body.volumes));
    if let Some(body) = grow_volume {
        all.extend([&mut body.volume, &mut body.addition]);
    }
    all.extend(shrink_volume.iter_mut().map(|body| &mut body.volume));
    all.extend(create_disk.iter_mut().map(|body| &mut body.source));
    all.extend(destroy_disk.iter_mut().map(|body| &mut body.source));
    all
}

#[cfg(test)]
mod tests;
