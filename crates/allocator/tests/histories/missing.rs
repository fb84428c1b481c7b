//! The rule of what is held and not there, reckoned in the open: what is in use under one
//! name is not free under another.

use resources::{Name, Resource, Resources, Scalar, Value};

/// How much more is held of a name than there is, kind by kind.
pub(crate) fn beyond(total: &Resources, out: &Resources, name: &Name) -> Scalar {
    let firm = |resource: &&Resource| !resource.is_revocable() && resource.name() == name;
    let mut beyond = Scalar::ZERO;
    for held in out.non_shared().iter().filter(firm) {
        let mine: Scalar = total
            .iter()
            .filter(|one| one.same_kind(held))
            .filter_map(Resource::as_scalar)
            .fold(Scalar::ZERO, |sum, amount| sum + amount);
        let amount = held.as_scalar().unwrap_or_default();
        beyond += (amount - mine).max(Scalar::ZERO);
    }
    for volume in out.shared().iter().filter(firm) {
        if !total.iter().any(|one| one.same_object(volume)) {
            beyond += volume.as_scalar().unwrap_or_default();
        }
    }
    beyond
}

/// What of a total may be offered, if so much is out.
pub(crate) fn spare(total: &Resources, out: &Resources) -> Resources {
    let mut free: Vec<Resource> = (&total.non_shared() - out).into_iter().collect();
    free.sort_by_key(|one| one.reservation_role().cloned());
    for name in total.names() {
        let mut beyond = beyond(total, out, &name);
        for one in free.iter_mut().filter(|one| *one.name() == name && !one.is_revocable()) {
            match one.value() {
                Value::Scalar(amount) => {
                    let cut = beyond.min(*amount);
                    beyond -= cut;
                    *one = one.clone().with_value(Value::Scalar(*amount - cut));
                }
                Value::Ranges(ranges) => {
                    let held = out.ranges(&name).unwrap_or_default();
                    *one = one.clone().with_value(Value::Ranges(ranges.difference(&held)));
                }
                Value::Set(_) => {}
            }
        }
    }
    free.into_iter().filter(|one| !one.is_empty()).chain(total.shared()).collect()
}
