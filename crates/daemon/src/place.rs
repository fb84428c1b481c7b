//! Where this machine is on the network: the address and the name that others are told.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// The address by which this machine reaches others, or the loopback one if it reaches nobody.
pub fn own_ip() -> IpAddr {
    let route = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        // Connecting a datagram socket sends nothing; it only asks the kernel for a route (to a documentation address).
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    route().filter(|ip| !ip.is_unspecified()).unwrap_or(Ipv4Addr::LOCALHOST.into())
}

/// The name of an address as the machine's own table has it, or the address itself.
pub fn name_of(ip: IpAddr) -> String {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    lookup(&hosts, ip).unwrap_or_else(|| ip.to_string())
}

fn lookup(hosts: &str, ip: IpAddr) -> Option<String> {
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        if address == ip { words.next().map(str::to_owned) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_table() {
        let hosts = "# comment\n127.0.0.1 localhost loop\n10.0.0.5\tbox.example box # mine\n";
        let of = |ip: &str| lookup(hosts, ip.parse().unwrap());
        assert_eq!(of("127.0.0.1").as_deref(), Some("localhost"));
        assert_eq!(of("10.0.0.5").as_deref(), Some("box.example"));
        assert_eq!(of("10.0.0.6"), None);
    }
}
