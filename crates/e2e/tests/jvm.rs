//! Frameworks that run in a JVM, by way of `libmesos.so`: a Java program through the jar of Mesos's Java classes that
//! Spark ships, and Spark itself, both as they come from PyPI.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bytes::Bytes;
use e2e::{Cluster, Options, Process, Spark, library};
use prost::Message as _;
use proto::mesos::internal::{FrameworkRegisteredMessage, StatusUpdate, StatusUpdateMessage};
use proto::mesos::{scheduler, v1};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the tests of this file compile, once for each, into a directory of its own.
struct Java {
    classes: tempfile::TempDir,
    jar: PathBuf,
}

impl Java {
    fn compile() -> Self {
        let classes = tempfile::tempdir().expect("a directory");
        let jar = Spark::find().mesos_jar();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/java/Conformance.java");
        let javac = Command::new("javac")
            .args(["-nowarn", "-cp"])
            .arg(&jar)
            .arg("-d")
            .arg(classes.path())
            .arg(source)
            .output()
            .expect("a Java compiler: `cargo xtask peers` installs it");
        assert!(javac.status.success(), "{}", String::from_utf8_lossy(&javac.stderr));
        Self { classes, jar }
    }

    /// The command line of the program, but for its arguments.
    fn line(&self) -> Vec<String> {
        let path = format!("{}:{}", self.jar.display(), self.classes.path().display());
        // A heap that is there from the start is no growth.
        let heap = ["-Xms128m", "-Xmx128m", "-XX:+AlwaysPreTouch"];
        let words = ["java"].into_iter().chain(heap).chain(["-Xcheck:jni", "-cp", &path, "Conformance"]);
        words.map(str::to_owned).collect()
    }

    fn check(&self, part: &str, arguments: &[&str]) {
        let line = self.line();
        let output = Command::new(&line[0])
            .args(&line[1..])
            .arg(part)
            .args(arguments)
            .env("MESOS_NATIVE_JAVA_LIBRARY", library())
            .env("LIBPROCESS_IP", "127.0.0.1")
            .output()
            .expect("Java starts");
        passes(&output, &format!("PASS {part}"));
    }
}

/// Fails with all that was printed unless there is this line among it.
fn passes(output: &Output, verdict: &str) {
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.lines().any(|line| line.starts_with(verdict)),
        "{verdict}: {}\n{printed}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_native_method_of_the_jar_links() {
    let java = Java::compile();
    let jar = java.jar.display().to_string();
    java.check("natives", &[&jar]);
    java.check("idle", &[]);
    java.check("refused", &[]);
}

#[test]
fn a_java_framework_runs_tasks_on_a_java_executor() {
    let java = Java::compile();
    let cluster = Cluster::start(&Options::default()).expect("a cluster");
    let master = cluster.master.address.to_string();
    let executor = format!(
        "env LIBPROCESS_IP=127.0.0.1 MESOS_NATIVE_JAVA_LIBRARY='{}' {} executor",
        library().display(),
        java.line().iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
    );
    java.check("life", &[&master, &executor]);
    java.check("throws", &[&master]);
}

