//! Reservations: who an agent's resource is kept for.

use proto::mesos::v1;
use proto::mesos::v1::resource::{ReservationInfo, reservation_info};
use types::Role;

/// One entry of a resource's stack of reservations.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// How it came about.
    pub kind: ReservationKind,
    /// The role it is kept for, and for the roles below that one.
    pub role: Role,
    /// Who made it.
    pub principal: Option<String>,
    /// What its maker noted on it.
    pub labels: Option<v1::Labels>,
}

/// How a reservation came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationKind {
    /// By the agent's `--resources`.
    Static,
    /// By a RESERVE operation.
    Dynamic,
}

impl Reservation {
    /// A static reservation.
    pub fn fixed(role: impl Into<Role>) -> Self {
        Self { kind: ReservationKind::Static, role: role.into(), principal: None, labels: None }
    }

    /// A dynamic reservation.
    pub fn dynamic(role: impl Into<Role>, principal: Option<String>) -> Self {
        Self { kind: ReservationKind::Dynamic, role: role.into(), principal, labels: None }
    }

    /// The message with type and role set. None when either is missing or unknown.
    pub(crate) fn from_proto(info: &ReservationInfo) -> Option<Self> {
        let kind = match reservation_info::Type::try_from(info.r#type?).ok()? {
            reservation_info::Type::Static => ReservationKind::Static,
            reservation_info::Type::Dynamic => ReservationKind::Dynamic,
            reservation_info::Type::Unknown => return None,
        };
        Some(Self {
            kind,
            role: Role::from(info.role.as_deref()?),
            principal: info.principal.clone(),
            labels: info.labels.clone(),
        })
    }

    /// The message of this entry.
    #[must_use]
    pub fn to_proto(&self) -> ReservationInfo {
        let kind = match self.kind {
            ReservationKind::Static => reservation_info::Type::Static,
            ReservationKind::Dynamic => reservation_info::Type::Dynamic,
        };
        ReservationInfo {
            principal: self.principal.clone(),
            labels: self.labels.clone(),
            role: Some(self.role.as_str().to_owned()),
            r#type: Some(kind.into()),
        }
    }
}

impl PartialEq for Reservation {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.role == other.role
            && self.principal == other.principal
            && same_labels(self.labels.as_ref(), other.labels.as_ref())
    }
}

/// Whether two lists of labels hold the same ones, in whatever order.
pub(crate) fn same_labels(left: Option<&v1::Labels>, right: Option<&v1::Labels>) -> bool {
    let (left, right) = match (left, right) {
        (None, None) => return true,
        (Some(left), Some(right)) => (&left.labels, &right.labels),
        (Some(_), None) | (None, Some(_)) => return false,
    };
    let has = |among: &[v1::Label], label| among.contains(label);
    left.len() == right.len()
        && left.iter().all(|label| has(right, label))
        && right.iter().all(|label| has(left, label))
}
