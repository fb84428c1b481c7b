//! `mesos explain` against a live cluster: the reason it gives is the true one.

use std::time::Duration;

use e2e::{Cluster, Framework, Options, eventually, request};
use serde_json::Value;

fn id(framework: &Framework) -> &str {
    framework.id["value"].as_str().expect("an id")
}

#[test]
fn who_waits_hears_who_hoards() {
    let options = Options { agents: 2, ..Options::default() };
    let cluster = Cluster::start(&options).expect("a cluster");
    let mut hoarder = Framework::in_role(cluster.master.address, "hoarder", "prod");
    let mut seen = 0;
    while seen < 2 {
        let event = hoarder.stream.until("offers", |e| e["type"] == "OFFERS").expect("offers");
        seen += event["offers"]["offers"].as_array().expect("a list").len();
    }
    let poor = Framework::in_role(cluster.master.address, "poor", "eng/back");
    let explain = cluster.tool().verb("explain");
    let text = explain.prints(&["framework", id(&poor)]);
    assert!(text.contains("In role 'eng/back':"), "{text}");
    assert!(text.contains("for 2 of 2 agents"), "{text}");
    assert!(text.contains("all of the agent is in use or offered"), "{text}");
    assert!(text.contains(&format!("framework {} (hoarder) has the most", id(&hoarder))), "{text}");
    assert!(text.contains("2 offers unanswered"), "{text}");
    assert!(text.contains("Turn: it is next."), "{text}");

    // What the hoarder leaves goes to the other.
    drop(hoarder);
    eventually("the offers of the hoarder are free", Duration::from_secs(20), || {
        let json = explain.prints(&["framework", id(&poor), "--json"]);
        let answer: Value = serde_json::from_str(&json).expect("JSON");
        (answer["roles"][0]["agents_held"] == 2).then_some(())
    });
    let text = explain.prints(&["role", "eng"]);
    assert!(text.contains(&format!("{} (poor) in 'eng/back': is next", id(&poor))), "{text}");
}

#[test]
fn questions_about_nobody_are_refused() {
    let cluster = Cluster::start(&Options { agents: 0, ..Options::default() }).expect("a cluster");
    for (query, status, text) in [
        ("?framework=m-9", 404, "No framework 'm-9'"),
        ("?role=web", 404, "No framework is in role 'web' or below it, and nothing is allocated to it"),
        ("", 400, "Expecting one query parameter: 'framework=<id>' or 'role=<name>'"),
        ("?role=a&framework=b", 400, "Expecting one query parameter: 'framework=<id>' or 'role=<name>'"),
    ] {
        let answer = request(cluster.master.address, "GET", &format!("/explain{query}"), &[], b"");
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (status, text), "{query}");
    }
    cluster.tool().fails(&["explain", "framework", "m-9"], "No framework 'm-9'");
}
