//! Images from a directory of archives and layouts.

mod common;

use std::fs;

use common::{Entry, World, image, layer, layout, read, refused, saved};

fn two_layers() -> Vec<Vec<u8>> {
    vec![
        layer(&[Entry::Directory("bin/"), Entry::File("bin/run", b"run"), Entry::File("old", b"1")]),
        layer(&[Entry::File("new", b"2"), Entry::File(".wh.old", b"")]),
    ]
}

#[tokio::test]
async fn an_image_of_docker_save_is_pulled_once() {
    let world = World::new();
    world.save("busybox:1", &saved(&["busybox:1"], &two_layers()));
    let store = world.store();
    let pulled = store.get(&image("busybox:1")).await.unwrap();
    assert_eq!((pulled.layers.len(), read(&pulled, 0, "bin/run")), (2, "run".to_owned()));
    assert_eq!(read(&pulled, 1, "new"), "2");
    assert_eq!(pulled.config.cmd, ["/bin/run"]);
    assert_eq!(pulled.config.working_dir.as_deref(), Some("/work"));
    let hidden = rustix::fs::lstat(pulled.layers[1].join("old")).unwrap();
    assert!(image::overlay::is_whiteout(&hidden));
    assert_eq!((world.has("staging"), world.has("layers").len()), (vec![], 3));

    // From the cache, also by another agent, without the archive.
    fs::remove_file(world.images().join("busybox:1.tar")).unwrap();
    assert_eq!(store.get(&image("busybox:1")).await.unwrap().layers, pulled.layers);
    assert_eq!(world.store().get(&image("busybox:1")).await.unwrap().layers, pulled.layers);
    assert_eq!(store.metrics().pulls, 1);
    // But not if the cache is not wanted.
    let mut anew = image("busybox:1");
    anew.cached = Some(false);
    assert!(store.get(&anew).await.is_err());
}

#[tokio::test]
async fn a_layout_is_pulled_from_a_directory_and_an_archive() {
    let world = World::new();
    common::write(&world.images().join("plain:1"), &layout(Some("whatever"), &two_layers()));
    common::write(&world.images().join("many"), &layout(Some("7"), &two_layers()));
    world.save("packed", &layout(None, &two_layers()));
    let store = world.store();
    for name in ["plain:1", "many:7", "packed"] {
        let pulled = store.get(&image(name)).await.unwrap();
        assert_eq!((pulled.layers.len(), read(&pulled, 1, "new")), (2, "2".to_owned()), "{name}");
    }
    // The same layers, whatever image they are of.
    assert_eq!(world.has("layers").len(), 3);
    let why = refused(&store, "many:8").await;
    assert!(why.ends_with("has no image 'many:8'; there is [7]"), "{why}");
}

#[tokio::test]
async fn what_is_wrong_with_an_image_is_said_and_nothing_stays() {
    let world = World::new();
    let good = two_layers();
    world.save("other:1", &saved(&["busybox:1"], &good));
    let mut lacking = saved(&["lacking:1"], &good);
    lacking.remove(&format!("{}/layer.tar", common::hex(common::digest(&good[1]))));
    world.save("lacking:1", &lacking);
    let mut forged = saved(&["forged:1"], &good);
    let first = format!("{}/layer.tar", common::hex(common::digest(&good[0])));
    forged.insert(first, layer(&[Entry::File("evil", b"!")]));
    world.save("forged:1", &forged);
    fs::write(world.images().join("junk:1.tar"), "no archive at all").unwrap();
    world.save("empty:1", &std::collections::BTreeMap::new());
    let mut blob = layout(None, &good);
    let index = String::from_utf8(blob["index.json"].clone()).unwrap();
    let manifest = index.split("sha256:").nth(1).unwrap()[..64].to_owned();
    blob.insert(format!("blobs/sha256/{manifest}"), b"{}".to_vec());
    common::write(&world.images().join("blob:1"), &blob);

    let store = world.store();
    let images = world.images().display().to_string();
    for (name, why) in [
        ("none:1", format!("Failed to find archive for image 'none:1' at '{images}/none:1.tar'")),
        ("other:1", format!("'{images}/other:1.tar' has no image 'other:1'; there is [busybox:1]")),
        ("lacking:1", "/layer.tar'".to_owned()),
        ("forged:1", format!("should have the digest {}, and has ", common::digest(&good[0]))),
        ("junk:1", format!("Failed to read '{images}/junk:1.tar': ")),
        (
            "empty:1",
            format!("'{images}/empty:1.tar' is neither an archive of 'docker save' nor an OCI layout"),
        ),
        ("blob:1", format!("The blob 'sha256:{manifest}' has the digest {}", common::digest(b"{}"))),
        (
            "../../etc/passwd",
            "Failed to parse docker image '../../etc/passwd': '..' is not a part".to_owned(),
        ),
    ] {
        let refusal = refused(&store, name).await;
        assert!(refusal.contains(&why), "{name}: {refusal}");
        assert_eq!(world.has("staging"), Vec::<String>::new(), "{name}");
    }
    assert_eq!((world.has("layers"), world.has("gc")), (vec![], vec![]));
}

#[tokio::test]
async fn many_ask_and_one_pull_answers() {
    let world = World::new();
    world.save("busybox:1", &saved(&["busybox:1"], &two_layers()));
    let store = world.store();
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.get(&image("busybox:1")).await.unwrap().layers })
        })
        .collect();
    for asked in asked {
        assert_eq!(asked.await.unwrap().len(), 2);
    }
    assert_eq!(store.metrics().pulls, 1);
}