#[test]
fn a_missing_library_is_named() {
    let java = Java::compile();
    let line = java.line();
    let output = Command::new(&line[0])
        .args(&line[1..])
        .arg("idle")
        .env("MESOS_NATIVE_JAVA_LIBRARY", "/no/such/libmesos.so")
        .output()
        .expect("Java starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("/no/such/libmesos.so"), "{error}");
}

/// How many updates a driver is sent, unless `UPDATES` says otherwise.
const UPDATES: usize = 100_000;

#[test]
fn updates_leave_nothing_behind() {
    let java = Java::compile();
    let updates = std::env::var("UPDATES").map_or(UPDATES, |text| text.parse().expect("a number of updates"));
    let mut master = Process::start("master").expect("a process");
    let line = java.line();
    let mut program = Command::new(&line[0])
        .args(&line[1..])
        .args(["updates", &master.address.to_string(), &updates.to_string()])
        .env("MESOS_NATIVE_JAVA_LIBRARY", library())
        .env("LIBPROCESS_IP", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Java starts");
    let driver = master.expect("mesos.scheduler.Call", PATIENCE).from;
    let address = driver.split_once('@').and_then(|(_, address)| address.parse().ok()).expect("a pid");
    let mut connection = master.connect(address).expect("a connection");
    let registered = FrameworkRegisteredMessage {
        framework_id: v1::FrameworkId { value: "F".to_owned() },
        master_info: v1::MasterInfo { id: "m".to_owned(), ip: 1, port: 1, ..v1::MasterInfo::default() },
    };
    let pid = master.pid.clone();
    let name = "mesos.internal.FrameworkRegisteredMessage";
    master.post(&mut connection, &pid, &driver, name, &registered.encode_to_vec()).expect("it registers");
    let message = update(&pid, &driver);
    let mut answers = connection.try_clone().expect("a socket");
    let drained = std::thread::spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
    let sent = std::thread::spawn(move || {
        let many = message.repeat(100);
        (0..updates.div_ceil(100)).try_for_each(|_| connection.write_all(&many)).map(|()| connection)
    });
    let mut acknowledged = 0;
    while acknowledged < updates {
        let call = master.expect("mesos.scheduler.Call", PATIENCE);
        let call = scheduler::Call::decode(&call.body[..]).expect("a call");
        // It may have asked twice to be registered.
        if call.subscribe.is_none() {
            assert_eq!(call.acknowledge.expect("an acknowledgement").task_id.value, "t");
            acknowledged += 1;
        }
    }
    program.stdin.take().expect("a pipe").write_all(b"\n").expect("it listens");
    passes(&program.wait_with_output().expect("it ends"), "PASS updates");
    sent.join().expect("a thread").expect("all was taken");
    drained.join().expect("a thread").expect("all was answered");
}

/// A message with an update that wants to be acknowledged, as it goes over the wire.
fn update(master: &str, driver: &str) -> Vec<u8> {
    let agent_id = v1::AgentId { value: "S".to_owned() };
    let uuid = Bytes::from_static(&[7; 16]);
    let status = v1::TaskStatus {
        task_id: v1::TaskId { value: "t".to_owned() },
        state: v1::TaskState::TaskRunning.into(),
        agent_id: Some(agent_id.clone()),
        uuid: Some(uuid.clone()),
        ..v1::TaskStatus::default()
    };
    let update = StatusUpdate {
        framework_id: v1::FrameworkId { value: "F".to_owned() },
        slave_id: Some(agent_id),
        status,
        timestamp: 1.0,
        uuid: Some(uuid),
        ..StatusUpdate::default()
    };
    let message = StatusUpdateMessage { update, pid: Some("slave(1)@127.0.0.1:5051".to_owned()) };
    let body = message.encode_to_vec();
    let (id, address) = driver.split_once('@').expect("a pid");
    let mut bytes = format!(
        "POST /{id}/mesos.internal.StatusUpdateMessage HTTP/1.1\r\nUser-Agent: libprocess/{master}\r\n\
         Libprocess-From: {master}\r\nConnection: Keep-Alive\r\nHost: {address}\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(&body);
    bytes.extend_from_slice(b"\r\n0\r\n\r\n");
    bytes
}

/// A cluster on which a small Spark application finds room.
fn roomy() -> Cluster {
    Cluster::start(&Options { resources: "cpus:2;mem:4096;disk:10240".to_owned(), ..Options::default() })
        .expect("a cluster")
}

#[test]
fn spark_from_pypi_estimates_pi() {
    let cluster = roomy();
    let spark = Spark::find();
    let output =
        spark.submit(&format!("mesos://{}", cluster.master.address), &spark.example("pi.py"), &["4"]);
    passes(&output, "Pi is roughly 3.1");
    let state = cluster.master.json("/state");
    let done = state["completed_frameworks"].as_array().expect("a list");
    assert_eq!(done.len(), 1, "Spark has left: {state}");
    assert!(
        !done[0]["completed_tasks"].as_array().expect("a list").is_empty(),
        "its executor was a task of ours"
    );
}

#[test]
fn spark_from_pypi_counts_words() {
    let text = "/usr/share/common-licenses/GPL-3";
    let words = std::fs::read_to_string(text).expect("a text that Debian has");
    let expected = words.split([' ', '\n']).filter(|word| *word == "the").count();
    assert!(expected > 100, "{expected}");
    let cluster = roomy();
    let spark = Spark::find();
    let master = format!("mesos://{}", cluster.master.address);
    let output = spark.submit(&master, &spark.example("wordcount.py"), &[&format!("file://{text}")]);
    passes(&output, &format!("the: {expected}"));
}
