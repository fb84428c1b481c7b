//! A persistent volume outlives its task, its framework and a killed agent, and goes when it is destroyed.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use e2e::{Cluster, Framework, Options, eventually};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

fn subscribe(cluster: &Cluster, name: &str) -> Framework {
    let capabilities =
        ["MULTI_ROLE", "RESERVATION_REFINEMENT", "PARTITION_AWARE"].map(|kind| json!({"type": kind}));
    let info = json!({
        "user": "root", "name": name, "roles": ["web"], "capabilities": capabilities,
        "checkpoint": true, "failover_timeout": 60.0,
    });
    Framework::subscribe(cluster.master.address, &info)
}

/// An offer that has what `wanted` wants, and was not taken before. It may have come while something else was
/// waited for.
fn offer(framework: &mut Framework, taken: &mut Vec<Value>, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let mut offers: Vec<Value> = Vec::new();
        for event in &framework.stream.seen {
            offers.extend(event["offers"]["offers"].as_array().cloned().unwrap_or_default());
            offers.retain(|offer| offer["id"] != event["rescind"]["offer_id"]);
        }
        for offer in offers.into_iter().filter(|offer| !taken.contains(&offer["id"])).collect::<Vec<_>>() {
            taken.push(offer["id"].clone());
            if offer["resources"].as_array().expect("resources").iter().any(&wanted) {
                return offer;
            }
            framework.call(json!({"type": "DECLINE", "decline": {
                "offer_ids": [offer["id"]], "filters": {"refuse_seconds": 0.1},
            }}));
        }
        framework.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
    }
}

fn accept(framework: &Framework, offer: &Value, operations: Value) {
    framework.call(json!({"type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]], "operations": operations, "filters": {"refuse_seconds": 0.1},
    }}));
}

fn scalar(name: &str, value: f64) -> Value {
    json!({"name": name, "type": "SCALAR", "scalar": {"value": value}, "allocation_info": {"role": "web"}})
}

fn reserved() -> Value {
    let mut disk = scalar("disk", 64.0);
    disk["reservations"] = json!([{"type": "DYNAMIC", "role": "web"}]);
    disk
}

fn volume() -> Value {
    let mut disk = reserved();
    disk["disk"] = json!({"persistence": {"id": "v1"}, "volume": {"container_path": "data", "mode": "RW"}});
    disk
}

fn is_volume(resource: &Value) -> bool {
    resource["disk"]["persistence"]["id"] == "v1"
}

fn launch(task: &str, offer: &Value, command: &str) -> Value {
    json!({"type": "LAUNCH", "launch": {"task_infos": [{
        "name": task, "task_id": {"value": task}, "agent_id": offer["agent_id"],
        "command": {"value": command},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), volume()],
    }]}})
}

/// Reads the status of operation `id` and acknowledges it.
fn until_operation(framework: &mut Framework, id: &str, state: &str) {
    let fits = |event: &Value| event["update_operation_status"]["status"]["operation_id"]["value"] == id;
    let event = framework.stream.until(id, fits).expect("an operation's status");
    let status = &event["update_operation_status"]["status"];
    assert_eq!(status["state"], state, "{status}");
    let acknowledge = json!({"agent_id": status["agent_id"], "uuid": status["uuid"]["value"], "operation_id": status["operation_id"]});
    framework.call(json!({
        "type": "ACKNOWLEDGE_OPERATION_STATUS", "acknowledge_operation_status": acknowledge,
    }));
}

