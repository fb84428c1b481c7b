//! The text of resources and attributes, as flags give it, is read or refused; what
//! was read can be printed, added and taken away again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resources::{Quantities, Resources, attributes};

fuzz_target!(|text: &str| {
    if let Ok(all) = Resources::parse(text, "*") {
        let _ = all.to_string();
        let twice = &all + &all;
        assert!(twice.contains(&all), "{text}");
        let none = &all - &all;
        assert!(all.contains(&none), "{text}");
    }
    if let Ok(all) = Quantities::parse(text) {
        let _ = all.to_string();
    }
    let _ = attributes::parse(text);
});
