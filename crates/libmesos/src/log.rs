//! Log lines of the drivers, on the JVM's stderr, as the flags of logging in the environment say.

use std::sync::Once;

use daemon::Logging;
use flags::LoggingFlags;

static BEGUN: Once = Once::new();

/// Begins to log, with the first driver: `MESOS_QUIET`, `MESOS_LOGGING_LEVEL`, `MESOS_LOG_DIR`, `GLOG_v`, and nothing at
/// all if `MESOS_INITIALIZE_DRIVER_LOGGING` is false.
pub(crate) fn begin() {
    BEGUN.call_once(|| {
        let variable = |name: &str| std::env::var(name).ok();
        let said = |name: &str, value: &str| variable(name).is_some_and(|text| text.trim() == value);
        if said("MESOS_INITIALIZE_DRIVER_LOGGING", "false") || said("MESOS_INITIALIZE_DRIVER_LOGGING", "0") {
            return;
        }
        let flags = LoggingFlags {
            quiet: said("MESOS_QUIET", "true") || said("MESOS_QUIET", "1"),
            logging_level: variable("MESOS_LOGGING_LEVEL").unwrap_or_else(|| "INFO".to_owned()),
            log_dir: variable("MESOS_LOG_DIR"),
            logbufsecs: 0,
            initialize_driver_logging: true,
            external_log_file: None,
        };
        let verbosity = variable("GLOG_v").and_then(|text| text.parse().ok()).unwrap_or(0);
        // Without a log the drivers work as well.
        let _ = Logging::start(&flags, "mesos", verbosity);
    });
}