fn operations(cluster: &Cluster) -> usize {
    let kind = [("Content-Type", "application/json"), ("Accept", "application/json")];
    let call = br#"{"type":"GET_OPERATIONS"}"#;
    let answer = e2e::request(cluster.agents[0].address, "POST", "/api/v1", &kind, call).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    answer["get_operations"]["operations"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_volume_outlives_all_but_its_destruction() {
    let mut cluster = Cluster::start(&Options::default()).expect("a cluster");
    let directory = cluster.home.path().join("agent-0/volumes/roles/web/v1");

    // A framework reserves, makes a volume and writes into it, on one offer.
    let mut writer = subscribe(&cluster, "writer");
    let offered = offer(&mut writer, &mut Vec::new(), |resource| resource["name"] == "disk");
    let reserve = json!({"type": "RESERVE", "id": {"value": "r"}, "reserve": {"resources": [reserved()]}});
    let create = json!({"type": "CREATE", "id": {"value": "c"}, "create": {"volumes": [volume()]}});
    let write = launch("write", &offered, "echo kept > data/file");
    accept(&writer, &offered, json!([reserve, create, write]));
    until_operation(&mut writer, "r", "OPERATION_FINISHED");
    until_operation(&mut writer, "c", "OPERATION_FINISHED");
    writer.until_state("TASK_FINISHED");
    writer.call(json!({"type": "TEARDOWN"}));
    eventually("the agent forgets the operations", PATIENCE, || (operations(&cluster) == 0).then_some(()));

    cluster.agents[0].restart().expect("the agent starts again");
    cluster.wait_for_agents(1);
    assert_eq!(std::fs::read_to_string(directory.join("file")).expect("the file"), "kept\n");

    // Another framework with the role reads what is there, then ends it.
    let mut reader = subscribe(&cluster, "reader");
    let mut taken = Vec::new();
    let offered = offer(&mut reader, &mut taken, is_volume);
    accept(&reader, &offered, json!([launch("read", &offered, "test \"$(cat data/file)\" = kept")]));
    reader.until_state("TASK_FINISHED");
    let offered = offer(&mut reader, &mut taken, is_volume);
    let destroy = json!({"type": "DESTROY", "destroy": {"volumes": [volume()]}});
    let unreserve = json!({"type": "UNRESERVE", "unreserve": {"resources": [reserved()]}});
    accept(&reader, &offered, json!([destroy, unreserve]));
    eventually("the volume is gone", PATIENCE, || (!Path::exists(&directory)).then_some(()));
    eventually("nothing is reserved", PATIENCE, || {
        let agent = cluster.agents[0].json("/state");
        let master = &cluster.master.json("/slaves")["slaves"][0];
        let none = json!({});
        (agent["reserved_resources"] == none && master["reserved_resources"] == none).then_some(())
    });
    let master = &cluster.master.json("/slaves")["slaves"][0];
    assert_eq!(master["unreserved_resources"]["disk"], 10_240.0);
}

#[test]
fn root_a_volume_of_another_user_than_root_has_a_group() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: this needs root");
        return;
    }
    let agent_flags = vec!["--volume_gid_range=[71100-71110]".to_owned()];
    let mut cluster = Cluster::start(&Options { agent_flags, ..Options::default() }).expect("a cluster");
    // The task's user finds its volume there.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(cluster.home.path(), open).expect("a directory of ours");
    let directory = cluster.home.path().join("agent-0/volumes/roles/web/v1");
    let groups = |cluster: &Cluster| {
        let metrics = cluster.agents[0].json("/metrics/snapshot");
        ["total", "free"].map(|it| metrics[format!("volume_gid_manager/volume_gids_{it}")].as_f64())
    };
    assert_eq!(groups(&cluster), [Some(11.0), Some(11.0)]);
    let mut framework = subscribe(&cluster, "writer");
    let offered = offer(&mut framework, &mut Vec::new(), |resource| resource["name"] == "disk");
    let reserve = json!({"type": "RESERVE", "reserve": {"resources": [reserved()]}});
    let create = json!({"type": "CREATE", "create": {"volumes": [volume()]}});
    let mut write = launch("write", &offered, "id -G > data/file");
    write["launch"]["task_infos"][0]["command"]["user"] = json!("daemon");
    accept(&framework, &offered, json!([reserve, create, write]));
    framework.until_state("TASK_FINISHED");
    assert_eq!(std::fs::read_to_string(directory.join("file")).expect("a file"), "1 71100\n");
    let is = std::fs::metadata(&directory).expect("a volume");
    assert_eq!((is.uid(), is.gid(), is.mode() & 0o7777), (0, 71_100, 0o2775));
    assert_eq!(groups(&cluster), [Some(11.0), Some(10.0)]);
    framework.call(json!({"type": "TEARDOWN"}));
    // It is the volume's as long as there is that, whatever becomes of the agent.
    cluster.agents[0].restart().expect("the agent starts again");
    cluster.wait_for_agents(1);
    assert_eq!(groups(&cluster), [Some(11.0), Some(10.0)]);
    // An offer of before the restart is none.
    let mut framework = subscribe(&cluster, "reader");
    let offered = offer(&mut framework, &mut Vec::new(), is_volume);
    accept(&framework, &offered, json!([{"type": "DESTROY", "destroy": {"volumes": [volume()]}}]));
    eventually("its group is free", PATIENCE, || (groups(&cluster) == [Some(11.0); 2]).then_some(()));
    assert!(!directory.exists());
}
