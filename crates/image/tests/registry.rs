//! Images from a registry that does what the test tells it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::server::{Reply, Request, Server};
use common::{Entry, World, digest, gzip, image, layer, read, refused};
use image::{Config, Store};

/// What a registry has, by the end of its path.
struct Shelf {
    files: BTreeMap<String, Vec<u8>>,
    /// The layers' paths, lowest first.
    layers: Vec<String>,
}

fn shelf(index: bool) -> Shelf {
    let plain = vec![
        layer(&[Entry::Directory("bin/"), Entry::File("bin/run", b"run")]),
        layer(&[Entry::File("large", &[7; 300_000])]),
    ];
    let config = common::config(&plain);
    let mut files = BTreeMap::new();
    let mut descriptor = |bytes: &[u8]| {
        files.insert(format!("blobs/{}", digest(bytes)), bytes.to_vec());
        serde_json::json!({"digest": digest(bytes).to_string(), "size": bytes.len()})
    };
    // The second one is plain, so that it is large.
    let packed = [gzip(&plain[0]), plain[1].clone()];
    let config = descriptor(&config);
    let listed: Vec<_> = packed.iter().map(|layer| descriptor(layer)).collect();
    let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": listed});
    let manifest = manifest.to_string().into_bytes();
    let mut tagged = manifest.clone();
    if index {
        let entry = |architecture: &str, digest: String| serde_json::json!({"digest": digest, "platform": {"os": "linux", "architecture": architecture}});
        let other = entry("mips", digest(b"other").to_string());
        let all = ["amd64", "arm64"].map(|own| entry(own, digest(&manifest).to_string()));
        tagged = serde_json::json!({"schemaVersion": 2, "manifests": [other, all[0], all[1]]})
            .to_string()
            .into_bytes();
    }
    files.insert(format!("manifests/{}", digest(&manifest)), manifest);
    files.insert("manifests/1".into(), tagged);
    Shelf { files, layers: packed.iter().map(|layer| format!("blobs/{}", digest(layer))).collect() }
}

