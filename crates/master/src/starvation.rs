//! What the flags say of large tasks, which would wait for ever beside many small ones.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use resources::Quantities;
use types::{Role, check_role};

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

#[cfg(test)]
mod tests {
    use super::*;

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
