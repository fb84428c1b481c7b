//! The schema against the protocol: every field and enum value of Apache Mesos, as
//! written down in `wire/*.tsv`, is in the compiled descriptors under the same
//! number, label, type, name, default and flags; and nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

const FIELDS: &str = include_str!("wire/fields.tsv");
const ENUMS: &str = include_str!("wire/enums.tsv");

/// Rows of the protocol that our schema has elsewhere, with the reason.
const ELSEWHERE: [(&str, &str); 1] = [("mesos.SlaveInfo 7", "one type for both generations: v1.AgentInfo 7")];

/// What only our schema has, with the reason.
const OURS: [(&str, &str); 8] = [
    ("mesos.v1.AgentInfo 7", "mesos.SlaveInfo.checkpoint, which agents register with"),
    ("mesos.scheduler.Call ", "the v0 call, whose Subscribe has other numbers"),
    ("mesos.scheduler.Call.Subscribe 1", "its framework_info is listed under v1"),
    ("mesos.master.Call 0", "only holds the v0 DrainAgent"),
    ("mesos.internal.slave.cni.spec.DNS", "not listed, but part of ContainerDNSInfo"),
    ("mesos.internal.state.Entry", "not listed, but part of the replicated log's operations"),
    ("appc.spec.ImageManifest 0", "opaque: image manifests are not read as protobuf"),
    ("docker.spec.v1.ImageManifest 0", "opaque: image manifests are not read as protobuf"),
];

/// A flat row: `message number label type name default flags`.
type Rows = BTreeSet<String>;

#[test]
fn every_field_has_its_row() {
    let ours = compiled().0;
    let theirs = listed_fields();
    let (missing, extra) = differences(&theirs, &ours);
    assert_eq!((missing, extra), (vec![], vec![]));
}

#[test]
fn every_enum_value_has_its_row() {
    let ours = compiled().1;
    let theirs = ENUMS.lines().skip(1).map(|line| line.replace('\t', " ")).collect();
    let (missing, extra) = differences(&theirs, &ours);
    assert_eq!((missing, extra), (vec![], vec![]));
}

#[test]
fn every_exception_is_needed() {
    let ours = compiled().0;
    let theirs = listed_fields();
    for (prefix, why) in ELSEWHERE {
        assert!(theirs.iter().any(|row| row.starts_with(prefix)), "{prefix}: {why}");
        assert!(!ours.iter().any(|row| row.starts_with(&format!("{prefix} "))), "{prefix}: {why}");
    }
    for (prefix, why) in OURS {
        assert!(ours.difference(&theirs).any(|row| row.starts_with(prefix)), "{prefix}: {why}");
    }
}

#[test]
fn v0_names_are_those_of_the_protocol() {
    let mut expected = BTreeMap::new();
    for line in FIELDS.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let v0 = cells[7].rsplit_once('/').map_or(cells[4], |(_, name)| name);
        expected.insert((cells[0], cells[4]), v0);
    }
    let mut seen = 0;
    for message in proto::schema::messages() {
        for field in message.fields {
            if let Some(v0) = expected.get(&(message.name, field.name)) {
                assert_eq!(field.v0, *v0, "{}.{}", message.name, field.name);
                seen += 1;
            }
        }
    }
    assert!(seen > 1700, "only {seen} fields were compared");
}

#[test]
fn v0_names_of_enum_values() {
    let renamed: Vec<String> = proto::schema::enums()
        .iter()
        .flat_map(|table| table.values)
        .filter(|value| value.name != value.v0)
        .map(|value| format!("{} {}", value.name, value.v0))
        .collect();
    let expected = [
        "REASON_AGENT_DISCONNECTED REASON_SLAVE_DISCONNECTED",
        "REASON_AGENT_DRAINING REASON_SLAVE_DRAINING",
        "REASON_AGENT_REMOVED REASON_SLAVE_REMOVED",
        "REASON_AGENT_REMOVED_BY_OPERATOR REASON_SLAVE_REMOVED_BY_OPERATOR",
        "REASON_AGENT_REREGISTERED REASON_SLAVE_REREGISTERED",
        "REASON_AGENT_RESTARTED REASON_SLAVE_RESTARTED",
        "REASON_AGENT_UNKNOWN REASON_SLAVE_UNKNOWN",
        "SOURCE_AGENT SOURCE_SLAVE",
    ];
    let mut sorted = renamed;
    sorted.sort();
    assert_eq!(sorted, expected);
}

