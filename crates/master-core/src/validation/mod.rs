//! What is refused, and in which words.
//!
//! Each file checks one kind of thing and changes nothing. The texts are those of
//! Mesos, since people search for them.

mod agent;
mod call;
mod check;
mod constraints;
mod container;
mod executor;
mod framework;
mod group;
mod offer;
pub(crate) mod operation;
pub(crate) mod quota;
mod resource;
mod task;

use std::fmt::Write as _;

pub(crate) use agent::{agent_version, register_agent, reregister_agent};
pub use call::call;
pub(crate) use constraints::constraints;
pub(crate) use framework::{framework, framework_update};
pub(crate) use group::{GroupNeeds, group};
pub(crate) use offer::offers;
pub(crate) use resource::operation_resources;
pub(crate) use task::{Needs, task};

/// Words as Mesos prints a set: `{ a, b }`.
pub(crate) fn set_text<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let list: Vec<_> = words.into_iter().collect();
    if list.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", list.join(", ")) }
}

/// A number as C++ streams print it: six significant digits.
pub(crate) fn number_text(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let scientific = format!("{value:.5e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let Ok(exponent) = exponent.parse::<i32>() else { return scientific };
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if (-4..6).contains(&exponent) {
        let places = usize::try_from(5 - exponent).unwrap_or_default();
        return trim(&format!("{value:.places$}"));
    }
    let mut text = trim(digits);
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(text, "e{sign}{:02}", exponent.unsigned_abs()).expect("writing to a String cannot fail");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_in_cpp() {
        for (value, text) in [
            (0.0, "0"),
            (-1.0, "-1"),
            (30.5, "30.5"),
            (1e10, "1e+10"),
            (1_234_567.0, "1.23457e+06"),
            (0.000_01, "1e-05"),
            (0.1, "0.1"),
        ] {
            assert_eq!(number_text(value), text);
        }
    }

    #[test]
    fn sets_print_as_in_cpp() {
        assert_eq!(set_text(["a", "b"]), "{ a, b }");
        assert_eq!(set_text([]), "{}");
    }
}
