//! The three ways in which a message may tell reservations.
//!
//! Before reservations could be refined, a resource had one `role` and perhaps a
//! dynamic `reservation`. Since then it has a stack of `reservations`. Peers of
//! either age speak to us, so messages are converted at every boundary: upgraded
//! when they come in, and written in the form that the peer knows when they go out.

use proto::mesos::v1;
use proto::mesos::v1::resource::reservation_info::Type;

use crate::Invalid;

/// How a message tells reservations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `role` and `reservation`: for peers without RESERVATION_REFINEMENT.
    PreRefinement,
    /// `reservations`: the form used inside.
    PostRefinement,
    /// Both, where the old form can say it: for HTTP endpoints.
    Endpoint,
}

/// Brings a message of any format into the post-refinement one.
#[expect(deprecated, reason = "the old fields are what is converted")]
pub fn upgrade(message: &mut v1::Resource) {
    let role = message.role.take();
    let reservation = message.reservation.take();
    if !message.reservations.is_empty() {
        return;
    }
    let Some(role) = role.filter(|role| role != "*") else { return };
    let kind = if reservation.is_some() { Type::Dynamic } else { Type::Static };
    let mut reservation = reservation.unwrap_or_default();
    reservation.set_type(kind);
    reservation.role = Some(role);
    message.reservations.push(reservation);
}

/// Whether an upgrade would change the stack of reservations.
pub(crate) fn needs_upgrade(message: &v1::Resource) -> bool {
    message.reservations.is_empty() && message.role() != "*"
}

/// Brings messages of any format into the post-refinement one.
pub fn upgrade_all(messages: &mut [v1::Resource]) {
    messages.iter_mut().for_each(upgrade);
}

/// Brings a post-refinement message into `format`. Only the pre-refinement format
/// can fail: it cannot tell more than one reservation.
#[expect(deprecated, reason = "the old fields are what is written")]
pub fn convert(message: &mut v1::Resource, format: Format) -> Result<(), Invalid> {
    if format == Format::PostRefinement {
        upgrade(message);
        return Ok(());
    }
    match &message.reservations[..] {
        [] => message.role = Some("*".to_owned()),
        [single] => {
            if single.r#type() == Type::Dynamic {
                message.reservation = Some(v1::resource::ReservationInfo {
                    principal: single.principal.clone(),
                    labels: single.labels.clone(),
                    ..Default::default()
                });
            }
            message.role.clone_from(&single.role);
            if format == Format::PreRefinement {
                message.reservations.clear();
            }
        }
        [_, _, ..] if format == Format::PreRefinement => {
            return Err(Invalid::new("Cannot downgrade resources containing refined reservations"));
        }
        [_, _, ..] => {}
    }
    Ok(())
}

/// Brings post-refinement messages into the pre-refinement format, for a peer
/// without RESERVATION_REFINEMENT. On failure some are converted already.
pub fn downgrade_all(messages: &mut [v1::Resource]) -> Result<(), Invalid> {
    messages.iter_mut().try_for_each(|message| convert(message, Format::PreRefinement))
}
