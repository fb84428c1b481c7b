//! Every file of an agent's disk, cut at each byte and with each byte flipped: what cannot be read is told with the name of
//! its file, and the agent goes on with the rest.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::world::{MASTER, World, detected};
use agent_core::{Agent, Entry, Event, Recovered};
use machine::Machine as _;

/// An agent with a past: executors of both kinds, updates with and without acknowledgements, operations, a drain.
fn past() -> World {
    let mut world = World::new();
    world.set_resources("cpus:4;disk:200");
    world.handle(Event::Recovered(Box::default()));
    world.handle(detected(MASTER));
    world.elapse(Duration::from_secs(1));
    world.handle(world.message(MASTER, "SlaveRegisteredMessage", r#"{"slave_id":{"value":"S"}}"#));
    for (verb, rest) in [
        ("run", "a executor=E checkpoint new=true"),
        ("run", "b executor=E checkpoint new=false"),
        ("launched", "C1"),
        ("subscribe", "1 E"),
        ("status", "1 E a TASK_RUNNING 1"),
        ("status", "2 E b TASK_FINISHED 2"),
        ("ack", "b U2"),
        ("run", "t checkpoint new=true"),
        ("apply", "1 RESERVE 100"),
        ("drain", "{\"mark_gone\":false}"),
    ] {
        let event = world.event(verb, rest);
        world.handle(event);
    }
    let run = "/w/meta/slaves/S/frameworks/F/executors/E/runs/";
    let container = world.disk.keys().find_map(|path| path.strip_prefix(run)?.strip_suffix("/http.marker"));
    let run = format!("{run}{}", container.expect("a run"));
    // The containerizer's, and those of an executor with a driver.
    for (file, text) in [("forked.pid", "77"), ("libprocess.pid", "executor(1)@127.0.0.1:4000")] {
        world.disk.insert(format!("{run}/pids/{file}"), Entry::File(text.as_bytes().to_vec()));
    }
    world
}

fn files(world: &World) -> BTreeMap<String, Entry> {
    let files = world.disk.iter().filter_map(|(path, entry)| {
        let name = path.strip_prefix("/w/meta/")?;
        let name = name.strip_prefix("slaves/S/").or(name.starts_with("resources/").then_some(name))?;
        Some((name.to_owned(), entry.clone()))
    });
    files.collect()
}

/// Recovers from the disk with one file changed. Whatever is told must name it.
fn recover(world: &World, files: &BTreeMap<String, Entry>, name: &str, bytes: Vec<u8>) -> Recovered {
    let mut files = files.clone();
    files.insert(name.to_owned(), Entry::File(bytes));
    let found = Recovered::from_files(&files, false);
    for error in &found.errors {
        assert!(error.starts_with(&format!("Failed to read '{name}'")), "{name}: {error}");
    }
    // Not strict: the agent goes on, and counts.
    let mut agent = Agent::new(world.config());
    let mut fx = Vec::new();
    agent.handle_event(world.time(), Event::Recovered(Box::new(found.clone())), &mut fx);
    agent.assert_invariants();
    assert_eq!(agent.view().counters.recovery_errors, found.errors.len() as u64);
    found
}

fn contents(files: &BTreeMap<String, Entry>) -> Vec<(String, Vec<u8>)> {
    let contents = files.iter().filter_map(|(name, entry)| match entry {
        Entry::File(bytes) => Some((name.clone(), bytes.clone())),
        Entry::Link(_) => None,
    });
    contents.collect()
}

#[test]
fn the_past_has_every_kind_of_file() {
    let names: Vec<_> = files(&past()).into_keys().collect();
    for kind in [
        "slave.info",
        "drain.config",
        "framework.info",
        "framework.pid",
        "executor.info",
        "executor_generated_for_command_task",
        "http.marker",
        "forked.pid",
        "libprocess.pid",
        "task.info",
        "task.updates",
        "resources_and_operations.state",
        "operation.updates",
        "latest",
    ] {
        assert!(names.iter().any(|name| name.ends_with(kind)), "{kind}: {names:#?}");
    }
    let found = Recovered::from_files(&files(&past()), false);
    assert_eq!(found.errors, Vec::<String>::new());
}

#[test]
fn a_file_that_was_cut_is_told_or_was_never_acted_upon() {
    let world = past();
    let mut files = files(&world);
    cut(&world, &files, |name| name != "resources/resources.info");
    // What agents of before operations had feedback have in place of the newer file, which hides it.
    files.remove("resources/resources_and_operations.state");
    cut(&world, &files, |name| name == "resources/resources.info");
}

fn cut(world: &World, files: &BTreeMap<String, Entry>, which: impl Fn(&str) -> bool) {
    for (name, bytes) in contents(files).into_iter().filter(|(name, _)| which(name)) {
        for end in 0..bytes.len() {
            let found = recover(world, files, &name, bytes[..end].to_vec());
            let is_log = name.ends_with(".updates");
            let is_text = name.ends_with(".pid") || name.ends_with("command_task");
            // A log loses its last record, an empty file was never synced, and half a number is one.
            assert!(
                !found.errors.is_empty() || is_log || is_text || end == 0,
                "{name} cut at {end} goes unnoticed"
            );
            assert!(found.errors.len() <= 1, "{name} cut at {end}: {:?}", found.errors);
        }
    }
}

#[test]
fn a_byte_that_was_flipped_is_told_or_does_no_harm() {
    let world = past();
    let files = files(&world);
    let mut told = 0;
    for (name, bytes) in contents(&files) {
        for at in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= mask;
                told += usize::from(!recover(&world, &files, &name, bytes).errors.is_empty());
            }
        }
    }
    assert!(told > 100, "{told}");
}
