//! Writes one static table per message and enum (`crate::schema`), and the
//! `Described` impl that ties a Rust type to its table.

use std::fmt::Write as _;

use prost_types::field_descriptor_proto::Label;

use crate::names;
use crate::schema::{Field, Kind, Schema};

/// The name of the static that holds the table of `full` name.
pub(crate) fn ident(full: &str) -> String {
    full.replace('.', "__").to_uppercase()
}

pub(crate) fn generate(schema: &Schema) -> String {
    let mut out = String::new();
    for (full, values) in &schema.enums {
        enum_table(&mut out, full, values);
    }
    for (full, message) in &schema.messages {
        let table = ident(full);
        writeln!(
            out,
            "pub(crate) static {table}: Message = Message {{ name: {full:?}, map_entry: {}, deep: {}, required: {}, fields: &[",
            message.entry,
            message.deep,
            required(&message.fields),
        )
        .expect("a String takes all");
        for field in &message.fields {
            field_row(&mut out, full, field);
        }
        writeln!(out, "] }};").expect("a String takes all");
        if !message.entry {
            writeln!(
                out,
                "impl Described for {} {{ const NAME: &'static str = {full:?}; \
                 fn table() -> &'static Message {{ &{table} }} }}",
                message.path
            )
            .expect("a String takes all");
        }
    }
    let all =
        |names: Vec<&String>| names.iter().map(|name| format!("&{}, ", ident(name))).collect::<String>();
    let messages = all(schema.messages.keys().collect());
    let enums = all(schema.enums.keys().collect());
    writeln!(out, "pub(crate) static MESSAGES: &[&Message] = &[{messages}];").expect("a String takes all");
    writeln!(out, "pub(crate) static ENUMS: &[&Enum] = &[{enums}];").expect("a String takes all");
    out
}

fn enum_table(out: &mut String, full: &str, values: &[(String, i32)]) {
    let table = ident(full);
    writeln!(out, "pub(crate) static {table}: Enum = Enum {{ name: {full:?}, values: &[")
        .expect("a String takes all");
    for (name, number) in values {
        let v0 = names::v0_value(full, name);
        writeln!(out, "EnumValue {{ number: {number}, name: {name:?}, v0: {v0:?} }},")
            .expect("a String takes all");
    }
    writeln!(out, "] }};").expect("a String takes all");
}

/// The bits, by position in the table, of the required fields.
fn required(fields: &[Field]) -> u64 {
    assert!(fields.len() <= 64, "the required bits fit a u64");
    let set = fields.iter().enumerate();
    set.filter(|(_, f)| f.label == Label::Required).fold(0, |bits, (i, _)| bits | 1 << i)
}

fn field_row(out: &mut String, message: &str, field: &Field) {
    let name = &field.name;
    let v0 = match names::v0_field(message, name) {
        "" => name,
        other => other,
    };
    let kind = match &field.kind {
        Kind::Bool => "Kind::Bool".to_owned(),
        Kind::Double => "Kind::Double".to_owned(),
        Kind::Int32 => "Kind::Int32".to_owned(),
        Kind::Int64 => "Kind::Int64".to_owned(),
        Kind::Uint32 => "Kind::Uint32".to_owned(),
        Kind::Uint64 => "Kind::Uint64".to_owned(),
        Kind::String => "Kind::String".to_owned(),
        Kind::Bytes => "Kind::Bytes".to_owned(),
        Kind::Enum(full) => format!("Kind::Enum(&{})", ident(full)),
        Kind::Message(full) => format!("Kind::Message(&{})", ident(full)),
    };
    writeln!(
        out,
        "Field {{ number: {}, name: {name:?}, v0: {v0:?}, v0_only: {}, label: Label::{:?}, kind: {kind} }},",
        field.number,
        names::v0_only(message, name),
        field.label,
    )
    .expect("a String takes all");
}
