//! More of what cgroups do, on either version.

use std::process::Command;

use containerizer::ByName;

use super::*;

/// A disk that is a file, taken away at the end.
struct Loop {
    device: String,
    numbers: String,
}

impl Loop {
    fn new(directory: &Path) -> Self {
        let file = directory.join("disk");
        fs::File::create(&file).unwrap().set_len(8 << 20).unwrap();
        let device = || {
            let free = Command::new("losetup").arg("-f").output().unwrap();
            let device = String::from_utf8(free.stdout).unwrap().trim().to_owned();
            // Somebody else may have taken it meanwhile.
            let taken = Command::new("losetup").arg(&device).arg(&file).output().unwrap();
            taken.status.success().then_some(device)
        };
        let device = (0..20).find_map(|_| device()).expect("a loop device");
        let name = device.trim_start_matches("/dev/");
        let numbers = fs::read_to_string(format!("/sys/block/{name}/dev")).unwrap().trim().to_owned();
        Self { device, numbers }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let gone = Command::new("losetup").arg("-d").arg(&self.device).status();
        assert!(gone.is_ok_and(|status| status.success()));
    }
}

#[tokio::test]
async fn root_disks_are_counted_and_held_back() {
    let disks = |settings: &mut Settings| settings.allowed_devices = vec![Device("b *:* rwm".to_owned())];
    let Some(mut world) = world("blkio", "cgroups/all", disks) else { return };
    let disk = Loop::new(world.directory.path());
    let (device, numbers) = (&disk.device, &disk.numbers);
    // Another rate is none of the agent's business; what it makes is a cgroup for which there can be one.
    let (file, rate) = match world.is_v2() {
        false => ("blkio.throttle.write_bps_device", format!("{numbers} 1048576")),
        true => ("io.max", format!("{numbers} wbps=1048576")),
    };
    let limit = world.cgroup_path("blkio").join("writer").join(file);
    let script = format!(
        "until [ -e go ]; do sleep 0.01; done
        dd if=/dev/zero of={device} bs=65536 count=32 oflag=direct 2> /dev/null && echo written > written; sleep 78001"
    );
    world.containerizer.launch(world.spec("writer", &script));
    world.launched().await;
    fs::write(limit, rate).unwrap();
    let began = Instant::now();
    fs::write(world.directory.path().join("writer/go"), "").unwrap();
    world.wrote("writer", "written").await;
    // Two megabytes at one in a second.
    assert!(began.elapsed() > Duration::from_millis(1500), "{:?}", began.elapsed());
    let id = ContainerId::root("writer");
    let statistics = world.containerizer.usage(&id).unwrap().blkio_statistics.unwrap();
    let of_disk = statistics.throttling.iter().find(|it| {
        let device = it.device.as_ref();
        device.is_some_and(|it| format!("{}:{}", it.major_number, it.minor_number) == *numbers)
    });
    let bytes = &of_disk.expect("it is told of").io_service_bytes;
    let written = bytes.iter().find(|it| it.op() == blkio::Operation::Write).expect("writes");
    assert_eq!(written.value(), 2 << 20);
    // Every cgroup of version 2 can be sampled; on version 1 another test has the controller.
    let sampled = || world.containerizer.usage(&id)?.perf?.task_clock;
    if world.is_v2() {
        eventually(sampled).await;
    }
    world.containerizer.destroy(&id);
    world.exited().await;
}

#[tokio::test]
async fn root_cpus_and_processes_are_those_of_the_cgroup_above() {
    let Some(mut world) = world("above", "cgroups/cpuset,cgroups/pids", |_| {}) else { return };
    let above = |controller: &str, file: &str, value: &str| {
        fs::write(world.cgroup_path(controller).join(file), value).unwrap();
    };
    above("cpuset", "cpuset.cpus", "0");
    above("cpuset", "cpuset.mems", "0");
    above("pids", "pids.max", "5");
    let script = "grep Cpus_allowed_list /proc/self/status | tr -d '\\t'
        (for i in 1 2 3 4 5 6 7 8; do sleep 78002 & done) 2> /dev/null || echo refused; exit 0";
    let (termination, output) = world.run(world.spec("within", script)).await;
    assert!(output.starts_with("Cpus_allowed_list:0\n"), "{output}");
    assert!(output.ends_with("refused\n") || termination.status != Some(0), "{output} {termination:?}");
}

