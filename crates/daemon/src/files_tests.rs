//! The virtual file system, asked the way clients ask.

use super::*;
use expect_test::{Expect, expect};
use http::{HeaderMap, Method};

struct World {
    directory: tempfile::TempDir,
    files: Files,
}

impl World {
    /// `/virtual` stands for a directory with a file, a directory and links that lead out.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        std::fs::create_dir_all(at.join("root/dir")).unwrap();
        std::fs::create_dir_all(at.join("root-secret")).unwrap();
        std::fs::write(at.join("root/file"), "0123456789").unwrap();
        std::fs::write(at.join("root/dir/inner.txt"), "inner").unwrap();
        std::fs::write(at.join("root-secret/secret"), "secret").unwrap();
        std::os::unix::fs::symlink(at.join("root-secret/secret"), at.join("root/out")).unwrap();
        std::os::unix::fs::symlink("dir", at.join("root/within")).unwrap();
        let files = Files::new();
        files.attach(&at.join("root"), "/virtual/").unwrap();
        files.attach(&at.join("root/file"), "/log").unwrap();
        Self { directory, files }
    }

    fn request(query: &str) -> Request {
        Request {
            method: Method::GET,
            path: "/files".into(),
            tail: String::new(),
            raw_query: Some(query.to_owned()),
            query: Query::parse(query),
            headers: HeaderMap::new(),
            peer: "127.0.0.1:1".parse().unwrap(),
            body: Default::default(),
        }
    }

    fn show(&self, response: Response) -> String {
        let body = String::from_utf8_lossy(response.whole().unwrap()).into_owned();
        let body = body.replace(&self.directory.path().canonicalize().unwrap().display().to_string(), "TMP");
        format!("{} {body}", response.status.as_u16())
    }

    async fn read(&self, query: &str) -> String {
        self.show(self.files.answer_read(&Self::request(query)).await.unwrap_or_else(|refusal| refusal))
    }

    async fn browse(&self, query: &str) -> String {
        let request = Self::request(query);
        let response = self.files.answer_browse(&request).await.unwrap_or_else(|refusal| refusal);
        self.show(response)
    }
}

async fn check_read(query: &str, expected: Expect) {
    expected.assert_eq(&World::new().read(query).await);
}

