//! Images through master and agent: an archive of `docker save`, a layout of the Open Container Initiative and a registry,
//! made by the tools that people use for that. Each runs a task by `mesos execute --docker_image`.
//!
//! Where the machine lacks something a test says so on its standard error, and is over.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::{Cluster, Options, eventually, free_address, operate, request, rootfs, saved_image};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const BUSYBOX: &str = "/bin/busybox";

/// The programs that make images, and the registry of Debian.
const TOOLS: &[&str] = &["/usr/bin/skopeo", "/usr/bin/umoci", "/usr/bin/docker-registry"];

/// What an image runs if nothing else is said.
const OWN_COMMAND: &str = "echo $GREETING from $(pwd) of $(cat /etc/layer)";

/// A cluster whose agent has images.
struct World {
    root: String,
    cluster: Cluster,
}

/// What this machine lacks for these tests.
fn missing() -> Option<String> {
    let files = TOOLS.iter().chain([&BUSYBOX]).find(|path| !Path::new(path).exists());
    match rustix::process::geteuid().is_root() {
        false => Some("root".to_owned()),
        true => files.map(|path| (*path).to_owned()),
    }
}

fn skipped(name: &str) -> bool {
    let missing = missing();
    if let Some(missing) = &missing {
        eprintln!(
            "SKIPPED {name}: this needs {missing}, of the packages skopeo umoci docker-registry busybox-static"
        );
    }
    missing.is_some()
}

impl World {
    fn new(name: &str, registry: &str, more: &[&str]) -> Self {
        let root = format!("mesos-e2e-{}-images-{name}", std::process::id());
        let mut agent_flags = vec![
            "--launcher=linux".to_owned(),
            format!("--cgroups_root={root}"),
            "--isolation=filesystem/linux,docker/runtime".to_owned(),
            "--image_providers=docker".to_owned(),
            format!("--docker_registry={registry}"),
        ];
        agent_flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        let cluster = Cluster::start(&Options { agent_flags, ..Options::default() }).expect("a cluster");
        Self { root, cluster }
    }

    /// Runs a task of that image; what it prints.
    fn prints(&self, image: &str, more: &[&str]) -> String {
        let image = format!("--docker_image={image}");
        let mut arguments = vec!["--name=imaged", "--resources=cpus:0.1;mem:32", image.as_str()];
        arguments.extend(more);
        self.cluster.tool().verb("execute").prints(&arguments)
    }

    /// Runs what an image runs by itself, and something else.
    fn runs(&self, image: &str) {
        let own = self.prints(image, &["--no-shell"]);
        assert!(own.contains("hello from /srv of second\n"), "{own}");
        // What the second layer took away and added, and that it is not the machine's own root.
        let command = "--command=cat /etc/layer; ls /etc/own; [ -e /etc/gone ] || echo hidden; [ -e /usr ] || echo alone";
        let other = self.prints(image, &[command]);
        assert!(other.contains("second\n/etc/own\nhidden\nalone\n"), "{other}");
        self.until_nothing_is_left();
    }

    fn until_nothing_is_left(&self) {
        let home = self.cluster.home.path();
        let entries = |path: PathBuf| fs::read_dir(path).into_iter().flatten().count();
        eventually("nothing is left of containers", PATIENCE, || {
            let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
            let left = mounts.lines().filter(|line| line.contains(home.to_str().expect("a path"))).count()
                + entries(home.join("agent-0/provisioner/containers"))
                + entries(home.join("store/staging"))
                + self.cgroups().len();
            (left == 0).then_some(())
        });
    }

