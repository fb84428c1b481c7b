//! The masters in a directory, as Mesos writes them down: one entry each, numbered in the order of their arrival. The
//! first of them leads.
//!
//! Pure: names and bytes in, masters out.

use std::net::{IpAddr, SocketAddr};

use proto::json::{self, Names};
use proto::mesos::v1::{Address, MasterInfo};

/// How the entry of a master begins; a number of ten digits follows.
pub(crate) const PREFIX: &str = "json.info_";

/// In which form an entry describes its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `json.info_`: a MasterInfo as JSON.
    Json,
    /// `info_`: a MasterInfo in bytes, as masters before 0.24 wrote it.
    Protobuf,
    /// No label: `master@ip:port`, as masters before 0.19 wrote it.
    Pid,
    /// Another label: nobody knows.
    Unknown,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its number.
    pub(crate) sequence: i64,
    /// Its whole name.
    pub(crate) name: String,
    /// How it is to be read.
    pub(crate) form: Form,
}

/// Why an entry is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadMember {
    /// Its label is none of a master's.
    #[error("Failed to parse data of unknown label")]
    Label,
    /// It is not the JSON of a master.
    #[error("Failed to parse data into valid JSON: {0}")]
    Json(String),
    /// Nor the bytes of one.
    #[error("Failed to parse data into MasterInfo: {0}")]
    Protobuf(String),
    /// It says no address of IP and port.
    #[error("it says no address of the form master@ip:port, but '{0}'")]
    Pid(String),
}

/// The masters among these names, first to last. Names without a number are of something else.
pub(crate) fn members<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Member> {
    let mut members: Vec<Member> = names.into_iter().filter_map(member).collect();
    members.sort_by(|a, b| (a.sequence, &a.name).cmp(&(b.sequence, &b.name)));
    members
}

fn member(name: &str) -> Option<Member> {
    // COMPAT(mesos): the label is what precedes the first underscore, the number what follows the last.
    let words: Vec<&str> = name.split('_').filter(|word| !word.is_empty()).collect();
    let sequence = words.last()?.parse().ok()?;
    let form = match words[..] {
        [_] => Form::Pid,
        ["json.info", ..] => Form::Json,
        ["info", ..] => Form::Protobuf,
        _ => Form::Unknown,
    };
    Some(Member { sequence, name: name.to_owned(), form })
}

/// What a master writes of itself.
pub(crate) fn encode(master: &MasterInfo) -> Vec<u8> {
    json::to_vec(master, Names::V0)
}

/// The master of an entry. Its address is found to be one.
pub(crate) fn decode(form: Form, data: &[u8]) -> Result<MasterInfo, BadMember> {
    let text = || String::from_utf8_lossy(data).chars().take(200).collect::<String>();
    let master: MasterInfo = match form {
        Form::Json => json::from_slice_v0(data).map_err(|error| BadMember::Json(error.to_string()))?,
        Form::Protobuf => {
            proto::wire::decode(data).map_err(|error| BadMember::Protobuf(error.to_string()))?
        }
        Form::Pid => described(text().trim()).ok_or_else(|| BadMember::Pid(text()))?,
        Form::Unknown => return Err(BadMember::Label),
    };
    match address(&master) {
        Some(_) => Ok(master),
        None => Err(BadMember::Pid(master.pid().to_owned())),
    }
}

/// Where a master listens.
#[must_use]
pub fn address(master: &MasterInfo) -> Option<SocketAddr> {
    let of_pid = master.pid().split_once('@').and_then(|(_, address)| address.parse().ok());
    of_pid.filter(|address: &SocketAddr| address.port() > 0)
}

/// A master of which only the process is known.
fn described(pid: &str) -> Option<MasterInfo> {
    let (id, address) = pid.split_once('@')?;
    let address: SocketAddr = address.parse().ok()?;
    let ip = match address.ip() {
        // COMPAT(mesos): in network byte order, read as a little-endian number.
        IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
        IpAddr::V6(_) => 0,
    };
    Some(MasterInfo {
        id: format!("{id}@{address}"),
        ip,
        port: u32::from(address.port()),
        pid: Some(pid.to_owned()),
        hostname: Some(address.ip().to_string()),
        address: Some(Address {
            hostname: None,
            ip: Some(address.ip().to_string()),
            port: i32::from(address.port()),
        }),
        ..MasterInfo::default()
    })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// What a C++ master wrote.
    const JSON: &str = r#"{"address":{"hostname":"localhost","ip":"127.0.0.1","port":5050},"capabilities":[{"type":"AGENT_UPDATE"}],
        "hostname":"localhost","id":"8cd3","ip":16777343,"pid":"master@127.0.0.1:5050","port":5050,"version":"1.12.0"}"#;

    #[test]
    fn masters_come_in_the_order_of_their_arrival() {
        let names =
            ["json.info_0000000012", "log_replicas", "info_0000000003", "0000000007", "lock_0000000001", "x"];
        let found: Vec<_> = members(names).into_iter().map(|member| (member.sequence, member.form)).collect();
        assert_eq!(found, [(1, Form::Unknown), (3, Form::Protobuf), (7, Form::Pid), (12, Form::Json)]);
    }

    #[test]
    fn all_three_forms_are_read() {
        let master = decode(Form::Json, JSON.as_bytes()).unwrap();
        assert_eq!(
            (master.id.as_str(), master.pid(), master.ip),
            ("8cd3", "master@127.0.0.1:5050", 16_777_343)
        );
        assert_eq!(decode(Form::Protobuf, &master.encode_to_vec()).unwrap(), master);
        assert_eq!(decode(Form::Json, &encode(&master)).unwrap(), master);
        let old = decode(Form::Pid, b"master@127.0.0.1:5050").unwrap();
        assert_eq!((old.ip, old.port, address(&old)), (master.ip, 5050, address(&master)));
    }

    #[test]
    fn what_is_no_master_is_told_why() {
        let check = |form, data: &[u8], expected: &str| {
            let error = decode(form, data).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        check(Form::Json, b"not JSON", "Failed to parse data into valid JSON: ");
        check(Form::Json, b"", "Failed to parse data into valid JSON: ");
        check(Form::Json, b"{\"id\":\"a\"}", "Failed to parse data into valid JSON: Missing required fields");
        check(Form::Json, br#"{"id":"a","ip":1,"port":1}"#, "it says no address");
        check(Form::Json, br#"{"id":"a","ip":1,"port":1,"pid":"master@host:1"}"#, "it says no address");
        check(Form::Protobuf, b"\xff\xff", "Failed to parse data into MasterInfo: ");
        check(Form::Pid, b"\xff@1", "it says no address");
        check(Form::Unknown, JSON.as_bytes(), "Failed to parse data of unknown label");
    }
}
