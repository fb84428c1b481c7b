//! Against the real kernel, as root: cgroups of version 1 of this test's own, and namespaces.
//!
//! Where the machine lacks something a test says so on its standard error, and is over.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use linux::{
    Cgroup, Hierarchies, Namespaces, Spawn, Spawned, limit_devices, listen_v1, oom_kills, status_of,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const PATIENCE: Duration = Duration::from_secs(30);

/// A cgroup of this test's own, destroyed at its end however that comes.
struct Own(Cgroup);

impl Own {
    fn new(controller: &str, name: &str) -> Option<Self> {
        let hierarchies = Hierarchies::detect().unwrap();
        let mount = match controller {
            "unified" => hierarchies.unified.as_ref(),
            controller => hierarchies.v1.get(controller),
        };
        let Some(mount) = mount.filter(|_| rustix::process::geteuid().is_root()) else {
            eprintln!("SKIPPED: this needs root and the cgroup hierarchy '{controller}'");
            return None;
        };
        let cgroup = Cgroup::at(mount.join(format!("mesos-test-{}-{name}", std::process::id())));
        cgroup.create().unwrap();
        Some(Self(cgroup))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.0.destroy(PATIENCE).unwrap();
        assert!(!self.0.exists());
    }
}

/// A shell in `cgroup` that begins its script once it is there.
fn shell(cgroup: &Cgroup, script: &str) -> Spawned {
    let (reader, writer) = io::pipe().unwrap();
    let null = File::options().write(true).open("/dev/null").unwrap();
    let argv = ["sh", "-c", &format!("read go\n{script}")].map(OsString::from);
    let spawned = Spawn {
        program: Path::new("/bin/sh"),
        argv: &argv,
        stdio: [reader.as_fd(), null.as_fd(), null.as_fd()],
        namespaces: Namespaces::default(),
    }
    .start()
    .unwrap();
    cgroup.attach(spawned.pid).unwrap();
    drop(writer);
    spawned
}

fn ended(spawned: &Spawned) -> i32 {
    let timeout = Timespec::try_from(PATIENCE).unwrap();
    poll(&mut [PollFd::new(&spawned.pidfd, PollFlags::IN)], Some(&timeout)).unwrap();
    status_of(spawned.pidfd.as_fd()).unwrap().expect("it has ended in time")
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn root_a_fork_bomb_is_destroyed() {
    let Some(own) = Own::new("freezer", "bomb") else { return };
    // Bounded from outside too, should the kill fail: nobody lives longer than half a minute.
    let bomb = "bomb() { sleep 0.01; bomb & bomb & wait; }; ulimit -u 100000; setsid timeout 30 sh -c '
        i=0; while [ $i -lt 60 ]; do (setsid sh -c \"while :; do env -i sleep 0.05 & wait; done\" &) ; i=$((i+1)); done
        sleep 30' & wait";
    let leader = shell(&own.0, bomb);
    until(|| own.0.processes().unwrap().len() > 60);
    own.0.destroy(PATIENCE).unwrap();
    assert_eq!(ended(&leader), 9);
    assert!(!own.0.exists());
}

#[test]
fn root_cgroups_within_are_destroyed_too() {
    let Some(own) = Own::new("freezer", "nested") else { return };
    let inner = Cgroup::at(own.0.path().join("a/b"));
    inner.create().unwrap();
    let leader = shell(&inner, "sleep 1000");
    assert_eq!(own.0.processes().unwrap(), Vec::<u32>::new());
    assert_eq!(own.0.all_processes().unwrap().first(), Some(&leader.pid));
    own.0.destroy(PATIENCE).unwrap();
    assert_eq!(ended(&leader), 9);
}

#[test]
fn root_exhausted_memory_is_told() {
    let Some(own) = Own::new("memory", "oom") else { return };
    own.0.write("memory.limit_in_bytes", "16777216").unwrap();
    let event = listen_v1(&own.0).unwrap();
    // The shell keeps all that it reads.
    let leader = shell(&own.0, "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ${#x}");
    let timeout = Timespec::try_from(PATIENCE).unwrap();
    assert_eq!(poll(&mut [PollFd::new(&event, PollFlags::IN)], Some(&timeout)).unwrap(), 1);
    ended(&leader);
    assert!(oom_kills(&own.0).unwrap() > 0);
}

#[test]
fn root_a_pid_namespace_begins_at_one() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: this needs root");
        return;
    }
    let (mut reader, writer) = io::pipe().unwrap();
    let null = File::open("/dev/null").unwrap();
    let argv = ["sh", "-c", "echo $$; readlink /proc/self/ns/ipc"].map(OsString::from);
    let spawned = Spawn {
        program: Path::new("/bin/sh"),
        argv: &argv,
        stdio: [null.as_fd(), writer.as_fd(), writer.as_fd()],
        namespaces: Namespaces { pid: true, ipc: true, mount: true, ..Namespaces::default() },
    }
    .start()
    .unwrap();
    drop(writer);
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    assert_eq!(ended(&spawned), 0);
    let (pid, ipc) = output.trim().split_once('\n').unwrap();
    assert_eq!(pid, "1");
    // The machine's /proc is still mounted, and knows nobody there by the number 1 of the namespace.
    assert_ne!(ipc, std::fs::read_link("/proc/self/ns/ipc").unwrap().to_str().unwrap());
}

