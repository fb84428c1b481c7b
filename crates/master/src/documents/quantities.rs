//! Resources as the v0 documents sum them up: one member per resource name.

use proto::json::Writer;
use proto::mesos::v1;
use resources::{Quantities, Resources, SummaryValue};

/// Prints the sum of resources as an object under `key`.
pub(crate) fn field(w: &mut Writer, key: &str, resources: &Resources) {
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
pub(crate) fn field_of(w: &mut Writer, key: &str, resources: &[v1::Resource]) {
    field(w, key, &Resources::from_checked_protos(resources));
}

/// Prints quantities as an object under `key`; what there is nothing of is left out.
pub(crate) fn field_quantities(w: &mut Writer, key: &str, quantities: &Quantities) {
    w.field_object(key, |w| {
        for (name, scalar) in quantities.iter() {
            w.field_f64(name.as_str(), scalar.as_f64());
        }
    });
}

/// `[31000-31001, 31010-31020]`, in the order given.
pub(crate) fn ranges_text(ranges: &v1::value::Ranges) -> String {
    let parts: Vec<String> =
        ranges.range.iter().map(|range| format!("{}-{}", range.begin, range.end)).collect();
    format!("[{}]", parts.join(", "))
}

/// `{a, b}`.
pub(crate) fn set_text(set: &v1::value::Set) -> String {
    format!("{{{}}}", set.item.join(", "))
}

/// Resources in the form of HTTP endpoints, which tells reservations in the old and in the new way.
pub(crate) fn for_endpoint(resources: &Resources) -> Vec<v1::Resource> {
    // A stack of refined reservations has no old form; it is told in the new way alone.
    resources.to_protos_in(resources::Format::Endpoint).unwrap_or_else(|_| resources.to_protos())
}
