//! Rules of iptables, as arguments.

use std::net::Ipv4Addr;

use crate::port_mapper::request::{Mapping, Request};

/// What marks the rules of a container. COMPAT(mesos): by this an agent of Apache Mesos finds them, too.
fn tag(container: &str) -> String {
    format!("container_id: {container}")
}

/// The rules that lead a port of the machine to a container, in their order.
pub(super) fn of(request: &Request, mapping: &Mapping, address: Ipv4Addr) -> Vec<Vec<String>> {
    let Mapping { host_port, container_port, protocol } = mapping;
    let (chain, tag) = (request.chain.as_str(), tag(&request.container));
    let matches = ["-p", protocol, "-m", protocol, "--dport", &host_port.to_string()].map(str::to_owned);
    let comment = ["-m", "comment", "--comment", &tag].map(str::to_owned);
    let target = format!("{address}:{container_port}");
    let lead = ["-j", "DNAT", "--to-destination", &target].map(str::to_owned);
    let rule = |devices: &[&str], end: &[String]| {
        let mut rule = vec![chain.to_owned()];
        rule.extend(devices.iter().map(|it| (*it).to_owned()));
        rule.extend(matches.iter().chain(end).chain(&comment).cloned());
        rule
    };
    // A rule can have one device that it does not match. More of them need a rule each that ends the matter.
    match request.exclude_devices.as_slice() {
        [] => vec![rule(&[], &lead)],
        [device] => vec![rule(&["!", "-i", device], &lead)],
        devices => {
            let done = ["-j", "RETURN"].map(str::to_owned);
            let mut rules: Vec<_> = devices.iter().map(|device| rule(&["-i", device], &done)).collect();
            rules.push(rule(&[], &lead));
            rules
        }
    }
}

/// The rules that lead to the chain: what comes in for this machine, and what this machine sends to itself.
pub(super) fn jumps(chain: &str) -> [Vec<String>; 2] {
    let local = ["-m", "addrtype", "--dst-type", "LOCAL", "-j", chain];
    let line = |words: &[&str]| words.iter().chain(&local).map(|word| (*word).to_owned()).collect();
    [line(&["PREROUTING"]), line(&["OUTPUT", "!", "-d", "127.0.0.0/8"])]
}

/// The rules of a container among what `iptables -S` lists.
pub(super) fn of_container(listed: &str, container: &str) -> Vec<Vec<String>> {
    let tag = tag(container);
    let of_container = |line: &str| {
        let rule = words(line.strip_prefix("-A ")?);
        rule.windows(2).any(|pair| pair[0] == "--comment" && pair[1] == tag).then_some(rule)
    };
    listed.lines().filter_map(of_container).collect()
}

/// The words of a line in which some are quoted.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port_mapper::request::Verb;

    fn lines(devices: &[&str]) -> Vec<String> {
        let request = Request {
            verb: Verb::Add,
            container: "c1".to_owned(),
            chain: "MESOS".to_owned(),
            exclude_devices: devices.iter().map(|device| (*device).to_owned()).collect(),
            mappings: Vec::new(),
            delegate_program: "/x".into(),
            delegate: serde_json::Map::new(),
        };
        let mapping = Mapping { host_port: 31000, container_port: 80, protocol: "tcp" };
        let rules = of(&request, &mapping, Ipv4Addr::new(10, 0, 0, 2));
        rules.iter().map(|rule| rule.join(" ")).collect()
    }

    #[test]
    fn ports_lead_to_the_container() {
        let lead = "-p tcp -m tcp --dport 31000 -j DNAT --to-destination 10.0.0.2:80 -m comment --comment container_id: c1";
        assert_eq!(lines(&[]), [format!("MESOS {lead}")]);
        assert_eq!(lines(&["br0"]), [format!("MESOS ! -i br0 {lead}")]);
        let done = "-p tcp -m tcp --dport 31000 -j RETURN -m comment --comment container_id: c1";
        assert_eq!(
            lines(&["br0", "br1"]),
            [format!("MESOS -i br0 {done}"), format!("MESOS -i br1 {done}"), format!("MESOS {lead}")]
        );
    }

    #[test]
    fn rules_are_found_again() {
        let listed = "-N MESOS\n\
            -A MESOS -p tcp -m tcp --dport 1 -m comment --comment \"container_id: c1\" -j DNAT --to-destination 10.0.0.2:80\n\
            -A MESOS -p tcp -m tcp --dport 2 -m comment --comment \"container_id: c10\" -j DNAT --to-destination 10.0.0.3:80\n\
            -A MESOS -p tcp -m tcp --dport 3 -m comment --comment \"say \\\"container_id: c1\\\"\" -j RETURN\n";
        let found = of_container(listed, "c1");
        assert_eq!(found.len(), 1);
        assert_eq!(&found[0][..7], ["MESOS", "-p", "tcp", "-m", "tcp", "--dport", "1"]);
        assert_eq!(found[0][10], "container_id: c1");
        assert!(of_container("", "c1").is_empty());
    }
}
