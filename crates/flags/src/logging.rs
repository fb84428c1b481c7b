//! The flags about logging that every daemon and tool shares.

crate::flags! {
    /// Where log lines go, and which.
    pub struct LoggingFlags {
        "Logging" {
            /// Write no log lines to stderr.
            quiet: bool = "false";
            /// The least severity that is logged: INFO, WARNING or ERROR. With --quiet it only matters for the files
            /// in --log_dir.
            logging_level: String = "INFO" => rule(known_level);
            /// Directory for log files, one per severity. Nothing is written to disk when unset. The files can be read
            /// over HTTP and from the web UI.
            log_dir: Option<String>;
            /// How many seconds log lines may wait in memory before they reach the file; 0 writes each at once.
            logbufsecs: u32 = "0" => pending();
            /// Whether the C++ scheduler and executor drivers set up logging as well. It is of no consequence here and
            /// only taken so that old command lines work.
            initialize_driver_logging: bool = "true" => pending();
            /// A log file that something else writes (syslog, journald). It is only shown over HTTP and in the web UI,
            /// before the one of --log_dir.
            external_log_file: Option<String>;
        }
    }
}

fn known_level(level: &str) -> Result<(), String> {
    match level {
        "INFO" | "WARNING" | "ERROR" => Ok(()),
        // COMPAT(mesos): the words of the C++ daemons, which check this when logging starts.
        _ => Err(format!(
            "'{level}' is not a valid logging level. Possible values for 'logging_level' flag are: 'INFO', 'WARNING', 'ERROR'."
        )),
    }
}
