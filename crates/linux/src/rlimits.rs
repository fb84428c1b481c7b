//! Resource limits of this process, by the names of `setrlimit`.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

/// The kernel has no limit of that name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("Unknown rlimit '{0}'")]
struct UnknownResource(String);

/// Limits a resource, such as `NOFILE`; no numbers for no limit.
pub fn set_rlimit(name: &str, soft: Option<u64>, hard: Option<u64>) -> io::Result<()> {
    let resource = resource(name).map_err(io::Error::other)?;
    let wanted = Rlimit { current: soft, maximum: hard };
    let now = getrlimit(resource);
    // Setting what is set needs no right to raise anything.
    if (now.current, now.maximum) == (soft, hard) {
        return Ok(());
    }
    Ok(setrlimit(resource, wanted)?)
}

fn resource(name: &str) -> Result<Resource, UnknownResource> {
    Ok(match name {
        "AS" => Resource::As,
        "CORE" => Resource::Core,
        "CPU" => Resource::Cpu,
        "DATA" => Resource::Data,
        "FSIZE" => Resource::Fsize,
        "LOCKS" => Resource::Locks,
        "MEMLOCK" => Resource::Memlock,
        "MSGQUEUE" => Resource::Msgqueue,
        "NICE" => Resource::Nice,
        "NOFILE" => Resource::Nofile,
        "NPROC" => Resource::Nproc,
        "RSS" => Resource::Rss,
        "RTPRIO" => Resource::Rtprio,
        "RTTIME" => Resource::Rttime,
        "SIGPENDING" => Resource::Sigpending,
        "STACK" => Resource::Stack,
        other => return Err(UnknownResource(other.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_can_be_set_again() {
        let now = getrlimit(Resource::Nofile);
        set_rlimit("NOFILE", now.current, now.maximum).unwrap();
        assert!(set_rlimit("NOSUCH", None, None).unwrap_err().to_string().contains("NOSUCH"));
    }
}
