//! Whether an operation on resources may be done on its agent, by a framework or by
//! an operator (as observed of Mesos).
//!
//! That there are such resources is not asked here: applying the operation tells.

use std::collections::BTreeSet;

use proto::mesos::v1;
use proto::mesos::v1::offer::operation::{
    Create, CreateDisk, Destroy, DestroyDisk, GrowVolume, Reserve, ShrinkVolume, Unreserve,
};
use proto::mesos::v1::resource::disk_info::source;
use proto::mesos::v1::volume::Mode;
use resources::{Resource, Resources, Scalar, validate};
use types::Role;

use super::set_text;
use crate::agents::Agent;
use crate::frameworks::Framework;

type Check = Result<(), String>;

/// Who wants an operation done.
#[derive(Clone, Copy)]
pub(crate) enum Author<'a> {
    /// A framework, with resources that it was offered.
    Framework(&'a Framework),
    /// An operator, with resources that nobody holds.
    Operator(Option<&'a str>),
}

impl<'a> Author<'a> {
    fn principal(self) -> Option<&'a str> {
        match self {
            Self::Framework(framework) => framework.info.principal.as_deref(),
            Self::Operator(principal) => principal,
        }
    }

    /// What a framework names is all allocated to one role; what an operator names to none.
    fn one_role(self, resources: &Resources, what: &str) -> Check {
        match self {
            Self::Framework(_) => validate::single_allocation_role(resources)
                .map(drop)
                .map_err(|why| format!("Invalid {what} resources: {why}")),
            Self::Operator(_) => Ok(()),
        }
    }
}

/// Checks the resources of a list, each by itself and together.
fn list(messages: &[v1::Resource]) -> Result<Vec<Resource>, String> {
    let invalid = |why: &dyn std::fmt::Display| format!("Invalid resources: {why}");
    validate::all(messages).map_err(|why| invalid(&why))?;
    let all: Result<Vec<_>, _> = messages.iter().map(Resource::from_proto).collect();
    let all = all.map_err(|why| invalid(&why))?;
    one_provider(&all).map_err(|why| invalid(&why))?;
    Ok(all)
}

fn one_provider(all: &[Resource]) -> Check {
    let providers: BTreeSet<_> = all.iter().map(Resource::provider_id).collect();
    match providers.len() {
        0 => Err("The operation names no resources".to_owned()),
        1 => Ok(()),
        _ if providers.contains(&None) => {
            Err("Some resources have a resource provider and some do not".to_owned())
        }
        _ => {
            let ids: Vec<_> = providers.into_iter().flatten().collect();
            Err(format!("The resources have multiple resource providers: {}", ids.join(", ")))
        }
    }
}

pub(crate) fn reserve(body: &Reserve, author: Author<'_>, agent: &Agent) -> Check {
    let resources = list(&body.resources)?;
    source(body)?;
    for resource in &resources {
        if !resource.is_dynamically_reserved() {
            return Err(format!("Resource {resource} is not dynamically reserved"));
        }
        capable(resource, agent, "Resource", "reserved")?;
        if let Some(principal) = author.principal() {
            reserver(resource, principal)?;
        }
        allocation(resource, author)?;
    }
    author.one_role(&resources.into_iter().collect(), "reservation")
}

/// What is reserved anew must be the same amounts, of one reservation each.
fn source(body: &Reserve) -> Check {
    if body.source.is_empty() {
        return Ok(());
    }
    let source = validate::all(&body.source).map_err(|why| format!("Invalid source: {why}"))?;
    let target = Resources::from_checked_protos(&body.resources);
    let mixed = |all: &Resources| {
        let mut stacks = all.iter().map(Resource::reservations);
        let first = stacks.next();
        stacks.any(|stack| Some(stack) != first)
    };
    for (all, what) in [(&source, "source"), (&target, "resources")] {
        if mixed(all) {
            return Err(format!("Invalid {what}: Mixed reservations are not supported{all}"));
        }
    }
    let (from, to) = (source.to_unreserved(), target.to_unreserved());
    if from != to {
        return Err(format!(
            "Source and target resources should refer to identical resource quantities: {from} vs. {to}"
        ));
    }
    Ok(())
}

