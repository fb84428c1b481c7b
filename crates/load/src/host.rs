//! The addresses of emulated agents, and the sockets of one address: its listener and its connection to the master.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;

use libprocess::{Decoder, DecoderLimits};
use types::Pid;

use crate::answers::AnswerDecoder;
use crate::socket::Socket;

/// One address with the agents behind it.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
    /// Its agents, by their place among all.
    pub(crate) agents: Range<usize>,
    /// The connection to the master.
    pub(crate) uplink: Option<Socket>,
    /// Whether that connection was made.
    pub(crate) connected: bool,
    /// The master's answers on it.
    pub(crate) answers: AnswerDecoder,
    /// When to connect again.
    pub(crate) connect_at_us: u64,
    /// Whether something waits to be written.
    pub(crate) dirty: bool,
}

/// A connection that the master made to one of the hosts.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) socket: Socket,
    pub(crate) decoder: Decoder,
    /// Which host.
    pub(crate) host: usize,
}

impl Host {
    fn bind(ip: IpAddr, agents: Range<usize>) -> io::Result<Self> {
        let listener = TcpListener::bind((ip, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            agents,
            uplink: None,
            connected: false,
            answers: AnswerDecoder::default(),
            connect_at_us: 0,
            dirty: false,
        })
    }

    /// The process ids of its agents.
    pub(crate) fn pids(&self) -> impl Iterator<Item = Pid> {
        (1..=self.agents.len()).map(|number| Pid::new(format!("slave({number})"), self.address))
    }

    /// The agent that a process id of this host stands for.
    pub(crate) fn agent(&self, process: &str) -> Option<usize> {
        let number: usize = process.strip_prefix("slave(")?.strip_suffix(')')?.parse().ok()?;
        let at = self.agents.start + number.checked_sub(1)?;
        self.agents.contains(&at).then_some(at)
    }
}

impl Inbound {
    pub(crate) fn new(socket: Socket, host: usize) -> Self {
        Self { socket, decoder: Decoder::new(DecoderLimits::default()), host }
    }
}

/// Hosts for so many agents: one for each, or so many shared ones.
pub(crate) fn bind_all(agents: usize, shared: Option<usize>) -> io::Result<Vec<Host>> {
    let Some(listeners) = shared else {
        return (0..agents).map(|at| Host::bind(loopback(at).into(), at..at + 1)).collect();
    };
    let listeners = listeners.clamp(1, agents.max(1));
    let starts = |number| agents * number / listeners;
    (0..listeners)
        .map(|number| Host::bind(Ipv4Addr::LOCALHOST.into(), starts(number)..starts(number + 1)))
        .collect()
}

/// The loopback address of the agent with this number: 127.10.1.1 and on.
fn loopback(at: usize) -> Ipv4Addr {
    let octet = |value: usize| u8::try_from(value).expect("far fewer than 15 million agents");
    Ipv4Addr::new(127, octet(10 + at / 62_500), octet(at / 250 % 250 + 1), octet(at % 250 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_agent_has_an_address_of_its_own() {
        let all: std::collections::BTreeSet<_> = (0..130_000).map(loopback).collect();
        assert_eq!(all.len(), 130_000);
        assert!(all.iter().all(|ip| ip.is_loopback()));
    }

    #[test]
    fn agents_share_listeners() {
        let hosts = bind_all(7, Some(3)).unwrap();
        let ranges: Vec<_> = hosts.iter().map(|host| host.agents.clone()).collect();
        assert_eq!(ranges, [0..2, 2..4, 4..7]);
        let pids: Vec<_> = hosts[2].pids().map(|pid| pid.id.to_string()).collect();
        assert_eq!(pids, ["slave(1)", "slave(2)", "slave(3)"]);
        for (process, agent) in
            [("slave(1)", Some(4)), ("slave(3)", Some(6)), ("slave(4)", None), ("slave", None)]
        {
            assert_eq!(hosts[2].agent(process), agent);
        }
    }
}
