//! Offer constraints: which agents a framework lets itself be offered in a role.
//!
//! A role's constraints are groups; an agent passes if it passes every constraint of
//! any group. What a framework sends is checked and compiled once, by whoever makes
//! a [`Constraints`]; the allocator only asks.

use std::collections::BTreeMap;
use std::fmt;

use regex::{Regex, RegexBuilder};

/// What constraints may look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentProfile {
    /// Its name.
    pub hostname: String,
    /// The region it is in, if it says so.
    pub region: Option<String>,
    /// The zone it is in, if it says so.
    pub zone: Option<String>,
    /// Its attributes by name, the first of each name. None stands for the value of
    /// one that is no text.
    pub attributes: BTreeMap<String, Option<String>>,
}

/// What a constraint looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The attribute of this name.
    Attribute(String),
    /// [`AgentProfile::hostname`].
    Hostname,
    /// [`AgentProfile::region`].
    Region,
    /// [`AgentProfile::zone`].
    Zone,
}

/// What must hold of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// It is there.
    Exists,
    /// It is not there.
    NotExists,
    /// It is there and is this text.
    TextEquals(String),
    /// It is not there or is another text.
    TextNotEquals(String),
    /// It is there and all of it matches.
    TextMatches(Pattern),
    /// It is not there, or not all of it matches.
    TextNotMatches(Pattern),
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    /// Of what.
    pub selector: Selector,
    /// What must hold.
    pub predicate: Predicate,
}

/// The constraints of one role: any of the groups, and of a group all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constraints {
    /// The groups.
    pub groups: Vec<Vec<Constraint>>,
}

impl Constraints {
    /// Whether an agent passes.
    #[must_use]
    pub fn admit(&self, agent: &AgentProfile) -> bool {
        self.groups.iter().any(|group| group.iter().all(|constraint| constraint.holds(agent)))
    }
}

impl Constraint {
    fn holds(&self, agent: &AgentProfile) -> bool {
        // Outside none: it is not there. Inside none: it is no text.
        let value: Option<Option<&str>> = match &self.selector {
            Selector::Attribute(name) => agent.attributes.get(name).map(Option::as_deref),
            Selector::Hostname => Some(Some(&agent.hostname)),
            Selector::Region => agent.region.as_deref().map(Some),
            Selector::Zone => agent.zone.as_deref().map(Some),
        };
        // COMPAT(mesos): what is no text satisfies every predicate on texts.
        let text = |holds: &dyn Fn(&str) -> bool| value.map(|value| value.is_none_or(holds));
        match &self.predicate {
            Predicate::Exists => value.is_some(),
            Predicate::NotExists => value.is_none(),
            Predicate::TextEquals(wanted) => text(&|text| text == wanted).unwrap_or(false),
            Predicate::TextNotEquals(other) => text(&|text| text != other).unwrap_or(true),
            Predicate::TextMatches(pattern) => text(&|text| pattern.matches(text)).unwrap_or(false),
            Predicate::TextNotMatches(pattern) => text(&|text| !pattern.matches(text)).unwrap_or(true),
        }
    }
}

/// How large a compiled pattern may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternLimits {
    /// Bytes (`--offer_constraints_re2_max_mem`).
    pub memory: usize,
    /// Steps (`--offer_constraints_re2_max_program_size`).
    pub steps: usize,
}

impl Default for PatternLimits {
    fn default() -> Self {
        Self { memory: 4096, steps: 100 }
    }
}

/// A regular expression that must match all of a text. It takes time in proportion
/// to the text, whatever the pattern.
#[derive(Clone)]
pub struct Pattern {
    source: String,
    regex: Regex,
}

/// Why a pattern is none. The texts are those of Mesos as far as they can be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is no regular expression.
    #[error("Failed to construct regex from pattern '{pattern}': {why}")]
    Malformed {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// It takes too much memory.
    #[error("Failed to construct regex from pattern '{pattern}': pattern too large - compile failed")]
    TooLarge {
        /// The pattern.
        pattern: String,
    },
    /// It has too many steps.
    #[error("Regex '{pattern}' is too complex: its program is larger than maximum of {most} allowed")]
    TooComplex {
        /// The pattern.
        pattern: String,
        /// How many steps are allowed.
        most: usize,
    },
}

