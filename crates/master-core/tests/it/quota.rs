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

#[cfg(test)]
mod tests {
    use crate::world::World;

    fn cluster() -> World {
        let mut world = World::default();
        world.run("elect", "");
        for agent in 1..20 {
            world.run("agent", &format!("{agent} cpus:1000;mem:2048"));
        }
        world
    }

    /// However many roles one call changes, it is one change of the registry, and all of
    /// it or nothing.
    #[test]
    fn thousands_of_roles_change_at_once() {
        let mut world = cluster();
        let many: Vec<String> = (0..10_000).map(|at| format!("role-{at}=cpus:1<cpus:2")).collect();
        let answer = world.run("quota", &many.join(" "));
        assert!(answer.starts_with("registry 20: update quota of role-0, role-1, "), "{answer:.80}");
        assert!(answer.ends_with("\nreply 1: 200\n"), "{answer}");
        let spoilt = [&many[..100], &["a/b=cpus:1".to_owned()]].concat();
        let answer = world.run("quota", &spoilt.join(" "));
        assert_eq!(answer, "reply 2: 400 Updating quota on nested role 'a/b' is not supported yet\n");
        let over: Vec<String> = (0..100).map(|at| format!("role-{at}=cpus:200")).collect();
        let answer = world.run("quota", &over.join(" "));
        assert!(
            answer.starts_with(
                "reply 3: 400 Invalid QuotaConfig: total quota guarantees 'cpus:29900' exceed cluster capacity \
                 'cpus:19000; mem:38912'"
            ),
            "{answer}"
        );
        let none: Vec<String> = (0..10_000).map(|at| format!("role-{at}=")).collect();
        assert!(world.run("quota", &none.join(" ")).ends_with("\nreply 4: 200\n"));
        world.master.assert_invariants();
    }
}
