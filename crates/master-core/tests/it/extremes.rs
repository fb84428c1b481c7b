//! Numbers that are none, and more of everything than anybody has: refused with words, or carried.

use master_core::OperatorCall;
use proto::mesos::v1;
use proto::mesos::v1::master::call;
use proto::mesos::v1::quota::QuotaConfig;
use resources::{Reservation, Resources};

use crate::world::World;

/// None of them is an amount of anything.
const BAD: [f64; 7] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -1.0, 1e-9];

fn cluster() -> World {
    let mut world = World::default();
    world.run("elect", "");
    world.run("agent", "1 cpus:4;mem:1024;disk:1000 feedback");
    world
}

/// What a call is answered.
fn answer(world: &mut World, call: OperatorCall) -> String {
    world.operator(call);
    let answer = world.said();
    world.master.assert_invariants();
    answer
}

#[test]
fn numbers_that_are_none_are_refused() {
    let mut world = cluster();
    let agent_id = v1::AgentId { value: "M-S0".to_owned() };
    let one = Resources::parse("cpus:1", "*").expect("parses");
    let one = one.push_reservation(&Reservation::dynamic("ops", None)).expect("refines nothing");
    for bad in BAD {
        let mut resources = one.to_protos();
        resources[0].scalar = Some(v1::value::Scalar { value: bad });
        let body = call::ReserveResources { agent_id: agent_id.clone(), resources, ..Default::default() };
        let said = answer(&mut world, OperatorCall::ReserveResources(body));
        assert!(said.contains(": 400 Resource 'cpus(reservations: [(DYNAMIC,ops)]):"), "{bad}: {said}");
        assert!(said.len() < 200, "{bad}: {said}");

        let weight_infos = vec![v1::WeightInfo { role: Some("dev".to_owned()), weight: bad }];
        let said = answer(&mut world, OperatorCall::UpdateWeights(call::UpdateWeights { weight_infos }));
        // A weight may be as small or as large as it likes, if it is a number above nothing.
        let is_weight = bad.is_finite() && bad > 0.0;
        assert_eq!(said.contains(": 200"), is_weight, "{bad}: {said}");

        let amounts: std::collections::BTreeMap<_, _> =
            [("cpus".to_owned(), v1::value::Scalar { value: bad })].into();
        let config = QuotaConfig {
            role: "dev".to_owned(),
            guarantees: amounts.clone().into_iter().collect(),
            limits: amounts.into_iter().collect(),
        };
        let update = call::UpdateQuota { force: Some(true), quota_configs: vec![config] };
        let said = answer(&mut world, OperatorCall::UpdateQuota(update));
        // What is less than a thousandth guarantees nothing, and limits to nothing.
        let refused = said.contains(": 400 Invalid QuotaConfig: ");
        assert_eq!(refused, bad != 1e-9, "{bad}: {said}");
        assert!(said.len() < 200, "{bad}: {said}");
    }
}

#[test]
fn a_framework_may_have_ten_thousand_roles() {
    let mut world = cluster();
    let roles: Vec<_> = (0..10_000).map(|at| format!(r#""r{at}""#)).collect();
    let info = |roles: &str| {
        format!(
            r#"{{"user":"u","name":"f","failover_timeout":60,"roles":[{roles}],"capabilities":[{{"type":"MULTI_ROLE"}}]}}"#
        )
    };
    let said = world.run("subscribe", &format!("1 {}", info(&roles.join(","))));
    assert_eq!(said.matches(r#""type":"OFFERS""#).count(), 1, "the agent is offered once");
    world.run("call", r#"1 {"type":"SUPPRESS"}"#);
    world.run("agent", "2 cpus:4;mem:1024");
    let said = world.run("call", r#"1 {"type":"REVIVE"}"#);
    assert_eq!(said.matches(r#""type":"OFFERS""#).count(), 1, "what came meanwhile is offered");
    let update = info(r#""r7""#).replace(r#""user""#, r#""id":{"value":"M-0000"},"user""#);
    let said = world.run(
        "call",
        &format!(r#"1 {{"type":"UPDATE_FRAMEWORK","update_framework":{{"framework_info":{update}}}}}"#),
    );
    assert!(said.contains(": 200"), "{said:.300}");
    assert_eq!(world.master.view().frameworks[0].info.roles, ["r7"]);
    world.run("teardown", "M-0000");
    assert!(world.master.view().roles.is_empty());
}

#[test]
fn a_role_fifty_levels_deep_has_offers_reservations_and_the_quota_of_its_top() {
    let mut world = cluster();
    let role = vec!["a"; 50].join("/");
    world.run("quota", "a=cpus:1<cpus:3");
    let info = format!(
        r#"1 {{"user":"u","name":"f","roles":["{role}"],"capabilities":[{{"type":"MULTI_ROLE"}},{{"type":"RESERVATION_REFINEMENT"}}]}}"#
    );
    let said = world.run("subscribe", &info);
    assert!(said.contains(r#""scalar":{"value":3.0}"#), "the limit of its top holds: {said}");
    let said = world.run("ops", &format!("1 O0 reserve=cpus:1@{role} launch=t,cpus:1@{role} refuse=0"));
    assert!(said.contains("ApplyOperationMessage") && said.contains("RunTaskMessage"), "{said}");
    let consumed = world.master.view().roles;
    assert!(consumed.keys().any(|known| known.as_str() == role), "{:?}", consumed.keys());
}
