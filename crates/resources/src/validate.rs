//! What a resource message must satisfy before it is let in, in Mesos's words.
//!
//! [`resource`] is what every message must satisfy alone; [`all`] is what the
//! master asks of a list from outside; the rest are rules of single uses.

use std::collections::BTreeSet;

use proto::mesos::v1;
use proto::mesos::v1::resource::disk_info::source;
use proto::mesos::v1::resource::reservation_info;
use proto::mesos::v1::value::Type;
use thiserror::Error;
use types::Role;

use crate::print::{self, ProtoText};
use crate::reservation::same_labels;
use crate::{Name, Quantities, Resources, Scalar};

/// Why resources are refused, in the words of Apache Mesos.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Invalid(String);

impl Invalid {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same, naming the resource of a list.
    pub(crate) fn of(self, message: &v1::Resource) -> Self {
        Self(format!("Resource '{}' is invalid: {}", ProtoText(message), self.0))
    }

    fn within(self, what: &str) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

type Check = Result<(), Invalid>;

fn refuse(text: impl Into<String>) -> Check {
    Err(Invalid::new(text))
}

/// Checks one message of any format (observed rules of `Resources::validate`).
pub fn resource(message: &v1::Resource) -> Check {
    if message.name.is_empty() {
        return refuse("Empty resource name");
    }
    amount(message)?;
    if message.disk.is_some() {
        disk(message)?;
    }
    match &message.reservations[..] {
        [] => old_reservation(message)?,
        stack => {
            refined(stack)?;
            both_formats(message, stack)?;
        }
    }
    shared(message)
}

fn amount(message: &v1::Resource) -> Check {
    let Ok(kind) = Type::try_from(message.r#type) else { return refuse("Invalid resource type") };
    let given = (message.scalar.as_ref(), message.ranges.as_ref(), message.set.as_ref());
    match (kind, given) {
        (Type::Scalar, (Some(scalar), None, None)) => scalar_amount(scalar.value),
        (Type::Ranges, (None, Some(ranges), None)) => ranges_amount(&ranges.range),
        (Type::Set, (None, None, Some(set))) => {
            let distinct: BTreeSet<&String> = set.item.iter().collect();
            if distinct.len() < set.item.len() {
                return refuse("Invalid set resource: duplicated elements");
            }
            Ok(())
        }
        (Type::Scalar, _) => refuse("Invalid scalar resource"),
        (Type::Ranges, _) => refuse("Invalid ranges resource"),
        (Type::Set, _) => refuse("Invalid set resource"),
        (Type::Text, _) => refuse("Unsupported resource type"),
    }
}

// COMPAT(mesos): what rounds to nothing is as bad as a negative amount, and so are
// NaN, infinity and what does not fit, which C++ rounds to the lowest number.
fn scalar_amount(value: f64) -> Check {
    let positive = Scalar::from_f64(value).is_some_and(|scalar| scalar > Scalar::ZERO);
    if value != 0.0 && !positive {
        return refuse("Invalid scalar resource: value <= 0");
    }
    Ok(())
}

fn ranges_amount(ranges: &[v1::value::Range]) -> Check {
    // COMPAT(mesos): the first fault in the order of the list is the one told.
    let reversed = ranges.iter().position(|range| range.begin > range.end);
    let sound = &ranges[..reversed.unwrap_or(ranges.len())];
    let mut sorted: Vec<_> = sound.iter().map(|range| (range.begin, range.end)).collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[1].0 <= pair[0].1) {
        return refuse("Invalid ranges resource: overlapping ranges");
    }
    if reversed.is_some() {
        return refuse("Invalid ranges resource: begin > end");
    }
    Ok(())
}

fn disk(message: &v1::Resource) -> Check {
    if message.name != "disk" {
        return refuse(format!("DiskInfo should not be set for {} resource", message.name));
    }
    let Some(source) = message.disk.as_ref().and_then(|disk| disk.source.as_ref()) else { return Ok(()) };
    match source.r#type() {
        source::Type::Path | source::Type::Mount => Ok(()),
        kind @ (source::Type::Block | source::Type::Raw) => {
            let name = kind.as_str_name();
            if source.mount.is_some() {
                return refuse(format!("Mount should not be set for {name} disk source"));
            }
            if source.path.is_some() {
                return refuse(format!("Path should not be set for {name} disk source"));
            }
            Ok(())
        }
        source::Type::Unknown => {
            refuse(format!("Unsupported 'DiskInfo.Source.Type' in '{}'", print::source(source)))
        }
    }
}

fn role(role: &str) -> Check {
    types::check_role(role).map_err(|why| Invalid::new(why.to_string()))
}