/// Whether the agent knows reservations of this kind.
fn capable(resource: &Resource, agent: &Agent, what: &str, done: &str) -> Check {
    let role = resource.reservation_role().map(Role::as_str).unwrap_or_default();
    if !agent.capabilities.hierarchical_role && role.contains('/') {
        return Err(format!(
            "{what} {resource} with reservation for hierarchical role '{role}' cannot be {done} on an agent \
             without HIERARCHICAL_ROLE capability"
        ));
    }
    if !agent.capabilities.reservation_refinement && resource.has_refined_reservations() {
        return Err(format!(
            "{what} {resource} with reservation refinement cannot be {done} on an agent without \
             RESERVATION_REFINEMENT capability"
        ));
    }
    Ok(())
}

fn reserver(resource: &Resource, principal: &str) -> Check {
    let named = resource.reservations().last().and_then(|last| last.principal.as_deref());
    let Some(named) = named else {
        return Err(format!(
            "A reserve operation was attempted by principal '{principal}', but there is a reserved resource in \
             the request with no principal set"
        ));
    };
    if named != principal {
        return Err(format!(
            "A reserve operation was attempted by authenticated principal '{principal}', which does not match \
             a reserved resource in the request with principal '{named}'"
        ));
    }
    Ok(())
}

/// A framework reserves for the role that it was offered the resource in; an operator
/// reserves what nobody was offered.
fn allocation(resource: &Resource, author: Author<'_>) -> Check {
    let framework = match author {
        Author::Framework(framework) => framework,
        Author::Operator(_) if resource.allocation_role().is_none() => return Ok(()),
        Author::Operator(_) => {
            return Err(
                "A reserve operation was attempted with an allocated resource, but the operator API only \
                 allows reservations to be made to unallocated resources"
                    .to_owned(),
            );
        }
    };
    let Some(allocated) = resource.allocation_role() else {
        return Err(format!(
            "A reserve operation was attempted on unallocated resource {resource}, but frameworks can only \
             perform reservations on allocated resources"
        ));
    };
    let reserved = resource.reservation_role().map(Role::as_str).unwrap_or_default();
    if allocated.as_str() != reserved {
        return Err(format!(
            "A reserve operation was attempted for a resource with role '{reserved}', but the resource was \
             allocated to role '{allocated}'"
        ));
    }
    if !framework.roles.contains(allocated) {
        return Err(format!(
            "A reserve operation was attempted for a resource allocated to role '{allocated}', but the \
             framework only has roles '{}'",
            set_text(framework.roles.iter().map(Role::as_str))
        ));
    }
    Ok(())
}

pub(crate) fn unreserve(body: &Unreserve) -> Check {
    for resource in list(&body.resources)? {
        if !resource.is_dynamically_reserved() {
            return Err(format!("Resource {resource} is not dynamically reserved"));
        }
        if resource.is_persistent_volume() {
            return Err(format!(
                "A dynamically reserved persistent volume {resource} cannot be unreserved directly. Please \
                 destroy the persistent volume first then unreserve the resource"
            ));
        }
    }
    Ok(())
}

pub(crate) fn create(body: &Create, author: Author<'_>, agent: &Agent) -> Check {
    let volumes = list(&body.volumes)?;
    volumes.iter().try_for_each(persistent).map_err(|why| format!("Not a persistent volume: {why}"))?;
    unique(&volumes, agent)?;
    for volume in &volumes {
        if let Author::Framework(framework) = author
            && volume.is_shared()
            && !framework.capabilities.shared_resources
        {
            return Err(format!(
                "Create volume operation for '{volume}' has been attempted by framework '{}' with no \
                 SHARED_RESOURCES capability",
                framework.id
            ));
        }
        capable(volume, agent, "Volume", "created")?;
        if let Some(principal) = author.principal() {
            creator(volume, principal)?;
        }
    }
    author.one_role(&volumes.into_iter().collect(), "volume")
}

