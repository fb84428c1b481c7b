//! Masters that elect their leader in a real ZooKeeper, and everybody who finds it there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use e2e::{Cluster, Daemon, Masters, Options, Peer, ZooKeeper, eventually, python, request};
use prost::Message as _;
use proto::mesos::v1::MasterInfo;

const PATIENCE: Duration = Duration::from_secs(60);

/// Short, so that a test does not wait for long; long, so that a busy machine does not end sessions.
const SESSION: &str = "--zk_session_timeout=4secs";

fn options(agents: usize) -> Options {
    Options {
        agents,
        master_flags: vec![SESSION.to_owned()],
        agent_flags: vec![SESSION.to_owned(), "--registration_backoff_factor=200ms".to_owned()],
        ..Options::default()
    }
}

/// pymesos, with one task that it keeps.
struct Pymesos {
    child: Child,
    orders: ChildStdin,
    lines: Receiver<String>,
}

impl Pymesos {
    fn start(url: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/pymesos_failover.py");
        let mut child = Command::new(python())
            .args(["-W", "ignore", "-u"])
            .arg(script)
            .env("ZK", url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let orders = child.stdin.take().expect("a pipe");
        let output = child.stdout.take().expect("a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, orders, lines }
    }

    fn tell(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("pymesos listens");
    }

    /// The next line that begins so. Others are passed over, but none may tell of a task that was lost.
    fn until(&self, beginning: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self
                .lines
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("pymesos does not say '{beginning}'"));
            if line.starts_with(beginning) {
                return line;
            }
            let fine =
                ["registered", "reregistered", "disconnected", "update TASK_STARTING", "update TASK_RUNNING"];
            assert!(fine.iter().any(|known| line.starts_with(known)), "{line} before {beginning}");
        }
    }
}

