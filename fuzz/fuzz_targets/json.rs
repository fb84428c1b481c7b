//! Any text is parsed or refused; a message that was read can be printed, and what
//! was printed reads back as the same message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::json::{self, Json, Names};
use proto::mesos::{internal, v1};

fn round_trip<T: Json>(value: &json::Value<'_>, names: Names) {
    let Ok(message) = T::from_json_named(value, names) else {
        return;
    };
    // Defaults that get printed are set afterwards, so that texts are compared.
    let text = json::to_string(&message, names);
    let again = json::parse(text.as_bytes()).and_then(|value| T::from_json_named(&value, names));
    let again = again.unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(json::to_string(&again, names), text);
}

fuzz_target!(|text: &[u8]| {
    let Ok(value) = json::parse(text) else {
        return;
    };
    for names in [Names::V0, Names::V1, Names::V1Internal] {
        round_trip::<v1::scheduler::Call>(&value, names);
        round_trip::<v1::executor::Call>(&value, names);
        round_trip::<v1::master::Call>(&value, names);
        round_trip::<v1::agent::Call>(&value, names);
        round_trip::<internal::ReregisterSlaveMessage>(&value, names);
    }
});