#[tokio::test]
async fn root_memory_pressure_is_counted() {
    let Some(mut world) = world("pressure", "cgroups/mem", |_| {}) else { return };
    let mut spec =
        world.spec("writer", "head -c 120000000 /dev/zero > file; rm file; echo done > done; sleep 78003");
    spec.resources = vec![scalar("mem", 40.0)];
    if world.is_v2() {
        // There the files are in memory, which cannot be had back; what is measured is always told.
        spec.program = Program::of(&CommandInfo {
            value: Some("echo done > done; sleep 78003".to_owned()),
            ..CommandInfo::default()
        })
        .unwrap();
    }
    world.containerizer.launch(spec);
    world.launched().await;
    world.wrote("writer", "done").await;
    let id = ContainerId::root("writer");
    let usage = eventually(|| {
        let usage = world.containerizer.usage(&id)?;
        usage.mem_low_pressure_counter.filter(|count| world.is_v2() || *count > 0)?;
        Some(usage)
    })
    .await;
    assert!(usage.mem_medium_pressure_counter <= usage.mem_low_pressure_counter, "{usage:?}");
    assert!(usage.mem_critical_pressure_counter <= usage.mem_medium_pressure_counter, "{usage:?}");
    // It is a count since the beginning, however often it is asked for.
    let again = world.containerizer.usage(&id).unwrap();
    assert!(again.mem_low_pressure_counter >= usage.mem_low_pressure_counter);
    world.containerizer.destroy(&id);
    world.exited().await;
}

#[tokio::test]
async fn root_a_container_in_another_one_may_have_limits_of_its_own() {
    let Some(mut world) = world("nested", "cgroups/cpu,cgroups/mem", |_| {}) else { return };
    let outer = ContainerId::root("outer");
    let mut spec = world.spec("outer", "sleep 78004");
    spec.resources = vec![scalar("cpus", 1.0), scalar("mem", 256.0)];
    world.containerizer.launch(spec);
    world.launched().await;
    let inner = |name: &str| ContainerId { value: name.into(), parent: Some(Arc::new(outer.clone())) };
    let nested = |world: &World, name: &str, shares: bool, script: &str| {
        let mut spec = world.spec(name, script);
        spec.container = inner(name);
        spec.by_name = Some(ByName {
            config: ContainerConfig { directory: "/".to_owned(), ..ContainerConfig::default() },
            working_directory: None,
            is_session: false,
            asked: Vec::new(),
        });
        spec.resources = vec![scalar("cpus", 0.1), scalar("mem", 40.0)];
        let linux = LinuxInfo { share_cgroups: Some(shares), ..LinuxInfo::default() };
        spec.info = Some(ContainerInfo { linux_info: Some(linux), ..ContainerInfo::default() });
        spec
    };
    // What is to be the end of it is kept in memory.
    let hog = "head -c 100000000 /dev/zero | tail -c 100000000 | wc -c";
    let own = nested(&world, "own", false, hog);
    world.containerizer.launch(own);
    world.launched().await;
    let ended = world.exited().await;
    assert_eq!(ended.reason, Some(Reason::ContainerLimitationMemory.into()), "{ended:?}");
    assert_eq!(ended.limited_resources, [scalar("mem", 40.0)]);
    // What shares has no limit but that of the container around it, which is not even there for it to see.
    let shared = nested(&world, "shared", true, hog);
    let (ended, output) = world.run(shared).await;
    assert_eq!((ended.status, ended.reason), (Some(0), None), "{output}");
    assert_eq!(output, "100000000\n");
    let limit = (256_u64 << 20).to_string();
    world.check("outer", ("memory/memory.limit_in_bytes", &limit), ("memory.max", &limit));
    assert!(world.containerizer.status(&outer).is_some(), "it lives on");
    for id in [inner("own"), inner("shared")] {
        assert!(world.containerizer.status(&id).is_none());
    }
    // Its end is that of what is left within.
    let sleeper = nested(&world, "sleeper", true, "env -i setsid sleep 78005 & echo $! > pid; wait");
    world.containerizer.launch(sleeper);
    world.launched().await;
    let pid = world.wrote("sleeper", "pid").await;
    assert!(lives(&pid));
    world.containerizer.destroy(&outer);
    world.exited().await;
    world.exited().await;
    assert!(!lives(&pid));
}

#[tokio::test]
async fn root_a_fork_bomb_ends_with_its_container() {
    let Some(mut world) = world("bomb", "cgroups/pids", |_| {}) else { return };
    // Bounded by itself too, should it not be destroyed: nobody lives longer than a minute.
    let bomb = "i=0; while [ $i -lt 40 ]; do (setsid timeout 60 sh -c 'while :; do env -i sleep 0.05 & wait; done' &)
        i=$((i+1)); done; echo armed > armed; exec sleep 60";
    world.containerizer.launch(world.spec("bomb", bomb));
    world.launched().await;
    world.wrote("bomb", "armed").await;
    // The count of the controller is that of all that it did not limit.
    let count = |file: &str| world.cgroup("pids", "bomb", file);
    eventually(|| (count("pids.current").parse::<u32>().unwrap() > 80).then_some(())).await;
    assert_eq!(count("pids.max"), "max");
    world.containerizer.destroy(&ContainerId::root("bomb"));
    assert_eq!(world.exited().await.status, Some(9));
}
