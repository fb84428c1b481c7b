//! The logger of containers' output, as `--container_logger` and `--modules` name it.
//!
//! There are no modules to be loaded. The one that rotates files is built in, under its name and with its parameters, so
//! that the flags of a Mesos agent go on working.

use std::fs;

use anyhow::{Context as _, bail};
use containerizer::io::Logger;
use serde_json::Value;

use crate::flags::AgentFlags;

/// The name of the module whose place ours takes.
const LOGROTATE: &str = "org_apache_mesos_LogrotateContainerLogger";

/// A module that the flags name.
struct Module {
    name: String,
    parameters: Vec<(String, String)>,
}

/// The rotating logger if the flags ask for it; none for plain files in the sandbox.
pub(crate) fn from_flags(flags: &AgentFlags) -> anyhow::Result<Option<Logger>> {
    let modules = modules(flags).context("Error loading modules")?;
    for module in modules.iter().filter(|module| module.name != LOGROTATE) {
        tracing::warn!(module = module.name, "this agent cannot load modules; only {LOGROTATE} is built in");
    }
    let Some(wanted) = &flags.container_logger else { return Ok(None) };
    if wanted != LOGROTATE {
        bail!(
            "Failed to create container logger: Module '{wanted}' unknown: the built-in one is '{LOGROTATE}'"
        );
    }
    let mut logger = Logger::default();
    let given = modules.into_iter().filter(|module| module.name == LOGROTATE);
    for (name, value) in given.flat_map(|module| module.parameters) {
        logger
            .set(&name, &value)
            .map_err(|why| anyhow::anyhow!("Failed to parse parameters: {why}"))
            .with_context(|| format!("Failed to create container logger: module '{LOGROTATE}'"))?;
    }
    Ok(Some(logger))
}

/// All modules that `--modules`, or the files of `--modules_dir` in the order of their names, are about.
fn modules(flags: &AgentFlags) -> anyhow::Result<Vec<Module>> {
    let mut found = Vec::new();
    match (&flags.modules, &flags.modules_dir) {
        (Some(_), Some(_)) => bail!("Only one of --modules or --modules_dir should be specified"),
        (Some(json), None) => read(&json.0, &mut found).context("Failed to parse --modules")?,
        (None, Some(directory)) => {
            let failed = || format!("Failed to read --modules_dir={directory}");
            let entries = fs::read_dir(directory).with_context(failed)?;
            let mut paths = entries
                .map(|entry| Ok(entry?.path()))
                .collect::<std::io::Result<Vec<_>>>()
                .with_context(failed)?;
            paths.sort();
            for path in paths {
                let text = fs::read_to_string(&path);
                let text = text.with_context(|| format!("Failed to read '{}'", path.display()))?;
                read(&text, &mut found).with_context(|| format!("Failed to parse '{}'", path.display()))?;
            }
        }
        (None, None) => {}
    }
    Ok(found)
}

/// Reads `{"libraries": [{"file": .., "modules": [{"name": .., "parameters": [{"key": .., "value": ..}]}]}]}`.
fn read(json: &str, found: &mut Vec<Module>) -> anyhow::Result<()> {
    let document: Value = serde_json::from_str(json)?;
    for library in list(&document, "libraries") {
        for module in list(library, "modules") {
            let name = text(module, "name")?;
            let parameter = |it: &Value| Ok((text(it, "key")?, text(it, "value")?));
            let parameters = list(module, "parameters").iter().map(parameter);
            found.push(Module { name, parameters: parameters.collect::<anyhow::Result<_>>()? });
        }
    }
    Ok(())
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value, name: &str) -> anyhow::Result<String> {
    value[name].as_str().map(str::to_owned).with_context(|| format!("'{name}' is missing or is no text"))
}

#[cfg(test)]
mod tests {
    use flags::FlagSet as _;

    use super::*;

    fn check(given: &[(&str, &str)], expected: Result<bool, &str>) {
        let mut flags = AgentFlags::default();
        for (name, value) in given {
            flags.set(name, value, None).unwrap();
        }
        let logger = from_flags(&flags).map(|logger| logger.is_some()).map_err(|error| format!("{error:#}"));
        match (logger, expected) {
            (Ok(some), expected) => assert_eq!(Ok(some), expected, "{given:?}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            (Err(error), Ok(_)) => panic!("{given:?}: {error}"),
        }
    }

    #[test]
    fn the_flags_of_mesos_name_the_built_in_logger() {
        let modules = |name: &str, key: &str| {
            format!(
                r#"{{"libraries":[{{"file":"/usr/lib/liblogrotate_container_logger.so","modules":[{{"name":"{name}",
                   "parameters":[{{"key":"{key}","value":"5MB"}}]}}]}}]}}"#
            )
        };
        let usual = modules(LOGROTATE, "max_stdout_size");
        check(&[], Ok(false));
        check(&[("container_logger", LOGROTATE)], Ok(true));
        check(&[("modules", &usual)], Ok(false));
        check(&[("modules", &usual), ("container_logger", LOGROTATE)], Ok(true));
        check(&[("modules", &modules("other", "x")), ("container_logger", LOGROTATE)], Ok(true));
        check(&[("container_logger", "com_example_Logger")], Err("Module 'com_example_Logger' unknown"));
        let wrong = modules(LOGROTATE, "max_size");
        check(&[("modules", &wrong), ("container_logger", LOGROTATE)], Err("unknown flag 'max_size'"));
        let nameless = r#"{"libraries":[{"modules":[{}]}]}"#;
        check(&[("modules", nameless)], Err("'name' is missing"));
        check(&[("modules", &usual), ("modules_dir", "/x")], Err("Only one of"));
        check(&[("modules_dir", "/no/such")], Err("Failed to read --modules_dir=/no/such"));
    }
}
