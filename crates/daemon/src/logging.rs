//! Log lines in the form of glog, and how many of them: `--logging_level` and the verbosity that `/logging/toggle` and
//! SET_LOGGING_LEVEL raise for a while.
//!
//! ```text
//! I1120 14:02:07.123456 4711 registrar.rs:214] Applied 3 operations in 1.2ms
//! ```
//!
//! Verbosity 0 shows informational lines, 1 debug lines, 2 and more everything. Times are in UTC.

use crate::logfiles::LogFiles;
use flags::{Duration, LoggingFlags};
use http::{Request, Response, Route};
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, reload};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directory for log files cannot be used.
    #[error("Could not initialize logging: Failed to create directory: {0}")]
    Directory(#[source] io::Error),
}

/// The handle on this process's logging. Clones are the same.
#[derive(Clone, Debug)]
pub struct Logging {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The level of the start; none when somebody else logs for this process.
    filter: Option<reload::Handle<LevelFilter, Registry>>,
    /// What `--logging_level` lets through at verbosity 0.
    base: LevelFilter,
    original: u32,
    // Taken by requests that change or ask for the verbosity.
    verbosity: Mutex<Verbosity>,
    log_file: Option<PathBuf>,
}

#[derive(Debug)]
struct Verbosity {
    level: u32,
    /// Counts changes, so that only the last one is reverted when its time is over.
    changes: u64,
}

impl Logging {
    /// Sets up logging for this process: to stderr unless `--quiet`, and to files in `--log_dir`. `program` names
    /// those; `verbosity` is where to start (GLOG_v). If something in this process logs already, only the verbosity
    /// is kept.
    pub fn start(flags: &LoggingFlags, program: &str, verbosity: u32) -> Result<Self, LogError> {
        let base = match flags.logging_level.as_str() {
            "WARNING" => LevelFilter::WARN,
            "ERROR" => LevelFilter::ERROR,
            _ => LevelFilter::INFO,
        };
        let files = match &flags.log_dir {
            Some(directory) => {
                Some(LogFiles::create(directory.as_ref(), program).map_err(LogError::Directory)?)
            }
            None => None,
        };
        let log_file = match (&flags.external_log_file, &files) {
            (Some(external), _) => Some(external.into()),
            (None, Some(files)) => Some(files.path_of(base)),
            (None, None) => None,
        };
        let (filter, handle) = reload::Layer::new(at(base, verbosity));
        let lines = Lines { stderr: !flags.quiet, files };
        let subscriber = tracing_subscriber::registry().with(filter).with(lines);
        let ours = tracing::subscriber::set_global_default(subscriber).is_ok();
        Ok(Self::with(ours.then_some(handle), base, verbosity, log_file))
    }

    fn with(
        filter: Option<reload::Handle<LevelFilter, Registry>>,
        base: LevelFilter,
        original: u32,
        log_file: Option<PathBuf>,
    ) -> Self {
        let verbosity = Mutex::new(Verbosity { level: original, changes: 0 });
        Self { shared: Arc::new(Shared { filter, base, original, verbosity, log_file }) }
    }

    /// A handle that changes nothing: for tests, and for daemons that share a process with the one that logs.
    pub fn none() -> Self {
        Self::with(None, LevelFilter::INFO, 0, None)
    }

    /// The file that shows the log, to be attached as `/master/log` or `/slave/log`.
    pub fn log_file(&self) -> Option<&PathBuf> {
        self.shared.log_file.as_ref()
    }

    /// The verbosity now (GET_LOGGING_LEVEL).
    pub fn level(&self) -> u32 {
        self.shared.verbosity.lock().unwrap_or_else(PoisonError::into_inner).level
    }

    /// Sets the verbosity for a while; then it is what it was at the start (SET_LOGGING_LEVEL). Must be called on a
    /// tokio runtime.
    pub fn set_level(&self, level: u32, duration: Duration) {
        let change = self.change(level, None);
        if level == self.shared.original {
            return;
        }
        let logging = self.clone();
        // The task ends by itself; that a process stops before is fine.
        tokio::spawn(async move {
            tokio::time::sleep(duration.to_std()).await;
            logging.change(logging.shared.original, Some(change));
        });
    }

    /// Changes the level, if told only when `after` was the last change; counts the change.
    fn change(&self, level: u32, after: Option<u64>) -> u64 {
        let mut verbosity = self.shared.verbosity.lock().unwrap_or_else(PoisonError::into_inner);
        if after.is_none_or(|change| change == verbosity.changes) {
            verbosity.level = level;
            verbosity.changes += 1;
            if let Some(filter) = &self.shared.filter {
                // Fails only when the subscriber is gone, at the very end of the process.
                let _ = filter.reload(at(self.shared.base, level));
            }
        }
        verbosity.changes
    }

    /// The route `/logging/toggle`.
    pub fn route(&self) -> Route {
        let logging = self.clone();
        Route::get("logging/toggle", move |request| {
            let logging = logging.clone();
            async move { logging.answer(&request).unwrap_or_else(Response::bad_request) }
        })
    }

