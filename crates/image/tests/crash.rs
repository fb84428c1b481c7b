//! Pulls that do not get to their end: agents that are killed, and disks that are full.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Entry, World, digest, image, layer, refused, saved};
use image::{Config, Store};

/// Tells a process of this test where to pull.
const PULLS_IN: &str = "MESOS_TEST_IMAGE_PULLS_IN";

const FILES: usize = 300;

fn large(number: usize) -> Vec<u8> {
    let names: Vec<_> = (0..FILES).map(|file| format!("{number}-{file}")).collect();
    layer(&names.iter().map(|name| Entry::File(name, name.as_bytes())).collect::<Vec<_>>())
}

fn config(directory: &Path) -> Config {
    Config {
        store_dir: directory.join("store"),
        registry: directory.join("images").display().to_string(),
        docker_config: None,
        stall_timeout: Duration::from_secs(10),
        limits: image::Limits::default(),
    }
}

/// Pulls as an agent does; it is told where, if it is to be killed.
#[tokio::test]
async fn pulls_where_it_is_told() {
    let Some(directory) = std::env::var_os(PULLS_IN) else { return };
    let store = Store::open(config(Path::new(&directory))).unwrap();
    store.get(&image("large:1")).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_is_killed_leaves_only_what_is_complete() {
    let world = World::new();
    let layers: Vec<_> = (0..4).map(large).collect();
    world.save("large:1", &saved(&["large:1"], &layers));
    let known: BTreeMap<_, _> = layers.iter().map(|layer| (digest(layer).to_string(), FILES)).collect();
    let mut interrupted = 0;
    for wait in [0, 3, 10, 25, 50, 100] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "pulls_where_it_is_told"])
            .env(PULLS_IN, world.directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        let staging = world.store_dir().join("staging");
        // It is killed at some time after it began to pull.
        while fs::read_dir(&staging).map_or(0, Iterator::count) == 0 && child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < Duration::from_secs(60), "it does not pull");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        interrupted += usize::from(fs::read_dir(&staging).unwrap().count() > 0);
        let again = Store::open(config(world.directory.path())).unwrap();
        assert_eq!((world.has("staging"), world.has("gc")), (vec![], vec![]));
        for name in world.has("layers") {
            let rootfs = world.store_dir().join("layers").join(&name).join("rootfs.overlay");
            if let Some(files) = known.get(&name) {
                assert_eq!(fs::read_dir(rootfs).unwrap().count(), *files, "{name}");
            }
        }
        assert_eq!(again.get(&image("large:1")).await.unwrap().layers.len(), 4);
        fs::remove_dir_all(world.store_dir()).unwrap();
    }
    assert!(interrupted > 0, "no pull was interrupted");
}

/// A small file system; it goes when this is dropped.
struct Small(std::path::PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} is left mounted", self.0.display());
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_nothing_stays() {
    let world = World::new();
    fs::create_dir(world.store_dir()).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "mesos-test-image"])
        .arg(world.store_dir())
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED a_full_disk_is_said_and_nothing_stays: this needs root");
        return;
    }
    let _small = Small(world.store_dir());
    let layers = [layer(&[Entry::File("small", b"x")]), layer(&[Entry::File("large", &[1; 2 << 20])])];
    world.save("large:1", &saved(&["large:1"], &layers));
    world.save("small:1", &saved(&["small:1"], &layers[..1]));
    let store = world.store();
    let why = refused(&store, "large:1").await;
    assert!(why.contains("'large': No space left on device"), "{why}");
    assert_eq!((world.has("staging"), world.has("layers")), (vec![], vec![]));
    // It goes on with what there is room for.
    assert_eq!(store.get(&image("small:1")).await.unwrap().layers.len(), 1);
}
