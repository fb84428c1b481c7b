//! What a plugin says of a network that it has joined.

use std::net::Ipv4Addr;

use proto::mesos::internal::slave::cni::spec::Dns;
use proto::mesos::v1::{NetworkInfo, network_info};
use serde_json::Value;

/// The result of a plugin, of any version of CNI.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Joined {
    /// The first address of version 4, with the length of its prefix.
    pub(super) ip4: Option<String>,
    /// The first address of version 6, likewise.
    pub(super) ip6: Option<String>,
    /// The name servers of the network.
    pub(super) dns: Dns,
}

impl Joined {
    /// Reads a result. Versions before 0.3 have one address of each kind, later ones a list of them.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| format!("JSON parse failed: {error}"))?;
        if !value.is_object() {
            return Err("JSON parse failed: it is no object".to_owned());
        }
        let one = |name: &str| match value.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(config) => {
                let ip = config.get("ip").and_then(Value::as_str);
                ip.map(|ip| Some(ip.to_owned())).ok_or(format!("'{name}' has no 'ip'"))
            }
        };
        let mut joined = Self { ip4: one("ip4")?, ip6: one("ip6")?, dns: dns(value.get("dns")) };
        for address in value.get("ips").and_then(Value::as_array).into_iter().flatten() {
            let Some(address) = address.get("address").and_then(Value::as_str) else {
                return Err("an entry of 'ips' has no 'address'".to_owned());
            };
            let place = if address.contains(':') { &mut joined.ip6 } else { &mut joined.ip4 };
            place.get_or_insert_with(|| address.to_owned());
        }
        for ip in [&joined.ip4, &joined.ip6].into_iter().flatten() {
            if without_prefix(ip).parse::<std::net::IpAddr>().is_err() {
                return Err(format!("'{ip}' is no address"));
            }
        }
        Ok(joined)
    }

    /// Its address of version 4.
    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        without_prefix(self.ip4.as_deref()?).parse().ok()
    }

    /// The network as frameworks are told of it: what they asked for, with the addresses that they got.
    pub(super) fn info(&self, asked: &NetworkInfo) -> NetworkInfo {
        use network_info::{IpAddress, Protocol};
        let address = |ip: &String, protocol: Protocol| IpAddress {
            protocol: Some(protocol.into()),
            ip_address: Some(without_prefix(ip).to_owned()),
        };
        let ip4 = self.ip4.iter().map(|ip| address(ip, Protocol::IPv4));
        let ip6 = self.ip6.iter().map(|ip| address(ip, Protocol::IPv6));
        NetworkInfo { ip_addresses: ip4.chain(ip6).collect(), ..asked.clone() }
    }
}

/// The address of a network's address.
pub(super) fn without_prefix(ip: &str) -> &str {
    ip.split_once('/').map_or(ip, |(ip, _)| ip)
}

fn dns(value: Option<&Value>) -> Dns {
    let list = |name: &str| -> Vec<String> {
        let found = value.and_then(|it| it.get(name)).and_then(Value::as_array).into_iter().flatten();
        found.filter_map(|it| Some(it.as_str()?.to_owned())).collect()
    };
    Dns {
        nameservers: list("nameservers"),
        domain: value.and_then(|it| Some(it.get("domain")?.as_str()?.to_owned())),
        search: list("search"),
        options: list("options"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(Option<&str>, Option<&str>), &str>) {
        let joined = Joined::parse(text.as_bytes());
        let found = joined.as_ref().map(|it| (it.ip4.as_deref(), it.ip6.as_deref()));
        assert_eq!(found.map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn every_version_of_a_result_is_read() {
        check(
            r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.1.2.3/24","gateway":"10.1.2.1"},"dns":{}}"#,
            Ok((Some("10.1.2.3/24"), None)),
        );
        check(
            r#"{"cniVersion":"0.4.0","ips":[{"version":"6","address":"fd::2/64"},{"version":"4","address":"10.0.0.2/8","interface":0}]}"#,
            Ok((Some("10.0.0.2/8"), Some("fd::2/64"))),
        );
        check(
            r#"{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/8"},{"address":"10.0.0.3/8"}]}"#,
            Ok((Some("10.0.0.2/8"), None)),
        );
        check("{}", Ok((None, None)));
        check("[]", Err("JSON parse failed: it is no object"));
        check(r#"{"ip4":{}}"#, Err("'ip4' has no 'ip'"));
        check(r#"{"ips":[{"address":"nonsense"}]}"#, Err("'nonsense' is no address"));
        assert!(Joined::parse(b"").unwrap_err().starts_with("JSON parse failed: "));
    }

    #[test]
    fn frameworks_are_told_addresses_without_prefix() {
        let joined = Joined::parse(br#"{"ip4":{"ip":"10.1.2.3/24"},"ip6":{"ip":"fd::1/64"}}"#).unwrap();
        let asked = NetworkInfo { name: Some("n".to_owned()), ..NetworkInfo::default() };
        let info = joined.info(&asked);
        let addresses: Vec<&str> = info.ip_addresses.iter().map(|it| it.ip_address()).collect();
        assert_eq!((info.name(), addresses), ("n", vec!["10.1.2.3", "fd::1"]));
    }
}
