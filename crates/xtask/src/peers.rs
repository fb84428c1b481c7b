//! Installs the clients that nobody here wrote, from their package registries,
//! into `.cache/peers`, for the end-to-end tests.
//!
//! What is there already is kept. A machine that lacks an interpreter gets it
//! from Debian's packages when we may install them; else the missing part is
//! named, and the tests that need it say loudly that they were skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::root;
use crate::steps::say;

/// The version of each client; a change makes a new installation.
const PYMESOS: &str = "pymesos==0.3.15";
const HTTP_PARSER: &str = "http-parser==0.9.0";
const KAZOO: &str = "kazoo==2.11.0";
const NPM_FRAMEWORK: &str = "mesos-framework@0.5.3";
/// The last line of Spark that knows Mesos, with the jar of its Java classes.
const PYSPARK: &str = "pyspark==3.5.9";

/// Installs every client.
pub(crate) fn install() -> anyhow::Result<()> {
    let home = root().join(".cache/peers");
    fs::create_dir_all(&home).with_context(|| home.display().to_string())?;
    needs(
        "python3",
        &["python3", "-c", "import venv, ensurepip"],
        &["python3", "python3-venv", "python3-dev"],
    )?;
    needs("ip and iptables", &["iptables", "--version"], &["iproute2", "iptables"])?;
    needs("CNI plugins", &["test", "-x", "/usr/lib/cni/bridge"], &["containernetworking-plugins"])?;
    needs("a C compiler", &["cc", "--version"], &["gcc", "libc6-dev"])?;
    needs("a static busybox", &["/bin/busybox", "true"], &["busybox-static"])?;
    needs("mkfs.xfs", &["mkfs.xfs", "-V"], &["xfsprogs"])?;
    needs("skopeo", &["skopeo", "--version"], &["skopeo"])?;
    needs("umoci", &["umoci", "--version"], &["umoci"])?;
    needs("a registry of images", &["docker-registry", "--version"], &["docker-registry"])?;
    needs("ZooKeeper", &["test", "-e", "/usr/share/java/zookeeper.jar"], &["zookeeper"])?;
    needs("a Java runtime", &["java", "-version"], &["default-jre-headless"])?;
    needs("etcd", &["etcd", "--version"], &["etcd-server"])?;
    needs("etcdctl", &["etcdctl", "version"], &["etcd-client"])?;
    needs("Docker", &["dockerd", "--version"], &["docker.io", "iptables", "iproute2"])?;
    needs("npm", &["npm", "--version"], &["nodejs", "npm"])?;
    needs("a Java compiler", &["javac", "-version"], &["default-jdk-headless"])?;
    vm::Packages::of_this_checkout().context("the virtual machine of cgroups version 2")?;
    once(&home, "python", &format!("{PYMESOS} {HTTP_PARSER} {KAZOO}"), python)?;
    once(&home, "spark", PYSPARK, spark)?;
    once(&home, "node", NPM_FRAMEWORK, node)
}

/// Runs `install` unless `home/name` holds what `version` says.
fn once(
    home: &Path,
    name: &str,
    version: &str,
    install: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let place = home.join(name);
    let stamp = home.join(format!("{name}.installed"));
    if fs::read_to_string(&stamp).is_ok_and(|text| text == version) {
        return Ok(());
    }
    say(&format!("peers: installing {version}"));
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    install(&place).with_context(|| format!("installing {version}"))?;
    fs::write(stamp, version)?;
    Ok(())
}

/// A virtual environment with pymesos. The C file that http-parser ships does not
/// compile on Python 3.11 and later, so it is made anew from its Cython source.
fn python(place: &Path) -> anyhow::Result<()> {
    run(Command::new("python3").args(["-m", "venv"]).arg(place))?;
    let pip = |args: &[&str]| {
        run(Command::new(place.join("bin/pip"))
            .args(["--quiet", "--disable-pip-version-check"])
            .args(args)
            .current_dir(place))
    };
    pip(&["install", "wheel", "setuptools<66", "cython<3"])?;
    pip(&[
        "download",
        "--no-deps",
        "--no-build-isolation",
        "--no-binary",
        ":all:",
        "-d",
        "src",
        HTTP_PARSER,
    ])?;
    let sources = place.join("src");
    let archive = only_entry(&sources, "gz")?;
    run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&sources))?;
    fs::remove_file(archive)?;
    let tree = only_entry(&sources, "0")?;
    run(Command::new(place.join("bin/cython")).args(["-3", "http_parser/parser.pyx"]).current_dir(&tree))
        .or_else(|_| {
            run(Command::new(place.join("bin/cython")).arg("http_parser/parser.pyx").current_dir(&tree))
        })?;
    pip(&["install", "--no-deps", "--no-build-isolation", &tree.display().to_string()])?;
    pip(&["install", "--no-build-isolation", PYMESOS, KAZOO])
}

/// A virtual environment with Spark: 345 MB to fetch, which happens once.
fn spark(place: &Path) -> anyhow::Result<()> {
    run(Command::new("python3").args(["-m", "venv"]).arg(place))?;
    let pip = |args: &[&str]| {
        let quiet = ["install", "--quiet", "--disable-pip-version-check"];
        run(Command::new(place.join("bin/pip")).args(quiet).args(args))
    };
    pip(&["wheel", "setuptools<70"])?;
    pip(&["--no-build-isolation", "--no-cache-dir", PYSPARK])
}

fn node(place: &Path) -> anyhow::Result<()> {
    fs::write(place.join("package.json"), "{\"private\":true}\n")?;
    run(Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", NPM_FRAMEWORK])
        .current_dir(place))
}

/// The one entry of `dir` whose name ends so.
fn only_entry(dir: &Path, ending: &str) -> anyhow::Result<PathBuf> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(ending) {
            return Ok(path);
        }
    }
    bail!("nothing that ends with {ending} in {}", dir.display())
}

/// Makes sure that `probe` runs, with Debian's packages where it does not.
fn needs(what: &str, probe: &[&str], packages: &[&str]) -> anyhow::Result<()> {
    let runs =
        || Command::new(probe[0]).args(&probe[1..]).output().is_ok_and(|output| output.status.success());
    if runs() {
        return Ok(());
    }
    say(&format!("peers: {what} is missing; installing {}", packages.join(" ")));
    let apt =
        |args: &[&str]| run(Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive"));
    apt(&["update", "-qq"])
        .and_then(|()| {
            let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
            args.extend(packages);
            apt(&args)
        })
        .with_context(|| format!("{what} is needed: install {}", packages.join(" ")))?;
    if !runs() {
        bail!("{what} is needed and could not be installed: {}", probe.join(" "));
    }
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
