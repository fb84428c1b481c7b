//! The containerizer against a daemon that says what it is told to.

#[path = "../../docker/tests/fake/mod.rs"]
mod fake;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use containerizer::{Limits, Notice, Program, Spec};
use docker::Client;
use docker_containerizer::{Config, DockerContainerizer, Launch};
use fake::{Daemon, Script, json};
use fetcher::Fetcher;
use proto::mesos::v1::container_info::DockerInfo;
use proto::mesos::v1::{CommandInfo, ContainerInfo, Resource, value};
use tempfile::TempDir;
use tokio::sync::mpsc;
use types::ContainerId;

const PATIENCE: Duration = Duration::from_secs(30);

const ID: &str = "8c34ee45-9bb5-4ec5-84b2-2b3f5b7c3a1d";

struct World {
    daemon: Daemon,
    containerizer: DockerContainerizer,
    notices: mpsc::Receiver<Notice>,
    home: TempDir,
}

impl World {
    fn new(script: Script) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let fetcher = Fetcher::new(fetcher::Config {
            cache_dir: home.path().join("cache"),
            cache_bytes_max: 0,
            stall_timeout: Duration::from_secs(1),
            frameworks_home: String::new(),
            hadoop: None,
            limits: fetcher::Limits::default(),
        });
        let daemon = Daemon::start(script);
        let config = Config {
            client: Client::new(daemon.socket()),
            // Whatever it is told, it ends well at once.
            launcher_binary: "/bin/true".into(),
            launcher_dir: String::new(),
            sandbox_directory: "/mnt/mesos/sandbox".to_owned(),
            remove_delay: Duration::from_millis(10),
            stop_timeout: Duration::from_secs(2),
            kill_orphans: true,
            auth: None,
            dns: None,
            enable_cfs: false,
            machine_memory_bytes: 1 << 30,
            hierarchies: BTreeMap::new(),
        };
        let (sender, notices) = mpsc::channel(16);
        let containerizer = DockerContainerizer::new(config, Arc::new(fetcher.expect("a fetcher")), sender);
        Self { daemon, containerizer, notices, home }
    }

    fn launch(&self, container: ContainerId) {
        let spec = Spec {
            container,
            directory: self.home.path().to_owned(),
            user: None,
            uris: Vec::new(),
            program: Program { path: Default::default(), argv: Vec::new() },
            image: None,
            environment: Vec::new(),
            resources: vec![mem(64.0)],
            volumes: Vec::new(),
            limits: Limits::new(),
            info: None,
            is_command_task: false,
            forked_pid_path: None,
            by_name: None,
        };
        let docker = DockerInfo { image: "a".to_owned(), ..DockerInfo::default() };
        self.containerizer.launch(Launch {
            spec,
            info: ContainerInfo { docker: Some(docker), ..ContainerInfo::default() },
            command: CommandInfo { value: Some("true".to_owned()), ..CommandInfo::default() },
            task: None,
        });
    }

    async fn notice(&mut self) -> Notice {
        tokio::time::timeout(PATIENCE, self.notices.recv())
            .await
            .expect("a notice in time")
            .expect("a notice")
    }

    async fn until_asked(&self, what: &str) {
        let asked = async {
            while !self.daemon.asked().iter().any(|line| line == what) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, asked).await;
        assert!(came.is_ok(), "{what} was not asked for: {:?}", self.daemon.asked());
    }
}

fn mem(value: f64) -> Resource {
    Resource { name: "mem".to_owned(), scalar: Some(value::Scalar { value }), ..Resource::default() }
}

