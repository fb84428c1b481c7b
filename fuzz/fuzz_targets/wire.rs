//! Any bytes are decoded or refused; a decoded message passes the checks again, can
//! be printed, and is judged by the union checks without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::json::{self, Json, Names};
use proto::mesos::{internal, scheduler, v1};
use proto::{unions, wire};

fn check<T: Json>(bytes: &[u8]) -> Option<T> {
    let message: T = wire::decode(bytes).ok()?;
    let encoded = message.encode_to_vec();
    let again = wire::decode::<T>(encoded.as_slice());
    assert!(again.is_ok(), "{}: {:?}", T::NAME, again.err());
    for names in [Names::V0, Names::V1, Names::V1Internal] {
        let text = json::to_vec(&message, names);
        assert!(json::parse(&text).is_ok(), "{}", String::from_utf8_lossy(&text));
    }
    Some(message)
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(call) = check::<v1::scheduler::Call>(bytes) {
        let _ = unions::scheduler(&call);
    }
    if let Some(call) = check::<scheduler::Call>(bytes) {
        let _ = unions::scheduler(&proto::v0::SchedulerCall::from(call).call);
    }
    if let Some(call) = check::<v1::executor::Call>(bytes) {
        let _ = unions::executor(&call);
    }
    if let Some(call) = check::<v1::master::Call>(bytes) {
        let _ = unions::master(&call);
    }
    if let Some(call) = check::<v1::agent::Call>(bytes) {
        let _ = unions::agent(&call);
    }
    check::<internal::ReregisterSlaveMessage>(bytes);
    check::<internal::Registry>(bytes);
});