/// What a step of a compiled pattern takes here, about.
const STEP_BYTES: usize = 64;

/// RE2 counts its own memory, which is about this much tighter than what is counted here.
const MEMORY_RATIO: usize = 4;

impl Pattern {
    /// Compiles a pattern in the syntax of RE2.
    pub fn new(source: &str, limits: PatternLimits) -> Result<Self, PatternError> {
        let pattern = source.to_owned();
        // Longer than any that fits, and not worth parsing.
        if source.len() > limits.memory.saturating_mul(MEMORY_RATIO) {
            return Err(PatternError::TooLarge { pattern });
        }
        let translated = translate(source);
        let build = |text: &str, bytes: usize| {
            RegexBuilder::new(text).size_limit(bytes).dfa_size_limit(bytes).nest_limit(64).build()
        };
        // By itself first: `a)(b` is no pattern, though it would be one in parentheses.
        let steps = limits.steps.saturating_mul(STEP_BYTES);
        let memory = limits.memory.saturating_mul(MEMORY_RATIO);
        if let Err(error) = build(&translated, memory) {
            return Err(match error {
                regex::Error::CompiledTooBig(_) => PatternError::TooLarge { pattern },
                other => PatternError::Malformed { pattern, why: reason(&other) },
            });
        }
        match build(&format!(r"\A(?:{translated})\z"), steps.min(memory)) {
            Ok(regex) => Ok(Self { source: pattern, regex }),
            Err(_) => Err(PatternError::TooComplex { pattern, most: limits.steps }),
        }
    }

    /// Whether all of a text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// The last line of an error says what is wrong; those before it draw the place.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source)
    }
}

/// Writes a pattern of RE2 so that it means the same here: its classes know ASCII
/// only, `[`, `&&` and `~~` mean nothing within brackets, and `\Q` begins a literal.
fn translate(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut in_class = false;
    while let Some(first) = rest.chars().next() {
        let (taken, text) = match first {
            '\\' => escape(rest, in_class),
            '[' if in_class => match rest.strip_prefix("[:").and_then(|name| name.find(":]")) {
                Some(end) => (end + 4, rest[..end + 4].to_owned()),
                None => (1, r"\[".to_owned()),
            },
            '[' => {
                in_class = true;
                // A closing bracket that comes first is an ordinary member.
                let opening = ["[^]", "[]", "[^", "["].into_iter().find(|opening| rest.starts_with(opening));
                let opening = opening.unwrap_or("[");
                (opening.len(), opening.replace(']', r"\]"))
            }
            ']' if in_class => {
                in_class = false;
                (1, "]".to_owned())
            }
            '&' | '~' if in_class => (1, format!("\\{first}")),
            other => (other.len_utf8(), other.to_string()),
        };
        out.push_str(&text);
        rest = &rest[taken..];
    }
    out
}

