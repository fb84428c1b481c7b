//! Images without anybody's tools: a root of busybox, packed as `docker save` does it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// The program that is all of them, of the package busybox-static.
pub const BUSYBOX: &str = "/bin/busybox";

/// Makes a root with these programs of busybox.
///
/// # Panics
/// When it cannot be written.
pub fn rootfs(at: &Path, programs: &[&str]) {
    fs::create_dir_all(at.join("bin")).expect("a directory");
    fs::copy(BUSYBOX, at.join("bin/busybox")).expect("busybox");
    for name in programs {
        symlink("busybox", at.join("bin").join(name)).expect("a link");
    }
}

/// Writes an archive as `docker save` makes it, of one layer with what is in `root`, and with that configuration.
///
/// # Panics
/// When it cannot be written.
pub fn saved_image(directory: &Path, name: &str, config: &Value, root: &Path) {
    let scratch = tempfile::tempdir().expect("a directory");
    let at = |name: &str| scratch.path().join(name).to_str().expect("a path").to_owned();
    run("tar", &["-C", root.to_str().expect("a path"), "-cf", &at("layer.tar"), "."]);
    let sum = run("sha256sum", &[&at("layer.tar")]);
    let digest = format!("sha256:{}", sum.split_whitespace().next().expect("a sum"));
    let image = json!({
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    });
    fs::write(at("config.json"), image.to_string()).expect("a configuration");
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    fs::write(at("manifest.json"), manifest.to_string()).expect("a manifest");
    let archive = directory.join(format!("{name}.tar"));
    let archive = archive.to_str().expect("a path");
    run("tar", &["-C", &at(""), "-cf", archive, "manifest.json", "config.json", "layer.tar"]);
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it starts");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
