//! The short form of resources in the documents of HTTP endpoints.

use crate::{Name, Resources, Scalar, Value};

/// One entry of [`Resources::summary`]: a JSON number or a JSON string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SummaryValue {
    /// The sum of scalars.
    Number(Scalar),
    /// All ranges or words, printed: `[31000-31099, 31200-31300]`, `{a, b}`.
    Text(String),
}

impl Resources {
    /// What `/state` and its kin show: every name with its sum, whatever else tells
    /// resources apart. `cpus`, `gpus`, `mem` and `disk` are there even at zero;
    /// revocable parts come apart, as `<name>_revocable`.
    #[must_use]
    pub fn summary(&self) -> Vec<(String, SummaryValue)> {
        let mut entries: Vec<(String, SummaryValue)> = [Name::CPUS, Name::GPUS, Name::MEM, Name::DISK]
            .map(|name| (name.as_str().to_owned(), SummaryValue::Number(Scalar::ZERO)))
            .into();
        for (part, suffix) in [(self.non_revocable(), ""), (self.revocable(), "_revocable")] {
            for name in part.names() {
                let Some(value) = part.sum(&name) else { continue };
                let value = match value {
                    Value::Scalar(scalar) => SummaryValue::Number(scalar),
                    Value::Ranges(ranges) => SummaryValue::Text(ranges.to_string()),
                    Value::Set(set) => SummaryValue::Text(set.to_string()),
                };
                let key = format!("{name}{suffix}");
                match entries.iter_mut().find(|(mine, _)| *mine == key) {
                    Some((_, mine)) => *mine = value,
                    None => entries.push((key, value)),
                }
            }
        }
        entries
    }

    /// Everything of one name together; the type of the last one counts.
    fn sum(&self, name: &Name) -> Option<Value> {
        let last = self.iter().rfind(|resource| resource.name() == name)?;
        match last.value() {
            Value::Scalar(_) => self.scalar(name).map(Value::Scalar),
            Value::Ranges(_) => self.ranges(name).map(Value::Ranges),
            Value::Set(_) => self.set(name).map(Value::Set),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_by_name() {
        let resources = Resources::parse("cpus(prod):2;cpus:4.5;ports:[1-3];ports(x):[7-9];bananas:12", "*")
            .expect("parses");
        let text: Vec<_> =
            resources.summary().into_iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        expect_test::expect![[r#"
            cpus=Number(Scalar(6500))
            gpus=Number(Scalar(0))
            mem=Number(Scalar(0))
            disk=Number(Scalar(0))
            bananas=Number(Scalar(12000))
            ports=Text("[1-3, 7-9]")"#]]
        .assert_eq(&text.join("\n"));
    }
}
