//! Writes the `Json` impl of each message: one straight line of calls per field,
//! all to non-generic methods of the writer.

use std::fmt::Write as _;

use prost_types::field_descriptor_proto::Label;

use crate::names;
use crate::schema::{Field, Kind, Schema};
use crate::tables;

pub(crate) fn generate(schema: &Schema) -> String {
    let mut out = String::new();
    for (full, message) in schema.messages.iter().filter(|(_, m)| !m.entry) {
        writeln!(
            out,
            "impl Json for {} {{\nfn write_fields(&self, w: &mut Writer, n: Names) {{",
            message.path
        )
        .expect("a String takes all");
        for field in &message.fields {
            let line = print_field(schema, full, field);
            if names::v0_only(full, &field.name) {
                writeln!(out, "if n != Names::V1 {{ {line} }}").expect("a String takes all");
            } else {
                writeln!(out, "{line}").expect("a String takes all");
            }
        }
        writeln!(out, "}}\n}}").expect("a String takes all");
    }
    out
}

/// The statement that prints one field.
fn print_field(schema: &Schema, message: &str, field: &Field) -> String {
    let ident = names::field_ident(&field.name);
    let key = key(message, &field.name);
    match field.label {
        Label::Required => {
            let access = format!("self.{ident}");
            guard_unknown(field, &access, print_one(&key, field, &access, false))
        }
        Label::Optional if field.implicit => {
            let access = format!("self.{ident}");
            let body = print_one(&key, field, &access, false);
            format!("if {access} != 0 {{ {body} }}")
        }
        Label::Optional if field.printed_unset => {
            let access = match field.kind {
                Kind::Enum(_) => format!("self.{ident}() as i32"),
                _ => format!("self.{ident}()"),
            };
            print_one(&key, field, &access, matches!(field.kind, Kind::String))
        }
        Label::Optional => {
            let copy = if by_value(&field.kind) { "" } else { "&" };
            let body = guard_unknown(field, "v", print_one(&key, field, "v", true));
            format!("if let Some(v) = {copy}self.{ident} {{ {body} }}")
        }
        Label::Repeated if is_map(schema, field) => {
            let Kind::Message(entry) = &field.kind else {
                unreachable!("a map has entries");
            };
            let kind = &schema.messages[entry].fields[1].kind;
            let body = value("v", kind, true);
            format!(
                "if !self.{ident}.is_empty() {{ {key} w.begin_object(); \
                 for (k, v) in &self.{ident} {{ w.key(k); {body} }} w.end_object(); }}"
            )
        }
        Label::Repeated => {
            let copy = if by_value(&field.kind) { "&" } else { "" };
            let body = guard_unknown(field, "v", value("v", &field.kind, true));
            let always = if names::lists_printed_empty(message) && !field.deprecated {
                "n == Names::V1Internal || "
            } else {
                ""
            };
            format!(
                "if {always}!self.{ident}.is_empty() {{ {key} w.begin_array(); \
                 for {copy}v in &self.{ident} {{ {body} }} w.end_array(); }}"
            )
        }
    }
}

fn is_map(schema: &Schema, field: &Field) -> bool {
    matches!(&field.kind, Kind::Message(inner) if schema.messages[inner].entry)
}

/// A number that the enum does not name is as good as unset, as C++ has it.
fn guard_unknown(field: &Field, access: &str, body: String) -> String {
    match &field.kind {
        Kind::Enum(full) => format!("if {}.has({access}) {{ {body} }}", tables::ident(full)),
        _ => body,
    }
}

fn print_one(key: &str, field: &Field, access: &str, reference: bool) -> String {
    format!("{key} {}", value(access, &field.kind, reference))
}

/// The statement that prints the key, with its quotes and colon ready made.
fn key(message: &str, name: &str) -> String {
    match names::v0_field(message, name) {
        "" => format!("w.raw_key({:?});", format!("\"{name}\":")),
        v0 => format!("w.raw_key(n.pick({:?}, {:?}));", format!("\"{name}\":"), format!("\"{v0}\":")),
    }
}

/// The statement that prints a value. `reference`: `access` is already a reference
/// where the type is not a plain number.
fn value(access: &str, kind: &Kind, reference: bool) -> String {
    let and = if reference { "" } else { "&" };
    match kind {
        Kind::Bool => format!("w.bool({access});"),
        Kind::Double => format!("w.f64({access});"),
        Kind::Int32 => format!("w.i64({access} as i64);"),
        Kind::Int64 => format!("w.i64({access});"),
        Kind::Uint32 => format!("w.u64({access} as u64);"),
        Kind::Uint64 => format!("w.u64({access});"),
        Kind::String => format!("w.string({and}{access});"),
        Kind::Bytes => format!("w.base64({and}{access});"),
        Kind::Enum(full) => format!("w.enum_name(&{}, {access}, n);", tables::ident(full)),
        Kind::Message(_) => format!("{access}.write_json(w, n);"),
    }
}

fn by_value(kind: &Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_))
}
