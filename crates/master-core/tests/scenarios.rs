//! Scripted events against every effect: one file per call and per refusal.

use std::path::Path;

mod world;

#[test]
fn scenarios() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    scenario::run_dir(&directory, world::World::default, |world, block| world.act(block));
}