fn persistent(volume: &Resource) -> Check {
    let Some(disk) = volume.disk() else {
        return Err(format!("Resource {volume} does not have DiskInfo"));
    };
    if disk.persistence.is_none() {
        return Err("'persistence' is not set in DiskInfo".to_owned());
    }
    match &disk.volume {
        None => Err("Expecting 'volume' to be set for persistent volume".to_owned()),
        Some(path) if path.mode() == Mode::Ro => Err("Read-only persistent volume not supported".to_owned()),
        Some(_) => Ok(()),
    }
}

/// Persistence ids are unique per role on an agent. Each volume counts, copies of a
/// shared one too: they would be two volumes of one id.
fn unique(volumes: &[Resource], agent: &Agent) -> Check {
    let mut seen = BTreeSet::new();
    for volume in agent.checkpointed.iter().chain(volumes) {
        let id = volume.disk().and_then(|disk| disk.persistence.as_ref()).map(|it| it.id.as_str());
        let (Some(role), Some(id)) = (volume.reservation_role(), id) else { continue };
        if !seen.insert((role, id)) {
            return Err(format!("Persistence ID '{id}' is not unique"));
        }
    }
    Ok(())
}

fn creator(volume: &Resource, principal: &str) -> Check {
    let persistence = volume.disk().and_then(|disk| disk.persistence.as_ref());
    let Some(named) = persistence.and_then(|persistence| persistence.principal.as_deref()) else {
        return Err(format!(
            "Create volume operation attempted by principal '{principal}', but there is a volume in the \
             operation with no principal set in 'disk.persistence'"
        ));
    };
    if named != principal {
        return Err(format!(
            "Create volume operation attempted by authenticated principal '{principal}', which does not match \
             a volume in the operation with principal '{named}' set in 'disk.persistence'"
        ));
    }
    Ok(())
}

pub(crate) fn destroy(body: &Destroy, agent: &Agent) -> Check {
    let volumes = list(&body.volumes)?;
    volumes.iter().try_for_each(persistent).map_err(|why| format!("Not a persistent volume: {why}"))?;
    let volumes: Vec<_> = volumes.into_iter().map(|volume| volume.with_allocation(None)).collect();
    let known = |volume: &Resource| volume.provider_id().is_some() || agent.checkpointed.contains_one(volume);
    if !volumes.iter().all(known) {
        return Err("Persistent volumes not found".to_owned());
    }
    // A volume that is not shared is not offered while it is used; a shared one is.
    for used in agent.view().used.values() {
        let used = used.unallocated();
        if volumes.iter().any(|volume| used.contains_one(volume)) {
            return Err("Persistent volumes in use".to_owned());
        }
    }
    Ok(())
}

/// One resource of a field, as a resource and as a list of one.
fn field(message: &v1::Resource, name: &str) -> Result<Resource, String> {
    Resource::from_proto(message).map_err(|why| format!("Invalid resource in the '{name}' field: {why}"))
}

pub(crate) fn grow_volume(body: &GrowVolume, agent: &Agent) -> Check {
    let volume = field(&body.volume, "GrowVolume.volume")?;
    let addition = field(&body.addition, "GrowVolume.addition")?;
    if addition.as_scalar().is_none_or(|more| more <= Scalar::ZERO) {
        return Err("The size of 'GrowVolume.addition' field must be greater than zero".to_owned());
    }
    if volume.provider_id().is_some() {
        return Err("Growing a volume from a resource provider is not supported".to_owned());
    }
    persistent(&volume)
        .map_err(|why| format!("Invalid persistent volume in the 'GrowVolume.volume' field: {why}"))?;
    if volume.is_shared() {
        return Err("Growing a shared persistent volume is not supported".to_owned());
    }
    if !volume.without_volume().is_addable(&addition) {
        return Err(
            "Incompatible resources in the 'GrowVolume.volume' and 'GrowVolume.addition' fields".to_owned()
        );
    }
    if !agent.capabilities.resize_volume {
        return Err(format!("Volume {volume} cannot be grown on an agent without RESIZE_VOLUME capability"));
    }
    Ok(())
}

