//! Attributes of agents: `rack:abc;zone:west;level:10;ports:[1-3]`.

use std::fmt;

use proto::mesos::v1;
use proto::mesos::v1::value::Type;

use crate::parse::{self, ParseError, Text, tokens};
use crate::{Range, Ranges, Scalar, SummaryValue};

/// Reads what `--attributes` may say. A value that is neither a number nor ranges
/// is a text; sets are refused.
pub fn parse(text: &str) -> Result<Vec<v1::Attribute>, ParseError> {
    tokens(text, &[';', '\n']).map(attribute).collect()
}

fn attribute(token: &str) -> Result<v1::Attribute, ParseError> {
    let (name, text) = token
        .split_once(':')
        .filter(|(name, text)| !name.is_empty() && !text.is_empty())
        .ok_or_else(|| ParseError(format!("Invalid attribute key:value pair '{token}'")))?;
    let value = parse::value(text)
        .map_err(|why| ParseError(format!("Failed to parse attribute {name} text {text} error {}", why.0)))?;
    let mut attribute = v1::Attribute { name: name.to_owned(), ..Default::default() };
    match value {
        Text::Scalar(value) => {
            attribute.set_type(Type::Scalar);
            attribute.scalar = Some(v1::value::Scalar { value });
        }
        Text::Ranges(ranges) => {
            attribute.set_type(Type::Ranges);
            let range = ranges.into_iter().map(|(begin, end)| v1::value::Range { begin, end }).collect();
            attribute.ranges = Some(v1::value::Ranges { range });
        }
        Text::Words(value) => {
            attribute.set_type(Type::Text);
            attribute.text = Some(v1::value::Text { value });
        }
        Text::Set(_) => {
            return Err(ParseError(format!("Bad type for attribute {name} text {text} type SET")));
        }
    }
    Ok(attribute)
}

/// What `/state` and its kin show for an attribute: a number, or a text.
#[must_use]
pub fn summary(attribute: &v1::Attribute) -> SummaryValue {
    match attribute.r#type() {
        Type::Scalar => {
            let value = attribute.scalar.as_ref().map_or(0.0, |scalar| scalar.value);
            SummaryValue::Number(Scalar::from_f64(value).unwrap_or_default())
        }
        Type::Ranges | Type::Set | Type::Text => SummaryValue::Text(text(attribute)),
    }
}

fn text(attribute: &v1::Attribute) -> String {
    match attribute.r#type() {
        Type::Scalar => {
            let value = attribute.scalar.as_ref().map_or(0.0, |scalar| scalar.value);
            Scalar::from_f64(value).unwrap_or_default().to_string()
        }
        Type::Ranges => {
            let ranges = attribute.ranges.iter().flat_map(|ranges| &ranges.range);
            Ranges::new(ranges.map(|r| Range { begin: r.begin, end: r.end })).to_string()
        }
        Type::Set => {
            let words = attribute.set.as_ref().map_or(&[][..], |set| &set.item);
            format!("{{{}}}", words.join(", "))
        }
        Type::Text => attribute.text.as_ref().map(|text| text.value.clone()).unwrap_or_default(),
    }
}

/// Prints an attribute as Mesos does: `rack=abc`.
pub struct AttributeText<'a>(pub &'a v1::Attribute);

impl fmt::Display for AttributeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.0.name, text(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        match parse(text) {
            Ok(all) => all.iter().map(|a| AttributeText(a).to_string()).collect::<Vec<_>>().join(" "),
            Err(why) => format!("error: {why}"),
        }
    }

    #[test]
    fn reads_and_prints() {
        for (text, printed) in [
            ("", ""),
            ("rack:abc;zone:west;level:10;r:[1-3]", "rack=abc zone=west level=10 r=[1-3]"),
            ("url:http://x:1", "url=http://x:1"),
            ("a:-5", "a=-5"),
            ("a:x y", "a=xy"),
            ("a:b:c\nd:0.5", "a=b:c d=0.5"),
            ("rack", "error: Invalid attribute key:value pair 'rack'"),
            (":x", "error: Invalid attribute key:value pair ':x'"),
            ("x:", "error: Invalid attribute key:value pair 'x:'"),
            ("x:{a}", "error: Bad type for attribute x text {a} type SET"),
            ("x:[1-", "error: Failed to parse attribute x text [1- error Mismatched brackets"),
        ] {
            assert_eq!(check(text), printed);
        }
    }

    #[test]
    fn summaries_are_numbers_or_texts() {
        let all = parse("rack:abc;level:10;r:[1-3]").expect("parses");
        let text: Vec<_> = all.iter().map(|a| format!("{:?}", summary(a))).collect();
        assert_eq!(text, [r#"Text("abc")"#, "Number(Scalar(10000))", r#"Text("[1-3]")"#]);
    }
}
