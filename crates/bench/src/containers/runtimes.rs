//! OCI runtimes of others, as a user runs them: `crun run`, `runc run` on a bundle made for the purpose.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

/// A runtime and its bundle.
pub(crate) struct Runtime {
    /// `crun` or `runc`.
    pub(crate) name: &'static str,
    bundle: PathBuf,
    state: PathBuf,
}

impl Runtime {
    /// One that is installed; none elsewhere. `program` is a static program that reads its input and ends.
    pub(crate) fn new(name: &'static str, home: &Path, program: &Path) -> anyhow::Result<Option<Self>> {
        if !Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()) {
            return Ok(None);
        }
        let bundle = home.join(name);
        let rootfs = bundle.join("rootfs");
        for directory in ["bin", "proc", "dev"] {
            fs::create_dir_all(rootfs.join(directory))?;
        }
        fs::copy(program, rootfs.join("bin/cat")).context("copying the program")?;
        // What the containers of ours have, and no more: three namespaces, /proc, cpu shares and a memory limit.
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false, "user": {"uid": 0, "gid": 0}, "cwd": "/",
                "args": ["/bin/cat"], "env": ["PATH=/bin"],
            },
            "root": {"path": "rootfs"},
            "hostname": "",
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {
                "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "mount"}],
                "cgroupsPath": format!("/mesos-bench-{}-{name}", std::process::id()),
                "resources": {"cpu": {"shares": 512}, "memory": {"limit": 64 << 20}},
            },
        });
        fs::write(bundle.join("config.json"), serde_json::to_vec(&config)?)?;
        Ok(Some(Self { name, bundle, state: home.join(format!("{name}-state")) }))
    }

    /// Runs one container to its end and deletes it.
    pub(crate) fn launch(&self, id: &str) -> anyhow::Result<()> {
        let mut command = Command::new(self.name);
        command.arg("--root").arg(&self.state);
        if self.name == "crun" {
            command.arg("--cgroup-manager=cgroupfs");
        }
        command.args(["run", "--bundle"]).arg(&self.bundle).arg(id);
        let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} ended with {}: {said}", self.name, output.status);
        Ok(())
    }
}

/// Hides the second version of cgroups from this process and what it starts, in mounts of its own: `crun` does not work
/// where both versions are mounted.
pub(crate) fn hide_unified() -> anyhow::Result<()> {
    let unified = "/sys/fs/cgroup/unified";
    if !Path::new(unified).exists() {
        return Ok(());
    }
    linux::own_mounts().context("mounts of its own")?;
    linux::receive_only().context("mounts that are told to nobody")?;
    let status = Command::new("umount").args(["--lazy", unified]).status()?;
    if !status.success() {
        bail!("{unified} cannot be hidden: {status}");
    }
    Ok(())
}
