//! Short words for operations on resources, and the JSON that they stand for.
//!
//! ```text
//! RESOURCES  NAME:AMOUNT[@ROLE][@ROLE..][!PRINCIPAL][+static][#VOLUME][+shared][+mount][+ro][+revocable][;..]
//! OPERATION  [ID^]KIND=RESOURCES     KIND is reserve, unreserve, create, destroy
//!            [ID^]grow=VOLUME,ADDITION   [ID^]shrink=VOLUME,AMOUNT   launch=TASK,RESOURCES
//! ```
//!
//! `disk:10@a@a/b!me#v` is a volume `v` of 10 MB of disk that principal `me` reserved to
//! `a/b`, as a refinement of a reservation to `a`.

use proto::json::{self, Names};
use proto::mesos::v1;
use proto::mesos::v1::resource::disk_info::{Persistence, Source, source};
use proto::mesos::v1::resource::{DiskInfo, ReservationInfo, RevocableInfo, SharedInfo, reservation_info};

/// A list of resources.
pub(crate) fn resources(text: &str) -> Vec<v1::Resource> {
    text.split(';').filter(|part| !part.is_empty()).map(resource).collect()
}

fn resource(text: &str) -> v1::Resource {
    let end = text.find(['@', '!', '+', '#']).unwrap_or(text.len());
    let (name, amount) = text[..end].split_once(':').expect("NAME:AMOUNT");
    let mut resource = v1::Resource { name: name.to_owned(), ..v1::Resource::default() };
    match amount.strip_prefix('[') {
        Some(ranges) => {
            resource.set_type(v1::value::Type::Ranges);
            let pair = |pair: &str| {
                let (begin, end) = pair.split_once('-').expect("BEGIN-END");
                v1::value::Range { begin: begin.parse().expect("begin"), end: end.parse().expect("end") }
            };
            let range = ranges.trim_end_matches(']').split(',').map(pair).collect();
            resource.ranges = Some(v1::value::Ranges { range });
        }
        None => {
            resource.set_type(v1::value::Type::Scalar);
            resource.scalar = Some(v1::value::Scalar { value: amount.parse().expect("a number") });
        }
    }
    for (mark, word) in marks(&text[end..]) {
        match (mark, word) {
            ('@', role) => resource.reservations.push(ReservationInfo {
                role: Some(role.to_owned()),
                r#type: Some(reservation_info::Type::Dynamic.into()),
                ..ReservationInfo::default()
            }),
            ('!', principal) => {
                if let Some(last) = resource.reservations.last_mut() {
                    last.principal = Some(principal.to_owned());
                }
            }
            ('#', id) => {
                let principal = resource.reservations.last().and_then(|last| last.principal.clone());
                let disk = resource.disk.get_or_insert_with(DiskInfo::default);
                disk.persistence = Some(Persistence { id: id.to_owned(), principal });
                let mut volume = v1::Volume { container_path: "data".to_owned(), ..v1::Volume::default() };
                volume.set_mode(v1::volume::Mode::Rw);
                disk.volume = Some(volume);
            }
            ('+', "static") => {
                resource.reservations.iter_mut().for_each(|it| it.set_type(reservation_info::Type::Static));
            }
            ('+', "shared") => resource.shared = Some(SharedInfo {}),
            ('+', "revocable") => resource.revocable = Some(RevocableInfo {}),
            ('+', "mount") => {
                let mount = Some(source::Mount { root: Some("/mnt".to_owned()) });
                let source = Source { r#type: source::Type::Mount.into(), mount, ..Source::default() };
                resource.disk.get_or_insert_with(DiskInfo::default).source = Some(source);
            }
            ('+', "ro") => {
                if let Some(volume) = resource.disk.as_mut().and_then(|disk| disk.volume.as_mut()) {
                    volume.set_mode(v1::volume::Mode::Ro);
                }
            }
            (mark, word) => panic!("no mark '{mark}{word}'"),
        }
    }
    resource
}

/// The words of a text, each with the mark before it.
fn marks(text: &str) -> Vec<(char, &str)> {
    let starts: Vec<_> = text.match_indices(['@', '!', '+', '#']).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let mark = |at: usize| text[at..].chars().next().expect("a mark");
    starts.iter().zip(ends).map(|(start, end)| (mark(*start), &text[start + 1..end])).collect()
}

/// The JSON of a list of resources.
pub(crate) fn resources_json(text: &str) -> String {
    let list: Vec<_> = resources(text).iter().map(|r| json::to_string(r, Names::V1)).collect();
    format!("[{}]", list.join(","))
}

/// The JSON of one operation.
pub(crate) fn operation(word: &str, agent: &str) -> String {
    let (kind, body) = word.split_once('=').expect("KIND=BODY");
    let (id, kind) = match kind.split_once('^') {
        Some((id, kind)) => (format!(r#""id":{{"value":"{id}"}},"#), kind),
        None => (String::new(), kind),
    };
    let both = || body.rsplit_once(',').expect("two parts");
    let one = |text: &str| json::to_string(&resource(text), Names::V1);
    let rest = match kind {
        "reserve" | "unreserve" => format!(r#""{kind}":{{"resources":{}}}"#, resources_json(body)),
        "create" | "destroy" => format!(r#""{kind}":{{"volumes":{}}}"#, resources_json(body)),
        "grow" => {
            let (volume, addition) = both();
            format!(r#""grow_volume":{{"volume":{},"addition":{}}}"#, one(volume), one(addition))
        }
        "shrink" => {
            let (volume, less) = both();
            format!(r#""shrink_volume":{{"volume":{},"subtract":{{"value":{less}}}}}"#, one(volume))
        }
        "launch" => {
            let (task, used) = body.split_once(',').expect("TASK,RESOURCES");
            format!(
                r#""launch":{{"task_infos":[{{"name":"{task}","task_id":{{"value":"{task}"}},"agent_id":{{"value":"{agent}"}},"command":{{"value":"true"}},"resources":{}}}]}}"#,
                resources_json(used)
            )
        }
        unknown => panic!("no operation '{unknown}'"),
    };
    let kind = match kind {
        "grow" => "GROW_VOLUME".to_owned(),
        "shrink" => "SHRINK_VOLUME".to_owned(),
        kind => kind.to_uppercase(),
    };
    format!(r#"{{"type":"{kind}",{id}{rest}}}"#)
}

/// The JSON of an operator's call: KIND AGENT BODY, where the body is as in an operation.
pub(crate) fn operator_call(kind: &str, agent: &str, body: &str, source: Option<&str>) -> String {
    let both = || body.rsplit_once(',').expect("two parts");
    let one = |text: &str| json::to_string(&resource(text), Names::V1);
    let source = source.map(|text| format!(r#","source":{}"#, resources_json(text))).unwrap_or_default();
    let (kind, rest) = match kind {
        "reserve" | "unreserve" => {
            (format!("{kind}_resources"), format!(r#""resources":{}{source}"#, resources_json(body)))
        }
        "create" | "destroy" => (format!("{kind}_volumes"), format!(r#""volumes":{}"#, resources_json(body))),
        "grow" => {
            let (volume, addition) = both();
            let rest = format!(r#""volume":{},"addition":{}"#, one(volume), one(addition));
            ("grow_volume".to_owned(), rest)
        }
        "shrink" => {
            let (volume, less) = both();
            let rest = format!(r#""volume":{},"subtract":{{"value":{less}}}"#, one(volume));
            ("shrink_volume".to_owned(), rest)
        }
        unknown => panic!("no call '{unknown}'"),
    };
    let agent = format!(r#""agent_id":{{"value":"{agent}"}}"#);
    format!(r#"{{"type":"{}","{kind}":{{{agent},{rest}}}}}"#, kind.to_uppercase())
}
