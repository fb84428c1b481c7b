//! Reading flags: command line over environment over defaults, with the words Mesos uses when it refuses.

use crate::help;
use crate::spec::{FlagSet, Spec};
use crate::value::Fetch;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What to do with a `--flag` that no set knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Refuse it, as the daemons do.
    Refuse,
    /// Leave it to someone else.
    Ignore,
}

/// Everything that flags are read from.
pub struct Input<'a> {
    /// The program's name, for the usage line.
    pub program: String,
    /// The arguments after the program's name.
    pub arguments: Vec<String>,
    /// The environment's variables.
    pub environment: Vec<(String, String)>,
    /// Which variables are flags; `None` looks at none.
    pub prefix: Option<&'a str>,
    /// Gives the text of a file, or says why not.
    pub read_file: &'a dyn Fn(&Path) -> Result<String, String>,
    /// What to do with unknown flags on the command line.
    pub unknown: Unknown,
}

impl Input<'static> {
    /// The arguments given, the environment and the file system of this process, with the prefix `MESOS_`.
    pub fn of_process(program: &str, arguments: Vec<String>) -> Self {
        Self {
            program: program.to_owned(),
            arguments,
            // A variable that is not text cannot be one of our flags.
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            prefix: Some("MESOS_"),
            read_file: &|path| std::fs::read_to_string(path).map_err(|error| error.to_string()),
            unknown: Unknown::Refuse,
        }
    }
}

/// What came of loading, beside the values in the sets.
#[derive(Debug, Default)]
pub struct Loaded {
    /// `--help` was given: print `help` and stop.
    pub help: Option<String>,
    /// To be logged once logging runs.
    pub warnings: Vec<String>,
    /// Arguments that are no flags, and everything after `--`.
    pub rest: Vec<String>,
    /// The names (of `Spec`) that were given on the command line or in the environment.
    pub given: BTreeSet<&'static str>,
}

/// Why flags were refused; `Display` is Mesos's message.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct LoadError {
    /// The message.
    pub message: String,
    /// The message, followed by the program's help text; what a program prints before it exits with 1.
    pub usage: String,
}

/// Reads flags into `sets`. A name that is in several sets (a program that holds a master and an agent) goes to all.
pub fn load(input: &Input<'_>, sets: &mut [&mut dyn FlagSet]) -> Result<Loaded, LoadError> {
    Loading { input, sets, loaded: Loaded::default() }.run().map_err(|message| {
        let usage = format!("{message}\n\n{}", usage(&input.program, sets));
        LoadError { message, usage }
    })
}

fn usage<'b, 'c>(program: &str, sets: &[&'b mut (dyn FlagSet + 'c)]) -> String {
    help::usage(program, sets.iter().flat_map(|set| set.specs()))
}

/// The `/flags` document: every flag that has a value, by name, in Mesos's text form.
pub fn document(sets: &[&dyn FlagSet]) -> BTreeMap<String, String> {
    let mut document = BTreeMap::from([("help".to_owned(), "false".to_owned())]);
    for set in sets {
        for spec in set.specs() {
            let value = set.print(spec.name);
            if spec.unlisted && value == set.print_default(spec.name) {
                continue;
            }
            if let Some(value) = value {
                document.insert(spec.name.to_owned(), value);
            }
        }
    }
    document
}

/// A flag as it was given: `no-` already taken off.
struct Given {
    /// The name as typed, in lower case.
    typed: String,
    /// The name with underscores.
    name: String,
    negated: bool,
    value: Option<String>,
}

impl Given {
    fn new(typed: &str, value: Option<String>) -> Self {
        let typed = typed.to_lowercase();
        let (negated, name) = match typed.strip_prefix("no-") {
            Some(name) => (true, name),
            None => (false, typed.as_str()),
        };
        Self { name: name.replace('-', "_"), negated, value, typed }
    }
}

struct Loading<'a, 'b, 'c> {
    input: &'a Input<'a>,
    sets: &'a mut [&'b mut (dyn FlagSet + 'c)],
    loaded: Loaded,
}

