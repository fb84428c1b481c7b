//! The messages and enums of the descriptors, flattened and ordered by full name.

use std::collections::BTreeMap;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
};

use crate::names;

pub(crate) struct Schema {
    pub(crate) messages: BTreeMap<String, Message>,
    pub(crate) enums: BTreeMap<String, Vec<(String, i32)>>,
}

pub(crate) struct Message {
    pub(crate) path: String,
    pub(crate) fields: Vec<Field>,
    /// Whether this message or one inside it has a required field.
    pub(crate) deep: bool,
    /// The message is a key and a value of a map, which has no Rust type of its own.
    pub(crate) entry: bool,
}

pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) number: i32,
    pub(crate) label: Label,
    pub(crate) kind: Kind,
    /// The field has a default and is not deprecated: C++ Mesos prints it even
    /// when it is unset.
    pub(crate) printed_unset: bool,
    pub(crate) deprecated: bool,
    /// The field is of proto3, where a zero is as good as unset.
    pub(crate) implicit: bool,
}

#[derive(PartialEq)]
pub(crate) enum Kind {
    Bool,
    Double,
    Int32,
    Int64,
    Uint32,
    Uint64,
    String,
    Bytes,
    Enum(String),
    Message(String),
}

impl Schema {
    pub(crate) fn new(set: &FileDescriptorSet) -> Self {
        let mut schema = Self { messages: BTreeMap::new(), enums: BTreeMap::new() };
        for file in &set.file {
            for message in &file.message_type {
                schema.add_message(file, &mut Vec::new(), message);
            }
            for values in &file.enum_type {
                schema.add_enum(file.package(), values);
            }
        }
        schema.mark_deep();
        schema
    }

    fn add_message<'a>(
        &mut self,
        file: &FileDescriptorProto,
        nesting: &mut Vec<&'a str>,
        message: &'a DescriptorProto,
    ) {
        assert!(message.oneof_decl.is_empty(), "the generator knows no oneof");
        nesting.push(message.name());
        let full = format!("{}.{}", file.package(), nesting.join("."));
        for inner in &message.nested_type {
            self.add_message(file, nesting, inner);
        }
        for values in &message.enum_type {
            self.add_enum(&full, values);
        }
        let path = names::rust_path(file.package(), nesting);
        let implicit = file.syntax() == "proto3";
        let fields = message.field.iter().map(|f| field(f, implicit)).collect();
        let message = Message {
            path,
            fields,
            deep: false,
            entry: message.options.as_ref().is_some_and(|o| o.map_entry()),
        };
        self.messages.insert(full, message);
        nesting.pop();
    }

    fn add_enum(&mut self, scope: &str, values: &EnumDescriptorProto) {
        let list = values.value.iter();
        self.enums.insert(
            format!("{scope}.{}", values.name()),
            list.map(|v| (v.name().to_owned(), v.number())).collect(),
        );
    }

    /// Spreads `deep` from the required fields to whatever contains them.
    fn mark_deep(&mut self) {
        loop {
            let deep: Vec<String> = self
                .messages
                .iter()
                .filter(|(_, message)| !message.deep)
                .filter(|(_, message)| {
                    message.fields.iter().any(|field| {
                        field.label == Label::Required
                            || matches!(&field.kind, Kind::Message(m) if self.messages[m].deep)
                    })
                })
                .map(|(name, _)| name.clone())
                .collect();
            if deep.is_empty() {
                return;
            }
            for name in deep {
                self.messages.get_mut(&name).expect("listed above").deep = true;
            }
        }
    }
}

fn field(field: &FieldDescriptorProto, implicit: bool) -> Field {
    let deprecated = field.options.as_ref().is_some_and(|o| o.deprecated());
    let inner = || field.type_name().trim_start_matches('.').to_owned();
    Field {
        name: field.name().to_owned(),
        number: field.number(),
        label: field.label(),
        implicit,
        deprecated,
        printed_unset: field.default_value.is_some() && !deprecated,
        kind: match field.r#type() {
            Type::Bool => Kind::Bool,
            Type::Double => Kind::Double,
            Type::Int32 => Kind::Int32,
            Type::Int64 => Kind::Int64,
            Type::Uint32 => Kind::Uint32,
            Type::Uint64 => Kind::Uint64,
            Type::String => Kind::String,
            Type::Bytes => Kind::Bytes,
            Type::Enum => Kind::Enum(inner()),
            Type::Message => Kind::Message(inner()),
            other => panic!("the generator does not know {other:?}"),
        },
    }
}
