//! Masters that elect their leader in a real ZooKeeper or etcd, and everybody who finds it there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use e2e::{
    Cluster, Daemon, Etcd, Kind, Masters, Options, Peer, Servers, ZooKeeper, eventually, python, request,
};
use prost::Message as _;
use proto::mesos::v1::MasterInfo;

const PATIENCE: Duration = Duration::from_secs(60);

/// Short, so that a test does not wait for long; long, so that a busy machine does not end sessions.
const SESSION: &str = "--zk_session_timeout=4secs";

/// What holds wherever masters meet.
macro_rules! wherever_they_meet {
    ($($name:ident),* $(,)?) => {
        mod zookeeper {
            $(#[test]
            fn $name() {
                super::$name(super::Kind::ZooKeeper);
            })*
        }

        mod etcd {
            $(#[test]
            fn $name() {
                super::$name(super::Kind::Etcd);
            })*
        }
    };
}

wherever_they_meet!(
    the_servers_may_lose_their_own_leader,
    tools_find_the_leader,
    a_leader_that_is_not_answered_ends_and_followers_wait,
    everybody_waits_for_servers_that_are_not_there_yet,
    a_leader_that_slept_while_another_was_elected_ends_when_it_wakes,
    a_leader_whose_entry_is_deleted_ends_and_a_follower_enters_again,
    a_leader_that_is_told_to_stop_leaves_at_once,
);

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

