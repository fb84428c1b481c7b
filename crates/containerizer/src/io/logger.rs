//! The rotating logger: how large the files of what containers print may be, as the agent's flags say it, and as a
//! container's own environment says it for itself.

use crate::io::logfile::{PIECE_BYTES, Rotation};

/// What each file is held to where nobody says. COMPAT(mesos): 10 MB.
const BYTES_MAX: u64 = 10 * 1024 * 1024;

/// COMPAT(mesos): what variables of a container's environment begin with.
const PREFIX: &str = "CONTAINER_LOGGER_";

/// The settings of the rotating logger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logger {
    stdout: Rotation,
    stderr: Rotation,
    /// What the variables of a container that says otherwise begin with.
    prefix: String,
}

impl Default for Logger {
    fn default() -> Self {
        // COMPAT(mesos): without options `logrotate` keeps no older files.
        let rotation = Rotation { bytes_max: BYTES_MAX, keep: 0 };
        Self { stdout: rotation, stderr: rotation, prefix: PREFIX.to_owned() }
    }
}

impl Logger {
    /// Sets a parameter of the module whose place this takes. An error says why that cannot be.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "max_stdout_size" => self.stdout.bytes_max = size(name, value)?,
            "max_stderr_size" => self.stderr.bytes_max = size(name, value)?,
            "logrotate_stdout_options" => self.stdout.keep = kept(value)?,
            "logrotate_stderr_options" => self.stderr.keep = kept(value)?,
            "environment_variable_prefix" => value.clone_into(&mut self.prefix),
            // No program of theirs is called here.
            "launcher_dir" | "logrotate_path" | "libprocess_num_worker_threads" => {}
            _ => return Err(format!("Failed to load unknown flag '{name}'")),
        }
        Ok(())
    }

    /// What a container with this environment gets, for its output and its errors.
    pub(crate) fn for_container(
        &self,
        environment: &[(String, String)],
    ) -> Result<(Rotation, Rotation), String> {
        let mut own = self.clone();
        for (name, value) in environment {
            let Some(name) = name.strip_prefix(&self.prefix) else { continue };
            let name = name.to_ascii_lowercase();
            let known = name.ends_with("_size") || name.ends_with("_options");
            let set = if known {
                own.set(&name, value)
            } else {
                Err(format!("Failed to load unknown flag '{name}'"))
            };
            set.map_err(|why| format!("Failed to load container logger settings: {why}"))?;
        }
        Ok((own.stdout, own.stderr))
    }
}

/// `10MB`, as Mesos writes sizes.
fn size(name: &str, text: &str) -> Result<u64, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "B" => Some(0),
        "KB" => Some(10),
        "MB" => Some(20),
        "GB" => Some(30),
        "TB" => Some(40),
        _ => None,
    };
    let bytes =
        number.parse::<u64>().ok().zip(shift).and_then(|(number, shift)| number.checked_mul(1 << shift));
    let bytes = bytes.ok_or_else(|| {
        format!("Failed to load flag '{name}': Failed to load value '{text}': it is no size such as 10MB")
    })?;
    if usize::try_from(bytes).unwrap_or(usize::MAX) < PIECE_BYTES {
        return Err(format!(
            "Expected --max_stdout_size and --max_stderr_size of at least {PIECE_BYTES} bytes"
        ));
    }
    Ok(bytes)
}

/// How many older files stay, by options of `logrotate`. The others are left aside: the file's size decides when, and
/// older files are left as they are.
fn kept(options: &str) -> Result<u32, String> {
    let mut kept = 0;
    for line in options.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("rotate"), Some(number)) => {
                kept = number.parse().ok().filter(|kept| *kept <= KEPT_MAX).ok_or_else(|| {
                    format!("'rotate {number}' in the options of logrotate is no number up to {KEPT_MAX}")
                })?;
            }
            (Some("rotate"), None) => {
                return Err("'rotate' in the options of logrotate lacks its number".to_owned());
            }
            _ => {}
        }
    }
    Ok(kept)
}

/// Each rotation renames all of them.
const KEPT_MAX: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn logger(parameters: &[(&str, &str)]) -> Result<Logger, String> {
        let mut logger = Logger::default();
        for (name, value) in parameters {
            logger.set(name, value)?;
        }
        Ok(logger)
    }

    #[test]
    fn parameters_are_those_of_the_module() {
        let set = logger(&[
            ("max_stdout_size", "64KB"),
            ("logrotate_stdout_options", "rotate 9\ncompress"),
            ("launcher_dir", "/usr/libexec/mesos"),
        ]);
        let expected = (Rotation { bytes_max: 65536, keep: 9 }, Rotation { bytes_max: 10 << 20, keep: 0 });
        assert_eq!(set.unwrap().for_container(&[]).unwrap(), expected);
        for (name, value, why) in [
            ("max_stdout_size", "4095B", "at least 4096 bytes"),
            ("max_stderr_size", "many", "no size such as 10MB"),
            ("max_stderr_size", "99999999999TB", "no size such as 10MB"),
            ("logrotate_stderr_options", "rotate 1001", "no number up to 1000"),
            ("logrotate_stderr_options", "rotate", "lacks its number"),
            ("max_size", "1MB", "Failed to load unknown flag 'max_size'"),
        ] {
            let error = logger(&[(name, value)]).unwrap_err();
            assert!(error.contains(why), "{name}={value}: {error}");
        }
    }

    #[test]
    fn a_container_may_say_otherwise() {
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let own = Logger::default().for_container(&[
            variable("CONTAINER_LOGGER_MAX_STDERR_SIZE", "4KB"),
            variable("CONTAINER_LOGGER_LOGROTATE_STDERR_OPTIONS", "rotate 2"),
            variable("OTHER", "x"),
        ]);
        assert_eq!(own.unwrap().1, Rotation { bytes_max: 4096, keep: 2 });
        for name in ["CONTAINER_LOGGER_NOSUCH", "CONTAINER_LOGGER_LAUNCHER_DIR"] {
            let error = Logger::default().for_container(&[variable(name, "x")]).unwrap_err();
            assert!(
                error.starts_with("Failed to load container logger settings: Failed to load unknown"),
                "{error}"
            );
        }
        let renamed = logger(&[("environment_variable_prefix", "MINE_")]).unwrap();
        let own = renamed.for_container(&[variable("MINE_MAX_STDOUT_SIZE", "1GB")]).unwrap();
        assert_eq!(own.0.bytes_max, 1 << 30);
    }
}