    /// Where containers are, in each hierarchy.
    fn roots(&self) -> Vec<PathBuf> {
        let top = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
        hierarchies.chain([top.to_owned()]).map(|hierarchy| hierarchy.join(&self.root)).collect()
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        let below =
            self.roots().into_iter().flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten());
        below.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }

    fn store_dir_flag(home: &Path) -> String {
        format!("--docker_store_dir={}", home.join("store").display())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for agent in &mut self.cluster.agents {
            agent.kill();
        }
        let cgroups = self.cgroups();
        let lists = cgroups.iter().map(|path| fs::read_to_string(path.join("cgroup.procs")));
        for pid in lists.flatten().flat_map(|list| list.lines().map(str::to_owned).collect::<Vec<_>>()) {
            if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        for path in cgroups {
            // A process that was just killed holds its cgroup a moment longer.
            let gone = || fs::remove_dir(&path).is_ok() || !path.exists();
            eventually("a cgroup is removed", PATIENCE, || gone().then_some(()));
        }
        for root in self.roots() {
            // Most hierarchies have none.
            let _ = fs::remove_dir(root);
        }
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("it starts");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Images, and a layout that they are copied from.
struct Images {
    directory: TempDir,
}

impl Images {
    /// An image of two layers: the second one takes a file of the first away.
    fn new() -> Self {
        let images = Self { directory: tempfile::tempdir().expect("a directory") };
        let path = |name: &str| images.directory.path().join(name);
        let layout = images.source();
        let name = layout.strip_prefix("oci:").expect("a layout").to_owned();
        let (first, second) = (path("first"), path("second"));
        fs::create_dir_all(first.join("bin")).expect("a directory");
        fs::create_dir_all(first.join("etc")).expect("a directory");
        fs::create_dir_all(first.join("srv")).expect("a directory");
        fs::copy(BUSYBOX, first.join("bin/busybox")).expect("busybox");
        for program in ["sh", "cat", "ls", "echo", "pwd", "id", "sleep"] {
            symlink("busybox", first.join("bin").join(program)).expect("a link");
        }
        fs::write(first.join("etc/layer"), "first\n").expect("a file");
        fs::write(first.join("etc/gone"), "").expect("a file");
        fs::create_dir_all(&second).expect("a directory");
        fs::write(second.join("layer"), "second\n").expect("a file");
        fs::write(second.join("own"), "").expect("a file");
        let text = |path: &Path| path.to_str().expect("a path").to_owned();
        run("umoci", &["init", "--layout", &text(&path("layout"))]);
        run("umoci", &["new", "--image", &name]);
        run("umoci", &["insert", "--image", &name, &text(&first), "/"]);
        run("umoci", &["insert", "--image", &name, &text(&second), "/etc"]);
        run("umoci", &["insert", "--image", &name, "--whiteout", "/etc/gone"]);
        run(
            "umoci",
            &[
                "config",
                "--image",
                &name,
                "--config.entrypoint=/bin/sh",
                "--config.cmd=-c",
                &format!("--config.cmd={OWN_COMMAND}"),
                "--config.env=GREETING=hello",
                "--config.env=PATH=/bin",
                "--config.workingdir=/srv",
            ],
        );
        fs::create_dir(path("images")).expect("a directory");
        images
    }

    /// What skopeo calls the image.
    fn source(&self) -> String {
        format!("oci:{}:latest", self.directory.path().join("layout").display())
    }

    /// Where the agent finds images.
    fn directory(&self) -> String {
        self.directory.path().join("images").display().to_string()
    }

    fn copy(&self, to: &str) {
        run(
            "skopeo",
            &["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", &self.source(), to],
        );
    }
}

/// The registry of Debian.
struct Registry {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Registry {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = free_address().expect("a port");
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
            directory.path().join("data").display()
        );
        let path = directory.path().join("config.yml");
        fs::write(&path, config).expect("a file");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the registry starts");
        let registry = Self { child, address, _directory: directory };
        eventually("the registry answers", PATIENCE, || request(address, "GET", "/v2/", &[], b"").ok());
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent_of(world: &World) -> SocketAddr {
    world.cluster.agents[0].address
}

#[test]
fn root_archives_and_layouts_run_tasks() {
    if skipped("root_archives_and_layouts_run_tasks") {
        return;
    }
    let images = Images::new();
    let directory = images.directory();
    // A colon in a path is more than skopeo can read.
    images.copy(&format!("docker-archive:{directory}/saved.tar:saved:1"));
    fs::rename(Path::new(&directory).join("saved.tar"), Path::new(&directory).join("saved:1.tar"))
        .expect("moved");
    images.copy(&format!("oci:{directory}/layout:1"));
    images.copy(&format!("oci-archive:{directory}/packed.tar:latest"));
    fs::write(Path::new(&directory).join("broken.tar"), "no archive").expect("a file");
    let home = tempfile::tempdir().expect("a directory");
    let world = World::new("local", &directory, &[&World::store_dir_flag(home.path())]);
    for image in ["saved:1", "layout:1", "packed"] {
        world.runs(image);
    }
    let execute = world.cluster.tool().verb("execute");
    let fails = |image: &str, says: &str| {
        execute.fails(&["--name=imaged", "--command=true", &format!("--docker_image={image}")], says);
    };
    fails(
        "none:7",
        &format!(
            "Failed to launch container: Failed to pull image 'none:7': Failed to find archive for image 'none:7' at \
             '{directory}/none:7.tar'"
        ),
    );
    fails("broken", &format!("Failed to pull image 'broken': Failed to read '{directory}/broken.tar': "));
    fails(
        "../../etc/x",
        "Failed to parse docker image '../../etc/x': '..' is not a part of a repository's name",
    );
    world.until_nothing_is_left();
    assert_eq!(fs::read_dir(home.path().join("store/staging")).expect("it is there").count(), 0);

    // Nothing runs, so everything goes but what is to stay.
    let layers = || fs::read_dir(home.path().join("store/layers")).expect("it is there").count();
    let prune = |excluded: Value| {
        operate(
            agent_of(&world),
            &json!({"type": "PRUNE_IMAGES", "prune_images": {"excluded_images": excluded}}),
        );
    };
    prune(json!([{"type": "DOCKER", "docker": {"name": "saved:1"}}]));
    // Three layers and a configuration.
    assert_eq!(layers(), 4);
    prune(json!([]));
    assert_eq!(layers(), 0);
    world.runs("saved:1");
}

#[test]
fn root_an_image_of_a_registry_runs_tasks() {
    if skipped("root_an_image_of_a_registry_runs_tasks") {
        return;
    }
    let images = Images::new();
    let registry = Registry::start();
    images.copy(&format!("docker://{}/team/app:1", registry.address));
    // The same in Docker's own format.
    run(
        "skopeo",
        &[
            "--insecure-policy",
            "copy",
            "--quiet",
            "--format=v2s2",
            "--dest-tls-verify=false",
            &images.source(),
            &format!("docker://{}/team/app:2", registry.address),
        ],
    );
    let home = tempfile::tempdir().expect("a directory");
    let world = World::new(
        "registry",
        &format!("http://{}", registry.address),
        &[&World::store_dir_flag(home.path())],
    );
    for image in ["team/app:1", "team/app:2", &format!("{}/team/app:1", registry.address)] {
        world.runs(image);
    }
    let execute = world.cluster.tool().verb("execute");
    execute.fails(
        &["--name=imaged", "--command=true", "--docker_image=team/app:3"],
        "Failed to launch container: Failed to pull image 'team/app:3': Unexpected HTTP response '404 Not Found' when \
         trying to get the manifest",
    );
    // From the cache, the registry is not needed.
    drop(registry);
    world.runs("team/app:1");
    let metrics = world.cluster.agents[0].json("/metrics/snapshot");
    let pulls = &metrics["containerizer/mesos/provisioner/docker_store/image_pull_ms/count"];
    assert_eq!(pulls, &json!(3.0), "{metrics}");
}

#[test]
fn root_images_that_nobody_uses_go_when_the_disk_is_too_full() {
    if skipped("root_images_that_nobody_uses_go_when_the_disk_is_too_full") {
        return;
    }
    let images = Images::new();
    let directory = images.directory();
    images.copy(&format!("oci:{directory}/kept:1"));
    let small = tempfile::tempdir().expect("a directory");
    rootfs(small.path(), &["sh", "sleep", "cat"]);
    fs::write(small.path().join("mark"), "still there\n").expect("a file");
    saved_image(Path::new(&directory), "small:1", &json!({"Env": ["PATH=/bin"]}), small.path());
    let home = tempfile::tempdir().expect("a directory");
    // Any disk is too full for this.
    let gc = json!({
        "image_disk_headroom": 1.0, "image_disk_watch_interval": {"nanoseconds": 50_000_000},
        "excluded_images": [{"type": "DOCKER", "docker": {"name": "kept:1"}}],
    });
    let flags = [&World::store_dir_flag(home.path())[..], &format!("--image_gc_config={gc}")];
    let world = World::new("collected", &directory, &flags);
    let layers = || fs::read_dir(home.path().join("store/layers")).expect("it is there").count();
    world.runs("kept:1");
    // What a task uses stays for as long: it reads on when its image was long due.
    let log = || fs::read_to_string(&world.cluster.agents[0].log).unwrap_or_default();
    let rounds = || log().matches("layers and configurations of images that are not used").count();
    std::thread::scope(|scope| {
        let task = scope.spawn(|| {
            // It ends by itself where this test fails meanwhile.
            let wait =
                "n=0; until [ -e $MESOS_SANDBOX/go ] || [ $n = 2400 ]; do sleep 0.05; n=$((n + 1)); done";
            world.prints("small:1", &[&format!("--command={wait}; cat /mark")])
        });
        let sandbox = eventually("the task has a sandbox", PATIENCE, || {
            // The executors of tasks that have ended may still be listed.
            let running = world.cgroups();
            let state = world.cluster.agents[0].json("/state");
            let frameworks = state["frameworks"].as_array().into_iter().flatten();
            let executors = frameworks.flat_map(|it| it["executors"].as_array().into_iter().flatten());
            let mut sandboxes = executors.filter_map(|it| Some(PathBuf::from(it["directory"].as_str()?)));
            let is_its_own = |path: &PathBuf| running.iter().any(|it| it.file_name() == path.file_name());
            sandboxes.find(is_its_own).filter(|path| path.join("stdout").exists())
        });
        let before = rounds();
        eventually("images are collected meanwhile", PATIENCE, || (rounds() > before + 3).then_some(()));
        assert_eq!(layers(), 4 + 2, "those that stay, and those in use");
        fs::write(sandbox.join("go"), "").expect("a file");
        let said = task.join().expect("it ran");
        assert!(said.contains("still there\n"), "{said}");
    });
    eventually("only what is to stay is left", PATIENCE, || (layers() == 4).then_some(()));
    world.runs("kept:1");
}
