//! What goes when images are pruned, and what stays; and what is left of agents that died.

mod common;

use std::fs;

use common::{Entry, World, image, layer, read, saved};

fn images(world: &World) {
    let base = layer(&[Entry::File("base", b"0")]);
    for (name, own) in [("a:1", "a"), ("b:1", "b"), ("c:1", "c")] {
        let layers = [base.clone(), layer(&[Entry::File(own, own.as_bytes())])];
        world.save(name, &saved(&[name], &layers));
    }
}

#[tokio::test]
async fn what_is_not_used_goes() {
    let world = World::new();
    images(&world);
    let store = world.store();
    let used = store.get(&image("a:1")).await.unwrap();
    drop(store.get(&image("b:1")).await.unwrap());
    drop(store.get(&image("c:1")).await.unwrap());
    // One base, and for each image a layer and a configuration.
    assert_eq!(world.has("layers").len(), 7);
    assert_eq!(store.prune(&[image("c:1")]).unwrap(), 2);
    assert_eq!((world.has("layers").len(), world.has("gc")), (5, vec![]));
    assert_eq!(read(&used, 1, "a"), "a");

    // The one that went comes again, the others are there, also for the next agent.
    let pulls = store.metrics().pulls;
    for name in ["a:1", "c:1", "b:1"] {
        store.get(&image(name)).await.unwrap();
    }
    assert_eq!(store.metrics().pulls, pulls + 1);
    drop(used);
    assert_eq!(store.prune(&[]).unwrap(), 7);
    assert_eq!(world.has("layers"), Vec::<String>::new());
}

#[tokio::test]
async fn layers_of_containers_of_an_earlier_agent_stay() {
    let world = World::new();
    images(&world);
    let layers = world.store().get(&image("a:1")).await.unwrap().layers;
    let store = world.store();
    let claim = store.claim(&layers);
    // The configuration stays with its image.
    assert_eq!(store.prune(&[]).unwrap(), 0);
    drop(claim);
    assert_eq!(store.prune(&[]).unwrap(), 3);
}

#[tokio::test]
async fn what_agents_that_died_left_goes_and_what_others_pull_stays() {
    let world = World::new();
    images(&world);
    let store = world.store();
    store.get(&image("a:1")).await.unwrap();
    let place = world.store_dir();
    for left in ["staging/left/layer-0/rootfs.overlay/deep", "gc/sha256:x.1/rootfs.overlay"] {
        fs::create_dir_all(place.join(left)).unwrap();
    }
    fs::write(place.join("staging/records-7"), "half").unwrap();
    // Another agent pulls right now.
    fs::create_dir(place.join("staging/others")).unwrap();
    let lock = fs::File::open(place.join("staging/others")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let again = world.store();
    assert_eq!((world.has("staging"), world.has("gc")), (vec!["others".to_owned()], vec![]));
    assert_eq!(again.get(&image("a:1")).await.unwrap().layers.len(), 2);
    assert_eq!(again.metrics().pulls, 0);

    // A layer that somebody removed by hand is brought again.
    let layers = again.get(&image("a:1")).await.unwrap().layers;
    fs::remove_dir_all(layers[0].parent().unwrap()).unwrap();
    assert_eq!(read(&again.get(&image("a:1")).await.unwrap(), 0, "base"), "0");
    assert_eq!(again.metrics().pulls, 1);
}
