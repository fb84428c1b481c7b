//! Reading resources as people write them, either as
//! `cpus:8;mem(prod):16384;ports:[31000-32000];gear:{a,b}` or as a JSON array of
//! `Resource` messages, which can also tell disks.
//!
//! Error texts are those of Mesos.

use proto::json::{self, Json};
use proto::mesos::v1;
use proto::mesos::v1::value::Type;
use thiserror::Error;
use types::Role;

use crate::validate::{self, Invalid};
use crate::{Quantities, Reservation, Resource, Resources, Scalar};

/// Why a text is not resources, in the words of Apache Mesos.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ParseError(pub(crate) String);

impl From<Invalid> for ParseError {
    fn from(why: Invalid) -> Self {
        Self(why.to_string())
    }
}

/// A value as text: what resources and attributes have in common.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Text {
    Scalar(f64),
    /// Sorted and joined, but a reversed range is kept to be refused later.
    Ranges(Vec<(u64, u64)>),
    Set(Vec<String>),
    Words(String),
}

impl Resources {
    /// Reads what `--resources` may say: the text form, or a JSON array of
    /// `Resource` messages. What names no role is for `default_role`, a static
    /// reservation unless that is `*`.
    pub fn parse(text: &str, default_role: &str) -> Result<Self, ParseError> {
        let mut all = Self::new();
        for message in messages(text, default_role)? {
            all.push(Resource::from_proto(&message)?);
        }
        validate::command_line(&all)?;
        Ok(all)
    }
}

/// The messages of a text of either form, not checked yet.
fn messages(text: &str, default_role: &str) -> Result<Vec<v1::Resource>, ParseError> {
    // COMPAT(mesos): what is not a JSON array is read as text, even if it looks like
    // broken JSON, so that its faults are told in the words of the text form.
    if let Ok(json::Value::Array(items)) = json::parse(text.as_bytes()) {
        return items.iter().map(|item| json_message(item, default_role)).collect();
    }
    tokens(text, &[';']).map(|token| message(token, default_role)).collect()
}

#[expect(deprecated, reason = "JSON may name a role in the old way")]
fn json_message(item: &json::Value<'_>, default_role: &str) -> Result<v1::Resource, ParseError> {
    let mut message = v1::Resource::from_json_named(item, json::Names::V0)
        .map_err(|why| ParseError(format!("Some JSON resources were not formatted properly: {why}")))?;
    if message.role.is_none() && message.reservations.is_empty() {
        message.role = Some(default_role.to_owned());
    }
    Ok(message)
}

fn message(token: &str, default_role: &str) -> Result<v1::Resource, ParseError> {
    let pair: Vec<&str> = tokens(token, &[':']).collect();
    let [key, text] = pair[..] else {
        return Err(ParseError(format!("Bad value for resources, missing or extra ':' in {token}")));
    };
    let (name, role) = match key.split_once('(') {
        None => (key, default_role),
        Some((name, rest)) => match rest.split_once(')') {
            Some((role, _)) if !name.contains(')') => (name, trim(role)),
            Some(_) | None => {
                return Err(ParseError(format!(
                    "Bad value for resources, mismatched parentheses in {token}"
                )));
            }
        },
    };
    let name = trim(name);
    let value = value(text)
        .map_err(|why| ParseError(format!("Failed to parse resource {name} value {text} error {}", why.0)))?;
    let mut message = v1::Resource { name: name.to_owned(), ..Default::default() };
    if role != "*" {
        message.reservations.push(Reservation::fixed(Role::from(role)).to_proto());
    }
    match value {
        Text::Scalar(value) => {
            message.set_type(Type::Scalar);
            message.scalar = Some(v1::value::Scalar { value });
        }
        Text::Ranges(ranges) => {
            message.set_type(Type::Ranges);
            let range = ranges.into_iter().map(|(begin, end)| v1::value::Range { begin, end }).collect();
            message.ranges = Some(v1::value::Ranges { range });
        }
        Text::Set(item) => {
            message.set_type(Type::Set);
            message.set = Some(v1::value::Set { item });
        }
        Text::Words(_) => {
            return Err(ParseError(format!("Bad type for resource {name} value {text} type TEXT")));
        }
    }
    Ok(message)
}