/// A shell that was born in `cgroup`; how it ended and what it printed.
fn born_in(cgroup: &Cgroup, script: &str) -> (i32, String) {
    let (mut reader, writer) = io::pipe().unwrap();
    let null = File::open("/dev/null").unwrap();
    let argv = ["sh", "-c", script].map(OsString::from);
    let spawn = Spawn {
        program: Path::new("/bin/sh"),
        argv: &argv,
        stdio: [null.as_fd(), writer.as_fd(), writer.as_fd()],
        namespaces: Namespaces::default(),
    };
    let spawned = spawn.start_in(cgroup).unwrap();
    drop(writer);
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    (ended(&spawned), output)
}

#[test]
fn root_a_program_is_born_in_its_cgroup_of_version_2() {
    let Some(own) = Own::new("unified", "born") else { return };
    let (status, output) = born_in(&own.0, "grep ^0:: /proc/self/cgroup; exit 3");
    assert_eq!(status, 3 << 8);
    let name = own.0.path().file_name().unwrap().to_str().unwrap();
    assert!(output.trim_end().ends_with(name), "{output}");
    // A program that is none, and a cgroup that is none.
    let null = File::open("/dev/null").unwrap();
    let argv = [OsString::from("x")];
    let stdio = [null.as_fd(), null.as_fd(), null.as_fd()];
    let spawn =
        Spawn { program: Path::new("/no/such"), argv: &argv, stdio, namespaces: Namespaces::default() };
    assert_eq!(spawn.start_in(&own.0).unwrap_err().kind(), io::ErrorKind::NotFound);
    let directory = tempfile::tempdir().unwrap();
    assert!(spawn.start_in(&Cgroup::at(directory.path())).is_err());
}

#[test]
fn root_a_cgroup_of_version_2_uses_the_devices_that_it_may() {
    let Some(own) = Own::new("unified", "devices") else { return };
    let within = Cgroup::at(own.0.path().join("within"));
    within.create().unwrap();
    let script = "echo x > /dev/full || echo full; head -c 1 /dev/zero | wc -c; head -c 1 /dev/random > /dev/null || echo no";
    let rules = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
    let (_, output) = born_in(&within, script);
    assert!(!output.contains("no\n"), "{output}");
    limit_devices(&own.0, &rules(&["c 1:3 rwm", "c 1:5 r", "c 1:7 w"])).unwrap();
    let (_, output) = born_in(&within, &format!("({script}) 2> /dev/null"));
    assert_eq!(output, "full\n1\nno\n");
    // What is within may be limited further, and not less.
    limit_devices(&within, &rules(&["c 1:3 rwm", "c 1:8 rwm"])).unwrap();
    let (_, output) = born_in(&within, &format!("({script}) 2> /dev/null"));
    assert_eq!(output, "full\n0\nno\n");
}
