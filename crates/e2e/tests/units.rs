//! The units of `dist/` are ones that systemd takes, and say what must be said of an agent.

use std::fs;
use std::path::Path;
use std::process::Command;

const ANALYZER: &str = "/usr/bin/systemd-analyze";

fn unit(name: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist");
    fs::read_to_string(directory.join(name)).expect("a unit")
}

#[test]
fn systemd_takes_the_units() {
    if !Path::new(ANALYZER).exists() {
        eprintln!("SKIPPED systemd_takes_the_units: this needs {ANALYZER}, of the package systemd");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["mesos-master.service", "mesos-agent.service"] {
        // The program is not where it will be.
        let text = unit(name).replace("/usr/bin/mesos", &e2e::binary().display().to_string());
        let path = directory.path().join(name);
        fs::write(&path, text).expect("a file");
        let output = Command::new(ANALYZER).arg("verify").arg(&path).output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        // It looks at the machine's other units too.
        let ours: Vec<_> = said.lines().filter(|line| line.contains("mesos-")).collect();
        assert!(ours.is_empty(), "{ours:#?}");
    }
}

#[test]
fn an_agent_may_end_without_its_containers() {
    let agent = unit("mesos-agent.service");
    for line in ["KillMode=process", "Delegate=yes", "RuntimeDirectoryPreserve=yes"] {
        assert!(agent.lines().any(|own| own == line), "{line}");
    }
}
