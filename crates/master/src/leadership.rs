//! Who leads, and what that means for a request: serve it, send it to the leader, or ask for patience.

use std::sync::Arc;

use http::{Gate, Request, Response};
use proto::mesos::v1::MasterInfo;
use tokio::sync::watch;

/// What this master knows of the leadership.
#[derive(Clone, Debug)]
pub(crate) enum Leadership {
    /// Nobody leads.
    Nobody,
    /// Another master leads.
    Other(Arc<MasterInfo>),
    /// This master leads.
    Here {
        /// This master.
        master: Arc<MasterInfo>,
        /// Whether it has read the registry.
        recovered: bool,
    },
}

impl Leadership {
    fn leader(&self) -> Option<&MasterInfo> {
        match self {
            Self::Nobody => None,
            Self::Other(master) | Self::Here { master, .. } => Some(master),
        }
    }

    /// The answer to a request that only a recovered leader serves; none if this is one.
    fn refuse(&self, request: &Request<()>) -> Option<Response> {
        match self {
            Self::Nobody | Self::Other(_) => Some(self.redirect(&request.path, &request.target())),
            Self::Here { recovered: false, .. } => {
                Some(Response::unavailable("Master has not finished recovery"))
            }
            Self::Here { recovered: true, .. } => None,
        }
    }

    /// Sends a request to the leader: `path` says what was asked for, `target` is path and query.
    ///
    /// COMPAT(mesos): the location has no scheme, and carries the process's name, as old clients expect it
    /// (recorded/v0-redirect.json).
    pub(crate) fn redirect(&self, path: &str, target: &str) -> Response {
        let Some(leader) = self.leader() else { return Response::unavailable("No leader elected") };
        let base = format!("//{}:{}", host(leader), leader.port);
        match path.strip_prefix("/master/redirect") {
            Some("") => Response::redirect(&base),
            Some(rest) if rest.starts_with('/') => Response::not_found(),
            Some(_) | None => Response::redirect(&format!("{base}{target}")),
        }
    }
}

fn host(master: &MasterInfo) -> String {
    match (&master.hostname, &master.address) {
        (Some(name), _) => name.clone(),
        (None, Some(address)) => address.ip().to_owned(),
        // The address is in network byte order, read as a little-endian number.
        (None, None) => std::net::Ipv4Addr::from(master.ip.to_le_bytes()).to_string(),
    }
}

/// The gate of routes that only a recovered leader serves.
pub(crate) fn gate(leadership: watch::Receiver<Leadership>) -> Gate {
    Arc::new(move |request| leadership.borrow().refuse(request))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master() -> Arc<MasterInfo> {
        Arc::new(MasterInfo {
            id: "m".to_owned(),
            port: 5050,
            hostname: Some("leader.example".to_owned()),
            ..MasterInfo::default()
        })
    }

    fn of(leadership: &Leadership, path: &str, target: &str) -> (u16, Option<String>) {
        let response = leadership.redirect(path, target);
        let location = response.headers.get("location").map(|value| value.to_str().unwrap().to_owned());
        (response.status.as_u16(), location)
    }

    #[test]
    fn redirects_to_the_leader() {
        let other = Leadership::Other(master());
        let base = "//leader.example:5050";
        assert_eq!(of(&other, "/master/redirect", "/master/redirect"), (307, Some(base.to_owned())));
        assert_eq!(of(&other, "/master/redirect/x", "/master/redirect/x"), (404, None));
        assert_eq!(
            of(&other, "/master/state", "/master/state?jsonp=a"),
            (307, Some(format!("{base}/master/state?jsonp=a")))
        );
        assert_eq!(of(&Leadership::Nobody, "/master/state", "/master/state"), (503, None));
    }

    #[test]
    fn a_leader_serves_once_it_has_recovered() {
        let request = Request {
            method: http::Method::GET,
            path: "/master/state".to_owned(),
            tail: String::new(),
            raw_query: None,
            query: http::Query::default(),
            headers: http::HeaderMap::new(),
            peer: "127.0.0.1:1".parse().unwrap(),
            body: (),
        };
        let here = |recovered| Leadership::Here { master: master(), recovered };
        assert!(here(true).refuse(&request).is_none());
        let refusal = here(false).refuse(&request).unwrap();
        assert_eq!(refusal.status.as_u16(), 503);
        assert_eq!(refusal.whole(), Some(&b"Master has not finished recovery"[..]));
    }
}
