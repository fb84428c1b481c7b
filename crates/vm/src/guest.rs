//! What runs in the machine, and what became of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::archive::Archive;
use crate::packages::Packages;

/// The line that tells how the script ended.
const EXIT: &str = "VM_EXIT=";

/// What the kernel begins with: the file systems that programs expect, and cgroups of version 2.
const BEGIN: &str = "#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/tmp RUST_BACKTRACE=1
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm
mount -t cgroup2 none /sys/fs/cgroup
for module in /modules/*; do [ -e $module ] && insmod $module; done
ip link set lo up
echo \"VM: Linux $(uname -r), controllers: $(cat /sys/fs/cgroup/cgroup.controllers)\"
";

const DIRECTORIES: &[&str] = &[
    "bin", "proc", "sys", "dev", "tmp", "etc", "run", "mnt", "root", "modules", "lib", "usr", "usr/bin",
    "var",
];

/// A machine to be.
#[derive(Debug)]
pub struct Guest {
    packages: Packages,
    archive: Archive,
    directories: BTreeSet<PathBuf>,
    libraries: BTreeSet<PathBuf>,
    modules: usize,
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit status.
    pub status: i32,
    /// All that was printed.
    pub output: String,
}

impl Guest {
    /// A machine with busybox's programs, and root as its one user.
    pub fn new(packages: Packages) -> anyhow::Result<Self> {
        let mut guest = Self {
            packages,
            archive: Archive::default(),
            directories: BTreeSet::new(),
            libraries: BTreeSet::new(),
            modules: 0,
        };
        for directory in DIRECTORIES {
            guest.directory(Path::new(directory));
        }
        let busybox = guest.packages.busybox();
        guest.archive.file("bin/busybox", &read(&busybox)?);
        let list = Command::new(&busybox).arg("--list").output().context("busybox")?;
        for applet in String::from_utf8_lossy(&list.stdout).lines().filter(|it| *it != "busybox") {
            guest.archive.link(&format!("bin/{applet}"), "busybox");
        }
        // Scripts name them in full.
        guest.archive.link("usr/bin/env", "/bin/busybox");
        guest.archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n");
        guest.archive.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n");
        guest.archive.file("etc/hosts", b"127.0.0.1 localhost\n");
        Ok(guest)
    }

    /// Packs a program of this machine, and the libraries that it is linked with.
    pub fn program(&mut self, from: &Path, to: &Path) -> anyhow::Result<()> {
        let linked = Command::new("ldd").arg(from).output().context("ldd")?;
        for line in String::from_utf8_lossy(&linked.stdout).lines() {
            // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)`, or the loader's path alone.
            let path = line.split_whitespace().find(|word| word.starts_with('/'));
            if let Some(path) = path.map(PathBuf::from)
                && self.libraries.insert(path.clone())
            {
                self.file(&path, &read(&path)?);
            }
        }
        self.file(to, &stripped(from)?);
        Ok(())
    }

    /// Packs a file.
    pub fn file(&mut self, to: &Path, content: &[u8]) {
        self.directory(to.parent().unwrap_or(Path::new("/")));
        self.archive.file(&to.to_string_lossy(), content);
    }

    /// Loads a module of the kernel, such as `fs/xfs/xfs`, in the order of these calls.
    pub fn module(&mut self, name: &str) -> anyhow::Result<()> {
        let content = read(&self.packages.module(name)?)?;
        self.modules += 1;
        self.archive.file(&format!("modules/{:02}.ko", self.modules), &content);
        Ok(())
    }

    fn directory(&mut self, path: &Path) {
        let path = path.strip_prefix("/").unwrap_or(path);
        if path.as_os_str().is_empty() || !self.directories.insert(path.to_owned()) {
            return;
        }
        if let Some(parent) = path.parent() {
            self.directory(parent);
        }
        self.archive.directory(&path.to_string_lossy());
    }

    /// Boots, runs a shell script as root, and shows what it prints on this process's own output. An error if it does
    /// not end in time.
    pub fn run(mut self, script: &str, patience: Duration) -> anyhow::Result<Outcome> {
        let init = format!("{BEGIN}{script}\necho \"{EXIT}$?\"\npoweroff -f\n");
        self.archive.file("init", init.as_bytes());
        let place = std::env::temp_dir().join(format!("mesos-vm-{}.cpio", std::process::id()));
        fs::write(&place, self.archive.finish())?;
        let image = Image(place);
        let mut command = self.packages.emulator();
        command
            // Emulated everywhere: a KVM within a virtual machine may be there and break.
            .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536"])
            .args(["-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio", "-nic", "none", "-kernel"])
            .arg(self.packages.kernel()?)
            .arg("-initrd")
            .arg(&image.0)
            .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check psi=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let machine = Machine(command.spawn().context("starting the emulator")?);
        machine.watch(patience)
    }
}

/// The file with the first file system; removed at the end.
struct Image(PathBuf);

impl Drop for Image {
    fn drop(&mut self) {
        // It lies in a directory for temporary files.
        let _ = fs::remove_file(&self.0);
    }
}

/// A machine that runs; killed at the end.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // One that is off already needs no kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Machine {
    #[expect(clippy::print_stdout, reason = "a test's reader wants to see what its machine says")]
    fn watch(mut self, patience: Duration) -> anyhow::Result<Outcome> {
        let deadline = Instant::now() + patience;
        let stdout = self.0.stdout.take().context("the machine's console")?;
        let (sender, lines) = mpsc::sync_channel(1024);
        // It ends with the machine, whose console it reads.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut output = String::new();
        let mut status = None;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    status = status.or_else(|| line.strip_prefix(EXIT)?.trim().parse().ok());
                    println!("{line}");
                    output.push_str(&line);
                    output.push('\n');
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    bail!("the machine did not end in {patience:?}; it said:\n{output}")
                }
            }
        }
        let status = status.with_context(|| format!("the machine ended early; it said:\n{output}"))?;
        Ok(Outcome { status, output })
    }
}

/// A program without the symbols that only a debugger wants: the machine has little memory.
fn stripped(program: &Path) -> anyhow::Result<Vec<u8>> {
    let name = program.file_name().context("a program")?.to_string_lossy().into_owned();
    let place = std::env::temp_dir().join(format!("mesos-vm-{}-{name}", std::process::id()));
    let output = Command::new("strip").arg("-o").arg(&place).arg(program).output().context("strip")?;
    ensure!(output.status.success(), "strip: {}", String::from_utf8_lossy(&output.stderr));
    let bytes = read(&place);
    fs::remove_file(&place)?;
    bytes
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}
