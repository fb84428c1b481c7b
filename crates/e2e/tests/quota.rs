//! Quota on a live cluster: by the tool, by `/quota` and by the v1 API, and what frameworks
//! are offered under it.

use e2e::{Cluster, Framework, Options, request};
use serde_json::{Value, json};

#[track_caller]
fn answers(cluster: &Cluster, method: &str, path: &str, body: &str, status: u16, text: &str) {
    let answer = request(cluster.master.address, method, path, &[], body.as_bytes()).expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (status, text), "{method} {path} {body}");
}

fn small() -> Options {
    Options { agents: 2, resources: "cpus:4;mem:2048;disk:100".to_owned(), ..Options::default() }
}

#[test]
fn the_tool_sets_and_shows_quota() {
    let cluster = Cluster::start(&small()).expect("a cluster");
    let quota = cluster.tool().verb("quota");
    let set = ["set", "eng", "--guarantee=cpus:2;mem:512", "--limit=cpus:4"];
    quota.does(&set, "Set the quota of role eng");
    quota.does(&["list"], "eng   cpus:2; mem:512  cpus:4");
    quota.does(&["get", "eng"], "mem");
    quota.fails(&["get", "web"], "role 'web' has no quota");
    quota.fails(&["set", "web"], "name a --guarantee or a --limit");
    quota.fails(&["set", "web", "--limit=cpus"], "'cpus' is no amount");
    quota.fails(&["set", "a/b", "--limit=cpus:1"], "nested role 'a/b' is not supported yet");
    let over = ["set", "web", "--guarantee=cpus:7"];
    quota.fails(
        &over,
        "total quota guarantees 'cpus:9; mem:512' exceed cluster capacity 'cpus:8; disk:200; mem:4096'",
    );
    quota.does(&[&over[..], &["--force"]].concat(), "Set the quota of role web");
    let roles = cluster.master.json("/roles");
    assert_eq!(
        roles["roles"][0]["quota"],
        json!({"role": "eng", "guarantee": {"cpus": 2.0, "mem": 512.0}, "limit": {"cpus": 4.0}, "consumed": {}})
    );
    let metrics = cluster.master.json("/metrics/snapshot");
    for (name, value) in [("cpus/guarantee", 2.0), ("cpus/limit", 4.0), ("mem/offered_or_allocated", 0.0)] {
        let key = format!("allocator/mesos/quota/roles/eng/resources/{name}");
        assert_eq!(metrics[&key], value, "{key}");
    }
    quota.does(&["remove", "eng"], "Removed the quota of role eng");
    quota.fails(&["remove", "eng"], "role 'eng' has no quota");
}

#[test]
fn the_v0_endpoint_sets_shows_and_removes() {
    let cluster = Cluster::start(&small()).expect("a cluster");
    let body = |role: &str, cpus: &str| {
        let scalar = format!(r#"{{"name":"cpus","type":"SCALAR","scalar":{{"value":{cpus}}}}}"#);
        format!(r#"{{"role":"{role}","guarantee":[{scalar}]}}"#)
    };
    answers(&cluster, "POST", "/quota", &body("eng", "3"), 200, "");
    let shown: Value = cluster.master.json("/quota");
    let cpus = json!({"name": "cpus", "type": "SCALAR", "scalar": {"value": 3.0}});
    assert_eq!(shown["infos"][0]["guarantee"][0]["scalar"], cpus["scalar"]);
    assert_eq!(shown["configs"][0]["limits"], json!({"cpus": {"value": 3.0}}));
    let refused = "Failed to validate set quota request: ";
    for (body, status, text) in [
        (body("eng", "1"), 400, format!("{refused}Cannot set quota for role 'eng' which already has quota")),
        (
            body("web", "1e30"),
            400,
            format!("{refused}QuotaInfo with invalid resource: Invalid scalar resource: value <= 0"),
        ),
        (
            body("web", "6"),
            409,
            "Quota guarantees overcommit the cluster (use 'force' to bypass this check): Total quota guarantees \
             'cpus:9' exceed cluster capacity 'cpus:8; disk:200; mem:4096'"
                .to_owned(),
        ),
    ] {
        let answer = request(cluster.master.address, "POST", "/quota", &[], body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert_eq!(answer.text(), text, "{body}");
    }
    for (body, begins) in [
        ("{ invalidJson }", "Failed to parse set quota request JSON '{ invalidJson }': "),
        (r#"{"role":7}"#, "Failed to validate set quota request JSON '{\"role\":7}': "),
    ] {
        let answer =
            request(cluster.master.address, "POST", "/quota", &[], body.as_bytes()).expect("an answer");
        assert!(answer.status == 400 && answer.text().starts_with(begins), "{body}: {}", answer.text());
    }
    let none = "Failed to remove quota for path '/master/quota/web': Role 'web' has no quota set";
    answers(&cluster, "DELETE", "/master/quota/web", "", 400, none);
    let none =
        "Failed to parse remove quota request for path '/master/quota': expected 3 tokens, found 2 tokens";
    answers(&cluster, "DELETE", "/quota", "", 400, none);
    answers(&cluster, "DELETE", "/quota/eng", "", 200, "");
    answers(&cluster, "GET", "/quota", "", 200, "{}");
}

#[test]
fn a_role_is_offered_no_more_than_its_limit() {
    let cluster = Cluster::start(&small()).expect("a cluster");
    let set = ["set", "eng", "--guarantee=cpus:5;mem:1024", "--limit=cpus:5;mem:3072"];
    cluster.tool().verb("quota").does(&set, "Set the quota of role eng");
    let subscribe = |role: &str| Framework::in_role(cluster.master.address, role, role);
    // Both agents come in one or two events; the amounts are what counts.
    let offered = |framework: &mut Framework, wanted: f64| {
        let mut cpus = 0.0;
        while cpus < wanted {
            let event = framework.stream.until("offers", |e| e["type"] == "OFFERS").expect("offers");
            let offers = event["offers"]["offers"].as_array().expect("a list").clone();
            let resources = offers.iter().flat_map(|offer| offer["resources"].as_array().expect("a list"));
            let of_cpus = resources.filter(|one| one["name"] == "cpus");
            cpus += of_cpus.map(|one| one["scalar"]["value"].as_f64().expect("a number")).sum::<f64>();
        }
        cpus
    };
    let mut other = subscribe("web");
    assert_eq!(offered(&mut other, 3.0), 3.0, "five of eight are kept");
    let mut able = subscribe("eng");
    assert_eq!(offered(&mut able, 5.0), 5.0, "what is kept is offered to the role");
}