/// Reads quantities: only scalars, none of them negative, zeros dropped.
pub(crate) fn quantities(text: &str) -> Result<Quantities, ParseError> {
    let mut all = Quantities::new();
    for token in tokens(text, &[';']) {
        let pair: Vec<&str> = tokens(token, &[':']).collect();
        let [name, amount] = pair[..] else {
            return Err(ParseError(format!("Failed to parse '{token}': missing or extra ':'")));
        };
        let fail = |why: &str| ParseError(format!("Failed to parse '{amount}' to quantity: {why}"));
        match value(amount).map_err(|why| fail(&why.0))? {
            Text::Scalar(value) => {
                let amount = Scalar::from_f64(value).ok_or_else(|| fail("the value is out of range"))?;
                all.add(&trim(name).into(), amount);
            }
            Text::Ranges(_) | Text::Set(_) | Text::Words(_) => {
                return Err(fail("only scalar values are allowed"));
            }
        }
    }
    Ok(all)
}

/// Reads one value: `[1-2]` is ranges, `{a,b}` a set, a plain non-negative number a
/// scalar, and anything else a text. Blanks count nowhere.
pub(crate) fn value(text: &str) -> Result<Text, ParseError> {
    let text: String = text.chars().filter(|c| *c != ' ').collect();
    let fail = |why: &str| Err(ParseError(why.to_owned()));
    if text.is_empty() {
        return fail("Expecting non-empty string");
    }
    if ![('{', '}'), ('[', ']'), ('(', ')')].iter().all(|pair| is_balanced(&text, *pair)) {
        return fail("Mismatched brackets");
    }
    match text.find('[') {
        Some(0) => return ranges(&text),
        Some(_) => return fail("Unexpected '[' found"),
        None => {}
    }
    match text.find('{') {
        Some(0) => Ok(Text::Set(tokens(&text, &['{', '}', ',', '\n']).map(str::to_owned).collect())),
        Some(_) => fail("Unexpected '{' found"),
        None => number_or_text(text),
    }
}

fn number_or_text(text: String) -> Result<Text, ParseError> {
    match text.parse::<f64>() {
        Ok(number) if number.is_subnormal() => Err(ParseError("Subnormal values not supported".to_owned())),
        // COMPAT(mesos): a number that cannot be an amount is read as a text.
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(Text::Scalar(number)),
        Ok(_) | Err(_) => Ok(Text::Words(text)),
    }
}

fn ranges(text: &str) -> Result<Text, ParseError> {
    let numbers: Vec<&str> = tokens(text, &['[', ']', '-', ',', '\n']).collect();
    if !numbers.len().is_multiple_of(2) {
        return Err(ParseError("Expecting one or more \"ranges\"".to_owned()));
    }
    let mut ranges: Vec<(u64, u64)> = Vec::with_capacity(numbers.len() / 2);
    for pair in numbers.chunks_exact(2) {
        match (pair[0].parse(), pair[1].parse()) {
            (Ok(begin), Ok(end)) => ranges.push((begin, end)),
            (Err(_), _) | (_, Err(_)) => {
                return Err(ParseError(format!("Expecting non-negative integers in '{}'", pair[0])));
            }
        }
    }
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let joins = next.0 <= last.1.saturating_add(1) && next.0 <= next.1 && last.0 <= last.1;
        if joins {
            last.1 = last.1.max(next.1);
        }
        joins
    });
    Ok(Text::Ranges(ranges))
}

fn is_balanced(text: &str, (open, close): (char, char)) -> bool {
    let mut depth = 0_usize;
    for c in text.chars() {
        if c == open {
            depth += 1;
        } else if c == close {
            match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            }
        }
    }
    depth == 0
}

/// The parts between separators that are not empty.
pub(crate) fn tokens<'a>(text: &'a str, separators: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.split(separators).filter(|token| !token.is_empty())
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

#[cfg(test)]
mod tests;