/// What is only in `theirs` and only in `ours`, but for the named exceptions.
fn differences(theirs: &Rows, ours: &Rows) -> (Vec<String>, Vec<String>) {
    let without = |rows: Vec<&String>, named: &[(&str, &str)]| -> Vec<String> {
        let unnamed = |row: &&&String| !named.iter().any(|(prefix, _)| row.starts_with(prefix));
        rows.iter().filter(unnamed).map(|row| (*row).clone()).collect()
    };
    (
        without(theirs.difference(ours).collect(), &ELSEWHERE),
        without(ours.difference(theirs).collect(), &OURS),
    )
}

/// The rows of the protocol, with v0 types replaced by ours.
fn listed_fields() -> Rows {
    let names: BTreeSet<&str> =
        FIELDS.lines().chain(ENUMS.lines()).filter_map(|l| l.split('\t').next()).collect();
    let row = |line: &str| {
        let mut cells: Vec<String> = line.split('\t').take(7).map(str::to_owned).collect();
        if let Some((kind, name)) = cells[3].split_once(':') {
            cells[3] = format!("{kind}:{}", our_type(&names, name));
        }
        cells.join(" ")
    };
    FIELDS.lines().skip(1).map(row).collect()
}

/// The v0 name of a type that has a v1 twin, as the name of the twin.
fn our_type(names: &BTreeSet<&str>, name: &str) -> String {
    let twin = name.replace("mesos.", "mesos.v1.").replace("Slave", "Agent");
    let listed = names.contains(name) && name != "mesos.SlaveInfo";
    if !listed && names.contains(twin.as_str()) { twin } else { name.to_owned() }
}

/// The rows of the compiled descriptors: fields, enum values.
fn compiled() -> (Rows, Rows) {
    let set = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("our own bytes");
    let mut rows = (Rows::new(), Rows::new());
    for file in set.file.iter().filter(|file| file.package() != "google.protobuf") {
        for message in &file.message_type {
            add_message(&mut rows, file.package(), message);
        }
        for values in &file.enum_type {
            add_enum(&mut rows.1, file.package(), values);
        }
    }
    rows
}

fn add_message(rows: &mut (Rows, Rows), scope: &str, message: &DescriptorProto) {
    let name = format!("{scope}.{}", message.name());
    if message.field.is_empty() {
        rows.0.insert(format!("{name} 0 - (empty) - - -"));
    }
    for field in &message.field {
        rows.0.insert(format!("{name} {}", field_row(field)));
    }
    for inner in &message.nested_type {
        add_message(rows, &name, inner);
    }
    for values in &message.enum_type {
        add_enum(&mut rows.1, &name, values);
    }
}

fn add_enum(rows: &mut Rows, scope: &str, values: &EnumDescriptorProto) {
    for value in &values.value {
        let deprecated = value.options.as_ref().is_some_and(|options| options.deprecated());
        let flags = if deprecated { "deprecated" } else { "-" };
        rows.insert(format!("{scope}.{} {} {} {flags}", values.name(), value.number(), value.name()));
    }
}

fn field_row(field: &FieldDescriptorProto) -> String {
    let label = match field.label() {
        Label::Optional => "optional",
        Label::Required => "required",
        Label::Repeated => "repeated",
    };
    let named = || field.type_name().trim_start_matches('.').to_owned();
    let kind = match field.r#type() {
        Type::Message => format!("message:{}", named()),
        Type::Enum => format!("enum:{}", named()),
        other => other.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    let options = field.options.as_ref();
    let flags = match (options.is_some_and(|o| o.deprecated()), options.is_some_and(|o| o.packed())) {
        (false, false) => "-",
        (true, false) => "deprecated",
        (false, true) => "packed",
        (true, true) => "deprecated,packed",
    };
    let default = field.default_value.as_deref().unwrap_or("-");
    format!("{} {label} {kind} {} {default} {flags}", field.number(), field.name())
}
