//! `mesos weights`: what each role's share is worth.

use anyhow::{Context, bail};
use clap::Subcommand;
use proto::mesos::v1::WeightInfo;
use proto::mesos::v1::master::Call;
use proto::mesos::v1::master::call::{Type, UpdateWeights};

use crate::table::Table;
use crate::tool::{Cluster, print};

#[derive(Subcommand)]
pub(crate) enum WeightsVerb {
    /// Lists the roles that have a weight; all others have 1
    List(Cluster),
    /// Sets the weights of roles, and makes all offers anew
    Set {
        #[command(flatten)]
        cluster: Cluster,
        /// Twice the weight, twice the share
        #[arg(required = true, value_name = "ROLE=WEIGHT", value_parser = weight)]
        weights: Vec<WeightInfo>,
    },
}

/// Does what is asked.
pub(crate) async fn weights(verb: WeightsVerb) -> anyhow::Result<()> {
    match verb {
        WeightsVerb::List(cluster) => {
            let answer = cluster.operator().master(Type::GetWeights).await?;
            let mut table = Table::new(&["Role", "Weight"]);
            for info in answer.get_weights.unwrap_or_default().weight_infos {
                table.row(vec![info.role().to_owned(), info.weight.to_string()]);
            }
            print(&table.to_string())
        }
        WeightsVerb::Set { cluster, weights } => {
            let call = Call {
                r#type: Some(Type::UpdateWeights.into()),
                update_weights: Some(UpdateWeights { weight_infos: weights }),
                ..Call::default()
            };
            cluster.operator().change(&call).await
        }
    }
}

fn weight(text: &str) -> anyhow::Result<WeightInfo> {
    let (role, weight) = text.split_once('=').context("expecting ROLE=WEIGHT, such as prod=2")?;
    let weight: f64 = weight.parse().with_context(|| format!("'{weight}' is not a number"))?;
    if !(weight > 0.0 && weight.is_finite()) {
        bail!("weights must be positive");
    }
    Ok(WeightInfo { role: Some(role.to_owned()), weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_a_role_and_a_positive_number() {
        let info = weight("eng/back=2.5").unwrap();
        assert_eq!((info.role(), info.weight), ("eng/back", 2.5));
        for bad in ["eng", "eng=", "eng=x", "eng=0", "eng=-1", "eng=inf", "eng=nan"] {
            assert!(weight(bad).is_err(), "{bad}");
        }
    }
}
