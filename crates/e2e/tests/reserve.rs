//! Operators reserve resources and make volumes: by the tool, by v0 forms and by the v1
//! API, all on one live cluster.

use e2e::{Cluster, Options, request};
use serde_json::{Value, json};

fn agent(cluster: &Cluster) -> Value {
    cluster.master.json("/slaves")["slaves"][0].clone()
}

#[track_caller]
fn form(cluster: &Cluster, path: &str, body: &str, status: u16, text: &str) {
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = request(cluster.master.address, "POST", path, &kind, body.as_bytes()).expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (status, text), "{path} {body}");
}

#[test]
fn the_tool_reserves_and_makes_volumes() {
    let cluster = Cluster::start(&Options::default()).expect("a cluster");
    let id = agent(&cluster)["id"].as_str().expect("an id").to_owned();
    let tool = cluster.tool();
    // The agent is found by its id, by a part of it and by its hostname.
    tool.does(&["reserve", &id, "cpus:1;disk:200", "--role=ops", "--principal=me"], "Reserved cpus(");
    let shown = agent(&cluster);
    assert_eq!(shown["reserved_resources"]["ops"]["cpus"], 1.0);
    assert_eq!(shown["reserved_resources"]["ops"]["disk"], 200.0);
    assert_eq!(shown["unreserved_resources"]["disk"], 10_040.0);
    let full = shown["reserved_resources_full"]["ops"].as_array().expect("a list");
    let principals: Vec<_> = full.iter().map(|one| &one["reservations"][0]["principal"]).collect();
    assert_eq!(principals, ["me", "me"], "{full:?}");

    let refine = ["reserve", &id[..30], "cpus:0.4", "--role=ops/web", "--refine=ops"];
    tool.does(&refine, "(DYNAMIC,ops,me)");
    assert_eq!(agent(&cluster)["reserved_resources"]["ops/web"]["cpus"], 0.4);
    let hostname = agent(&cluster)["hostname"].as_str().expect("a name").to_owned();
    tool.does(&["unreserve", &hostname, "cpus:0.4", "--role=ops/web"], "Unreserved cpus(");
    tool.fails(&["unreserve", &id, "cpus:1", "--role=dev"], "has no cpus reserved to role 'dev'");
    tool.fails(&["reserve", &id, "cpus:4", "--role=ops"], "409 Conflict: cpus:3;");
    tool.fails(&["reserve", "nobody", "cpus:4", "--role=ops"], "no agent 'nobody'");

    tool.does(&["volume", "create", &id, "data", "--size=50", "--principal=me"], "Created volume data");
    tool.fails(&["volume", "create", &id, "data", "--size=50"], "Persistence ID 'data' is not unique");
    tool.does(&["volume", "grow", &id, "data", "--by=30"], "Grew volume data by 30 MB");
    tool.does(&["volume", "shrink", &id, "data", "--by=20"], "Shrank volume data by 20 MB");
    tool.fails(&["volume", "shrink", &id, "data", "--by=60"], "must be smaller than the size");
    tool.does(&["volume", "list"], "data    ops   60  no      no");
    tool.does(&["volume", "destroy", &id, "data", "--role=ops"], "Destroyed volume data");
    tool.fails(&["volume", "destroy", &id, "data"], "has no volume 'data'");
    tool.does(&["unreserve", &id, "cpus:1;disk:200", "--role=ops"], "Unreserved ");
    assert_eq!(agent(&cluster)["reserved_resources"], json!({}));
}

#[test]
fn the_old_forms_do_the_same() {
    let cluster = Cluster::start(&Options::default()).expect("a cluster");
    let id = agent(&cluster)["id"].as_str().expect("an id").to_owned();
    let disk = |value: u32, rest: &str| {
        format!(
            r#"[{{"name":"disk","type":"SCALAR","scalar":{{"value":{value}}},"role":"ops","reservation":{{"principal":"me"}}{rest}}}]"#
        )
    };
    let volume =
        disk(40, r#","disk":{"persistence":{"id":"v"},"volume":{"container_path":"data","mode":"RW"}}"#);
    form(&cluster, "/reserve", &format!("slaveId={id}&resources={}", disk(100, "")), 202, "");
    form(&cluster, "/master/create-volumes", &format!("slaveId={id}&volumes={volume}"), 202, "");
    assert_eq!(agent(&cluster)["reserved_resources"]["ops"]["disk"], 100.0);
    form(&cluster, "/destroy-volumes", &format!("slaveId={id}&volumes={volume}"), 202, "");
    let gone = format!("slaveId={id}&volumes={volume}");
    form(&cluster, "/destroy-volumes", &gone, 400, "Invalid DESTROY operation: Persistent volumes not found");
    form(&cluster, "/unreserve", &format!("slaveId={id}&resources={}", disk(100, "")), 202, "");
    assert_eq!(agent(&cluster)["reserved_resources"], json!({}));

    let missing = "Missing 'slaveId' query parameter in the request body";
    form(&cluster, "/reserve", "resources=[]", 400, missing);
    let missing = "Missing 'volumes' query parameter in the request body";
    form(&cluster, "/create-volumes", "slaveId=x", 400, missing);
    form(&cluster, "/unreserve", "slaveId=x&resources=[]", 400, "No agent found with specified ID");
}
