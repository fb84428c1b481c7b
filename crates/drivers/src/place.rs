//! Where a driver listens and what others are told of it: `LIBPROCESS_IP`, `_PORT`, `_ADVERTISE_IP`, `_ADVERTISE_PORT`,
//! `_REQUIRE_PEER_ADDRESS_IP_MATCH`.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use daemon::place;

use crate::Variables;

/// Where a driver listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where the socket is bound; port 0 is any.
    pub(crate) listen: SocketAddr,
    advertise_ip: Option<IpAddr>,
    advertise_port: Option<u16>,
    /// Whether messages must come from the address that they name.
    pub(crate) same_ip: bool,
}

impl Place {
    /// Reads the variables.
    pub(crate) fn read(variables: Variables<'_>) -> Result<Self, String> {
        let ip: Option<IpAddr> = read(variables, "LIBPROCESS_IP")?;
        let port: Option<u16> = read(variables, "LIBPROCESS_PORT")?;
        let same_ip = variables("LIBPROCESS_REQUIRE_PEER_ADDRESS_IP_MATCH");
        Ok(Self {
            listen: SocketAddr::new(ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), port.unwrap_or(0)),
            advertise_ip: read(variables, "LIBPROCESS_ADVERTISE_IP")?,
            advertise_port: read(variables, "LIBPROCESS_ADVERTISE_PORT")?,
            same_ip: same_ip.is_some_and(|value| matches!(value.as_str(), "1" | "true")),
        })
    }

    /// What others are told, once the socket is bound there.
    pub(crate) fn advertised(&self, bound: SocketAddr) -> SocketAddr {
        let own = if bound.ip().is_unspecified() { place::own_ip() } else { bound.ip() };
        SocketAddr::new(self.advertise_ip.unwrap_or(own), self.advertise_port.unwrap_or(bound.port()))
    }
}

/// Reads one variable; empty is as if it was not set.
fn read<T: FromStr>(variables: Variables<'_>, name: &str) -> Result<Option<T>, String>
where
    T::Err: Display,
{
    let Some(text) = variables(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.trim().parse() {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(format!("Failed to parse {name}={text}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_where() {
        let variables = |name: &str| match name {
            "LIBPROCESS_IP" => Some("127.0.0.2".to_owned()),
            "LIBPROCESS_ADVERTISE_PORT" => Some("77".to_owned()),
            "LIBPROCESS_ADVERTISE_IP" => Some(String::new()),
            _ => None,
        };
        let place = Place::read(&variables).unwrap();
        assert_eq!(place.listen, "127.0.0.2:0".parse().unwrap());
        let bound = "127.0.0.2:4000".parse().unwrap();
        assert_eq!(place.advertised(bound), "127.0.0.2:77".parse().unwrap());
    }

    #[test]
    fn what_is_no_address_is_named() {
        let variables = |name: &str| (name == "LIBPROCESS_PORT").then(|| "many".to_owned());
        let error = Place::read(&variables).unwrap_err();
        assert_eq!(error, "Failed to parse LIBPROCESS_PORT=many: invalid digit found in string");
    }
}
