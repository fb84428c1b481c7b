//! Downloads by HTTP and HTTPS.

use crate::pump::{Bounds, pump};
use std::fs::File;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

/// How often a download looks whether it has been cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// Names a file with the authorities to trust, for this and for many other programs.
const AUTHORITIES_VARIABLE: &str = "SSL_CERT_FILE";

/// Where Linux distributions keep the authorities that the machine's administrator trusts.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// How downloads are made.
pub struct Web {
    stall: Duration,
    /// Made when it is first needed, since the authorities take a while to read.
    config: OnceLock<ureq::config::Config>,
}

impl Web {
    /// `stall`: how long a server may send nothing.
    pub fn new(stall: Duration) -> Self {
        Self { stall, config: OnceLock::new() }
    }

    /// How long a server may send nothing.
    pub fn stall(&self) -> Duration {
        self.stall
    }

    fn config(&self) -> ureq::config::Config {
        let stall = self.stall;
        Agent::config_builder()
            .timeout_resolve(Some(stall))
            .timeout_connect(Some(stall))
            .timeout_recv_response(Some(stall))
            .timeout_per_read(Some(stall))
            .timeout_per_write(Some(stall))
            .http_status_as_error(false)
            .user_agent(concat!("mesos-rs/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(authorities()).build())
            .build()
    }

    /// How large the file is, as the server says.
    pub(crate) fn size(&self, uri: &str, cancel: &AtomicBool) -> Result<u64, String> {
        self.with_agent(cancel, |agent| {
            let response = agent.head(uri).call().map_err(|error| error.to_string())?;
            if response.status().as_u16() != 200 {
                return Err(format!("received HTTP return code {}", response.status().as_u16()));
            }
            let length = response.headers().get("content-length").and_then(|length| length.to_str().ok());
            match length.and_then(|length| length.parse().ok()) {
                Some(0) => Err(format!("URI reported content-length 0: {uri}")),
                Some(length) => Ok(length),
                None => Err(format!("URI reported no content-length: {uri}")),
            }
        })
    }

    /// Downloads into `to`; says how much that was.
    pub(crate) fn download(&self, uri: &str, to: &File, bounds: Bounds<'_>) -> Result<u64, String> {
        self.with_agent(bounds.cancel, |agent| {
            let said = |error: &dyn std::fmt::Display| format!("Error downloading resource: {error}");
            let mut response = agent.get(uri).call().map_err(|error| said(&error))?;
            let status = response.status().as_u16();
            if status != 200 {
                return Err(format!("Error downloading resource, received HTTP return code {status}"));
            }
            pump(response.body_mut().as_reader(), to, bounds).map_err(|error| said(&error))
        })
    }

    /// Does `work`, and breaks its connections when it is cancelled. Statuses that tell of errors are no errors of the
    /// agent that it is given.
    pub fn with_agent<T>(
        &self,
        cancel: &AtomicBool,
        work: impl FnOnce(&Agent) -> Result<T, String>,
    ) -> Result<T, String> {
        // An agent of its own, since breaking connections breaks all of an agent's.
        let agent = self.config.get_or_init(|| self.config()).new_agent();
        let breaker = agent.clone();
        let (done, is_done) = sync_channel::<()>(1);
        std::thread::scope(|scope| {
            std::thread::Builder::new()
                .name("fetch-cancel".into())
                .spawn_scoped(scope, move || {
                    while let Err(RecvTimeoutError::Timeout) = is_done.recv_timeout(CANCEL_POLL) {
                        if cancel.load(std::sync::atomic::Ordering::Relaxed) {
                            breaker.shutdown();
                            return;
                        }
                    }
                })
                .map_err(|error| format!("Failed to start a thread: {error}"))?;
            let result = work(&agent);
            drop(done);
            // An end of the stream may have been our own doing.
            if cancel.load(std::sync::atomic::Ordering::Relaxed) { Err("cancelled".into()) } else { result }
        })
    }
}

/// The authorities of the machine; those of Mozilla if it has none.
fn authorities() -> RootCerts {
    let told = std::env::var_os(AUTHORITIES_VARIABLE).map(PathBuf::from);
    let mut files = told.into_iter().chain(SYSTEM_AUTHORITIES.map(PathBuf::from));
    let system = files.find_map(|path| std::fs::read(path).ok()).unwrap_or_default();
    let certificates: Vec<_> = ureq::tls::parse_pem(&system)
        .filter_map(Result::ok)
        .filter_map(|item| match item {
            ureq::tls::PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() { RootCerts::WebPki } else { RootCerts::new_with_certs(&certificates) }
}
