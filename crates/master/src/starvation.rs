//! What the flags say of large tasks, which would wait for ever beside many small ones,
//! and of short tasks, which would wait beside long ones.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use master_core::ShortTasks;
use resources::Quantities;
use types::{Role, check_role};

use crate::MasterFlags;

/// Reads `--min_offer_size`: `role=quantities`, divided by commas.
pub(crate) fn min_offers(text: &str) -> anyhow::Result<BTreeMap<Role, Quantities>> {
    let mut all = BTreeMap::new();
    for token in text.split(',').map(str::trim).filter(|token| !token.is_empty()) {
        min_offer(token, &mut all).with_context(|| format!("Invalid minimum offer size: '{token}'"))?;
    }
    Ok(all)
}

fn min_offer(token: &str, all: &mut BTreeMap<Role, Quantities>) -> anyhow::Result<()> {
    let Some((role, size)) = token.split_once('=') else {
        bail!("--min_offer_size should be of the form 'role=cpus:8;mem:4096,role=gpus:4'");
    };
    check_role(role).map_err(anyhow::Error::msg)?;
    let size = Quantities::parse(size)?;
    if size.is_empty() {
        bail!("It is of nothing");
    }
    if all.insert(Role::from(role), size).is_some() {
        bail!("The role has one already");
    }
    Ok(())
}

/// Reads `--short_task_share` and `--short_task_roles`: `role=duration`, divided by commas.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage is from 0 to 100")]
pub(crate) fn short_tasks(flags: &MasterFlags) -> anyhow::Result<ShortTasks> {
    let permille = (flags.short_task_share.0 * 10.0).round() as u32;
    let mut bounds = BTreeMap::new();
    let roles = flags.short_task_roles.as_deref().unwrap_or_default();
    for token in roles.split(',').map(str::trim).filter(|token| !token.is_empty()) {
        short_role(token, &mut bounds).with_context(|| format!("Invalid role of short tasks: '{token}'"))?;
    }
    match (permille, bounds.is_empty()) {
        (0, false) => bail!("--short_task_roles is of no use without --short_task_share"),
        (1.., true) => bail!("--short_task_share needs --short_task_roles"),
        (0, true) | (1.., false) => Ok(ShortTasks { permille, bounds }),
    }
}

fn short_role(token: &str, bounds: &mut BTreeMap<Role, Duration>) -> anyhow::Result<()> {
    let Some((role, bound)) = token.split_once('=') else {
        bail!("--short_task_roles should be of the form 'role=5mins,role=1hrs'");
    };
    check_role(role).map_err(anyhow::Error::msg)?;
    let bound = bound.parse::<flags::Duration>().map_err(anyhow::Error::msg)?.to_std();
    if bound.is_zero() {
        bail!("No task can be that short");
    }
    if bounds.insert(Role::from(role), bound).is_some() {
        bail!("The role is there twice");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use flags::FlagSet as _;

    use super::*;

    fn short(set: &[(&str, &str)]) -> Result<ShortTasks, String> {
        let mut flags = MasterFlags::default();
        for (name, value) in set {
            flags.set(name, value, None).expect("a flag");
        }
        short_tasks(&flags).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_share_is_for_roles_of_short_tasks() {
        assert_eq!(short(&[]), Ok(ShortTasks::default()));
        let read = short(&[("short_task_share", "12.5%"), ("short_task_roles", "quick=5mins, ci/x=30secs")]);
        let bounds = [("quick".into(), Duration::from_secs(300)), ("ci/x".into(), Duration::from_secs(30))];
        assert_eq!(read, Ok(ShortTasks { permille: 125, bounds: bounds.into() }));
        for (set, why) in [
            (vec![("short_task_share", "10%")], "--short_task_share needs --short_task_roles"),
            (
                vec![("short_task_roles", "a=1mins")],
                "--short_task_roles is of no use without --short_task_share",
            ),
            (
                vec![("short_task_share", "10%"), ("short_task_roles", "a")],
                "Invalid role of short tasks: 'a': --short_task_roles should be of the form 'role=5mins,role=1hrs'",
            ),
            (
                vec![("short_task_share", "10%"), ("short_task_roles", "a=1mins,a=2mins")],
                "Invalid role of short tasks: 'a=2mins': The role is there twice",
            ),
            (
                vec![("short_task_share", "10%"), ("short_task_roles", "a=0secs")],
                "Invalid role of short tasks: 'a=0secs': No task can be that short",
            ),
        ] {
            assert_eq!(short(&set).unwrap_err(), why);
        }
        for roles in ["a=1", "a=-1mins", "a//b=1mins", "=1mins"] {
            let why = short(&[("short_task_share", "10%"), ("short_task_roles", roles)]).unwrap_err();
            assert!(why.starts_with(&format!("Invalid role of short tasks: '{roles}': ")), "{why}");
        }
    }

    #[test]
    fn sizes_are_quantities_by_role() {
        assert!(min_offers("").unwrap().is_empty());
        let read = min_offers("prod=cpus:8;mem:16384, ml/x=gpus:4").unwrap();
        assert_eq!(read[&Role::from("prod")], Quantities::parse("cpus:8;mem:16384").unwrap());
        assert_eq!(read[&Role::from("ml/x")], Quantities::parse("gpus:4").unwrap());
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn others_are_refused_with_the_reason() {
        for (text, why) in [
            (
                "prod",
                "Invalid minimum offer size: 'prod': --min_offer_size should be of the form \
                 'role=cpus:8;mem:4096,role=gpus:4'",
            ),
            ("a=cpus:1,a=cpus:2", "Invalid minimum offer size: 'a=cpus:2': The role has one already"),
            ("a=", "Invalid minimum offer size: 'a=': It is of nothing"),
            ("a=cpus:0", "Invalid minimum offer size: 'a=cpus:0': It is of nothing"),
        ] {
            assert_eq!(format!("{:#}", min_offers(text).unwrap_err()), why);
        }
        for text in ["a=cpus", "a=cpus:-1", "a=cpus:NaN", "a=cpus:x", "a//b=cpus:1", "=cpus:1"] {
            let why = format!("{:#}", min_offers(text).unwrap_err());
            assert!(why.starts_with(&format!("Invalid minimum offer size: '{text}': ")), "{why}");
        }
    }
}
