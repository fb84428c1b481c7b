//! What containers in networks of their own see of `/etc`.

use proto::mesos::internal::ContainerDnsInfo;
use proto::mesos::internal::container_dns_info::mesos_info::NetworkMode;
use proto::mesos::internal::slave::cni::spec::Dns;

use crate::networks::joined::{Joined, without_prefix};

/// `/etc/hosts`: the container's name leads to its first address.
pub(super) fn hosts<'a>(host_name: &str, joined: impl IntoIterator<Item = &'a Joined>) -> String {
    let address = joined.into_iter().find_map(|joined| joined.ip4.as_deref());
    let own = address.map(|ip| format!("{} {host_name}\n", without_prefix(ip)));
    format!("127.0.0.1 localhost\n{}", own.unwrap_or_default())
}

/// `/etc/resolv.conf`, if it is not to be the machine's: the name servers of all networks, in their order, and of those
/// that bring none what the operator says of them.
pub(super) fn resolv_conf<'a>(
    default: &ContainerDnsInfo,
    networks: impl IntoIterator<Item = (&'a str, &'a Joined)>,
) -> Option<String> {
    let mut all = Dns::default();
    for (name, joined) in networks {
        if !joined.dns.nameservers.is_empty() {
            merge(&mut all, &joined.dns);
        } else if let Some(dns) = default_of(default, name) {
            merge(&mut all, dns);
        }
    }
    (!all.nameservers.is_empty()).then(|| format(&all))
}

/// What the operator says of a network: by its name, or of all networks. Of several entries the last one counts.
fn default_of<'a>(default: &'a ContainerDnsInfo, network: &str) -> Option<&'a Dns> {
    let of_cni = || default.mesos.iter().filter(|it| it.network_mode() == NetworkMode::Cni);
    let named = of_cni().rfind(|it| it.network_name.as_deref() == Some(network));
    let found = named.or_else(|| of_cni().rfind(|it| it.network_name.is_none()));
    found.map(|it| &it.dns)
}

fn merge(all: &mut Dns, more: &Dns) {
    all.nameservers.extend(more.nameservers.iter().cloned());
    all.search.extend(more.search.iter().cloned());
    all.options.extend(more.options.iter().cloned());
    if more.domain.is_some() {
        all.domain.clone_from(&more.domain);
    }
}

fn format(dns: &Dns) -> String {
    let mut lines = Vec::new();
    lines.extend(dns.domain.as_ref().map(|domain| format!("domain {domain}")));
    for (word, values) in [("search", &dns.search), ("options", &dns.options)] {
        if !values.is_empty() {
            lines.push(format!("{word} {}", values.join(" ")));
        }
    }
    lines.extend(dns.nameservers.iter().map(|server| format!("nameserver {server}")));
    lines.into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_the_first_address() {
        let joined = |text: &str| Joined::parse(text.as_bytes()).unwrap();
        let (none, one) = (joined("{}"), joined(r#"{"ip4":{"ip":"10.0.0.2/8"}}"#));
        assert_eq!(hosts("box", [&none]), "127.0.0.1 localhost\n");
        assert_eq!(hosts("box", [&none, &one, &one]), "127.0.0.1 localhost\n10.0.0.2 box\n");
    }

    #[test]
    fn name_servers_are_the_networks_or_the_operators() {
        let default: ContainerDnsInfo = proto::json::from_slice(
            br#"{"mesos":[
                {"network_mode":"CNI","dns":{"nameservers":["9.9.9.9"]}},
                {"network_mode":"CNI","network_name":"b","dns":{"nameservers":["8.8.8.8"],"search":["s"]}}]}"#,
        )
        .unwrap();
        let own = br#"{"dns":{"nameservers":["1.1.1.1"],"domain":"d","options":["x","y"]}}"#;
        let (own, none) = (Joined::parse(own).unwrap(), Joined::default());
        let nothing = ContainerDnsInfo::default();
        assert_eq!(resolv_conf(&nothing, [("a", &none)]), None);
        assert_eq!(resolv_conf(&default, [("a", &none)]).unwrap(), "nameserver 9.9.9.9\n");
        assert_eq!(
            resolv_conf(&default, [("a", &own), ("b", &none)]).unwrap(),
            "domain d\nsearch s\noptions x y\nnameserver 1.1.1.1\nnameserver 8.8.8.8\n"
        );
    }
}