impl Shelf {
    fn reply(&self, request: &Request) -> Reply {
        match request.path.strip_prefix("/v2/team/app/").and_then(|path| self.files.get(path)) {
            Some(bytes) => Reply::ok(bytes.clone()),
            None => {
                Reply::status(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#)
            }
        }
    }
}

fn config(world: &World, server: &Server) -> Config {
    Config {
        registry: format!("http://127.0.0.1:{}", server.port),
        stall_timeout: Duration::from_millis(700),
        ..world.config()
    }
}

fn store(world: &World, server: &Server) -> Store {
    Store::open(config(world, server)).unwrap()
}

#[tokio::test]
async fn an_image_comes_and_comes_once() {
    for index in [false, true] {
        let shelf = shelf(index);
        let server = Server::start(move |request| shelf.reply(request));
        let world = World::new();
        let store = store(&world, &server);
        let pulled = store.get(&image("team/app:1")).await.unwrap();
        assert_eq!((pulled.layers.len(), read(&pulled, 0, "bin/run")), (2, "run".to_owned()));
        let asked = server.asked().len();
        assert_eq!(asked, if index { 5 } else { 4 });
        store.get(&image("team/app:1")).await.unwrap();
        assert_eq!(server.asked().len(), asked);
        // By its own name for the registry it is another image, of the same layers.
        let other = format!("127.0.0.1:{}/team/app:1", server.port);
        assert_eq!(store.get(&image(&other)).await.unwrap().layers, pulled.layers);
        assert_eq!(server.asked().len(), asked + if index { 3 } else { 2 });
    }
}

#[tokio::test]
async fn a_manifest_is_what_its_digest_says() {
    let mut shelf = shelf(false);
    let right = digest(&shelf.files["manifests/1"]).to_string();
    shelf.files.insert(format!("manifests/{}", digest(b"wrong")), shelf.files["manifests/1"].clone());
    let server = Server::start(move |request| shelf.reply(request));
    let world = World::new();
    let store = store(&world, &server);
    store.get(&image(&format!("team/app@{right}"))).await.unwrap();
    let why = refused(&store, &format!("team/app@{}", digest(b"wrong"))).await;
    assert!(why.ends_with(&format!("The manifest '{}' has the digest {right}", digest(b"wrong"))), "{why}");
}

/// A registry that gives nothing without a token, which is given for a password.
fn guarded(shelf: Shelf) -> Server {
    Server::start(move |request| {
        if request.path.starts_with("/token?service=the%20registry&scope=repository:team/app:pull") {
            return match request.header("authorization") {
                Some("Basic dTpw") => Reply::ok(r#"{"token":"let-me-in"}"#),
                _ => Reply::status(401, ""),
            };
        }
        let port = request.header("host").unwrap().rsplit(':').next().unwrap().to_owned();
        match request.header("authorization") {
            Some("Bearer let-me-in") => shelf.reply(request),
            _ => {
                let challenge = format!(
                    r#"Bearer realm="http://127.0.0.1:{port}/token",service="the registry",scope="repository:team/app:pull""#
                );
                Reply::Full(401, vec![("WWW-Authenticate".into(), challenge)], Vec::new())
            }
        }
    })
}

#[tokio::test]
async fn a_token_is_fetched_with_the_password_of_the_registry() {
    let server = guarded(shelf(false));
    let world = World::new();
    let passwords = format!(r#"{{"auths":{{"127.0.0.1:{}":{{"auth":"dTpw"}}}}}}"#, server.port);
    let store = Store::open(Config { docker_config: Some(passwords), ..config(&world, &server) }).unwrap();
    store.get(&image("team/app:1")).await.unwrap();
    // Once without, once for the token, once more and then for the rest.
    assert_eq!(server.asked().len(), 6);

    let nobody = World::new();
    let store = Store::open(config(&nobody, &server)).unwrap();
    let why = refused(&store, "team/app:1").await;
    assert!(
        why.contains("Unexpected HTTP response '401 Unauthorized' when trying to GET 'http://127.0.0.1"),
        "{why}"
    );
    assert_eq!((nobody.has("staging"), nobody.has("layers")), (vec![], vec![]));

    // An image may bring its own.
    let mut own = image("team/app:1");
    own.docker.as_mut().unwrap().config = Some(proto::mesos::v1::Secret {
        r#type: Some(proto::mesos::v1::secret::Type::Value as i32),
        value: Some(proto::mesos::v1::secret::Value {
            data: format!(r#"{{"http://127.0.0.1:{}/v1/":{{"auth":"dTpw"}}}}"#, server.port)
                .into_bytes()
                .into(),
        }),
        ..Default::default()
    });
    store.get(&own).await.unwrap();
}

#[tokio::test]
async fn what_breaks_off_is_gone_on_with() {
    let shelf = shelf(false);
    let large = format!("/v2/team/app/{}", shelf.layers[1]);
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let Reply::Full(status, _, body) = shelf.reply(request) else { panic!("it is full") };
        if request.path != large {
            return Reply::Full(status, vec![], body);
        }
        let whole = body.len();
        let from: usize = match request.header("range") {
            Some(range) => range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap(),
            None => 0,
        };
        let range = ("Content-Range".to_owned(), format!("bytes {from}-{}/{whole}", whole - 1));
        let (status, headers) = if from > 0 { (206, vec![range]) } else { (200, vec![]) };
        match tries.fetch_add(1, Ordering::Relaxed) {
            // It breaks, it stalls, it is too busy, it forgets how to go on and gives all, and then it is good.
            0 => Reply::Cut(status, headers, whole, body[..100_000].to_vec()),
            1 => Reply::Cut(status, headers, whole - from, body[from..from + 50_000].to_vec()),
            2 => Reply::status(503, ""),
            3 => Reply::Cut(200, vec![], whole, body[..10].to_vec()),
            _ => Reply::Full(status, headers, body[from..].to_vec()),
        }
    });
    let world = World::new();
    let store = store(&world, &server);
    let pulled = store.get(&image("team/app:1")).await.unwrap();
    assert_eq!(read(&pulled, 1, "large").len(), 300_000);
}

#[tokio::test]
async fn what_a_registry_does_wrong_is_said_and_nothing_stays() {
    type Change = Box<dyn Fn(&Request, Reply) -> Reply + Send + Sync>;
    let (first, second) = (shelf(false).layers[0].clone(), shelf(false).layers[1].clone());
    let at = |path: &str, reply: fn(Vec<u8>) -> Reply| -> Change {
        let path = format!("/v2/team/app/{path}");
        Box::new(move |request, usual| match usual {
            Reply::Full(_, _, body) if request.path == path => reply(body),
            usual => usual,
        })
    };
    let cases: Vec<(&str, Change, &str)> = vec![
        (
            "team/none:1",
            Box::new(|_, usual| usual),
            "Unexpected HTTP response '404 Not Found' when trying to get the manifest http",
        ),
        ("team/app:1", at("manifests/1", |_| Reply::ok("{}")), "The manifest has no 'schemaVersion'"),
        (
            "team/app:1",
            at("manifests/1", |_| Reply::status(500, "")),
            "The registry failed 4 times in a row: Unexpected HTTP response '500",
        ),
        (
            "team/app:1",
            at("manifests/1", |_| Reply::Stall(10, vec![])),
            "The registry sent nothing for 700ms",
        ),
        (
            "team/app:1",
            at("manifests/1", |_| Reply::ok(vec![b' '; 5 << 20])),
            "The registry sends more than the 4194304 bytes that are allowed",
        ),
        (
            "team/app:1",
            at(&first, |_| Reply::status(404, "")),
            "Unexpected HTTP response '404 Not Found' when trying to download the blob http",
        ),
        (
            "team/app:1",
            at(&second, |mut body| {
                body[1000] ^= 1;
                Reply::ok(body)
            }),
            " has the digest sha256:",
        ),
        (
            "team/app:1",
            at(&second, |mut body| {
                body.push(0);
                Reply::ok(body)
            }),
            " bytes that a blob should have",
        ),
        (
            "team/app:1",
            at(&second, |body| Reply::Stall(body.len(), vec![])),
            "The registry sent nothing for 700ms",
        ),
        (
            "team/app:1",
            at(&second, |body| Reply::Cut(200, vec![], body.len(), vec![])),
            "The registry failed 4 times in a row: ",
        ),
        (
            "team/app:1",
            at("manifests/1", |_| {
                Reply::Full(401, vec![("WWW-Authenticate".into(), "Negotiate".into())], vec![])
            }),
            "Got unsupported auth-scheme: 'Negotiate' from http",
        ),
        (
            "team/app:1",
            at("manifests/1", |_| {
                Reply::Full(401, vec![("WWW-Authenticate".into(), "Basic".into())], vec![])
            }),
            "Unexpected HTTP response '401 Unauthorized' when trying to get the manifest",
        ),
    ];
    for (name, change, expected) in cases {
        let shelf = shelf(false);
        let server = Server::start(move |request| change(request, shelf.reply(request)));
        let world = World::new();
        let why = refused(&store(&world, &server), name).await;
        assert!(
            why.starts_with(&format!("Failed to pull image '{name}': ")) && why.contains(expected),
            "{expected}: {why}"
        );
        assert_eq!((world.has("staging"), world.has("layers")), (vec![], vec![]), "{expected}");
    }
    // Nobody listens there.
    let world = World::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = Config { registry: format!("http://127.0.0.1:{closed}"), ..world.config() };
    let why = refused(&Store::open(config).unwrap(), "a").await;
    assert!(why.contains("Connection refused"), "{why}");
}

#[tokio::test]
async fn a_pull_that_nobody_waits_for_ends_and_leaves_nothing() {
    let shelf = shelf(false);
    let second = format!("/v2/team/app/{}", shelf.layers[1]);
    let server = Server::start(move |request| match shelf.reply(request) {
        Reply::Full(_, _, body) if request.path == second => Reply::Stall(body.len(), body[..1000].to_vec()),
        usual => usual,
    });
    let world = World::new();
    let store =
        Store::open(Config { stall_timeout: Duration::from_secs(600), ..config(&world, &server) }).unwrap();
    let ask = || {
        let store = store.clone();
        tokio::spawn(async move { store.get(&image("team/app:1")).await.map(drop) })
    };
    let (one, other) = (ask(), ask());
    let until = |is: &dyn Fn() -> bool| {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !is() {
            assert!(std::time::Instant::now() < deadline, "it does not happen");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    tokio::task::spawn_blocking(move || {
        until(&|| server.asked().len() == 4);
        one.abort();
        // The other one still waits.
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(world.has("staging").len(), 1);
        other.abort();
        until(&|| world.has("staging").is_empty());
        assert_eq!(world.has("layers"), Vec::<String>::new());
    })
    .await
    .unwrap();
}