/// The rules of the pre-refinement format.
fn old_reservation(message: &v1::Resource) -> Check {
    let name = message.role();
    role(name)?;
    let Some(reservation) = &message.reservation else { return Ok(()) };
    for (set, field) in [(reservation.r#type.is_some(), "type"), (reservation.role.is_some(), "role")] {
        if set {
            return refuse(format!(
                "'Resource.ReservationInfo.{field}' must not be set for the 'Resource.reservation' field"
            ));
        }
    }
    if name == "*" {
        return refuse("Invalid reservation: role \"*\" cannot be dynamically reserved");
    }
    Ok(())
}

/// The rules of a stack of reservations.
fn refined(stack: &[v1::resource::ReservationInfo]) -> Check {
    for reservation in stack {
        if reservation.r#type.is_none() {
            return refuse("Invalid reservation: 'Resource.ReservationInfo.type' field must be set.");
        }
        let Some(name) = &reservation.role else {
            return refuse("Invalid reservation: 'Resource.ReservationInfo.role' field must be set.");
        };
        role(name)?;
        if name == "*" {
            return refuse("Invalid reservation: role \"*\" cannot be reserved");
        }
    }
    for pair in stack.windows(2) {
        let (above, below) = (pair[0].role(), pair[1].role());
        if pair[1].r#type() == reservation_info::Type::Static {
            return refuse("Invalid refined reservation: A refined reservation cannot be STATIC");
        }
        if above == below || !Role::from(below).is_within(&Role::from(above)) {
            return refuse(format!(
                "Invalid refined reservation: role '{below}' is not a refinement of '{above}'"
            ));
        }
    }
    Ok(())
}

/// Where both formats are given, they must say the same.
#[expect(deprecated, reason = "the old fields are what is checked")]
fn both_formats(message: &v1::Resource, stack: &[v1::resource::ReservationInfo]) -> Check {
    let [single] = stack else {
        for (set, field) in [(message.role.is_some(), "role"), (message.reservation.is_some(), "reservation")]
        {
            if set {
                return refuse(format!(
                    "Invalid resource format: 'Resource.{field}' must not be set if there is more than one \
                     reservation in 'Resource.reservations'"
                ));
            }
        }
        return Ok(());
    };
    if let Some(old) = message.role.as_ref().filter(|old| **old != single.role()) {
        return refuse(format!(
            "Invalid resource format: 'Resource.role' field with '{old}' does not match the role '{}' in \
             'Resource.reservations'",
            single.role()
        ));
    }
    match single.r#type() {
        reservation_info::Type::Static if message.reservation.is_some() => refuse(
            "Invalid resource format: 'Resource.reservation' must not be set if the single reservation in \
             'Resource.reservations' is STATIC",
        ),
        reservation_info::Type::Static => Ok(()),
        reservation_info::Type::Dynamic => both_dynamic(message, single),
        reservation_info::Type::Unknown => refuse("Unsupported 'Resource.ReservationInfo.Type'"),
    }
}

#[expect(deprecated, reason = "the old fields are what is checked")]
fn both_dynamic(message: &v1::Resource, single: &v1::resource::ReservationInfo) -> Check {
    if message.role.is_some() != message.reservation.is_some() {
        return refuse(
            "Invalid resource format: 'Resource.role' and 'Resource.reservation' must either be both set or \
             both not set if the single reservation in 'Resource.reservations' is DYNAMIC",
        );
    }
    let Some(old) = &message.reservation else { return Ok(()) };
    if old.principal() != single.principal() {
        return refuse(format!(
            "Invalid resource format: 'Resource.reservation.principal' field with '{}' does not match the \
             principal '{}' in 'Resource.reservations'",
            old.principal(),
            single.principal()
        ));
    }
    let (old, new) = (old.labels.clone().unwrap_or_default(), single.labels.clone().unwrap_or_default());
    if !same_labels(Some(&old), Some(&new)) {
        return refuse(format!(
            "Invalid resource format: 'Resource.reservation.labels' field with '{}' does not match the labels \
             '{}' in 'Resource.reservations'",
            print::labels(&old),
            print::labels(&new)
        ));
    }
    Ok(())
}

fn shared(message: &v1::Resource) -> Check {
    if message.shared.is_none() {
        return Ok(());
    }
    if message.name != "disk" {
        return refuse(format!("Resource {} cannot be shared", message.name));
    }
    if message.disk.as_ref().is_none_or(|disk| disk.persistence.is_none()) {
        return refuse("Only persistent volumes can be shared");
    }
    Ok(())
}

/// What the master asks of the resources of a task, executor or operation
/// (observed rules of its `resource::validate`).
pub fn all(messages: &[v1::Resource]) -> Result<Resources, Invalid> {
    let resources = Resources::from_protos(messages).map_err(|why| why.within("Invalid resources"))?;
    gpus(&resources).map_err(|why| why.within("Invalid 'gpus' resource"))?;
    for resource in &resources {
        disk_info(resource).map_err(|why| why.within("Invalid DiskInfo"))?;
    }
    for resource in &resources {
        if resource.is_dynamically_reserved() && resource.is_revocable() {
            return Err(Invalid::new(format!(
                "Invalid ReservationInfo: Dynamically reserved resource {resource} cannot be created from \
                 revocable resources"
            )));
        }
    }
    Ok(resources)
}

