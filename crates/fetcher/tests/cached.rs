//! What the cache saves, and when it steps aside.

mod common;

use common::{Answer, Server, World};
use proto::mesos::v1::command_info::Uri;
use std::sync::atomic::Ordering;

fn cached(uri: Uri) -> Uri {
    Uri { cache: Some(true), ..uri }
}

#[test]
fn downloads_once_for_many() {
    let world = World::new();
    let server = Server::new(vec![("/data", Answer::ok(b"hello"))]);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (world, uri) = (&world, cached(server.uri("/data")));
            scope.spawn(move || {
                world.fetch(&[Uri { output_file: Some(format!("copy{number}")), ..uri }]).unwrap();
            });
        }
    });
    for number in 0..8 {
        assert_eq!(world.read(&format!("copy{number}")), "hello");
    }
    assert_eq!(server.gets.load(Ordering::SeqCst), 1);
    assert_eq!(world.fetcher.metrics().cache_size_used_bytes, 5);
    assert_eq!(world.fetcher.metrics().task_fetches_succeeded, 8);
}

#[test]
fn steps_aside_for_what_does_not_fit() {
    let world = World::with(|config| config.cache_bytes_max = 4);
    let server = Server::new(vec![("/data", Answer::ok(b"hello"))]);
    world.fetch(&[cached(server.uri("/data"))]).unwrap();
    assert_eq!(world.read("data"), "hello");
    assert!(world.read("stderr").contains("past the cache, because: Failed to reserve space in the cache"));
    assert_eq!(world.fetcher.metrics().cache_size_used_bytes, 0);
}

#[test]
fn extracts_and_makes_executable_from_the_cache() {
    let world = World::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, b"words").unwrap();
    let gz = cached(world.source("words.gz", &encoder.finish().unwrap()));
    world.fetch(std::slice::from_ref(&gz)).unwrap();
    world.fetch(&[Uri { executable: Some(true), output_file: Some("run".into()), ..gz }]).unwrap();
    // An archive that comes out of the cache is not copied into the sandbox itself.
    assert_eq!(world.names(), ["run", "words"]);
}

#[test]
fn fails_a_missing_file_and_tries_again() {
    let world = World::new();
    let uri = cached(common::uri("later"));
    assert!(world.fetch(std::slice::from_ref(&uri)).is_err());
    world.source("later", b"now");
    world.fetch(&[uri]).unwrap();
    assert_eq!(world.read("later"), "now");
}

#[test]
fn starts_empty() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("old")).unwrap();
    World::with(|config| config.cache_dir = directory.path().to_owned());
    assert!(!directory.path().join("old").exists());
}
