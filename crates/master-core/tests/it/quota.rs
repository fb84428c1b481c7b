//! UPDATE_QUOTA in short: `eng=cpus:1;mem:2<cpus:4`.

use master_core::OperatorCall;
use proto::mesos::v1;
use proto::mesos::v1::master::call;
use proto::mesos::v1::quota::QuotaConfig;

/// The call of words `ROLE=GUARANTEE<LIMIT`, either side of which may be empty.
pub(crate) fn update(words: &[&str]) -> OperatorCall {
    let amounts = |text: &str| {
        let pairs = text.split(';').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once(':').expect("a pair");
            (name.to_owned(), v1::value::Scalar { value: value.parse().expect("a number") })
        });
        pairs.collect()
    };
    let config = |(role, quota): (&str, &str)| {
        let (guarantee, limit) = quota.split_once('<').unwrap_or((quota, ""));
        QuotaConfig { role: role.to_owned(), guarantees: amounts(guarantee), limits: amounts(limit) }
    };
    let configs = words.iter().filter_map(|word| word.split_once('=')).map(config);
    OperatorCall::UpdateQuota(call::UpdateQuota {
        force: words.contains(&"force").then_some(true),
        quota_configs: configs.collect(),
    })
}
