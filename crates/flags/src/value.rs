//! The types a flag may have: how each is read from text and printed for `/flags`.

use crate::{Bytes, Duration};
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

/// What a value of the form `file:///path` means for a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// The value is the contents of that file.
    Contents,
    /// As `Contents`, and a plain absolute path means the same (an old form that warns).
    ContentsOfAnyPath,
    /// The value is the path itself; nothing is read.
    Never,
}

/// A type that a flag may have.
pub trait Value: Sized {
    /// May be given as `--name` and `--no-name`.
    const BOOLEAN: bool = false;
    /// May stay unset.
    const OPTIONAL: bool = false;
    /// What `file://` means.
    const FETCH: Fetch = Fetch::Contents;

    /// The value before anything is given, for flags without a default.
    fn unset() -> Self;
    /// Reads the value. `given` is the text of the flag; `contents` that of the file it names, if it names one.
    fn parse(given: &str, contents: Option<&str>) -> Result<Self, String>;
    /// The text for `/flags`; none when unset.
    fn print(&self) -> Option<String>;
}

impl<T: Value> Value for Option<T> {
    const BOOLEAN: bool = T::BOOLEAN;
    const OPTIONAL: bool = true;
    const FETCH: Fetch = T::FETCH;

    fn unset() -> Self {
        None
    }

    fn parse(given: &str, contents: Option<&str>) -> Result<Self, String> {
        T::parse(given, contents).map(Some)
    }

    fn print(&self) -> Option<String> {
        self.as_ref().and_then(T::print)
    }
}

impl Value for bool {
    const BOOLEAN: bool = true;

    fn unset() -> Self {
        false
    }

    fn parse(given: &str, contents: Option<&str>) -> Result<Self, String> {
        match contents.unwrap_or(given) {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("Expecting a boolean (e.g., true or false)".into()),
        }
    }

    fn print(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for String {
    fn unset() -> Self {
        Self::new()
    }

    fn parse(given: &str, contents: Option<&str>) -> Result<Self, String> {
        Ok(contents.unwrap_or(given).to_owned())
    }

    fn print(&self) -> Option<String> {
        Some(self.clone())
    }
}

/// A path, with or without `file://` in front; the file itself is not read.
impl Value for PathBuf {
    const FETCH: Fetch = Fetch::Never;

    fn unset() -> Self {
        Self::new()
    }

    fn parse(given: &str, _contents: Option<&str>) -> Result<Self, String> {
        Ok(given.strip_prefix("file://").unwrap_or(given).into())
    }

    fn print(&self) -> Option<String> {
        Some(self.display().to_string())
    }
}

/// Types whose text form is their `FromStr` and `Display`; the first closure words the refusal.
macro_rules! plain {
    ($($type:ty: $unset:expr, $refuse:expr;)*) => {$(
        impl Value for $type {
            fn unset() -> Self {
                $unset
            }

            fn parse(given: &str, contents: Option<&str>) -> Result<Self, String> {
                contents.unwrap_or(given).parse().map_err($refuse)
            }

            fn print(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}

/// What stout says of any text that its stream operators do not read.
fn unreadable<E>(_: E) -> String {
    "Failed to convert into required type".to_owned()
}

plain! {
    u16: 0, unreadable;
    u32: 0, unreadable;
    u64: 0, unreadable;
    usize: 0, unreadable;
    f64: 0.0, unreadable;
    Duration: Self::default(), |error| error;
    Bytes: Self::default(), |error| error;
    Percent: Self(0.0), |error| error;
    Rate: Self { count: 0, per: Duration::default() }, |error| error;
}

/// A share of a hundred, from `0%` to `100%`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(pub f64);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(number) = text.strip_suffix('%') else {
            return Err(format!("Expecting a percentage (e.g., 50%) but got '{text}'"));
        };
        match number.parse::<f64>() {
            Ok(value) if (0.0..=100.0).contains(&value) => Ok(Self(value)),
            Ok(_) => Err(format!("'{text}' is not between 0% and 100%")),
            Err(_) => Err(format!("Failed to convert '{number}' to number")),
        }
    }
}

impl Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// So many of something per span of time, such as `1/10mins`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In which time.
    pub per: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((count, per)) = text.split_once('/') else {
            return Err(format!("Expecting a rate (e.g., 1/10mins) but got '{text}'"));
        };
        Ok(Self { count: crate::number::numify(count)?, per: per.parse()? })
    }
}

impl Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per)
    }
}

/// A JSON object or array, kept as its text; what is in it is the business of its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(pub String);

impl Value for Json {
    const FETCH: Fetch = Fetch::ContentsOfAnyPath;

    fn unset() -> Self {
        Self(String::new())
    }

    fn parse(given: &str, contents: Option<&str>) -> Result<Self, String> {
        let text = contents.unwrap_or(given);
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(serde_json::Value::Object(_) | serde_json::Value::Array(_)) => Ok(Self(text.to_owned())),
            Ok(_) => Err("JSON document is neither an object nor an array".into()),
            Err(error) => Err(format!("syntax error at line {} near: {error}", error.line())),
        }
    }

    fn print(&self) -> Option<String> {
        Some(self.0.clone())
    }
}

/// A value that may hold a password: when it came from a file, only the file's name is ever printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathOrValue {
    /// The value itself.
    pub value: String,
    /// The file it came from.
    pub path: Option<PathBuf>,
}

impl Value for PathOrValue {
    fn unset() -> Self {
        Self { value: String::new(), path: None }
    }

    fn parse(given: &str, contents: Option<&str>) -> Result<Self, String> {
        Ok(match contents {
            Some(contents) => Self {
                value: contents.to_owned(),
                path: Some(given.strip_prefix("file://").unwrap_or(given).into()),
            },
            None => Self { value: given.to_owned(), path: None },
        })
    }

    fn print(&self) -> Option<String> {
        Some(match &self.path {
            Some(path) => format!("file://{}", path.display()),
            None => self.value.clone(),
        })
    }
}

/// Words divided by commas, each at most once.
impl Value for BTreeSet<String> {
    fn unset() -> Self {
        Self::new()
    }

    fn parse(given: &str, contents: Option<&str>) -> Result<Self, String> {
        let mut set = Self::new();
        for word in words(contents.unwrap_or(given)) {
            if !set.insert(word.to_owned()) {
                return Err(format!("Duplicate token '{word}'"));
            }
        }
        Ok(set)
    }

    fn print(&self) -> Option<String> {
        Some(self.iter().map(String::as_str).collect::<Vec<_>>().join(","))
    }
}

/// Whole numbers divided by commas.
impl Value for Vec<u32> {
    fn unset() -> Self {
        Self::new()
    }

    fn parse(given: &str, contents: Option<&str>) -> Result<Self, String> {
        words(contents.unwrap_or(given))
            .map(|word| {
                crate::number::numify(word).map_err(|error| format!("Failed to numify '{word}': {error}"))
            })
            .collect()
    }

    fn print(&self) -> Option<String> {
        Some(self.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|word| !word.is_empty())
}
