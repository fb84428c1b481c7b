//! What the flags say of the order in which roles and frameworks come.

use std::collections::BTreeMap;

use anyhow::bail;
use master_core::{Policy, Sorter};
use types::{Role, check_role};

use crate::MasterFlags;

/// The policy of the allocator. Refuses what is unknown or of no effect.
pub(crate) fn of_flags(flags: &MasterFlags) -> anyhow::Result<Policy> {
    let priorities = match (flags.allocator.as_str(), &flags.role_priorities) {
        // The second is what Mesos called it once.
        ("hierarchical" | "HierarchicalDRF", None) => BTreeMap::new(),
        ("hierarchical" | "HierarchicalDRF", Some(_)) => {
            bail!("--role_priorities is of no use without --allocator=priority")
        }
        ("priority", Some(text)) => priorities(text)?,
        ("priority", None) => bail!("--allocator=priority needs --role_priorities"),
        (other, _) => bail!(
            "Failed to create allocator '{other}': there are 'hierarchical' and 'priority', and no modules"
        ),
    };
    Ok(Policy {
        role_sorter: sorter("role_sorter", &flags.role_sorter)?,
        framework_sorter: sorter("framework_sorter", &flags.framework_sorter)?,
        priorities,
    })
}

fn sorter(flag: &str, name: &str) -> anyhow::Result<Sorter> {
    match name {
        "drf" => Ok(Sorter::Drf),
        "random" => Ok(Sorter::Random),
        _ => bail!("Invalid value '{name}' for --{flag}: there are 'drf' and 'random'"),
    }
}

fn priorities(text: &str) -> anyhow::Result<BTreeMap<Role, u32>> {
    let mut priorities = BTreeMap::new();
    for token in text.split(',').map(str::trim).filter(|token| !token.is_empty()) {
        let Some((role, priority)) = token.split_once('=') else {
            bail!(
                "Invalid priority: '{token}'. --role_priorities should be of the form 'role=priority,role=priority'"
            );
        };
        if let Err(why) = check_role(role) {
            bail!("Invalid priority: '{token}'. {why}");
        }
        let Ok(priority) = priority.parse() else {
            bail!("Invalid priority: '{token}'. Priorities are whole numbers from 0 to {}", u32::MAX);
        };
        if priorities.insert(Role::from(role), priority).is_some() {
            bail!("Invalid priority: '{token}'. The role has one already");
        }
    }
    Ok(priorities)
}

#[cfg(test)]
mod tests {
    use flags::FlagSet as _;

    use super::*;

    fn policy(set: &[(&str, &str)]) -> Result<Policy, String> {
        let mut flags = MasterFlags::default();
        for (name, value) in set {
            flags.set(name, value, None).expect("a flag");
        }
        of_flags(&flags).map_err(|error| error.to_string())
    }

    #[test]
    fn known_policies_are_taken() {
        assert!(policy(&[]).unwrap().priorities.is_empty());
        assert_eq!(policy(&[("role_sorter", "random")]).unwrap().role_sorter, Sorter::Random);
        let strict = policy(&[("allocator", "priority"), ("role_priorities", "prod=10, dev/x=0")]).unwrap();
        assert_eq!(strict.priorities, BTreeMap::from([("prod".into(), 10), ("dev/x".into(), 0)]));
    }

    #[test]
    fn others_are_refused_at_the_start() {
        for (set, why) in [
            (
                vec![("allocator", "org_module")],
                "Failed to create allocator 'org_module': there are 'hierarchical' and 'priority', and no modules",
            ),
            (vec![("allocator", "priority")], "--allocator=priority needs --role_priorities"),
            (vec![("role_priorities", "a=1")], "--role_priorities is of no use without --allocator=priority"),
            (
                vec![("framework_sorter", "fifo")],
                "Invalid value 'fifo' for --framework_sorter: there are 'drf' and 'random'",
            ),
            (
                vec![("allocator", "priority"), ("role_priorities", "a")],
                "Invalid priority: 'a'. --role_priorities should be of the form 'role=priority,role=priority'",
            ),
            (
                vec![("allocator", "priority"), ("role_priorities", "a=-1")],
                "Invalid priority: 'a=-1'. Priorities are whole numbers from 0 to 4294967295",
            ),
            (
                vec![("allocator", "priority"), ("role_priorities", "a=1,a=2")],
                "Invalid priority: 'a=2'. The role has one already",
            ),
        ] {
            assert_eq!(policy(&set).unwrap_err(), why);
        }
    }
}
