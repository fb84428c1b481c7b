//! Copies, downloads and the options of a URI.

mod common;

use common::{Answer, Server, World, uri};
use proto::mesos::v1::command_info::Uri;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[test]
fn copies_local_files() {
    let world = World::new();
    let absolute = world.source("one", b"1");
    world.source("two", b"2");
    let file = Uri {
        value: format!("file://{}", absolute.value),
        output_file: Some("d/e/three".into()),
        ..absolute.clone()
    };
    world.fetch(&[absolute, uri("two"), file]).unwrap();
    assert_eq!(world.read("one") + &world.read("two") + &world.read("d/e/three"), "121");
    assert!(world.read("stderr").contains("fetcher: Fetched"));
    assert_eq!(world.fetcher.metrics().task_fetches_succeeded, 1);
}

#[test]
fn makes_executable_instead_of_extracting() {
    let world = World::new();
    let script = world.source("run.tar", b"#!/bin/sh\n");
    world.fetch(&[Uri { executable: Some(true), ..script }]).unwrap();
    let mode = std::fs::metadata(world.sandbox.join("run.tar")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}

#[test]
fn refuses_nonsense_before_doing_anything() {
    let world = World::new();
    let good = world.source("good", b"g");
    let error = |bad: Uri| world.fetch(&[good.clone(), bad]).unwrap_err().to_string();
    assert_eq!(error(uri("http://h")), "Could not fetch: Malformed URI (missing path): http://h");
    assert_eq!(error(uri("a'b")), "Could not fetch: Illegal characters in URI");
    let outside = Uri { output_file: Some("../x".into()), ..good.clone() };
    assert_eq!(error(outside), "Could not fetch: URI output file must be within the sandbox directory");
    assert_eq!(world.names(), Vec::<String>::new());
    assert_eq!(world.fetcher.metrics().task_fetches_failed, 3);
}

#[test]
fn says_what_is_missing() {
    let world = World::new();
    let error = |value: &str| world.fetch(&[uri(value)]).unwrap_err().to_string();
    assert_eq!(
        error("/none/x"),
        "Failed to fetch all URIs for container 'c1': Failed to fetch '/none/x': \
         Failed to copy '/none/x': No such file or directory (os error 2)"
    );
    assert!(error("/tmp").contains("not a regular file"));
    assert!(error("hdfs://h/x").contains("there is no Hadoop client on this agent"));
    assert_eq!(world.names(), Vec::<String>::new());
}

#[test]
fn downloads_and_follows_redirects() {
    let world = World::new();
    let mut moved = Answer::status("302 Found");
    moved.head.push_str("Location: /data\r\n");
    let server = Server::new(vec![("/data", Answer::ok(b"hello")), ("/moved", moved)]);
    world.fetch(&[server.uri("/data"), server.uri("/moved")]).unwrap();
    assert_eq!(world.read("data") + &world.read("moved"), "hellohello");
    let error = world.fetch(&[server.uri("/none")]).unwrap_err().to_string();
    assert!(error.ends_with("Error downloading resource, received HTTP return code 404"), "{error}");
    assert_eq!(world.names(), ["data", "moved"]);
}

#[test]
fn gives_up_stalled_and_broken_downloads() {
    let world = World::with(|config| config.stall_timeout = Duration::from_millis(200));
    let mut short = Answer::ok(b"0123456789");
    short.body.truncate(4);
    let stalled = Answer { stall: true, ..short.clone() };
    let server = Server::new(vec![("/short", short), ("/stalled", stalled)]);
    for path in ["/short", "/stalled"] {
        let error = world.fetch(&[server.uri(path)]).unwrap_err().to_string();
        assert!(error.contains("Error downloading resource: "), "{error}");
    }
    assert_eq!(world.names(), Vec::<String>::new());
}

#[test]
fn stops_when_cancelled() {
    let world = World::new();
    let stalled = Answer { stall: true, head: Answer::ok(b"0123456789").head, body: b"0123".to_vec() };
    let server = Server::new(vec![("/stalled", stalled)]);
    let started = Instant::now();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while server.gets.load(Ordering::SeqCst) == 0 {
                assert!(started.elapsed() < Duration::from_secs(10));
                std::thread::yield_now();
            }
            world.cancel.store(true, Ordering::SeqCst);
        });
        world.fetch(&[server.uri("/stalled")]).unwrap_err().to_string()
    });
    assert_eq!(error, "Fetching for container 'c1' has been cancelled");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(world.names(), Vec::<String>::new());
}

#[test]
fn removes_what_grows_too_large() {
    let world = World::with(|config| config.limits.download_bytes_max = 10);
    let error = world.fetch(&[world.source("big", &[0; 11])]).unwrap_err().to_string();
    assert!(error.ends_with("more than the 10 bytes that are allowed"), "{error}");
    assert_eq!(world.names(), Vec::<String>::new());
}

#[test]
fn asks_the_hadoop_client_for_other_schemes() {
    let tools = tempfile::tempdir().unwrap();
    let program = tools.path().join("bin/hadoop");
    std::fs::create_dir(tools.path().join("bin")).unwrap();
    std::fs::write(&program, "#!/bin/sh\n[ \"$3\" = hdfs://h/data ] && echo \"$1 $2\" > \"$4\"\n").unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let world = World::with(|config| config.hadoop = fetcher::hadoop_program(Some(tools.path()), ""));
    world.fetch(&[uri("hdfs://h/data")]).unwrap();
    assert_eq!(world.read("data"), "fs -copyToLocal\n");
    let error = world.fetch(&[uri("hdfs://h/none")]).unwrap_err().to_string();
    assert!(error.ends_with("HDFS copyToLocal failed: exit status: 1"), "{error}");
    assert_eq!(world.names(), ["data"]);
}

#[test]
fn fetches_with_the_rights_of_the_user() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can become another user");
        return;
    }
    let world = World::new();
    std::fs::set_permissions(world.directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(&world.sandbox, Some(4242), Some(4243)).unwrap();
    let open = world.source("open", b"o");
    let secret = world.source("secret", b"s");
    std::fs::set_permissions(&secret.value, PermissionsExt::from_mode(0o600)).unwrap();
    let user = fetcher::User { name: "someone".into(), uid: 4242, gid: 4243, groups: vec![4243] };
    let fetch = |uris: &[Uri]| {
        let request =
            fetcher::FetchRequest { container_id: "c1", uris, sandbox: &world.sandbox, user: Some(&user) };
        world.fetcher.fetch(&request, &world.cancel)
    };
    let cached = Uri { cache: Some(true), output_file: Some("cached".into()), ..open.clone() };
    fetch(&[open, cached]).unwrap();
    for name in ["open", "cached", "stderr"] {
        let found = std::fs::metadata(world.sandbox.join(name)).unwrap();
        let ids = (std::os::unix::fs::MetadataExt::uid(&found), std::os::unix::fs::MetadataExt::gid(&found));
        assert_eq!(ids, (4242, 4243), "{name}");
    }
    let error = fetch(&[secret]).unwrap_err().to_string();
    assert!(error.contains("Permission denied"), "{error}");
}
