//! The floors of the house: which crate may use which.
//!
//! A new edge needs a line here, so that it is seen in review; an edge that is
//! no longer used must leave. The cores must not reach the outside world, not
//! even through a crate of somebody else.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::root;

/// Crate, floor, and the crates of ours that it may use.
const HOUSE: &[(&str, u8, &[&str])] = &[
    ("machine", 0, &[]),
    ("proto", 1, &[]),
    ("types", 1, &["machine", "proto"]),
    ("resources", 1, &["proto", "types"]),
    ("allocator", 2, &["machine", "resources", "types"]),
    ("status-stream", 2, &["machine", "types"]),
    ("client-core", 2, &["machine", "proto", "types"]),
    ("driver-core", 2, &["client-core", "machine", "proto", "types"]),
    ("executor-core", 2, &["machine", "proto", "types"]),
    ("master-core", 2, &["allocator", "machine", "proto", "resources", "types"]),
    ("agent-core", 2, &["machine", "proto", "resources", "status-stream", "types"]),
    ("seccomp", 2, &["types"]),
    ("launch-plan", 2, &["proto", "seccomp", "types"]),
    ("fail-point", 3, &[]),
    ("flags", 3, &[]),
    ("http", 3, &["proto"]),
    ("libprocess", 3, &["http", "types"]),
    ("fetcher", 3, &["fail-point", "proto"]),
    ("image", 3, &["fail-point", "fetcher", "proto"]),
    ("daemon", 3, &["flags", "http", "machine", "proto", "resources", "types"]),
    ("coordination", 3, &["http", "proto"]),
    ("replicated-log", 3, &["proto"]),
    ("linux", 3, &[]),
    ("docker", 3, &["launch-plan", "proto"]),
    ("docker-containerizer", 3, &["containerizer", "docker", "fetcher", "proto", "types"]),
    (
        "containerizer",
        3,
        &["fail-point", "fetcher", "launch-plan", "linux", "proto", "resources", "seccomp", "types"],
    ),
    (
        "master",
        4,
        &[
            "allocator",
            "coordination",
            "daemon",
            "flags",
            "http",
            "libprocess",
            "machine",
            "master-core",
            "proto",
            "resources",
            "types",
        ],
    ),
    (
        "agent",
        4,
        &[
            "agent-core",
            "containerizer",
            "coordination",
            "daemon",
            "docker",
            "docker-containerizer",
            "fail-point",
            "fetcher",
            "flags",
            "http",
            "image",
            "libprocess",
            "machine",
            "proto",
            "resources",
            "status-stream",
            "types",
        ],
    ),
    (
        "executor",
        4,
        &[
            "client-core",
            "containerizer",
            "docker",
            "executor-core",
            "fail-point",
            "flags",
            "http",
            "linux",
            "machine",
            "proto",
            "types",
        ],
    ),
    (
        "drivers",
        4,
        &[
            "coordination",
            "daemon",
            "driver-core",
            "flags",
            "http",
            "libprocess",
            "machine",
            "proto",
            "types",
        ],
    ),
    ("libmesos", 5, &["daemon", "drivers", "flags", "proto"]),
    (
        "cli",
        5,
        &[
            "agent",
            "client-core",
            "containerizer",
            "coordination",
            "daemon",
            "executor",
            "flags",
            "http",
            "machine",
            "master",
            "master-core",
            "proto",
            "replicated-log",
            "resources",
            "types",
        ],
    ),
];

/// Crates that test or serve the others; nothing of the house uses them outside its tests.
const PROVING: &[&str] = &["scenario", "sim", "bench", "load", "e2e", "vm", "xtask"];

/// What no core may reach, directly or through others.
const OUTSIDE: &[&str] =
    &["tokio", "mio", "hyper", "rustix", "nix", "tracing", "socket2", "rand", "getrandom"];

/// What the linter bans in every core, word for word, since a crate's clippy.toml cannot include another.
const BANS: &str = include_str!("../../master-core/clippy.toml");

/// Whose copy is compared with.
const BANS_OF: &str = "crates/master-core/clippy.toml";

/// The highest floor that must not know the outside world.
const CORES: u8 = 2;

/// Checks the edges between our crates against the table, and the cores' purity.
pub(crate) fn check() -> anyhow::Result<()> {
    let metadata = MetadataCommand::new().exec().context("cargo metadata")?;
    let house: BTreeMap<&str, (u8, BTreeSet<&str>)> =
        HOUSE.iter().map(|(name, floor, uses)| (*name, (*floor, uses.iter().copied().collect()))).collect();
    for (name, (floor, uses)) in &house {
        for used in uses {
            let (below, _) = house.get(used).with_context(|| format!("{used} has no line in the table"))?;
            ensure!(below <= floor, "{name} on floor {floor} may not use {used} on floor {below}");
        }
    }
    let mut complaints = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        if PROVING.contains(&name) {
            continue;
        }
        let Some((floor, allowed)) = house.get(name) else {
            complaints.push(format!("{name} has no line in the table of floors"));
            continue;
        };
        let used: BTreeSet<&str> = package
            .dependencies
            .iter()
            .filter(|d| d.kind == DependencyKind::Normal && d.path.is_some())
            .map(|d| d.name.as_str())
            .collect();
        for edge in used.difference(allowed) {
            complaints.push(format!("{name} uses {edge}: not in the table of floors"));
        }
        if *floor <= CORES {
            if !std::fs::read_to_string(root().join("crates").join(name).join("clippy.toml"))
                .is_ok_and(|bans| bans == BANS)
            {
                complaints.push(format!("the core {name} has not the clippy.toml of all cores ({BANS_OF})"));
            }
            for reached in reach(&metadata, name) {
                if OUTSIDE.contains(&reached.as_str()) {
                    complaints.push(format!("the core {name} reaches {reached}"));
                }
            }
        }
    }
    ensure!(complaints.is_empty(), "floors:\n  {}", complaints.join("\n  "));
    Ok(())
}

/// Every package that `name` needs to run, near and far.
fn reach(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let Some(resolve) = &metadata.resolve else { return BTreeSet::new() };
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|p| (&p.id, p.name.as_str())).collect();
    let mut open: Vec<_> = names.iter().filter(|(_, n)| **n == name).map(|(id, _)| *id).collect();
    let mut seen: BTreeSet<_> = open.iter().copied().collect();
    while let Some(id) = open.pop() {
        for dependency in nodes.get(id).map(|n| n.deps.as_slice()).unwrap_or_default() {
            let runs = dependency.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal);
            if runs && seen.insert(&dependency.pkg) {
                open.push(&dependency.pkg);
            }
        }
    }
    seen.iter().filter_map(|id| names.get(id)).map(|n| (*n).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_keeps_its_floors() {
        super::check().expect("the table of floors matches the manifests");
    }
}