/// GPUs come whole.
pub fn gpus(resources: &Resources) -> Check {
    if resources.gpus().is_some_and(|gpus| !gpus.is_whole()) {
        return refuse("The 'gpus' resource must be an unsigned integer");
    }
    Ok(())
}

fn disk_info(resource: &crate::Resource) -> Check {
    let Some(disk) = resource.disk() else { return Ok(()) };
    let Some(persistence) = &disk.persistence else {
        if disk.volume.is_some() {
            return refuse("Non-persistent volume not supported");
        }
        if disk.source.is_none() {
            return refuse("DiskInfo is set but empty");
        }
        return Ok(());
    };
    if resource.is_revocable() {
        return refuse("Persistent volumes cannot be created from revocable resources");
    }
    if !resource.is_reserved() {
        return refuse("Persistent volumes cannot be created from unreserved resources");
    }
    let Some(volume) = &disk.volume else {
        return refuse("Expecting 'volume' to be set for persistent volume");
    };
    if volume.host_path.is_some() {
        return refuse("Expecting 'host_path' to be unset for persistent volume");
    }
    types::check_id(&persistence.id)
        .map_err(|why| Invalid::new(format!("Invalid persistence ID for persistent volume: {why}")))
}

/// A task uses either revocable or other resources of one name.
pub fn not_mixed_revocable(resources: &Resources) -> Check {
    for name in resources.names() {
        let (mut revocable, mut kept) = (false, false);
        for resource in resources.iter().filter(|resource| *resource.name() == name) {
            revocable |= resource.is_revocable();
            kept |= !resource.is_revocable();
        }
        if revocable && kept {
            return refuse(format!("Cannot use both revocable and non-revocable '{name}' at the same time"));
        }
    }
    Ok(())
}

/// Persistence ids are unique per role.
pub fn unique_persistence_ids(resources: &Resources) -> Check {
    let mut seen = BTreeSet::new();
    for volume in resources.iter() {
        let (Some(role), Some(disk)) = (volume.reservation_role(), volume.disk()) else { continue };
        let Some(persistence) = &disk.persistence else { continue };
        if !seen.insert((role.clone(), &persistence.id)) {
            return refuse(format!("Persistence ID '{}' is not unique", persistence.id));
        }
    }
    Ok(())
}

/// Everything of one task, executor or operation is allocated to one role, which
/// is returned; none for no resources at all.
pub fn single_allocation_role(resources: &Resources) -> Result<Option<Role>, Invalid> {
    let mut first: Option<&Role> = None;
    for resource in resources {
        let Some(role) = resource.allocation_role() else {
            return Err(Invalid::new("The resources are not allocated to a role"));
        };
        match first {
            None => first = Some(role),
            Some(first) if first == role => {}
            Some(first) => {
                return Err(Invalid::new(format!(
                    "The resources have multiple allocation roles ('{role}' and '{first}') but only one \
                     allocation role is allowed"
                )));
            }
        }
    }
    Ok(first.cloned())
}

/// Whether ranges or words are claimed twice among these: their sum is then less
/// than the sum of what each claims.
#[must_use]
pub fn overlaps(parts: &[Resources]) -> bool {
    let mut quantities = Quantities::new();
    let mut sum = Resources::new();
    for part in parts {
        quantities += &Quantities::of(part);
        sum += part;
    }
    quantities != Quantities::of(&sum)
}

/// What may be said in `--resources`: one type per name, and nothing that only
/// operations make (observed rules of the command line).
pub fn command_line(resources: &Resources) -> Check {
    let mut types: Vec<(&Name, &crate::Value)> = Vec::new();
    for resource in resources {
        if resource.is_persistent_volume() {
            return refuse("Persistent volumes cannot be specified at the command line");
        }
        if resource.is_revocable() {
            return refuse(
                "Revocable resources cannot be specified at the command line; do not include a 'revocable' key \
                 in the resources JSON",
            );
        }
        if resource.is_dynamically_reserved() {
            return refuse(
                "Dynamic reservations cannot be specified at the command line; do not include a reservation \
                 with DYNAMIC type in the resources JSON",
            );
        }
        match types.iter().find(|(name, _)| *name == resource.name()) {
            Some((_, value)) if !value.same_type(resource.value()) => {
                return refuse(format!(
                    "Resources with the same name ('{}') but different types are not allowed",
                    resource.name()
                ));
            }
            Some(_) => {}
            None => types.push((resource.name(), resource.value())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
