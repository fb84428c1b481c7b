//! The `--help` text: flags by group, names first, help texts wrapped below.

use crate::spec::Spec;

/// Columns of the help text.
const WIDTH: usize = 100;
const INDENT: &str = "      ";

/// The whole text, with the usage line on top.
pub(crate) fn usage<'a>(program: &str, specs: impl Iterator<Item = &'a Spec>) -> String {
    let specs: Vec<&Spec> = specs.collect();
    let mut groups: Vec<&str> = Vec::new();
    for spec in &specs {
        if !groups.contains(&spec.group) {
            groups.push(spec.group);
        }
    }
    let mut text = format!(
        "Usage: {program} [options]\n\n\
         Each option may also be set in the environment: MESOS_ and its name in capitals. A value of the\n\
         form file:///path is read from that file. Dashes may be written for underscores.\n\n  \
         --help\n{INDENT}Print this text and exit.\n"
    );
    for group in groups {
        text.push_str(&format!("\n{group}:\n"));
        let mut named: Vec<&&Spec> = Vec::new();
        for spec in specs.iter().filter(|spec| spec.group == group) {
            // A program of several sets may have a flag more than once.
            if !named.iter().any(|other| other.name == spec.name) {
                named.push(spec);
            }
        }
        named.iter().for_each(|spec| one(&mut text, spec));
    }
    text
}

fn one(text: &mut String, spec: &Spec) {
    let name = spec.name;
    match (spec.boolean, spec.choices) {
        (true, _) => text.push_str(&format!("  --[no-]{name}")),
        (false, []) => text.push_str(&format!("  --{name}=VALUE")),
        (false, choices) => text.push_str(&format!("  --{name}={}", choices.join("|"))),
    }
    if let Some(default) = spec.default {
        text.push_str(&format!("  (default: {})", if default.is_empty() { "\"\"" } else { default }));
    }
    if spec.required {
        text.push_str("  (required)");
    }
    text.push('\n');
    let mut words: Vec<String> = Vec::new();
    words.extend(spec.help.iter().flat_map(|line| line.split_whitespace()).map(str::to_owned));
    if let Some(alias) = spec.alias {
        words.extend(format!("Old name: --{alias}.").split_whitespace().map(str::to_owned));
    }
    if spec.guards {
        words.extend("[not there yet: a start with it is refused]".split_whitespace().map(str::to_owned));
    }
    if spec.pending {
        words.extend("[accepted, not effective yet]".split_whitespace().map(str::to_owned));
    }
    wrap(text, &words);
}

fn wrap(text: &mut String, words: &[String]) {
    let mut line = String::from(INDENT);
    for word in words {
        if line.len() + 1 + word.len() > WIDTH && line.len() > INDENT.len() {
            text.push_str(line.trim_end());
            text.push('\n');
            line = String::from(INDENT);
        }
        if line.len() > INDENT.len() {
            line.push(' ');
        }
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