#[tokio::test]
async fn a_launch_is_given_up_while_the_image_is_pulled() {
    let mut world = World::new(|line| match line {
        "GET /v1.41/images/a:latest/json" => Some(json(404, r#"{"message":"No such image"}"#)),
        // The pull stalls; whatever is to be stopped is not there.
        line if line.contains("/stop") => Some(json(404, r#"{"message":"No such container"}"#)),
        line if line.starts_with("DELETE") => Some(json(404, "")),
        _ => None,
    });
    let id = ContainerId::root(ID);
    world.launch(id.clone());
    world.until_asked("POST /v1.41/images/create?fromImage=a:latest").await;
    assert_eq!(world.containerizer.launching(), std::slice::from_ref(&id));
    assert!(world.containerizer.destroy(&id));
    let Notice::Failed { container, message } = world.notice().await else { panic!("not a failure") };
    assert_eq!((container, message.as_str()), (id.clone(), "Container is being destroyed during launching"));
    assert!(!world.containerizer.has(&id) && !world.containerizer.destroy(&id));
    assert!(!world.daemon.asked().iter().any(|line| line.contains("/containers/create")));
}

#[tokio::test]
async fn what_the_daemon_refuses_is_told() {
    let mut world = World::new(|line| match line {
        "GET /v1.41/images/a:latest/json" => Some(json(200, "{}")),
        line if line.starts_with("POST /v1.41/containers/create") => {
            Some(json(409, r#"{"message":"name taken"}"#))
        }
        "GET /version" => None,
        _ => Some(json(404, "")),
    });
    world.launch(ContainerId::root(ID));
    let Notice::Failed { message, .. } = world.notice().await else { panic!("not a failure") };
    assert_eq!(message, "Docker daemon: name taken");
    let nested = ContainerId { value: "x".into(), parent: Some(Arc::new(ContainerId::root(ID))) };
    world.launch(nested);
    let Notice::Failed { message, .. } = world.notice().await else { panic!("not a failure") };
    assert_eq!(message, "Nested containers are not supported");
}

#[tokio::test]
async fn what_ended_is_stopped_and_removed_later() {
    let mut world = World::new(|line| match line {
        "GET /v1.41/images/a:latest/json" => Some(json(200, "{}")),
        line if line.starts_with("POST /v1.41/containers/create") => Some(json(201, r#"{"Id":"7"}"#)),
        line if line.contains("/stop") => Some(json(304, "")),
        line if line.starts_with("DELETE") => Some(json(204, "")),
        "GET /version" => None,
        _ => Some(json(404, "")),
    });
    let id = ContainerId::root(ID);
    world.launch(id.clone());
    assert!(matches!(world.notice().await, Notice::Launched { .. }));
    let Notice::Exited { termination, .. } = world.notice().await else { panic!("it did not end") };
    assert_eq!((termination.status, termination.message.as_deref()), (Some(0), Some("Container terminated")));
    let asked = world.daemon.asked();
    assert!(asked.contains(&format!("POST /v1.41/containers/mesos-{ID}/stop?t=0")), "{asked:?}");
    world.until_asked(&format!("DELETE /v1.41/containers/mesos-{ID}?force=1&v=1")).await;
    assert!(!world.containerizer.has(&id));
}

#[tokio::test]
async fn orphans_end_and_others_keep_their_names() {
    const LIST: &str = r#"[
        {"Names": ["/mesos-S0.8c34ee45-9bb5-4ec5-84b2-2b3f5b7c3a1d"]},
        {"Names": ["/mesos-11111111-2222-3333-4444-555555555555"]},
        {"Names": ["/mesos-dns"]}
    ]"#;
    let mut world = World::new(|line| match line {
        line if line.starts_with("GET /v1.41/containers/json") => Some(json(200, LIST)),
        line if line.contains("/stop") || line.starts_with("DELETE") => Some(json(204, "")),
        "GET /version" => None,
        _ => Some(json(404, "")),
    });
    let known = ContainerId::root(ID);
    world.containerizer.recover(&BTreeSet::from([known.clone()])).await.expect("recovered");
    world.until_asked("POST /v1.41/containers/mesos-11111111-2222-3333-4444-555555555555/stop?t=2").await;
    world
        .until_asked("DELETE /v1.41/containers/mesos-11111111-2222-3333-4444-555555555555?force=1&v=1")
        .await;
    // Its process is gone, so that it ended.
    let sandbox = world.home.path().to_string_lossy().into_owned();
    world.containerizer.adopt(known, None, sandbox, true);
    assert!(matches!(world.notice().await, Notice::Launched { pid: 0, .. }));
    assert!(matches!(world.notice().await, Notice::Exited { .. }));
    world.until_asked(&format!("POST /v1.41/containers/mesos-S0.{ID}/stop?t=0")).await;
    assert!(!world.daemon.asked().iter().any(|line| line.contains("mesos-dns")));
}
