//! The registry in the hands of people: `mesos registry dump|verify|import`, and masters that lead with what was imported.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{Cluster, Kind, Masters, Options, Servers, eventually, request};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `mesos registry`: whether that went well, and all that it printed.
fn registry(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(e2e::binary()).arg("registry").args(arguments).output().expect("mesos starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

fn fine(arguments: &[&str]) -> String {
    let (fine, out, error) = registry(arguments);
    assert!(fine, "{arguments:?}: {out}{error}");
    out
}

fn refused(arguments: &[&str], why: &str) {
    let (fine, out, error) = registry(arguments);
    assert!(!fine && error.contains(why), "{arguments:?}: {out}{error}");
    assert!(!error.contains("panicked"), "{error}");
}

/// A log of Apache Mesos with 40 agents, and the weight 3.5 for the role `dev`.
fn log_of_mesos() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../replicated-log/tests/logs/tables")
}

#[test]
fn a_registry_moves_from_one_master_to_another() {
    let options = Options { agents: 1, registry: "local", ..Options::default() };
    let mut cluster = Cluster::start(&options).expect("a cluster");
    cluster.wait_for_agents(1);
    let address = cluster.master.address;
    let set =
        request(address, "PUT", "/weights", &[], br#"[{"role":"dev","weight":2.5}]"#).expect("an answer");
    assert_eq!(set.status, 200, "{}", set.text());
    let work_dir = cluster.home.path().join("master");
    let here = format!("--work_dir={}", work_dir.display());
    refused(&["dump", &here], "is in use: another master runs with this --work_dir");
    refused(&["import", &here, "--force", &log_of_mesos().display().to_string()], "is in use");
    // What the master shows of it is what is dumped when it has gone.
    let shown = request(address, "GET", "/registrar(1)/registry", &[], b"").expect("an answer");
    let mut shown: Value = serde_json::from_slice(&shown.body).expect("JSON");
    assert_eq!(shown["master"]["info"]["port"], address.port());
    shown.as_object_mut().expect("an object").remove("master");
    let metrics = request(address, "GET", "/metrics/snapshot", &[], b"").expect("an answer");
    let metrics: Value = serde_json::from_slice(&metrics.body).expect("JSON");
    assert_eq!(
        (&metrics["registrar/log/recovered"], &metrics["registrar/queued_operations"]),
        (&1.0.into(), &0.0.into())
    );
    assert!(
        metrics["registrar/registry_size_bytes"].as_f64().is_some_and(|bytes| bytes > 100.0),
        "{metrics}"
    );
    assert!(
        metrics["registrar/state_store_ms"].is_number() && metrics["registrar/state_fetch_ms"].is_number()
    );
    cluster.master.kill();
    assert!(fine(&["verify", &here]).contains("is sound: 2 entries, 1 of them of agents"));
    let dump = fine(&["dump", &here]);
    assert_eq!(serde_json::from_str::<Value>(&dump).expect("JSON"), shown);
    assert_eq!(shown["slaves"]["slaves"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown["weights"][0]["info"]["weight"], 2.5);
    let file = cluster.home.path().join("dump.json");
    std::fs::write(&file, &dump).expect("written");
    let file = file.display().to_string();
    // To another place, and over what is there only by force.
    let elsewhere = format!("--work_dir={}", cluster.home.path().join("elsewhere").display());
    refused(&["verify", &elsewhere], "There is no registry");
    assert!(fine(&["import", &elsewhere, &file]).starts_with("Imported 2 entries"));
    refused(&["import", &elsewhere, &file], "has 2 entries; --force replaces them");
    let _ = fine(&["import", &elsewhere, &log_of_mesos().display().to_string(), "--force"]);
    assert!(fine(&["verify", &elsewhere]).contains("41 entries, 40 of them of agents"));
    let _ = fine(&["import", &elsewhere, &file, "--force"]);
    assert_eq!(fine(&["dump", &elsewhere]), dump);
    // What is no registry is not imported.
    for (bad, why) in [
        ("", "is no registry that"),
        ("{\"slaves\": 1}", "is no registry that"),
        (&dump[..dump.len() / 2], "is no registry that"),
        (r#"{"minimum_capabilities":[{"capability":"TELEPATHY"}]}"#, "is not imported: 1 entries are wrong"),
    ] {
        let file = cluster.home.path().join("bad.json");
        std::fs::write(&file, bad).expect("written");
        refused(&["import", &elsewhere, &file.display().to_string(), "--force"], why);
    }
    assert_eq!(fine(&["dump", &elsewhere]), dump);
    // A file that was cut is named, by the tool and by the master.
    let redb = work_dir.join("registry/registry.redb");
    let bytes = std::fs::read(&redb).expect("a file");
    std::fs::write(&redb, &bytes[..bytes.len() / 2]).expect("written");
    refused(&["verify", &here], "registry.redb' cannot be used; restore it from a backup");
    std::fs::write(&redb, &bytes).expect("written");
    cluster.master.restart().expect("the master");
    cluster.wait_for_agents(1);
}

fn taken_over(kind: Kind) {
    let servers = Servers::start(kind, 1).expect("servers");
    let url = servers.url("/mesos");
    let there = format!("--zk={url}");
    let log = log_of_mesos().display().to_string();
    assert!(fine(&["import", &there, &log]).starts_with("Imported 41 entries"));
    refused(&["import", &there, &log], "has 41 entries; --force replaces them");
    assert!(fine(&["verify", &there]).contains("is sound: 41 entries, 40 of them of agents"));
    let flags = vec!["--zk_session_timeout=4secs".to_owned()];
    let options = Options { agents: 0, master_flags: flags, ..Options::default() };
    let mut cluster = Masters::start(&url, 1, &options).expect("a master");
    let leader = cluster.masters[cluster.leader()].address;
    // The agents of the old cluster are waited for.
    let known = request(leader, "GET", "/slaves", &[], b"").expect("an answer");
    let known: Value = serde_json::from_slice(&known.body).expect("JSON");
    assert_eq!(known["recovered_slaves"].as_array().map(Vec::len), Some(40));
    let weights = request(leader, "GET", "/weights", &[], b"").expect("an answer");
    assert!(weights.text().contains(r#""weight":3.5"#), "{}", weights.text());
    // While a master leads its registry may be looked at, and not replaced.
    assert!(fine(&["verify", &there]).contains("40 of them of agents"));
    refused(&["import", &there, "--force", &log], "stop all masters first (1 are there)");
    assert!(cluster.masters[0].ended().is_none());
    cluster.masters[0].terminate();
    // An entry that is damaged is named, with what to do, and no master leads with it.
    servers.put("/mesos-registry/agents/aaaa-S7", "\0nonsense");
    refused(&["verify", &there], "the entry 'agents/aaaa-S7' of the registry");
    refused(&["verify", &there], "remove '/mesos-registry/agents/aaaa-S7' from ");
    servers.remove("/mesos-registry/agents/aaaa-S7");
    assert!(fine(&["verify", &there]).contains("40 entries, 39 of them of agents"));
    // An import that did not end is none.
    servers.put("/mesos-registry/import-unfinished", "\0");
    let mut half = Masters::start(&url, 1, &options).expect("a master");
    let ended = eventually("the master ends", PATIENCE, || half.masters[0].ended());
    assert!(!ended.success());
    let said = std::fs::read_to_string(&half.masters[0].log).expect("a log");
    assert!(said.contains("run `mesos registry import --force` again"), "{said}");
    // The session of one that ended so may live on for a while.
    eventually("the import ends", PATIENCE, || {
        registry(&["import", &there, "--force", &log]).0.then_some(())
    });
    assert!(fine(&["verify", &there]).contains("41 entries, 40 of them of agents"));
}

#[test]
fn a_registry_of_mesos_is_taken_over_to_zookeeper() {
    taken_over(Kind::ZooKeeper);
}

#[test]
fn a_registry_of_mesos_is_taken_over_to_etcd() {
    taken_over(Kind::Etcd);
}