impl Loading<'_, '_, '_> {
    fn run(mut self) -> Result<Loaded, String> {
        let mut given = self.command_line();
        // COMPAT(mesos): Mesos goes through the flags by name, so that is the order of errors and warnings.
        given.sort_by(|a, b| a.name.cmp(&b.name));
        let mut loaded_as: BTreeMap<&'static str, String> = BTreeMap::new();
        for flag in &given {
            self.take(flag, &mut loaded_as)?;
        }
        for flag in self.environment() {
            let known = self.find(&flag.name).is_some_and(|spec| !loaded_as.contains_key(spec.name));
            if known {
                self.take(&flag, &mut loaded_as)?;
            }
        }
        if self.loaded.help.is_none() {
            self.check_required(&loaded_as)?;
        }
        self.warn_of_pending(&loaded_as);
        if self.loaded.help.is_none() {
            self.refuse_guards(&loaded_as)?;
        }
        self.loaded.given = loaded_as.into_keys().collect();
        Ok(self.loaded)
    }

    fn command_line(&mut self) -> Vec<Given> {
        let mut given = Vec::new();
        let mut arguments = self.input.arguments.iter();
        while let Some(argument) = arguments.next() {
            let argument = argument.trim();
            if argument == "--" {
                self.loaded.rest.extend(arguments.cloned());
                break;
            }
            let Some(flag) = argument.strip_prefix("--") else {
                self.loaded.rest.push(argument.to_owned());
                continue;
            };
            given.push(match flag.split_once('=') {
                Some((name, value)) => Given::new(name, Some(value.to_owned())),
                None => Given::new(flag, None),
            });
        }
        given
    }

    fn environment(&self) -> Vec<Given> {
        let Some(prefix) = self.input.prefix else { return Vec::new() };
        let mut given: Vec<Given> = self
            .input
            .environment
            .iter()
            .filter_map(|(name, value)| Some(Given::new(name.strip_prefix(prefix)?, Some(value.clone()))))
            .filter(|flag| flag.name != "help")
            .collect();
        given.sort_by(|a, b| a.name.cmp(&b.name));
        given
    }

    fn find(&self, name: &str) -> Option<&'static Spec> {
        self.sets
            .iter()
            .flat_map(|set| set.specs())
            .find(|spec| spec.name == name || spec.alias == Some(name))
    }

    fn take(&mut self, flag: &Given, loaded_as: &mut BTreeMap<&'static str, String>) -> Result<(), String> {
        let name = &flag.name;
        if name == "help" {
            if !flag.negated && flag.value.as_deref().is_none_or(|value| value != "false" && value != "0") {
                self.loaded.help = Some(usage(&self.input.program, self.sets));
            }
            return Ok(());
        }
        let Some(spec) = self.find(name) else {
            return match self.input.unknown {
                Unknown::Ignore => Ok(()),
                Unknown::Refuse if flag.negated => {
                    Err(format!("Failed to load unknown flag '{name}' via '{}'", flag.typed))
                }
                Unknown::Refuse => Err(format!("Failed to load unknown flag '{name}'")),
            };
        };
        if let Some(other) = loaded_as.get(spec.name) {
            return Err(format!("Flag '{name}' is already loaded via name '{other}'"));
        }
        let text = text_of(spec, flag)?;
        let contents =
            self.contents(spec, &text).map_err(|error| format!("Failed to load flag '{name}': {error}"))?;
        for set in self.sets.iter_mut().filter(|set| set.specs().iter().any(|s| s.name == spec.name)) {
            set.set(spec.name, &text, contents.as_deref()).map_err(|error| {
                format!("Failed to load flag '{name}': Failed to load value '{text}': {error}")
            })?;
        }
        check_rules(spec, contents.as_deref().unwrap_or(&text))?;
        if spec.alias == Some(name) {
            self.loaded
                .warnings
                .push(format!("Loaded deprecated flag '{name}'; its name is '{}' now", spec.name));
        }
        loaded_as.insert(spec.name, name.clone());
        Ok(())
    }

    /// The contents of the file that a value names, if it names one.
    fn contents(&mut self, spec: &Spec, text: &str) -> Result<Option<String>, String> {
        let path = match spec.fetch {
            Fetch::Never => None,
            Fetch::Contents => text.strip_prefix("file://"),
            Fetch::ContentsOfAnyPath if text.starts_with('/') => {
                self.loaded.warnings.push(format!(
                    "Flag '{}' names a file without 'file://' in front, which is deprecated: write 'file://{text}'",
                    spec.name
                ));
                Some(text)
            }
            Fetch::ContentsOfAnyPath => text.strip_prefix("file://"),
        };
        let Some(path) = path else { return Ok(None) };
        match (self.input.read_file)(Path::new(path)) {
            // A file ends with a newline that nobody means as part of the value.
            Ok(contents) => Ok(Some(contents.trim_end_matches(['\n', '\r']).to_owned())),
            Err(error) => Err(format!("Failed to load value '{text}': Error reading file '{path}': {error}")),
        }
    }

    fn check_required(&self, loaded_as: &BTreeMap<&'static str, String>) -> Result<(), String> {
        let mut specs = self.sets.iter().flat_map(|set| set.specs());
        match specs.find(|spec| spec.required && !loaded_as.contains_key(spec.name)) {
            Some(spec) => Err(format!("Flag '{}' is required, but it was not provided", spec.name)),
            None => Ok(()),
        }
    }

    /// Whoever asks for protection that is not there yet must not get an open daemon.
    fn refuse_guards(&self, loaded_as: &BTreeMap<&'static str, String>) -> Result<(), String> {
        for set in self.sets.iter() {
            for spec in set.specs().iter().filter(|spec| spec.guards && loaded_as.contains_key(spec.name)) {
                if set.print(spec.name) != set.print_default(spec.name) {
                    return Err(format!(
                        "Flag '{}' protects nothing yet; refusing to start unprotected. Leave it out to start all the same",
                        spec.name
                    ));
                }
            }
        }
        Ok(())
    }

    fn warn_of_pending(&mut self, loaded_as: &BTreeMap<&'static str, String>) {
        for set in self.sets.iter() {
            for spec in set.specs().iter().filter(|spec| spec.pending && loaded_as.contains_key(spec.name)) {
                if set.print(spec.name) != set.print_default(spec.name) {
                    self.loaded
                        .warnings
                        .push(format!("Flag '{}' is accepted but not effective yet", spec.name));
                }
            }
        }
        self.loaded.warnings.dedup();
    }
}

/// The text that a flag stands for, from the way it was written.
fn text_of(spec: &Spec, flag: &Given) -> Result<String, String> {
    let (name, typed) = (&flag.name, &flag.typed);
    match (&flag.value, spec.boolean, flag.negated) {
        (_, false, true) => Err(format!("Failed to load non-boolean flag '{name}' via '{typed}'")),
        (None, false, false) => Err(format!("Failed to load non-boolean flag '{name}': Missing value")),
        (Some(value), false, false) => Ok(value.clone()),
        (None, true, negated) => Ok((!negated).to_string()),
        (Some(value), true, negated) if value.is_empty() => Ok((!negated).to_string()),
        (Some(value), true, false) => Ok(value.clone()),
        (Some(value), true, true) => {
            Err(format!("Failed to load boolean flag '{name}' via '{typed}' with value '{value}'"))
        }
    }
}

fn check_rules(spec: &Spec, text: &str) -> Result<(), String> {
    if !spec.choices.is_empty() && !spec.choices.contains(&text) {
        let choices = spec.choices.join("', '");
        return Err(format!(
            "'{text}' is not a valid value of flag '{}'; it is one of '{choices}'",
            spec.name
        ));
    }
    match spec.rule {
        Some(rule) => rule(text),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
