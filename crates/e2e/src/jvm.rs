//! Spark from PyPI, and the library by which it reaches Mesos.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::cluster::binary;
use crate::peers::home;

/// Spark's home, in a virtual environment of Python.
#[derive(Clone, Debug)]
pub struct Spark {
    python: PathBuf,
    home: PathBuf,
}

impl Spark {
    /// Where it is.
    ///
    /// # Panics
    /// When it is not installed: `cargo xtask peers` comes first.
    #[must_use]
    pub fn find() -> Self {
        let place = home().join("spark");
        let versions = std::fs::read_dir(place.join("lib")).into_iter().flatten().flatten();
        let homes = versions.map(|version| version.path().join("site-packages/pyspark"));
        let found = homes.into_iter().find(|home| home.join("bin/spark-submit").is_file());
        let home =
            found.unwrap_or_else(|| panic!("no Spark in {}: run `cargo xtask peers` first", place.display()));
        Self { python: place.join("bin/python"), home }
    }

    /// The jar of Mesos's Java classes.
    ///
    /// # Panics
    /// When Spark has none.
    #[must_use]
    pub fn mesos_jar(&self) -> PathBuf {
        let jars = std::fs::read_dir(self.home.join("jars")).into_iter().flatten().flatten();
        let names = jars.map(|jar| jar.path());
        let is_ours = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("mesos-"))
        };
        names.into_iter().find(is_ours).expect("the last Spark for Mesos has the jar")
    }

    /// One of the example programs that come with it.
    #[must_use]
    pub fn example(&self, name: &str) -> PathBuf {
        self.home.join("examples/src/main/python").join(name)
    }

    /// Runs an application in client mode, with one executor of half a gigabyte and one core, to its end.
    ///
    /// # Panics
    /// When Spark does not start.
    #[must_use]
    pub fn submit(&self, master: &str, program: &Path, arguments: &[&str]) -> Output {
        let local = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(self.home.join("bin/spark-submit"));
        command.args(["--master", master, "--deploy-mode", "client"]).args([
            "--driver-memory",
            "512m",
            "--executor-memory",
            "512m",
            "--total-executor-cores",
            "1",
        ]);
        let settings = [
            ("spark.mesos.executor.home", self.home.display().to_string()),
            ("spark.driver.host", "127.0.0.1".to_owned()),
            ("spark.driver.bindAddress", "127.0.0.1".to_owned()),
            ("spark.ui.enabled", "false".to_owned()),
            ("spark.default.parallelism", "2".to_owned()),
            ("spark.mesos.coarse.shutdownTimeout", "5s".to_owned()),
            ("spark.local.dir", local.path().display().to_string()),
        ];
        for (name, value) in settings {
            command.arg("--conf").arg(format!("{name}={value}"));
        }
        command
            .arg(program)
            .args(arguments)
            .env("SPARK_HOME", &self.home)
            .env("PYSPARK_PYTHON", &self.python)
            .env("MESOS_NATIVE_JAVA_LIBRARY", library())
            .env("LIBPROCESS_IP", "127.0.0.1")
            .env("SPARK_LOCAL_IP", "127.0.0.1")
            .output()
            .expect("Spark starts")
    }
}

/// The `libmesos.so` of this build.
///
/// # Panics
/// When it was not built: `cargo build --workspace` comes first.
#[must_use]
pub fn library() -> PathBuf {
    let library = binary().with_file_name("libmesos.so");
    assert!(library.is_file(), "no {}: run `cargo build --workspace` first", library.display());
    library
}