#[tokio::test]
async fn reads_pieces() {
    check_read("path=/virtual/file&offset=2&length=3", expect![[r#"200 {"data":"234","offset":2}"#]]).await;
    check_read("path=/virtual/file/&offset=8", expect![[r#"200 {"data":"89","offset":8}"#]]).await;
    check_read("path=/virtual/file", expect![[r#"200 {"data":"","offset":10}"#]]).await;
    check_read("path=/virtual/file&offset=-1&length=4", expect![[r#"200 {"data":"","offset":10}"#]]).await;
    check_read("path=/virtual/file&offset=99", expect![[r#"200 {"data":"","offset":99}"#]]).await;
    check_read("path=/log&offset=0&length=-1", expect![[r#"200 {"data":"0123456789","offset":0}"#]]).await;
    check_read("path=/virtual/within/inner.txt&offset=0", expect![[r#"200 {"data":"inner","offset":0}"#]])
        .await;
    check_read("path=/log&offset=0&length=1&jsonp=f", expect![[r#"200 f({"data":"0","offset":0})"#]]).await;
}

#[tokio::test]
async fn refuses_with_mesos_words() {
    check_read("offset=1", expect!["400 Expecting 'path=value' in query.\n"]).await;
    check_read("path=", expect!["400 Expecting 'path=value' in query.\n"]).await;
    check_read(
        "path=/log&offset=x",
        expect!["400 Failed to parse offset: Failed to convert 'x' to number.\n"],
    )
    .await;
    check_read("path=/log&offset=-2", expect!["400 Negative offset provided: -2.\n"]).await;
    check_read("path=/log&length=-2", expect!["400 Negative length provided: -2.\n"]).await;
    check_read("path=/virtual/dir&offset=0", expect!["400 Cannot read a directory.\n"]).await;
    check_read("path=/nothing", expect!["404 "]).await;
    check_read("path=/virtual/nothing", expect!["404 "]).await;
    check_read("path=/log/below", expect!["404 "]).await;
    check_read("path=virtual/file", expect!["404 "]).await;
}

#[tokio::test]
async fn never_leaves_what_is_attached() {
    check_read("path=/virtual/out&offset=0", expect!["400 'TMP/root/out' is inaccessible.\n"]).await;
    check_read(
        "path=/virtual/../root-secret/secret&offset=0",
        expect!["400 'TMP/root/../root-secret/secret' is inaccessible.\n"],
    )
    .await;
    check_read(
        "path=/virtual/dir/../../root-secret",
        expect!["400 'TMP/root/dir/../../root-secret' is inaccessible.\n"],
    )
    .await;
    let world = World::new();
    let listing = world.browse("path=/virtual").await;
    // The link is shown as a link, not as the file that it names.
    assert!(listing.contains(r#""mode":"lrwxrwxrwx""#), "{listing}");
    let error = open_inside(&world.directory.path().join("root"), &world.directory.path().join("root/out"));
    assert!(error.is_err());
}

#[tokio::test]
async fn lists_directories() {
    let world = World::new();
    let entries = world.files.browse("/virtual/dir").await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].path.as_str(), entries[0].size()), ("/virtual/dir/inner.txt", 5));
    let names: Vec<String> =
        world.files.browse("/virtual/").await.unwrap().into_iter().map(|entry| entry.path).collect();
    assert_eq!(names, ["/virtual/dir", "/virtual/file", "/virtual/out", "/virtual/within"]);
    assert_eq!(world.browse("path=/log").await, "200 []");
    assert_eq!(world.browse("path=/none").await, "404 ");
    assert_eq!(world.browse("").await, "400 Expecting 'path=value' in query.\n");
    let listing = world.browse("path=/virtual/dir").await;
    for key in ["gid", "mode", "mtime", "nlink", "path", "size", "uid"] {
        assert!(listing.contains(&format!("\"{key}\":")), "{listing}");
    }
}

#[tokio::test]
async fn downloads_whole_files() {
    let world = World::new();
    let response = world.files.answer_download(&World::request("path=/virtual/dir/inner.txt")).await.unwrap();
    assert_eq!(response.headers["content-type"], "text/plain");
    assert_eq!(response.headers["content-disposition"], "attachment; filename=inner.txt");
    let http::Payload::Stream(mut body) = response.payload else { panic!("not a stream") };
    assert_eq!(body.next().await.unwrap(), "inner");
    assert!(body.next().await.is_none());
    let refused = async |query: &str| {
        world.show(world.files.answer_download(&World::request(query)).await.unwrap_err())
    };
    assert_eq!(refused("path=/virtual/dir").await, "400 Cannot download a directory.\n");
    assert_eq!(refused("path=/none").await, "404 404 Not Found.");
    assert_eq!(refused("path=/virtual/out").await, "400 'TMP/root/out' is inaccessible.\n");
}

#[tokio::test]
async fn shows_and_forgets_what_is_attached() {
    let world = World::new();
    world.files.detach("/virtual");
    let debug = world.show(world.files.answer_debug(&World::request("")));
    assert_eq!(debug, r#"200 {"/log":"TMP/root/file"}"#);
    assert!(world.files.attach(&world.directory.path().join("none"), "/x").is_err());
    assert_eq!(world.read("path=/virtual/file").await, "404 ");
}

#[test]
fn text_ends_at_whole_characters() {
    assert_eq!(text("aü".as_bytes()[..2].to_vec()), "a");
    assert_eq!(text("ü".as_bytes()[..1].to_vec()), "\u{fffd}");
    assert_eq!(text(b"a\xffb".to_vec()), "a\u{fffd}b");
}

#[test]
fn modes_look_like_those_of_ls() {
    assert_eq!(mode_text(0o100_644), "-rw-r--r--");
    assert_eq!(mode_text(0o040_755), "drwxr-xr-x");
    assert_eq!(mode_text(0o120_777), "lrwxrwxrwx");
}