    fn answer(&self, request: &Request) -> Result<Response, String> {
        let (level, duration) = match (request.query.get("level"), request.query.get("duration")) {
            (None, None) => {
                let level = format!("{}\n", self.level());
                return Ok(Response::text(http::StatusCode::OK, level));
            }
            (Some(_), None) => return Err("Expecting 'duration=value' in query.\n".into()),
            (None, Some(_)) => return Err("Expecting 'level=value' in query.\n".into()),
            (Some(level), Some(duration)) => (level, duration),
        };
        let number: i32 = level.parse().map_err(|_| format!("Failed to convert '{level}' to number.\n"))?;
        let level = u32::try_from(number).map_err(|_| format!("Invalid level '{number}'.\n"))?;
        if level < self.shared.original {
            return Err(format!("'{level}' < original level.\n"));
        }
        let duration: Duration = duration.parse().map_err(|error| format!("{error}.\n"))?;
        self.set_level(level, duration);
        Ok(Response::ok())
    }
}

fn at(base: LevelFilter, verbosity: u32) -> LevelFilter {
    match verbosity {
        0 => base,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// Writes events as lines.
struct Lines {
    stderr: bool,
    files: Option<LogFiles>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut message = Message::default();
        event.record(&mut message);
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        let line = line(
            SystemTime::now(),
            thread,
            metadata.level(),
            metadata.file(),
            metadata.line(),
            &message.text(),
        );
        if self.stderr {
            // Nobody can be told that stderr is gone.
            let _ = io::stderr().write_all(line.as_bytes());
        }
        if let Some(files) = &self.files {
            files.write(*metadata.level(), line.as_bytes());
        }
    }
}

fn line(
    now: SystemTime,
    thread: i32,
    level: &Level,
    file: Option<&str>,
    number: Option<u32>,
    message: &str,
) -> String {
    let letter = match *level {
        Level::ERROR => 'E',
        Level::WARN => 'W',
        _ => 'I',
    };
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let date = Date::of(since.as_secs());
    let file = file.and_then(|file| file.rsplit('/').next()).unwrap_or("unknown");
    let mut line = String::with_capacity(message.len() + 64);
    // Writing to a String does not fail.
    let _ = writeln!(
        line,
        "{letter}{:02}{:02} {:02}:{:02}:{:02}.{:06} {thread:5} {file}:{}] {message}",
        date.month,
        date.day,
        date.hour,
        date.minute,
        date.second,
        since.subsec_micros(),
        number.unwrap_or_default(),
    );
    line
}

/// A moment in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: u64,
    pub(crate) month: u64,
    pub(crate) day: u64,
    pub(crate) hour: u64,
    pub(crate) minute: u64,
    pub(crate) second: u64,
}

impl Date {
    /// Seconds since 1970 in the Gregorian calendar. Years are counted from March, so that the leap day is the last.
    pub(crate) fn of(secs: u64) -> Self {
        let (days, of_day) = (secs / 86_400, secs % 86_400);
        // From 0000-03-01, in eras of 400 years, which are all equally long.
        let days = days + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            hour: of_day / 3_600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
        }
    }
}

/// The text of an event: its message, and its fields behind.
#[derive(Default)]
struct Message {
    message: String,
    fields: String,
}

impl Message {
    fn text(&self) -> String {
        format!("{}{}", self.message, self.fields)
    }
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String does not fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{Date, Logging, line};
    use flags::Duration;
    use std::time::{Duration as Span, UNIX_EPOCH};
    use tracing::Level;

    #[test]
    fn lines_look_like_those_of_glog() {
        let now = UNIX_EPOCH + Span::from_micros(1_795_176_127_000_042);
        let text = line(now, 77, &Level::WARN, Some("crates/master/src/run.rs"), Some(12), "Hello");
        assert_eq!(text, "W1120 12:02:07.000042    77 run.rs:12] Hello\n");
    }

    #[test]
    fn dates_follow_the_calendar() {
        let date = |secs| {
            let date = Date::of(secs);
            (date.year, date.month, date.day, date.hour, date.minute, date.second)
        };
        assert_eq!(date(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(date(951_782_400), (2000, 2, 29, 0, 0, 0));
        assert_eq!(date(1_709_251_199), (2024, 2, 29, 23, 59, 59));
        assert_eq!(date(4_107_542_400), (2100, 3, 1, 0, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn verbosity_falls_back() {
        let logging = Logging::none();
        logging.set_level(3, Duration::from_secs(10));
        tokio::time::sleep(Span::from_secs(5)).await;
        logging.set_level(2, Duration::from_secs(10));
        tokio::time::sleep(Span::from_secs(7)).await;
        // The end of the first time does not end the second.
        assert_eq!(logging.level(), 2);
        tokio::time::sleep(Span::from_secs(4)).await;
        assert_eq!(logging.level(), 0);
    }
}
