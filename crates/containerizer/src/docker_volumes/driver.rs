//! Calls of `dvdcli`, which speaks with Docker's volume drivers.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::called::{Outcome, call};
use crate::docker_volumes::{DockerVolumeSettings, Name};

/// Why a volume is not there.
#[derive(Debug)]
pub(super) enum Failure {
    /// Its driver says so.
    Refused(String),
    /// It may be there, or not.
    Unknown(String),
}

impl Failure {
    pub(super) fn into_message(self) -> String {
        match self {
            Self::Refused(message) | Self::Unknown(message) => message,
        }
    }
}

/// Mounts a volume. Returns where it is.
pub(super) async fn mount(
    settings: &DockerVolumeSettings,
    name: &Name,
    options: &BTreeMap<String, String>,
) -> Result<String, Failure> {
    let options = options.iter().map(|(key, value)| format!("--volumeopts={key}={value}"));
    let outcome = run(settings, "mount", name, options.collect(), settings.mount_patience);
    let outcome = outcome.await.map_err(Failure::Unknown)?;
    if !outcome.status.success() {
        return Err(Failure::Refused(why(&outcome)));
    }
    let path = String::from_utf8_lossy(&outcome.stdout).trim().to_owned();
    if !path.starts_with('/') || path.contains('\n') {
        let Name { driver, name } = name;
        return Err(Failure::Unknown(format!(
            "The mount point '{path}' of the docker volume with driver '{driver}' and name '{name}' is not an absolute path"
        )));
    }
    Ok(path)
}

/// Unmounts a volume.
pub(super) async fn unmount(settings: &DockerVolumeSettings, name: &Name) -> Result<(), String> {
    let outcome = run(settings, "unmount", name, Vec::new(), settings.unmount_patience).await?;
    if outcome.status.success() { Ok(()) } else { Err(why(&outcome)) }
}

async fn run(
    settings: &DockerVolumeSettings,
    what: &str,
    Name { driver, name }: &Name,
    options: Vec<String>,
    patience: Duration,
) -> Result<Outcome, String> {
    let mut command = Command::new(&settings.program);
    command
        .arg(what)
        .arg(format!("--volumedriver={driver}"))
        .arg(format!("--volumename={name}"))
        .args(options)
        .stdin(Stdio::null());
    let program = settings.program.display();
    call(&mut command, what, patience)
        .await
        .map_err(|why| format!("Failed to execute '{program}' for the docker volume '{name}': {why}"))
}

fn why(outcome: &Outcome) -> String {
    let words = String::from_utf8_lossy(&outcome.stderr);
    match words.trim() {
        "" => format!("Unexpected termination of the subprocess: {}", outcome.status),
        words => format!("Unexpected termination of the subprocess: {words}"),
    }
}