/// What begins with a backslash: how long it is, and what to write.
fn escape(rest: &str, in_class: bool) -> (usize, String) {
    if let Some(literal) = rest.strip_prefix(r"\Q") {
        let (literal, end) = match literal.find(r"\E") {
            Some(end) => (&literal[..end], end + 4),
            None => (literal, rest.len()),
        };
        return (end, regex::escape(literal));
    }
    let Some(escaped) = rest[1..].chars().next() else { return (1, "\\".to_owned()) };
    let text = match escaped {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => r"[\t\n\f\r ]",
        'S' => r"[^\t\n\f\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        'b' if !in_class => r"(?-u:\b)",
        'B' if !in_class => r"(?-u:\B)",
        other => return (1 + other.len_utf8(), rest[..1 + other.len_utf8()].to_owned()),
    };
    (2, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(source: &str) -> Result<Pattern, String> {
        Pattern::new(source, PatternLimits::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn patterns_match_as_in_re2() {
        for (source, yes, no) in [
            ("node-[0-9]+", "node-17", "node-17b"),
            ("a|bc", "bc", "abc"),
            ("", "", "x"),
            (r"\d+", "17", "١٧"),
            (r"\w+\.example\.com", "a_1.example.com", "é.example.com"),
            (r"[\d,]+", "1,2", "1;2"),
            (r"[^\s]+", "ab", "a b"),
            (r"[\Dx]", "a", "1"),
            (r"\Qa.b\E.", "a.bc", "axbc"),
            ("[[]", "[", "x"),
            ("[]x]", "]", "a"),
            ("[^]x]", "a", "]"),
            ("[a&&b]+", "a&b", "c"),
            ("[[:alpha:]_]+", "ab_", "ab1"),
            (r".\b.", "a-", "ab"),
            ("(?i)rack-a", "RACK-A", "RACK-B"),
            ("r.ck", "räck", "räack"),
            ("a{2,3}", "aaa", "aaaa"),
        ] {
            let pattern = pattern(source).unwrap();
            assert!(pattern.matches(yes), "{source} and {yes}");
            assert!(!pattern.matches(no), "{source} and {no}");
        }
    }

    #[test]
    fn bad_patterns_are_refused_with_a_reason() {
        for (source, why) in [
            ("a)(b", "Failed to construct regex from pattern 'a)(b': unopened group"),
            ("[a", "Failed to construct regex from pattern '[a': unclosed character class"),
            (
                "a\\",
                "Failed to construct regex from pattern 'a\\': incomplete escape sequence, reached end of pattern prematurely",
            ),
            (r"(a)\1", r"Failed to construct regex from pattern '(a)\1': backreferences are not supported"),
            (
                "a{1,999}",
                "Failed to construct regex from pattern 'a{1,999}': pattern too large - compile failed",
            ),
            (
                r"(?:\w+\s){60}",
                r"Regex '(?:\w+\s){60}' is too complex: its program is larger than maximum of 100 allowed",
            ),
        ] {
            assert_eq!(pattern(source).unwrap_err(), why);
        }
        let long = "x".repeat(1 << 20);
        assert!(pattern(&long).unwrap_err().ends_with("pattern too large - compile failed"));
        assert!(pattern(&"(".repeat(4000)).is_err());
    }

    /// The table of the design document of Mesos: what holds of nothing, of another
    /// text, of the same, and of what is no text.
    #[test]
    fn predicates_hold_as_in_mesos() {
        let matches = || pattern("fo*").unwrap();
        for (predicate, expected) in [
            (Predicate::Exists, [false, true, true, true]),
            (Predicate::NotExists, [true, false, false, false]),
            (Predicate::TextEquals("foo".to_owned()), [false, false, true, true]),
            (Predicate::TextNotEquals("foo".to_owned()), [true, true, false, true]),
            (Predicate::TextMatches(matches()), [false, false, true, true]),
            (Predicate::TextNotMatches(matches()), [true, true, false, true]),
        ] {
            let constraint = Constraint { selector: Selector::Attribute("a".to_owned()), predicate };
            let held = [None, Some(Some("bar")), Some(Some("foo")), Some(None)].map(|value| {
                let attribute = value.map(|text| ("a".to_owned(), text.map(str::to_owned)));
                constraint.holds(&AgentProfile {
                    attributes: attribute.into_iter().collect(),
                    ..Default::default()
                })
            });
            assert_eq!(held, expected, "{constraint:?}");
        }
    }

    #[test]
    fn any_group_and_all_of_it() {
        let is =
            |selector, text: &str| Constraint { selector, predicate: Predicate::TextEquals(text.to_owned()) };
        let constraints = Constraints {
            groups: vec![
                vec![is(Selector::Hostname, "h1")],
                vec![is(Selector::Region, "eu"), is(Selector::Zone, "eu-1")],
            ],
        };
        for (hostname, region, zone, passes) in [
            ("h1", None, None, true),
            ("h2", None, None, false),
            ("h2", Some("eu"), Some("eu-1"), true),
            ("h2", Some("eu"), Some("eu-2"), false),
        ] {
            let agent = AgentProfile {
                hostname: hostname.to_owned(),
                region: region.map(str::to_owned),
                zone: zone.map(str::to_owned),
                ..Default::default()
            };
            assert_eq!(constraints.admit(&agent), passes, "{agent:?}");
        }
    }
}
