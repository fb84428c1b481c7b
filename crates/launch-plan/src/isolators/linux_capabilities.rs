//! `linux/capabilities`: what of root's power a container has, and what files it executes can bring it.

use proto::mesos::v1::CapabilityInfo;
use types::Capabilities;

use crate::facts::{Facts, Settings};
use crate::plan::{Container, Plan, Refusal};
use crate::security::Granted;

pub(crate) fn prepare(
    settings: &Settings,
    facts: &Facts,
    container: &Container<'_>,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let (effective, bounding) = asked(container)?;
    let security = &settings.security;
    if let (Some(requested), Some(allowed)) = (bounding, security.bounding)
        && !allowed.contains(requested)
    {
        return Err(Refusal(format!(
            "Bounding capabilities '{requested}', but only '{allowed}' are allowed"
        )));
    }
    let effective = effective.or(security.effective);
    let Some(bounding) = bounding.or(security.bounding).or(effective) else { return Ok(()) };
    if let Some(requested) = effective {
        if !bounding.contains(requested) {
            return Err(Refusal(format!(
                "Requested capabilities '{requested}', but only '{bounding}' are allowed"
            )));
        }
        // Nobody can give what he has not.
        let lacking = requested.without(facts.capabilities);
        if !lacking.is_empty() {
            return Err(Refusal(format!(
                "Requested capabilities '{requested}', but the agent itself does not have '{lacking}'"
            )));
        }
    }
    plan.process.privileges.capabilities = Some(Granted { effective, bounding });
    Ok(())
}

/// What the container says of itself: the effective and the bounding capabilities.
#[expect(deprecated, reason = "the field of old is still understood")]
fn asked(container: &Container<'_>) -> Result<(Option<Capabilities>, Option<Capabilities>), Refusal> {
    let Some(linux) = container.linux() else { return Ok((None, None)) };
    if linux.capability_info.is_some() && linux.effective_capabilities.is_some() {
        let message = "Only one of 'capability_info' or 'effective_capabilities' is allowed";
        return Err(Refusal(message.to_owned()));
    }
    let set = |info: Option<&CapabilityInfo>| {
        info.map(Capabilities::of).transpose().map_err(|error| Refusal(error.to_string()))
    };
    let effective = linux.effective_capabilities.as_ref().or(linux.capability_info.as_ref());
    Ok((set(effective)?, set(linux.bounding_capabilities.as_ref())?))
}

#[cfg(test)]
mod tests {
    use proto::mesos::v1::{ContainerInfo, LinuxInfo};
    use types::ContainerId;

    use super::*;
    use crate::isolation::Isolation;
    use crate::security::Security;

    /// Capabilities by their first letters: (C)HOWN, (K)ILL, (N)ET_RAW; `-` for an empty list.
    fn info(letters: &str) -> Option<CapabilityInfo> {
        let number = |letter| match letter {
            'C' => Some(1000),
            'K' => Some(1005),
            'N' => Some(1013),
            '?' => Some(7),
            _ => None,
        };
        (!letters.is_empty())
            .then(|| CapabilityInfo { capabilities: letters.chars().filter_map(number).collect() })
    }

    fn set(letters: &str) -> Option<Capabilities> {
        info(letters).map(|info| Capabilities::of(&info).unwrap())
    }

    /// The agent has CHOWN and KILL itself. Both pairs are effective and bounding: of the flags, and of the container.
    fn check(flags: (&str, &str), asked: (&str, &str), expected: Result<Option<(&str, &str)>, &str>) {
        let security = Security { effective: set(flags.0), bounding: set(flags.1), ..Security::default() };
        let settings = Settings { security, ..Settings::new(Isolation::posix()) };
        let facts = Facts { capabilities: set("CK").unwrap(), ..Facts::default() };
        let linux_info = Some(LinuxInfo {
            effective_capabilities: info(asked.0),
            bounding_capabilities: info(asked.1),
            ..LinuxInfo::default()
        });
        let info = ContainerInfo { linux_info, ..ContainerInfo::default() };
        let id = ContainerId::root("c");
        let mut plan = Plan::default();
        let outcome = prepare(&settings, &facts, &Container::plain(&id, Some(&info)), &mut plan);
        let granted = outcome.map(|()| plan.process.privileges.capabilities).map_err(|refusal| refusal.0);
        let expected = expected.map_err(str::to_owned).map(|granted| {
            granted.map(|(effective, bounding)| Granted {
                effective: set(effective),
                bounding: set(bounding).unwrap(),
            })
        });
        assert_eq!(granted, expected, "{flags:?} {asked:?}");
    }

    #[test]
    fn who_decides_what_a_container_has() {
        check(("", ""), ("", ""), Ok(None));
        check(("", ""), ("C", ""), Ok(Some(("C", "C"))));
        check(("", ""), ("", "C"), Ok(Some(("", "C"))));
        check(("", ""), ("-", ""), Ok(Some(("-", "-"))));
        check(("", ""), ("C", "CN"), Ok(Some(("C", "CN"))));
        check(("K", ""), ("", ""), Ok(Some(("K", "K"))));
        check(("K", "CK"), ("", ""), Ok(Some(("K", "CK"))));
        check(("K", "CK"), ("C", ""), Ok(Some(("C", "CK"))));
        check(("K", "CK"), ("-", "-"), Ok(Some(("-", "-"))));
        check(("", "CK"), ("", ""), Ok(Some(("", "CK"))));
        check(("", "CK"), ("", "C"), Ok(Some(("", "C"))));
    }

    #[test]
    fn what_cannot_be_given_is_refused() {
        check(
            ("", "C"),
            ("K", ""),
            Err("Requested capabilities '{ KILL }', but only '{ CHOWN }' are allowed"),
        );
        check(
            ("", "C"),
            ("", "CK"),
            Err("Bounding capabilities '{ CHOWN, KILL }', but only '{ CHOWN }' are allowed"),
        );
        // COMPAT(mesos): the agent's own choice has to fit into what the container leaves itself.
        check(
            ("K", "CK"),
            ("", "C"),
            Err("Requested capabilities '{ KILL }', but only '{ CHOWN }' are allowed"),
        );
        check(
            ("", ""),
            ("CN", ""),
            Err(
                "Requested capabilities '{ CHOWN, NET_RAW }', but the agent itself does not have '{ NET_RAW }'",
            ),
        );
        check(("", ""), ("?", ""), Err("Unknown capability 7"));
    }
}
