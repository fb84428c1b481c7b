//! Resources as documents show them: summed up per name, or one by one.

use proto::json::{Json as _, Names, Writer};
use proto::mesos::v1;
use resources::{Quantities, Resources, SummaryValue};

/// Prints the sum of resources as an object under `key`, one member per resource name.
pub fn field(w: &mut Writer, key: &str, resources: &Resources) {
    w.field_object(key, |w| {
        for (name, value) in resources.summary() {
            match value {
                SummaryValue::Number(scalar) => w.field_f64(&name, scalar.as_f64()),
                SummaryValue::Text(text) => w.field_str(&name, &text),
            }
        }
    });
}

/// Prints the sum of a resource list that was checked when it came in.
pub fn field_of(w: &mut Writer, key: &str, resources: &[v1::Resource]) {
    field(w, key, &Resources::from_checked_protos(resources));
}

/// Prints the sums of what is reserved, an object per role.
pub fn reserved(w: &mut Writer, key: &str, resources: &Resources) {
    w.field_object(key, |w| {
        for role in resources.reservation_roles() {
            field(w, role.as_str(), &resources.reserved_to(&role));
        }
    });
}

/// Prints quantities as an object under `key`; what there is nothing of is left out.
pub fn field_quantities(w: &mut Writer, key: &str, quantities: &Quantities) {
    w.field_object(key, |w| {
        for (name, scalar) in quantities.iter() {
            w.field_f64(name.as_str(), scalar.as_f64());
        }
    });
}

/// Prints resources one by one under `key`.
pub fn full(w: &mut Writer, key: &str, resources: &Resources) {
    let messages = for_endpoint(resources);
    w.field_array(key, |w| messages.iter().for_each(|resource| resource.write_json(w, Names::V0)));
}

/// Resources in the form of HTTP endpoints, which tells reservations in the old and in the new way.
pub fn for_endpoint(resources: &Resources) -> Vec<v1::Resource> {
    // A stack of refined reservations has no old form; it is told in the new way alone.
    resources.to_protos_in(resources::Format::Endpoint).unwrap_or_else(|_| resources.to_protos())
}
