//! Log files as glog names them: one per severity, each with its own and the graver lines, and a link
//! `<program>.<SEVERITY>` to the newest.

use crate::logging::Date;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::Level;
use tracing::level_filters::LevelFilter;

/// The open files, gravest last.
#[derive(Debug)]
pub(crate) struct LogFiles {
    directory: PathBuf,
    program: String,
    files: [File; 3],
}

const SEVERITIES: [&str; 3] = ["INFO", "WARNING", "ERROR"];

impl LogFiles {
    /// Makes the directory if need be, and new files in it.
    pub(crate) fn create(directory: &Path, program: &str) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let [info, warning, error] = SEVERITIES;
        let files = [
            create(directory, program, info)?,
            create(directory, program, warning)?,
            create(directory, program, error)?,
        ];
        Ok(Self { directory: directory.to_owned(), program: program.to_owned(), files })
    }

    /// The link to the file that has all lines that are logged at `level`.
    pub(crate) fn path_of(&self, level: LevelFilter) -> PathBuf {
        let severity = match level {
            LevelFilter::ERROR => "ERROR",
            LevelFilter::WARN => "WARNING",
            _ => "INFO",
        };
        self.directory.join(format!("{}.{severity}", self.program))
    }

    /// Writes a line to the files it belongs in. One write per line, so that lines of several threads stay whole.
    pub(crate) fn write(&self, level: Level, line: &[u8]) {
        let gravest = match level {
            Level::ERROR => 2,
            Level::WARN => 1,
            _ => 0,
        };
        for mut file in &self.files[..=gravest] {
            // A full disk must not stop a daemon; stderr has the line, too.
            let _ = file.write_all(line);
        }
    }
}

fn create(directory: &Path, program: &str, severity: &str) -> io::Result<File> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let date = Date::of(since.as_secs());
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy().into_owned();
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown-user".to_owned());
    let name = format!(
        "{program}.{host}.{user}.log.{severity}.{:04}{:02}{:02}-{:02}{:02}{:02}.{}",
        date.year,
        date.month,
        date.day,
        date.hour,
        date.minute,
        date.second,
        std::process::id(),
    );
    // A name holds no path, whatever a host or a user is called.
    let name = name.replace('/', "_");
    let file = OpenOptions::new().create(true).append(true).open(directory.join(&name))?;
    let link = directory.join(format!("{program}.{severity}"));
    match std::fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::os::unix::fs::symlink(&name, &link)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::LogFiles;
    use tracing::Level;
    use tracing::level_filters::LevelFilter;

    #[test]
    fn graver_lines_are_in_all_files() {
        let directory = tempfile::tempdir().unwrap();
        let files = LogFiles::create(&directory.path().join("logs"), "mesos-test").unwrap();
        files.write(Level::INFO, b"i\n");
        files.write(Level::WARN, b"w\n");
        files.write(Level::ERROR, b"e\n");
        let read = |level| std::fs::read_to_string(files.path_of(level)).unwrap();
        assert_eq!(read(LevelFilter::INFO), "i\nw\ne\n");
        assert_eq!(read(LevelFilter::WARN), "w\ne\n");
        assert_eq!(read(LevelFilter::ERROR), "e\n");
        // Starting again replaces the links.
        let again = LogFiles::create(&directory.path().join("logs"), "mesos-test").unwrap();
        again.write(Level::DEBUG, b"d\n");
        assert!(std::fs::read_to_string(again.path_of(LevelFilter::INFO)).unwrap().ends_with("d\n"));
    }
}
