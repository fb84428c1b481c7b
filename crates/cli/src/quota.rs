//! `mesos quota`: what roles are guaranteed, and the most they may have.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use proto::mesos::v1::master::call::{self, Type};
use proto::mesos::v1::master::{Call, response};
use proto::mesos::v1::quota::QuotaConfig;
use proto::mesos::v1::value::Scalar;

use crate::api::Operator;
use crate::reserve::of;
use crate::table::Table;
use crate::tool::{Cluster, print};

type Amounts = BTreeMap<String, Scalar>;

#[derive(Subcommand)]
pub(crate) enum QuotaVerb {
    /// Lists the roles that have quota
    List(Cluster),
    /// Shows what a role is guaranteed, may have at most, and has
    Get {
        #[command(flatten)]
        cluster: Cluster,
        /// The role
        role: String,
    },
    /// Sets what a role is guaranteed and may have at most, in place of what it was
    Set(Set),
    /// Ends a role's quota
    Remove {
        #[command(flatten)]
        cluster: Cluster,
        /// The role
        role: String,
    },
}

#[derive(Args)]
pub(crate) struct Set {
    #[command(flatten)]
    cluster: Cluster,
    /// The role, without slashes
    role: String,
    /// What is kept free for it, as in 'cpus:10;mem:4096'
    #[arg(long, value_name = "AMOUNTS", default_value = "")]
    guarantee: String,
    /// The most it may have, as in 'cpus:20'; without limit where none is named
    #[arg(long, value_name = "AMOUNTS", default_value = "")]
    limit: String,
    /// Even if the cluster has less, or the role has more already
    #[arg(long)]
    force: bool,
}

/// Does what the verb says.
pub(crate) async fn quota(verb: QuotaVerb) -> anyhow::Result<()> {
    match verb {
        QuotaVerb::List(cluster) => list(&cluster).await,
        QuotaVerb::Get { cluster, role } => get(&cluster, &role).await,
        QuotaVerb::Set(how) => set(how).await,
        QuotaVerb::Remove { cluster, role } => remove(&cluster, &role).await,
    }
}

async fn list(cluster: &Cluster) -> anyhow::Result<()> {
    let mut operator = cluster.operator();
    let configs = configs(&mut operator).await?;
    let consumed = consumed(&mut operator).await?;
    let mut table = Table::new(&["Role", "Guarantee", "Limit", "Consumed"]);
    for config in configs {
        let has = consumed.get(&config.role).cloned().unwrap_or_default();
        table.row(vec![config.role, text(&config.guarantees), text(&config.limits), text(&has)]);
    }
    print(&table.to_string())
}

async fn get(cluster: &Cluster, role: &str) -> anyhow::Result<()> {
    let mut operator = cluster.operator();
    let config = configs(&mut operator).await?.into_iter().find(|config| config.role == role);
    let Some(config) = config else { bail!("role '{role}' has no quota") };
    let has = consumed(&mut operator).await?.remove(role).unwrap_or_default();
    let mut table = Table::new(&["Resource", "Guarantee", "Limit", "Consumed"]);
    let mut names: Vec<&String> = config.guarantees.keys().chain(config.limits.keys()).collect();
    names.extend(has.keys());
    names.sort();
    names.dedup();
    for name in names {
        let amount = |of: &Amounts, none: &str| {
            of.get(name).map_or_else(|| none.to_owned(), |amount| amount.value.to_string())
        };
        table.row(vec![
            name.clone(),
            amount(&config.guarantees, "0"),
            amount(&config.limits, "none"),
            amount(&has, "0"),
        ]);
    }
    print(&table.to_string())
}

async fn set(how: Set) -> anyhow::Result<()> {
    let guarantees = amounts(&how.guarantee)?;
    let limits = amounts(&how.limit)?;
    if guarantees.is_empty() && limits.is_empty() {
        bail!("name a --guarantee or a --limit; 'mesos quota remove {}' ends a quota", how.role);
    }
    let config = QuotaConfig { role: how.role.clone(), guarantees, limits };
    change(&how.cluster, config, how.force).await?;
    print(&format!("Set the quota of role {}\n", how.role))
}

async fn remove(cluster: &Cluster, role: &str) -> anyhow::Result<()> {
    let mut operator = cluster.operator();
    if configs(&mut operator).await?.iter().all(|config| config.role != role) {
        bail!("role '{role}' has no quota");
    }
    // What others were guaranteed before does not stand in the way of giving something up.
    change(cluster, QuotaConfig { role: role.to_owned(), ..QuotaConfig::default() }, true).await?;
    print(&format!("Removed the quota of role {role}\n"))
}

async fn change(cluster: &Cluster, config: QuotaConfig, force: bool) -> anyhow::Result<()> {
    let body = call::UpdateQuota { force: Some(force), quota_configs: vec![config] };
    cluster.operator().change(&Call { update_quota: Some(body), ..of(Type::UpdateQuota) }).await
}

async fn configs(operator: &mut Operator) -> anyhow::Result<Vec<QuotaConfig>> {
    let answer: response::GetQuota =
        operator.master(Type::GetQuota).await?.get_quota.context("the master answered without quotas")?;
    Ok(answer.status.configs)
}

/// What each role has; only the v0 document tells it.
async fn consumed(operator: &mut Operator) -> anyhow::Result<BTreeMap<String, Amounts>> {
    let document = operator.document("/master/roles").await?;
    let document: serde_json::Value =
        serde_json::from_slice(&document).context("the master's list of roles is no JSON")?;
    let roles = document["roles"].as_array().cloned().unwrap_or_default();
    let of_role = |role: &serde_json::Value| {
        let consumed = role["quota"]["consumed"].as_object()?.iter();
        let amounts =
            consumed.filter_map(|(name, value)| Some((name.clone(), Scalar { value: value.as_f64()? })));
        Some((role["name"].as_str()?.to_owned(), amounts.collect()))
    };
    Ok(roles.iter().filter_map(of_role).collect())
}

/// Reads `cpus:10;mem:4096`. Nothing of a name is an amount too: a limit may be zero.
fn amounts(text: &str) -> anyhow::Result<Amounts> {
    let mut amounts = Amounts::new();
    for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let wrong = || format!("'{pair}' is no amount; write name:number, as in 'cpus:10;mem:4096'");
        let (name, number) = pair.split_once(':').with_context(wrong)?;
        let value: f64 = number.trim().parse().with_context(wrong)?;
        if amounts.insert(name.trim().to_owned(), Scalar { value }).is_some() {
            bail!("'{}' is named twice", name.trim());
        }
    }
    Ok(amounts)
}

fn text(amounts: &Amounts) -> String {
    let pairs: Vec<_> = amounts.iter().map(|(name, amount)| format!("{name}:{}", amount.value)).collect();
    pairs.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_zero() {
        let read = |text: &str| amounts(text).map(|amounts| super::text(&amounts)).map_err(|e| e.to_string());
        assert_eq!(read("mem:4096; cpus:0"), Ok("cpus:0; mem:4096".to_owned()));
        assert_eq!(read(""), Ok(String::new()));
        for bad in ["cpus", "cpus:", "cpus:ten"] {
            let why = format!("'{bad}' is no amount; write name:number, as in 'cpus:10;mem:4096'");
            assert_eq!(read(bad), Err(why));
        }
        assert_eq!(read("cpus:1;cpus:2"), Err("'cpus' is named twice".to_owned()));
    }
}