impl Drop for Pymesos {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn tasks_outlive_their_leaders() {
    let zookeeper = ZooKeeper::start(3).expect("ZooKeeper");
    let url = zookeeper.url("/mesos");
    let mut cluster = Masters::start(&url, 3, &options(2)).expect("masters");
    cluster.wait_for_agents(2);
    let mut framework = Pymesos::start(&url);
    framework.until("registered");
    framework.until("update TASK_RUNNING");
    let first = cluster.masters[cluster.leader()].address;
    let set = request(first, "PUT", "/weights", &[], br#"[{"role":"dev","weight":2.5}]"#).expect("an answer");
    assert_eq!(set.status, 200, "{}", set.text());
    let agents = agent_ids(&cluster);
    for _ in 0..leaders() {
        let old = cluster.leader();
        let began = Instant::now();
        cluster.masters[old].kill();
        let new = eventually("another master leads", PATIENCE, || cluster.serving());
        println!("elected and recovered after {:?} of a session of 4 s", began.elapsed());
        assert_ne!(new, old);
        let address = cluster.masters[new].address;
        framework.until(&format!("reregistered {address}"));
        cluster.wait_for_agents(2);
        framework.tell("reconcile");
        framework.until("update TASK_RUNNING REASON_RECONCILIATION");
        // What was in the registry is: the same agents, under their ids, and what was set.
        assert_eq!(agent_ids(&cluster), agents);
        let weights = request(address, "GET", "/weights", &[], b"").expect("an answer");
        assert!(weights.text().contains(r#""weight":2.5"#), "{}", weights.text());
        cluster.masters[old].restart().expect("the old leader starts again");
        // It follows, and sends whoever asks it to the leader.
        let answer = eventually("the old leader follows", PATIENCE, || {
            let answer = request(cluster.masters[old].address, "GET", "/master/state?x=1", &[], b"").ok()?;
            (answer.status == 307).then_some(answer)
        });
        let location = answer.header("Location").unwrap_or_default();
        assert_eq!(location, format!("//{address}/master/state?x=1"));
        // What is about itself it answers.
        let own =
            |path: &str| request(cluster.masters[old].address, "GET", path, &[], b"").expect("an answer");
        assert_eq!(own("/master/health").status, 200);
        assert!(own("/metrics/snapshot").text().contains(r#""master/elected":0"#));
    }
    framework.tell("kill");
    framework.until("update TASK_KILLED");
    framework.tell("stop");
    framework.until("stopped");
}

/// How many leaders are killed: a few, or as many as `MASTERS_KILLED` says.
fn leaders() -> usize {
    std::env::var("MASTERS_KILLED").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

fn agent_ids(cluster: &Masters) -> Vec<String> {
    let state = cluster.state();
    let agents = state["slaves"].as_array().expect("a list");
    let mut ids: Vec<String> = agents.iter().map(|agent| agent["id"].to_string()).collect();
    ids.sort();
    ids
}

#[test]
fn zookeeper_may_lose_its_own_leader() {
    let mut zookeeper = ZooKeeper::start(3).expect("ZooKeeper");
    let mut cluster = Masters::start(&zookeeper.url("/mesos"), 2, &options(1)).expect("masters");
    cluster.wait_for_agents(1);
    let leader = cluster.leader();
    let address = cluster.masters[leader].address;
    for round in 1..=4 {
        // Twice the one that leads dies; then each other one falls silent, with its connections open.
        let (server, silent) = (zookeeper.leader(), round > 2);
        let server = if silent { (server + round - 2) % 3 } else { server };
        if silent {
            zookeeper.freeze(server);
        } else {
            zookeeper.kill(server);
        }
        // The session goes on with another server, and so does the registry.
        let body = format!(r#"[{{"role":"dev","weight":{round}.5}}]"#);
        let answer = request(address, "PUT", "/weights", &[], body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{round}: {}", answer.text());
        if silent {
            zookeeper.thaw(server);
        } else {
            zookeeper.restart(server).expect("ZooKeeper");
        }
        assert_eq!(cluster.serving(), Some(leader));
    }
    assert!(cluster.masters.iter_mut().all(|master| master.ended().is_none()), "nobody had to go");
    cluster.masters[leader].kill();
    let new = eventually("another master leads", PATIENCE, || cluster.serving());
    let weights = request(cluster.masters[new].address, "GET", "/weights", &[], b"").expect("an answer");
    assert!(weights.text().contains(r#""weight":4.5"#), "{}", weights.text());
    cluster.wait_for_agents(1);
}

#[test]
fn clients_of_mesos_find_the_leader() {
    let zookeeper = ZooKeeper::start(1).expect("ZooKeeper");
    let cluster = Masters::start(&zookeeper.url("/mesos"), 2, &options(1)).expect("masters");
    cluster.wait_for_agents(1);
    let leader = cluster.masters[cluster.leader()].address;
    let place = format!("{}/mesos", zookeeper.servers());
    Peer { script: "kazoo_detect.py", name: "kazoo-detect" }.check(leader, &[("ZK", &place)]);
    let listed = Command::new(e2e::binary())
        .args(["agent", "list", &format!("--master={}", zookeeper.url("/mesos"))])
        .output()
        .expect("mesos starts");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let ran = Command::new(e2e::binary())
        .args(["execute", &format!("--master={}", zookeeper.url("/mesos")), "--command=echo found"])
        .output()
        .expect("mesos starts");
    let output = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success() && output.contains("found"), "{output}");
}

#[test]
fn a_leader_that_zookeeper_does_not_answer_ends_and_followers_wait() {
    let mut zookeeper = ZooKeeper::start(1).expect("ZooKeeper");
    let mut cluster = Masters::start(&zookeeper.url("/mesos"), 2, &options(1)).expect("masters");
    cluster.wait_for_agents(1);
    let old = cluster.leader();
    zookeeper.freeze(0);
    // A commit is under way, and would be waited for longer than a leader may go on.
    let address = cluster.masters[old].address;
    let asked = std::thread::spawn(move || {
        request(address, "PUT", "/weights", &[], br#"[{"role":"dev","weight":2.5}]"#)
    });
    // No word comes from ZooKeeper, and none that the session is over.
    let status = eventually("the leader ends", Duration::from_secs(15), || cluster.masters[old].ended());
    let answer = asked.join().expect("no panic");
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status != 200), "nothing was promised");
    assert!(!status.success());
    let log = std::fs::read_to_string(&cluster.masters[old].log).expect("a log");
    assert!(log.contains("Lost leadership") && log.contains("committing suicide!"), "{log}");
    let follower = &mut cluster.masters[1 - old];
    assert!(follower.ended().is_none());
    zookeeper.thaw(0);
    let new = cluster.leader();
    assert_eq!(new, 1 - old);
    cluster.wait_for_agents(1);
    // And once more without any session left: the server forgets nothing that matters.
    zookeeper.restart(0).expect("ZooKeeper");
    cluster.masters[old].restart().expect("a master");
    let _ = cluster.leader();
    cluster.wait_for_agents(1);
}

#[test]
fn everybody_waits_for_a_zookeeper_that_is_not_there_yet() {
    let mut zookeeper = ZooKeeper::start(1).expect("ZooKeeper");
    zookeeper.kill(0);
    let cluster = Masters::start(&zookeeper.url("/deep/below/mesos"), 1, &options(1)).expect("masters");
    let answer = request(cluster.masters[0].address, "GET", "/state", &[], b"").expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (503, "No leader elected"));
    eventually("the master says why", PATIENCE, || {
        let log = std::fs::read_to_string(&cluster.masters[0].log).ok()?;
        log.contains("cannot connect to ZooKeeper; trying again").then_some(())
    });
    zookeeper.restart(0).expect("ZooKeeper");
    cluster.wait_for_agents(1);
}

#[test]
fn garbage_is_passed_over_and_told_of() {
    let zookeeper = ZooKeeper::start(1).expect("ZooKeeper");
    let _ = zookeeper.kazoo(
        "z.ensure_path('/mesos/log_replicas')\n\
         z.create('/mesos/json.info_', b'no JSON', sequence=True)\n\
         z.create('/mesos/json.info_', b'{\"id\":\"x\",\"ip\":1,\"port\":1}', sequence=True)\n\
         z.create('/mesos/info_', b'\\xff\\xff', sequence=True)\n\
         z.create('/mesos/what_', b'', sequence=True)\n",
    );
    let cluster = Masters::start(&zookeeper.url("/mesos"), 1, &options(1)).expect("masters");
    cluster.wait_for_agents(1);
    let log = std::fs::read_to_string(&cluster.masters[0].log).expect("a log");
    for name in ["json.info_0000000001", "json.info_0000000002", "info_0000000003", "what_0000000004"] {
        assert!(log.lines().any(|line| line.contains(name) && line.contains("no master")), "{name}: {log}");
    }
}

#[test]
fn a_leader_that_slept_while_another_was_elected_ends_when_it_wakes() {
    let zookeeper = ZooKeeper::start(1).expect("ZooKeeper");
    let mut cluster = Masters::start(&zookeeper.url("/mesos"), 2, &options(1)).expect("masters");
    cluster.wait_for_agents(1);
    let old = cluster.leader();
    cluster.masters[old].freeze();
    let new = eventually("another master leads", PATIENCE, || {
        let address = cluster.masters[1 - old].address;
        request(address, "GET", "/state", &[], b"")
            .is_ok_and(|answer| answer.status == 200)
            .then_some(1 - old)
    });
    let address = cluster.masters[new].address;
    let set =
        request(address, "PUT", "/weights", &[], br#"[{"role":"dev","weight":2.5}]"#).expect("an answer");
    assert_eq!(set.status, 200, "{}", set.text());
    cluster.masters[old].thaw();
    let status = eventually("it ends", PATIENCE, || cluster.masters[old].ended());
    assert!(!status.success());
    let log = std::fs::read_to_string(&cluster.masters[old].log).expect("a log");
    assert!(log.contains("Lost leadership"), "{log}");
    cluster.wait_for_agents(1);
    assert_eq!(cluster.serving(), Some(new));
}

#[test]
fn agents_find_masters_of_old() {
    let zookeeper = ZooKeeper::start(1).expect("ZooKeeper");
    let alone = Cluster::start(&Options { agents: 0, ..Options::default() }).expect("a master");
    let pid = format!("master@{}", alone.master.address);
    let info = MasterInfo {
        id: "old".to_owned(),
        ip: u32::from_le_bytes([127, 0, 0, 1]),
        port: u32::from(alone.master.address.port()),
        pid: Some(pid.clone()),
        ..MasterInfo::default()
    };
    let hex: String = info.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect();
    let forms = [
        ("old", String::new(), format!("b'{pid}'")),
        ("bytes", "info_".to_owned(), format!("bytes.fromhex('{hex}')")),
    ];
    let mut agents = Vec::new();
    for (n, (path, label, data)) in forms.iter().enumerate() {
        let _ =
            zookeeper.kazoo(&format!("z.create('/{path}/{label}', {data}, sequence=True, makepath=True)"));
        let url = zookeeper.url(&format!("/{path}"));
        agents.push(Daemon::agent(alone.home.path(), n, url, &options(1)).expect("an agent"));
        alone.wait_for_agents(n + 1);
    }
}

#[test]
fn a_leader_whose_entry_is_deleted_ends_and_a_follower_enters_again() {
    let zookeeper = ZooKeeper::start(1).expect("ZooKeeper");
    let mut cluster = Masters::start(&zookeeper.url("/mesos"), 1, &options(0)).expect("masters");
    assert_eq!(cluster.leader(), 0);
    cluster.add_master().expect("a master");
    let entries = || zookeeper.kazoo("print(' '.join(sorted(z.get_children('/mesos'))))").trim().to_owned();
    eventually("both are candidates", PATIENCE, || (entries().split(' ').count() == 2).then_some(()));
    let _ = zookeeper.kazoo("z.delete('/mesos/json.info_0000000001')");
    eventually("the follower is a candidate again", PATIENCE, || {
        (entries() == "json.info_0000000000 json.info_0000000002").then_some(())
    });
    let _ = zookeeper.kazoo("z.delete('/mesos/json.info_0000000000')");
    assert!(!eventually("the leader ends", PATIENCE, || cluster.masters[0].ended()).success());
    let log = std::fs::read_to_string(&cluster.masters[0].log).expect("a log");
    assert!(log.contains("Lost candidacy as a leader... committing suicide!"), "{log}");
    assert_eq!(cluster.leader(), 1);
}

#[test]
fn a_leader_that_is_told_to_stop_leaves_at_once() {
    let zookeeper = ZooKeeper::start(1).expect("ZooKeeper");
    let mut cluster = Masters::start(&zookeeper.url("/mesos"), 1, &options(0)).expect("masters");
    assert_eq!(cluster.leader(), 0);
    cluster.add_master().expect("a master");
    let entries = || zookeeper.kazoo("print(' '.join(sorted(z.get_children('/mesos'))))").trim().to_owned();
    let both = "json.info_0000000000 json.info_0000000001";
    eventually("both are candidates", PATIENCE, || (entries() == both).then_some(()));
    assert!(cluster.masters[0].terminate().success());
    // It took its entry back before it ended: nobody waits for its session to end.
    assert_eq!(entries(), "json.info_0000000001");
    assert_eq!(cluster.leader(), 1);
}

#[test]
fn with_a_user_others_may_only_read() {
    let zookeeper = ZooKeeper::start(1).expect("ZooKeeper");
    let with_user = zookeeper.url("/mesos").replace("zk://", "zk://jake:1secret1@");
    let mut cluster = Masters::start(&with_user, 1, &options(1)).expect("masters");
    cluster.wait_for_agents(1);
    for path in ["/mesos", "/mesos/json.info_0000000000", "/mesos-registry", "/mesos-registry/agents"] {
        let script = format!(
            "print(sorted((a.perms, a.id.scheme, a.id.id.split(':')[0]) for a in z.get_acls('{path}')[0]))"
        );
        assert_eq!(
            zookeeper.kazoo(&script).trim(),
            "[(1, 'world', 'anyone'), (31, 'digest', 'jake')]",
            "{path}"
        );
    }
    let log = std::fs::read_to_string(&cluster.masters[0].log).expect("a log");
    assert!(!log.contains("1secret1"), "{log}");
    // Who has no password finds the leader too.
    let listed = Command::new(e2e::binary())
        .args(["agent", "list", &format!("--master={}", zookeeper.url("/mesos"))])
        .output()
        .expect("mesos starts");
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 2);
    // A master without the password cannot enter, and says so.
    let address = cluster.masters[0].address;
    cluster.masters[0].kill();
    let stranger = Masters::start(&zookeeper.url("/mesos"), 1, &options(0)).expect("a master");
    eventually("the stranger says why", PATIENCE, || {
        let log = std::fs::read_to_string(&stranger.masters[0].log).ok()?;
        log.contains("not authorized").then_some(())
    });
    assert_eq!(stranger.serving(), None);
    assert_ne!(stranger.masters[0].address, address);
}
