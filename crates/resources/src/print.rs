//! Resources as Mesos prints them in messages and logs: `cpus:4; mem:1024`.
//!
//! Reading that form back is not possible for everything it can show; the text
//! that can be read is in `parse`.

use std::fmt;

use proto::mesos::v1;
use proto::mesos::v1::resource::disk_info::source;
use proto::mesos::v1::resource::{DiskInfo, ReservationInfo, disk_info};
use proto::mesos::v1::value::Type;

use crate::{Resource, Resources, Scalar, general};

/// Prints a message, checked or not, as Mesos prints it.
pub struct ProtoText<'a>(pub &'a v1::Resource);

impl fmt::Display for ProtoText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = self.0;
        f.write_str(&resource.name)?;
        if let Some(allocation) = &resource.allocation_info {
            write!(f, "(allocated: {})", allocation.role())?;
        }
        if !resource.reservations.is_empty() {
            let stack: Vec<_> =
                resource.reservations.iter().map(|r| format!("({})", reservation(r))).collect();
            write!(f, "(reservations: [{}])", stack.join(","))?;
        }
        if let Some(disk) = &resource.disk {
            write!(f, "[{}]", self::disk(disk))?;
        }
        if resource.revocable.is_some() {
            f.write_str("{REV}")?;
        }
        if resource.shared.is_some() {
            f.write_str("<SHARED>")?;
        }
        f.write_str(":")?;
        amount(resource, f)
    }
}

fn amount(resource: &v1::Resource, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match Type::try_from(resource.r#type) {
        Ok(Type::Scalar) => {
            let value = resource.scalar.as_ref().map_or(0.0, |scalar| scalar.value);
            match Scalar::from_f64(value) {
                Some(scalar) => write!(f, "{scalar}"),
                None => f.write_str(&general(value)),
            }
        }
        Ok(Type::Ranges) => {
            f.write_str("[")?;
            let ranges = resource.ranges.iter().flat_map(|ranges| &ranges.range);
            for (at, range) in ranges.enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                write!(f, "{comma}{}-{}", range.begin, range.end)?;
            }
            f.write_str("]")
        }
        Ok(Type::Set) => {
            let words = resource.set.as_ref().map_or(&[][..], |set| &set.item);
            write!(f, "{{{}}}", words.join(", "))
        }
        Ok(Type::Text) | Err(_) => f.write_str("?"),
    }
}

/// A disk source: its type, and where or what it is.
pub(crate) fn source(source: &disk_info::Source) -> String {
    let kind = source.r#type();
    let name = kind.as_str_name();
    if kind == source::Type::Unknown {
        return name.to_owned();
    }
    if source.id.is_some() || source.profile.is_some() {
        return format!("{name}({},{},{})", source.vendor(), source.id(), source.profile());
    }
    let root = match kind {
        source::Type::Mount => source.mount.as_ref().and_then(|mount| mount.root.as_deref()),
        source::Type::Path => source.path.as_ref().and_then(|path| path.root.as_deref()),
        source::Type::Block | source::Type::Raw | source::Type::Unknown => None,
    };
    root.map_or_else(|| name.to_owned(), |root| format!("{name}:{root}"))
}

/// Labels: `{key: value, key}`.
pub(crate) fn labels(labels: &v1::Labels) -> String {
    let one = |label: &v1::Label| match &label.value {
        Some(value) => format!("{}: {value}", label.key),
        None => label.key.clone(),
    };
    let all: Vec<_> = labels.labels.iter().map(one).collect();
    format!("{{{}}}", all.join(", "))
}

fn reservation(reservation: &ReservationInfo) -> String {
    let mut text = format!("{},{}", reservation.r#type().as_str_name(), reservation.role());
    if let Some(principal) = &reservation.principal {
        text.push(',');
        text.push_str(principal);
    }
    if let Some(on_it) = &reservation.labels {
        text.push(',');
        text.push_str(&labels(on_it));
    }
    text
}

fn disk(disk: &DiskInfo) -> String {
    let mut text = disk.source.as_ref().map(source).unwrap_or_default();
    if let Some(persistence) = &disk.persistence {
        if disk.source.is_some() {
            text.push(',');
        }
        text.push_str(&persistence.id);
    }
    if let Some(on_it) = &disk.volume {
        text.push(':');
        text.push_str(&volume(on_it));
    }
    text
}

fn volume(volume: &v1::Volume) -> String {
    let Some(host_path) = &volume.host_path else { return volume.container_path.clone() };
    let mode = match volume.mode() {
        v1::volume::Mode::Rw => ":rw",
        v1::volume::Mode::Ro => ":ro",
    };
    format!("{host_path}:{}{mode}", volume.container_path)
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ProtoText(&self.to_proto()).fmt(f)
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("{}");
        }
        for (at, resource) in self.iter().enumerate() {
            let gap = if at == 0 { "" } else { "; " };
            write!(f, "{gap}{resource}")?;
            if resource.is_shared() {
                write!(f, "<{}>", resource.copies())?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
