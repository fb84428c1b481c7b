//! More of what cgroups do, on either version.

use types::ContainerId;

use super::*;

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
