//! Seccomp profiles on this machine's disk, below `--seccomp_config_dir`.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use launch_plan::{Isolator, SeccompChoice};
use proto::mesos::v1::ContainerInfo;
use seccomp::{Machine, Profile};

use crate::config::Config;

/// A profile is a list of some hundred names.
const BYTES_MAX: u64 = 1 << 20;

/// Reads a profile. The error is for people.
pub fn read_seccomp_profile(directory: &Path, name: &str, machine: Machine) -> Result<Profile, String> {
    let path = directory.join(name);
    let shown = path.display();
    let text =
        read(&path).map_err(|error| format!("Failed to read Seccomp profile file '{shown}': {error}"))?;
    Profile::parse(&text, machine)
        .map_err(|error| format!("Failed to parse Seccomp profile '{shown}': {error}"))
}

fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    // A pipe would never end.
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut text = String::new();
    file.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {BYTES_MAX} bytes"),
        ));
    }
    Ok(text)
}

/// The profile of a container, on a thread that may block if a file has to be read for it.
pub(crate) async fn profile_of(
    config: &Config,
    info: Option<&ContainerInfo>,
) -> Result<Option<Arc<Profile>>, String> {
    if !config.settings.isolation.has(Isolator::LinuxSeccomp) {
        return Ok(None);
    }
    let name = match SeccompChoice::of(info).map_err(|refusal| refusal.to_string())? {
        SeccompChoice::Default => return Ok(config.settings.security.seccomp.clone()),
        SeccompChoice::Unconfined => return Ok(None),
        SeccompChoice::Named(name) => name,
    };
    let directory =
        config.seccomp_config_dir.clone().ok_or("Missing required `--seccomp_config_dir` flag")?;
    let machine = config.facts.seccomp.ok_or("Seccomp is not supported by the kernel")?;
    let reading = tokio::task::spawn_blocking(move || read_seccomp_profile(&directory, &name, machine));
    let profile = reading.await.unwrap_or_else(|_| Err("Reading a Seccomp profile panicked".to_owned()))?;
    Ok(Some(Arc::new(profile)))
}

#[cfg(test)]
mod tests {
    use seccomp::Arch;

    use super::*;

    #[test]
    fn files_that_are_no_profiles_are_told_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let machine = Machine { arch: Arch::X86_64, kernel: (6, 1) };
        let check = |name: &str, expected: &str| {
            let error = read_seccomp_profile(directory.path(), name, machine).unwrap_err();
            assert_eq!(error.replace(&format!("{}/", directory.path().display()), ""), expected);
        };
        check(
            "none.json",
            "Failed to read Seccomp profile file 'none.json': No such file or directory (os error 2)",
        );
        check(".", "Failed to read Seccomp profile file '.': it is not a regular file");
        std::fs::write(directory.path().join("a.json"), "{}").unwrap();
        check(
            "a.json",
            "Failed to parse Seccomp profile 'a.json': Cannot determine 'defaultAction' for the Seccomp configuration: Not found",
        );
        std::fs::write(directory.path().join("b.json"), " ".repeat(1 << 20) + " ").unwrap();
        check("b.json", "Failed to read Seccomp profile file 'b.json': it has more than 1048576 bytes");
    }
}
