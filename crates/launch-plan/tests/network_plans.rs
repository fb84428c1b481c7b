//! Plans of containers with networks, as text. `UPDATE_EXPECT=1 cargo test -p launch-plan` rewrites them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use expect_test::{Expect, expect};
use launch_plan::{Container, Facts, Isolation, Settings, plan};
use proto::mesos::v1::{ContainerInfo, NetworkInfo, container_info};
use types::ContainerId;

fn settings(isolation: &str, launcher: &str) -> Settings {
    let hierarchies = [("freezer".to_owned(), "/cg/freezer".to_owned())].into();
    let facts = Facts { root: true, hierarchies, ..Facts::default() };
    let mut settings = Settings::new(Isolation::parse(isolation, Some(launcher), &facts).unwrap());
    settings.networks_root = Some("/run/cni".to_owned());
    settings
}

fn info(networks: &[&str], hostname: Option<&str>) -> ContainerInfo {
    let network = |name: &&str| NetworkInfo { name: Some((*name).to_owned()), ..NetworkInfo::default() };
    ContainerInfo {
        r#type: container_info::Type::Mesos.into(),
        hostname: hostname.map(str::to_owned),
        network_infos: networks.iter().map(network).collect(),
        ..ContainerInfo::default()
    }
}

fn container<'a>(id: &'a ContainerId, info: Option<&'a ContainerInfo>) -> Container<'a> {
    Container { is_command_task: true, ..Container::plain(id, info) }
}

fn check(settings: &Settings, container: &Container<'_>, expected: &Expect) {
    let text = match plan(settings, &Facts { root: true, ..Facts::default() }, container) {
        Ok(plan) => plan.to_string(),
        Err(refusal) => format!("refused: {refusal}\n"),
    };
    expected.assert_eq(&text);
}

#[test]
fn a_named_network_is_one_of_its_own() {
    let id = ContainerId::root("c");
    let linux = settings("filesystem/posix", "linux");
    check(&linux, &container(&id, Some(&info(&[], Some("unused")))), &expect![[""]]);
    check(
        &linux,
        &container(&id, Some(&info(&["web", "db"], None))),
        &expect![[r#"
        new namespace mount
        new namespace network
        new namespace uts
        host name c
        show /run/cni/c/{hosts,hostname,resolv.conf} in /etc
    "#]],
    );
    check(
        &linux,
        &container(&id, Some(&info(&["web"], Some("box")))),
        &expect![[r#"
        new namespace mount
        new namespace network
        new namespace uts
        host name box
        show /run/cni/c/{hosts,hostname,resolv.conf} in /etc
    "#]],
    );
    check(
        &linux,
        &container(&id, Some(&info(&["web", "web"], None))),
        &expect![[r#"
        refused: Attempted to join CNI network 'web' multiple times
    "#]],
    );
}

#[test]
fn what_cannot_be_had_is_refused() {
    let id = ContainerId::root("c");
    let wanted = info(&["web"], None);
    check(
        &settings("filesystem/posix", "posix"),
        &container(&id, Some(&wanted)),
        &expect![[r#"
        refused: Subprocess launcher does not support cloning namespaces
    "#]],
    );
    let mut none = settings("filesystem/posix", "linux");
    none.networks_root = None;
    check(
        &none,
        &container(&id, Some(&wanted)),
        &expect![[r#"
        refused: Unknown CNI network 'web'
    "#]],
    );
}

#[test]
fn a_nested_container_shares_the_network_or_has_its_own() {
    let parent = ContainerId::root("p");
    let id = ContainerId { value: "c".into(), parent: Some(Arc::new(parent.clone())) };
    let shares = Container { network_of: Some(&parent), ..container(&id, None) };
    check(
        &settings("filesystem/posix", "linux"),
        &shares,
        &expect![[r#"
        enter namespace network
        enter namespace uts
        new namespace mount
        show /run/cni/p/{hosts,hostname,resolv.conf} in /etc
    "#]],
    );
    check(
        &settings("filesystem/linux", "linux"),
        &shares,
        &expect![[r#"
        enter namespace mount
        enter namespace network
        enter namespace uts
        new namespace mount
        show /run/cni/p/{hosts,hostname,resolv.conf} in /etc
    "#]],
    );
    let settings = settings("filesystem/posix", "linux");
    let own = info(&["web"], None);
    let has_its_own = Container { network_of: Some(&parent), ..container(&id, Some(&own)) };
    check(
        &settings,
        &has_its_own,
        &expect![[r#"
        new namespace mount
        new namespace network
        new namespace uts
        host name c
        show /run/cni/p.c/{hosts,hostname,resolv.conf} in /etc
    "#]],
    );
    // A session is always where the other one is.
    let session = Container { is_session: true, ..has_its_own };
    check(
        &settings,
        &session,
        &expect![[r#"
        enter namespace mount
        enter namespace network
        enter namespace uts
    "#]],
    );
}
