//! `docker/runtime`: what a container takes from the image that it is made of.
//!
//! COMPAT(mesos): a user that the image names is not heeded. What a framework, or nobody, says of the user holds.

use proto::mesos::v1::CommandInfo;

use crate::plan::Refusal;

/// What an image says of processes in it. What it leaves out is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// The first words of the command.
    pub entrypoint: Vec<String>,
    /// The words after them, where nobody gives others.
    pub cmd: Vec<String>,
    /// Variables, as `NAME=value`.
    pub env: Vec<String>,
    /// Where the command begins.
    pub working_dir: Option<String>,
    /// Whom it runs as.
    pub user: Option<String>,
}

impl ImageConfig {
    /// The command as it is to be run, where the image has a say in it: where `command` has no value of its own, and is
    /// none for a shell. Its arguments then take the place of the image's.
    pub fn command(&self, command: &CommandInfo) -> Result<Option<CommandInfo>, Refusal> {
        let refused = |why: &str| Err(Refusal(format!("Failed to determine the launch command: {why}")));
        match (command.shell(), &command.value) {
            (true, None) => return refused("Shell specified but no command value provided"),
            (_, Some(_)) => return Ok(None),
            (false, None) => {}
        }
        let given = &command.arguments[..];
        let (own, usual) = match (&self.entrypoint[..], &self.cmd[..]) {
            ([], []) => return refused("No executable is found"),
            ([], [first, rest @ ..]) => (std::slice::from_ref(first), rest),
            (entrypoint, cmd) => (entrypoint, cmd),
        };
        let rest = if given.is_empty() { usual } else { given };
        Ok(Some(CommandInfo {
            value: own.first().cloned(),
            arguments: own.iter().chain(rest).cloned().collect(),
            ..command.clone()
        }))
    }

    /// The variables of the image. What has no name is left out, and the last of a name counts.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let pairs = self.env.iter().filter_map(|variable| variable.split_once('='));
        pairs
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// The whole environment: the image's variables go before what was `given`, but after what the `command` asks for.
    #[must_use]
    pub fn environment_over(
        &self,
        given: &[(String, String)],
        command: &CommandInfo,
    ) -> Vec<(String, String)> {
        let asked = command.environment.iter().flat_map(|environment| &environment.variables);
        let asked: Vec<&str> = asked.map(|variable| variable.name.as_str()).collect();
        let mut all = given.to_vec();
        for (name, value) in self.environment() {
            match all.iter_mut().find(|(known, _)| *known == name) {
                Some(_) if asked.contains(&name.as_str()) => {}
                Some(known) => known.1 = value,
                None => all.push((name, value)),
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use proto::mesos::v1::Environment;
    use proto::mesos::v1::environment::Variable;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn shown(config: &ImageConfig, shell: bool, value: Option<&str>, arguments: &str) -> String {
        let command = CommandInfo {
            shell: Some(shell),
            value: value.map(str::to_owned),
            arguments: words(arguments),
            ..CommandInfo::default()
        };
        match config.command(&command) {
            Ok(None) => "as given".to_owned(),
            Ok(Some(command)) => format!("{}: {}", command.value(), command.arguments.join(" ")),
            Err(Refusal(why)) => {
                why.strip_prefix("Failed to determine the launch command: ").unwrap().to_owned()
            }
        }
    }

    /// The table of Mesos: what is asked for, against images with neither, with `Cmd`, with `Entrypoint`, with both.
    #[test]
    fn commands_are_those_of_the_table() {
        let image = |entrypoint, cmd| ImageConfig {
            entrypoint: words(entrypoint),
            cmd: words(cmd),
            ..ImageConfig::default()
        };
        let images = [image("", ""), image("", "c d e"), image("a b", ""), image("a b", "c d e")];
        let check = |shell, value, arguments, expected: [&str; 4]| {
            let found = images.each_ref().map(|image| shown(image, shell, value, arguments));
            assert_eq!(found, expected, "shell {shell}, value {value:?}, arguments '{arguments}'");
        };
        let none = "No executable is found";
        let no_value = "Shell specified but no command value provided";
        let given = ["as given"; 4];
        check(false, None, "", [none, "c: c d e", "a: a b", "a: a b c d e"]);
        check(false, None, "x y", [none, "c: c x y", "a: a b x y", "a: a b x y"]);
        check(false, Some("v"), "", given);
        check(false, Some("v"), "x y", given);
        check(true, None, "", [no_value; 4]);
        check(true, None, "x y", [no_value; 4]);
        check(true, Some("v"), "", given);
        check(true, Some("v"), "x y", given);
    }

    #[test]
    fn variables_are_over_the_agents_and_under_the_commands() {
        let env = ["PATH=/image", "HOME=/a=b", "broken", "=x", "OWN=image", "TWICE=1", "TWICE=2", "EMPTY="];
        let config = ImageConfig { env: env.map(str::to_owned).to_vec(), ..ImageConfig::default() };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let given = [pair("PATH", "/agent"), pair("OWN", "asked"), pair("LEFT", "1")];
        let variable =
            Variable { name: "OWN".to_owned(), value: Some("asked".to_owned()), ..Variable::default() };
        let command = CommandInfo {
            environment: Some(Environment { variables: vec![variable] }),
            ..CommandInfo::default()
        };
        let all = config.environment_over(&given, &command);
        let expected = [
            pair("PATH", "/image"),
            pair("OWN", "asked"),
            pair("LEFT", "1"),
            pair("HOME", "/a=b"),
            pair("TWICE", "2"),
            pair("EMPTY", ""),
        ];
        assert_eq!(all, expected);
    }
}