pub(crate) fn shrink_volume(body: &ShrinkVolume, agent: &Agent) -> Check {
    let volume = field(&body.volume, "ShrinkVolume.volume")?;
    let less = Scalar::from_f64(body.subtract.value);
    if less.is_some_and(|less| less <= Scalar::ZERO) || body.subtract.value.is_nan() {
        return Err("Value of 'ShrinkVolume.subtract' must be greater than zero".to_owned());
    }
    let fits = less.zip(volume.as_scalar()).is_some_and(|(less, size)| less < size);
    if !fits {
        return Err(
            "Value of 'ShrinkVolume.subtract' must be smaller than the size of 'ShrinkVolume.volume'"
                .to_owned(),
        );
    }
    if volume.provider_id().is_some() {
        return Err("Shrinking a volume from a resource provider is not supported".to_owned());
    }
    let source = volume.disk().and_then(|disk| disk.source.as_ref());
    if source.is_some_and(|source| source.r#type() == source::Type::Mount) {
        return Err("Shrinking a volume on a MOUNT disk is not supported".to_owned());
    }
    persistent(&volume)
        .map_err(|why| format!("Invalid persistent volume in the 'ShrinkVolume.volume' field: {why}"))?;
    if volume.is_shared() {
        return Err("Shrinking a shared persistent volume is not supported".to_owned());
    }
    if !agent.capabilities.resize_volume {
        return Err(format!("Volume {volume} cannot be shrunk on an agent without RESIZE_VOLUME capability"));
    }
    Ok(())
}

/// The disk of a resource provider that an operation of disks is about.
fn disk(message: &v1::Resource) -> Result<Resource, String> {
    let source =
        validate::all(std::slice::from_ref(message)).map_err(|why| format!("Invalid resource: {why}"))?;
    let source = source.into_iter().next().ok_or("'source' is empty")?;
    if source.provider_id().is_none() {
        return Err("'source' is not managed by a resource provider".to_owned());
    }
    Ok(source)
}

fn disk_type(source: &Resource) -> Option<source::Type> {
    Some(source.disk()?.source.as_ref()?.r#type())
}

pub(crate) fn create_disk(body: &CreateDisk) -> Check {
    let source = disk(&body.source)?;
    if disk_type(&source) != Some(source::Type::Raw) {
        return Err("'source' is not a RAW disk resource".to_owned());
    }
    if !matches!(body.target_type(), source::Type::Mount | source::Type::Block) {
        return Err("'target_type' is neither MOUNT or BLOCK".to_owned());
    }
    let profiled = source.disk().and_then(|disk| disk.source.as_ref()).is_some_and(|it| it.profile.is_some());
    match (profiled, body.target_profile.is_some()) {
        (true, true) => Err("'target_profile' must not be set when 'source' has a profile".to_owned()),
        (false, false) => Err("'target_profile' must be set when 'source' has no profile".to_owned()),
        (true, false) | (false, true) => Ok(()),
    }
}

pub(crate) fn destroy_disk(body: &DestroyDisk) -> Check {
    let source = disk(&body.source)?;
    if !matches!(disk_type(&source), Some(source::Type::Mount | source::Type::Block | source::Type::Raw)) {
        return Err("'source' is neither a MOUNT, BLOCK or RAW disk resource".to_owned());
    }
    let backed = source.disk().and_then(|disk| disk.source.as_ref()).is_some_and(|it| it.id.is_some());
    if !backed {
        return Err("'source' is not backed by a CSI volume".to_owned());
    }
    if source.is_persistent_volume() {
        return Err(format!(
            "A disk resource containing a persistent volume {source} cannot be destroyed directly. Please \
             destroy the persistent volume first then destroy the disk resource"
        ));
    }
    Ok(())
}
