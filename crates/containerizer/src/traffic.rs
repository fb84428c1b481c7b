//! What a container in networks of its own has sent and received.

use std::fs;

use proto::mesos::v1::ResourceStatistics;

/// Adds up what the interfaces count in the network namespace of the process `pid`. One that is gone counts nothing.
pub(crate) fn count(statistics: &mut ResourceStatistics, pid: u32, interfaces: &[String]) {
    if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/net/dev")) {
        add(statistics, &text, interfaces);
    }
}

// `  eth0: bytes packets errs drop fifo frame compressed multicast bytes packets errs drop ..`, received before sent.
fn add(statistics: &mut ResourceStatistics, text: &str, interfaces: &[String]) {
    for line in text.lines() {
        let Some((name, counts)) = line.split_once(':') else { continue };
        if !interfaces.iter().any(|interface| interface == name.trim()) {
            continue;
        }
        let counts: Vec<u64> =
            counts.split_ascii_whitespace().filter_map(|count| count.parse().ok()).collect();
        let places = [
            (&mut statistics.net_rx_bytes, 0),
            (&mut statistics.net_rx_packets, 1),
            (&mut statistics.net_rx_errors, 2),
            (&mut statistics.net_rx_dropped, 3),
            (&mut statistics.net_tx_bytes, 8),
            (&mut statistics.net_tx_packets, 9),
            (&mut statistics.net_tx_errors, 10),
            (&mut statistics.net_tx_dropped, 11),
        ];
        for (place, at) in places {
            *place = Some(place.unwrap_or(0) + counts.get(at).copied().unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_interfaces_count() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo\n\
            \u{20}   lo: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n\
            \u{20} eth0: 100 2 0 1 0 0 0 0 300 4 5 6 0 0 0 0\n\
            eth1:1 1 1 1 0 0 0 0 1 1 1 1 0 0 0 0\n";
        let mut statistics = ResourceStatistics::default();
        add(&mut statistics, text, &["eth0".to_owned(), "eth1".to_owned()]);
        let received = [statistics.net_rx_bytes, statistics.net_rx_packets, statistics.net_rx_dropped];
        let sent = [statistics.net_tx_bytes, statistics.net_tx_packets, statistics.net_tx_errors];
        assert_eq!((received, sent), ([Some(101), Some(3), Some(2)], [Some(301), Some(5), Some(6)]));
        let mut none = ResourceStatistics::default();
        add(&mut none, text, &[]);
        assert_eq!(none, ResourceStatistics::default());
    }
}