fn the_servers_may_lose_their_own_leader(kind: Kind) {
    let mut servers = Servers::start(kind, 3).expect("servers");
    let mut cluster = Masters::start(&servers.url("/mesos"), 2, &options(1)).expect("masters");
    cluster.wait_for_agents(1);
    let leader = cluster.leader();
    let address = cluster.masters[leader].address;
    for round in 1..=4 {
        // Twice the one that leads dies; then each other one falls silent, with its connections open.
        let (server, silent) = (servers.leader(), round > 2);
        let server = if silent { (server + round - 2) % 3 } else { server };
        if silent {
            servers.freeze(server);
        } else {
            servers.kill(server);
        }
        // The session goes on with another server, and so does the registry.
        let body = format!(r#"[{{"role":"dev","weight":{round}.5}}]"#);
        let answer = request(address, "PUT", "/weights", &[], body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{round}: {}", answer.text());
        if silent {
            servers.thaw(server);
        } else {
            servers.restart(server).expect("servers");
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
}

fn tools_find_the_leader(kind: Kind) {
    let servers = Servers::start(kind, 1).expect("servers");
    let cluster = Masters::start(&servers.url("/mesos"), 2, &options(1)).expect("masters");
    cluster.wait_for_agents(1);
    let listed = Command::new(e2e::binary())
        .args(["agent", "list", &format!("--master={}", servers.url("/mesos"))])
        .output()
        .expect("mesos starts");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let ran = Command::new(e2e::binary())
        .args(["execute", &format!("--master={}", servers.url("/mesos")), "--command=echo found"])
        .output()
        .expect("mesos starts");
    let output = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success() && output.contains("found"), "{output}");
}

fn a_leader_that_is_not_answered_ends_and_followers_wait(kind: Kind) {
    let mut servers = Servers::start(kind, 1).expect("servers");
    let mut cluster = Masters::start(&servers.url("/mesos"), 2, &options(1)).expect("masters");
    cluster.wait_for_agents(1);
    let old = cluster.leader();
    servers.freeze(0);
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
    servers.thaw(0);
    let new = cluster.leader();
    assert_eq!(new, 1 - old);
    cluster.wait_for_agents(1);
    // And once more without any session left: the server forgets nothing that matters.
    servers.restart(0).expect("servers");
    cluster.masters[old].restart().expect("a master");
    let _ = cluster.leader();
    cluster.wait_for_agents(1);
}

fn everybody_waits_for_servers_that_are_not_there_yet(kind: Kind) {
    let mut servers = Servers::start(kind, 1).expect("servers");
    servers.kill(0);
    let cluster = Masters::start(&servers.url("/deep/below/mesos"), 1, &options(1)).expect("masters");
    let answer = request(cluster.masters[0].address, "GET", "/state", &[], b"").expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (503, "No leader elected"));
    eventually("the master says why", PATIENCE, || {
        let log = std::fs::read_to_string(&cluster.masters[0].log).ok()?;
        ["ZooKeeper", "etcd"]
            .iter()
            .any(|name| log.contains(&format!("cannot connect to {name}; trying again")))
            .then_some(())
    });
    servers.restart(0).expect("servers");
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

fn a_leader_that_slept_while_another_was_elected_ends_when_it_wakes(kind: Kind) {
    let servers = Servers::start(kind, 1).expect("servers");
    let mut cluster = Masters::start(&servers.url("/mesos"), 2, &options(1)).expect("masters");
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

fn a_leader_whose_entry_is_deleted_ends_and_a_follower_enters_again(kind: Kind) {
    let servers = Servers::start(kind, 1).expect("servers");
    let mut cluster = Masters::start(&servers.url("/mesos"), 1, &options(0)).expect("masters");
    assert_eq!(cluster.leader(), 0);
    cluster.add_master().expect("a master");
    let both = || Some(servers.names("/mesos")).filter(|names| names.len() == 2);
    let [first, second] = &eventually("both are candidates", PATIENCE, both)[..] else { panic!("two") };
    if kind == Kind::ZooKeeper {
        assert_eq!([first, second], ["json.info_0000000000", "json.info_0000000001"]);
    }
    let created = |name: &str| servers.created(&format!("/mesos/{name}"));
    let before = created(second).expect("it is there");
    servers.remove(&format!("/mesos/{second}"));
    eventually("the follower is a candidate again", PATIENCE, || {
        let again = both()?;
        (again[0] == *first && created(&again[1])? != before).then_some(())
    });
    servers.remove(&format!("/mesos/{first}"));
    assert!(!eventually("the leader ends", PATIENCE, || cluster.masters[0].ended()).success());
    let log = std::fs::read_to_string(&cluster.masters[0].log).expect("a log");
    assert!(log.contains("Lost candidacy as a leader... committing suicide!"), "{log}");
    assert_eq!(cluster.leader(), 1);
}

fn a_leader_that_is_told_to_stop_leaves_at_once(kind: Kind) {
    let servers = Servers::start(kind, 1).expect("servers");
    let mut cluster = Masters::start(&servers.url("/mesos"), 1, &options(0)).expect("masters");
    assert_eq!(cluster.leader(), 0);
    cluster.add_master().expect("a master");
    let both = || Some(servers.names("/mesos")).filter(|names| names.len() == 2);
    let second = eventually("both are candidates", PATIENCE, both).remove(1);
    assert!(cluster.masters[0].terminate().success());
    // It took its entry back before it ended: nobody waits for its session to end.
    assert_eq!(servers.names("/mesos"), [second]);
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

#[test]
fn tasks_outlive_leaders_that_etcd_elects() {
    let etcd = Etcd::start(3).expect("etcd");
    let url = etcd.url("/mesos");
    let mut cluster = Masters::start(&url, 3, &options(2)).expect("masters");
    cluster.wait_for_agents(2);
    let framework = Command::new(e2e::binary())
        .args([
            "execute",
            "--checkpoint",
            &format!("--master={url}"),
            "--command=sleep 71531",
            "--name=keeper",
        ])
        .stdout(Stdio::null())
        .spawn()
        .expect("mesos starts");
    let mut framework = Ended(framework);
    let task = |cluster: &Masters| {
        let state = cluster.state();
        let framework = state["frameworks"].as_array()?.iter().find(|one| one["active"] == true)?;
        let task = framework["tasks"].as_array()?.iter().find(|task| task["state"] == "TASK_RUNNING")?;
        Some((framework["id"].clone(), task["id"].clone(), task["slave_id"].clone()))
    };
    let runs = eventually("the task runs", PATIENCE, || task(&cluster));
    let first = cluster.masters[cluster.leader()].address;
    let set = request(first, "PUT", "/weights", &[], br#"[{"role":"dev","weight":2.5}]"#).expect("an answer");
    assert_eq!(set.status, 200, "{}", set.text());
    let agents = agent_ids(&cluster);
    for _ in 0..leaders() {
        let old = cluster.leader();
        let began = Instant::now();
        cluster.masters[old].kill();
        let new = eventually("another master leads", PATIENCE, || cluster.serving());
        println!("elected and recovered after {:?} of a lease of 4 s", began.elapsed());
        assert_ne!(new, old);
        cluster.wait_for_agents(2);
        let again = eventually("agent and framework are back with the task", PATIENCE, || task(&cluster));
        assert_eq!(again, runs);
        assert_eq!(agent_ids(&cluster), agents);
        let weights = request(cluster.masters[new].address, "GET", "/weights", &[], b"").expect("an answer");
        assert!(weights.text().contains(r#""weight":2.5"#), "{}", weights.text());
        cluster.masters[old].restart().expect("the old leader starts again");
    }
    assert!(framework.0.try_wait().expect("a process").is_none(), "the framework goes on");
}

/// A process that ends with its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn garbage_in_etcd_is_passed_over_and_told_of() {
    let etcd = Etcd::start(1).expect("etcd");
    let put = |key: &str, value: &str| drop(etcd.ctl(&["put", "--", key, value]));
    put("/mesos/json.info_1", "no JSON");
    put("/mesos/json.info_2", r#"{"id":"x","ip":1,"port":1}"#);
    put("/mesos/json.info_3", "");
    put("/mesos/of/somebody/else", "x");
    put("/mesos-other", "x");
    let cluster = Masters::start(&etcd.url("/mesos"), 1, &options(1)).expect("masters");
    cluster.wait_for_agents(1);
    let log = std::fs::read_to_string(&cluster.masters[0].log).expect("a log");
    for name in ["json.info_1", "json.info_2", "json.info_3"] {
        assert!(log.lines().any(|line| line.contains(name) && line.contains("no master")), "{name}: {log}");
    }
    // One who writes a master there by hand, after the leader's, changes nothing.
    put("/mesos/json.info_4", r#"{"id":"x","ip":1,"port":1,"pid":"master@127.0.0.1:1"}"#);
    assert_eq!(cluster.serving(), Some(0));
}

#[test]
fn users_of_etcd_sign_in() {
    let etcd = Etcd::start(1).expect("etcd");
    let _ = etcd.ctl(&["user", "add", "root:r00t"]);
    let _ = etcd.ctl(&["user", "grant-role", "root", "root"]);
    let _ = etcd.ctl(&["user", "add", "jake:1secret1"]);
    let _ = etcd.ctl(&["role", "add", "mesos"]);
    let _ = etcd.ctl(&["role", "grant-permission", "mesos", "--prefix=true", "readwrite", "/mesos"]);
    let _ = etcd.ctl(&["user", "grant-role", "jake", "mesos"]);
    let _ = etcd.ctl(&["auth", "enable"]);
    let url = etcd.url("/mesos");
    let with_user = url.replace("etcd://", "etcd://jake:1secret1@");
    let cluster = Masters::start(&with_user, 1, &options(1)).expect("masters");
    cluster.wait_for_agents(1);
    let log = std::fs::read_to_string(&cluster.masters[0].log).expect("a log");
    assert!(!log.contains("1secret1"), "{log}");
    // Without a password, or with another, nobody enters, and the log says why.
    for (stranger, why) in [
        (url.clone(), "user name is empty"),
        (url.replace("etcd://", "etcd://jake:other@"), "authentication failed, invalid user ID or password"),
    ] {
        let stranger = Masters::start(&stranger, 1, &options(0)).expect("a master");
        eventually("the stranger says why", PATIENCE, || {
            std::fs::read_to_string(&stranger.masters[0].log).ok()?.contains(why).then_some(())
        });
        assert_eq!(stranger.serving(), None);
    }
}
