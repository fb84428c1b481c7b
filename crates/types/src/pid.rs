//! The address of a process: `id@ip:port`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Names one process (actor) of one daemon, as `Libprocess-From` carries it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid {
    /// The process within its daemon: `master`, `slave(1)`, `scheduler-<uuid>`.
    pub id: Arc<str>,
    /// Where its daemon listens.
    pub address: SocketAddr,
}

/// Why a text is not a process address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' is not a process address of the form id@ip:port")]
pub struct PidError(String);

impl Pid {
    /// The process `id` of the daemon at `address`.
    pub fn new(id: impl Into<Arc<str>>, address: SocketAddr) -> Self {
        Self { id: id.into(), address }
    }
}

impl FromStr for Pid {
    type Err = PidError;

    /// Takes only numeric addresses: a name would need a resolver, and no peer sends one.
    fn from_str(text: &str) -> Result<Self, PidError> {
        let refuse = || PidError(text.chars().take(256).collect());
        let (id, address) = text.split_once('@').ok_or_else(refuse)?;
        if id.is_empty() || id.bytes().any(|b| b <= 0x20 || b == 0x7f) {
            return Err(refuse());
        }
        let address = address.parse().map_err(|_| refuse())?;
        Ok(Self { id: id.into(), address })
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.address)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in ["master@127.0.0.1:5050", "slave(1)@10.0.0.1:5051"] {
            assert_eq!(text.parse::<Pid>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_not_one() {
        for bad in
            ["", "master", "@127.0.0.1:1", "a@b", "a@1.2.3.4", "a@1.2.3.4:99999", "a b@1.2.3.4:1", "a@host:1"]
        {
            assert!(bad.parse::<Pid>().is_err(), "{bad}");
        }
    }
}
