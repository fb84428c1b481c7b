//! `linux/seccomp`: which system calls a container can make.

use seccomp::Profile;

use crate::facts::Facts;
use crate::plan::{Plan, Refusal};
use proto::mesos::v1::ContainerInfo;

/// The profile that a container asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeccompChoice {
    /// It says nothing, and gets the agent's, if there is one.
    Default,
    /// It wants none.
    Unconfined,
    /// A file below `--seccomp_config_dir`.
    Named(String),
}

impl SeccompChoice {
    /// What a container's information says.
    pub fn of(info: Option<&ContainerInfo>) -> Result<Self, Refusal> {
        let Some(asked) = info.and_then(|info| info.linux_info.as_ref()?.seccomp.as_ref()) else {
            return Ok(Self::Default);
        };
        let refuse = |message: &str| Err(Refusal(message.to_owned()));
        match (asked.unconfined(), &asked.profile_name) {
            (true, None) => Ok(Self::Unconfined),
            (true, Some(_)) => refuse(
                "Invalid Seccomp configuration: 'profile_name' given even though 'unconfined' Seccomp setting is enabled",
            ),
            (false, Some(name)) if leaves(name) => {
                Err(Refusal(format!("The Seccomp profile '{name}' is not below --seccomp_config_dir")))
            }
            (false, Some(name)) => Ok(Self::Named(name.clone())),
            (false, None) => refuse("Missing Seccomp profile name"),
        }
    }
}

/// Whether a name is that of a file elsewhere. Mesos reads it; what a framework names is nobody's to read.
fn leaves(name: &str) -> bool {
    name.is_empty() || name.starts_with('/') || name.split('/').any(|part| part == "..")
}

pub(crate) fn prepare(profile: Option<&Profile>, facts: &Facts, plan: &mut Plan) -> Result<(), Refusal> {
    let Some(profile) = profile else { return Ok(()) };
    let privileges = &mut plan.process.privileges;
    // COMPAT(mesos): what a rule says of capabilities is about the most that the container can have.
    let bounding =
        privileges.capabilities.map_or(facts.bounding, |granted| granted.bounding.and(facts.bounding));
    let program = profile.compile(bounding);
    let program = program.map_err(|error| Refusal(format!("Failed to create Seccomp filter: {error}")))?;
    privileges.seccomp = Some(program);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proto::mesos::v1::{LinuxInfo, SeccompInfo};

    use super::*;

    fn check(name: Option<&str>, unconfined: Option<bool>, expected: Result<SeccompChoice, &str>) {
        let seccomp = Some(SeccompInfo { profile_name: name.map(str::to_owned), unconfined });
        let linux_info = Some(LinuxInfo { seccomp, ..LinuxInfo::default() });
        let info = ContainerInfo { linux_info, ..ContainerInfo::default() };
        let choice = SeccompChoice::of(Some(&info)).map_err(|refusal| refusal.to_string());
        assert_eq!(choice, expected.map_err(str::to_owned));
    }

    #[test]
    fn containers_choose() {
        assert_eq!(SeccompChoice::of(None), Ok(SeccompChoice::Default));
        check(Some("strict.json"), None, Ok(SeccompChoice::Named("strict.json".to_owned())));
        check(Some("web/a.json"), Some(false), Ok(SeccompChoice::Named("web/a.json".to_owned())));
        check(None, Some(true), Ok(SeccompChoice::Unconfined));
        check(None, None, Err("Missing Seccomp profile name"));
        check(
            Some("a"),
            Some(true),
            Err(
                "Invalid Seccomp configuration: 'profile_name' given even though 'unconfined' Seccomp setting is enabled",
            ),
        );
        for name in ["../a", "/etc/a", "a/../../b", ""] {
            check(
                Some(name),
                None,
                Err(&format!("The Seccomp profile '{name}' is not below --seccomp_config_dir")),
            );
        }
    }
}
