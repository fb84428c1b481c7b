//! The master's core from outside: scripted events against every effect, one file
//! per call and per refusal, and random histories.

use std::path::Path;

mod extremes;
mod histories;
mod maintenance;
mod operations;
mod quota;
mod random_operations;
mod random_settings;
mod world;

#[test]
fn scenarios() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    scenario::run_dir(&directory, world::World::default, |world, block| world.act(block));
}
