//! Bytes by hand: what protobuf allows beyond what encoders write.

use prost::Message as _;
use proto::mesos::internal::PingSlaveMessage;
use proto::mesos::v1::scheduler::Call;
use proto::mesos::v1::{FrameworkInfo, TaskId, TaskState, TaskStatus};
use proto::wire::{self, WireError};

/// The paths that a body lacks.
fn lacks<T: proto::json::Json + std::fmt::Debug>(bytes: &[u8]) -> Vec<String> {
    match wire::decode::<T>(bytes) {
        Ok(_) => Vec::new(),
        Err(WireError::Missing { fields, .. }) => fields,
        Err(error) => panic!("{error}"),
    }
}

/// A length-delimited field.
fn field(number: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).expect("short in tests");
    [&[number << 3 | 2, length], body].concat()
}

#[test]
fn a_message_may_come_in_pieces() {
    // subscribe.framework_info twice: once with the user, once with the name.
    let user = field(3, &field(1, &field(1, b"u")));
    let name = field(3, &field(1, &field(2, b"n")));
    assert_eq!(lacks::<Call>(&user), ["subscribe.framework_info.name"]);
    assert_eq!(lacks::<Call>(&name), ["subscribe.framework_info.user"]);
    let both = [user, name].concat();
    let call: Call = wire::decode(both.as_slice()).unwrap();
    let info = call.subscribe.unwrap().framework_info;
    assert_eq!((info.user.as_str(), info.name.as_str()), ("u", "n"));
}

#[test]
fn unknown_fields_and_groups_are_skipped() {
    let known = FrameworkInfo { user: "u".to_owned(), name: "n".to_owned(), ..Default::default() };
    let mut bytes = known.encode_to_vec();
    // Field 1000 as a varint, 1001 as a group that holds a group and a string.
    bytes.extend_from_slice(&[0xc0, 0x3e, 5]);
    bytes.extend_from_slice(&[0xcb, 0x3e, 0x13, 0x14, 0x0a, 1, b'x', 0xcc, 0x3e]);
    // Fixed-size numbers.
    bytes.extend_from_slice(&[0xd1, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8, 0xdd, 0x3e, 1, 2, 3, 4]);
    assert_eq!(wire::decode::<FrameworkInfo>(bytes.as_slice()), Ok(known));
}

#[test]
fn an_unknown_number_of_a_required_enum_is_no_value() {
    let id = TaskId { value: "t".to_owned() };
    let mut status = TaskStatus { task_id: id, state: 77, ..Default::default() };
    assert_eq!(lacks::<TaskStatus>(&status.encode_to_vec()), ["state"]);
    status.state = TaskState::TaskLost.into();
    assert!(lacks::<TaskStatus>(&status.encode_to_vec()).is_empty());
}

#[test]
fn cut_bytes_are_refused() {
    let whole = field(3, &field(1, &[field(1, b"u"), field(2, b"n")].concat()));
    for end in 1..whole.len() {
        let error = wire::decode::<Call>(&whole[..end]).unwrap_err();
        assert!(matches!(error, WireError::Malformed { .. }), "{end}: {error}");
    }
    // recorded/bad-proto.json
    assert!(wire::decode::<Call>(&[0xff, 0xff, 0xff][..]).is_err());
    let error = wire::decode::<PingSlaveMessage>(&b""[..]).unwrap_err();
    assert_eq!(error.to_string(), "mesos.internal.PingSlaveMessage is missing required fields: connected");
    assert_eq!(wire::name::<PingSlaveMessage>(), "mesos.internal.PingSlaveMessage");
}

#[test]
fn byte_fields_share_memory_with_the_body() {
    let call = Call {
        message: Some(proto::mesos::v1::scheduler::call::Message {
            data: bytes::Bytes::from(vec![7; 1000]),
            ..Default::default()
        }),
        ..Default::default()
    };
    let body = bytes::Bytes::from(call.encode_to_vec());
    let decoded: Call = wire::decode(body.clone()).unwrap();
    let data = decoded.message.unwrap().data;
    assert!(body.as_ptr_range().contains(&data.as_ptr()));
}

#[test]
fn what_proto2_takes_is_taken() {
    // A string that is not UTF-8, in a message of its own.
    let bytes = field(3, &field(1, &[field(1, b"\xffu"), field(2, b"n")].concat()));
    let call: Call = wire::decode(bytes.as_slice()).unwrap();
    assert_eq!(call.subscribe.unwrap().framework_info.user, "\u{fffd}u");
    // A field of another wire type is an unknown field.
    let bytes = [field(1, b"u"), vec![2 << 3, 5], vec![5 << 3, 1], field(4, b"abc")].concat();
    assert_eq!(lacks::<FrameworkInfo>(&bytes), ["name"]);
    let bytes = [bytes, field(2, b"n")].concat();
    let info: FrameworkInfo = wire::decode(bytes.as_slice()).unwrap();
    assert_eq!((info.checkpoint, info.failover_timeout), (Some(true), None));
}
