//! The kernel, the emulator and busybox: Debian's packages, unpacked beside each other and never installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

/// The kernel for machines in clouds, which begins fast.
const KERNEL: &str = "linux-image-cloud-amd64";

/// The emulator, what it reads, and libraries that a machine without a desktop lacks.
const OTHERS: &[&str] = &[
    "busybox-static",
    "ipxe-qemu",
    "libbrlapi0.8",
    "libcacard0",
    "libcapstone4",
    "libdaxctl1",
    "libepoxy0",
    "libexecs0",
    "libfdt1",
    "libgstreamer-plugins-base1.0-0",
    "libibverbs1",
    "libndctl6",
    "libnl-3-200",
    "libnl-route-3-200",
    "libnuma1",
    "libopus0",
    "liborc-0.4-0",
    "libpmem1",
    "librdmacm1",
    "libslirp0",
    "libsndio7.0",
    "libspice-server1",
    "libusb-1.0-0",
    "libusbredirparser1",
    "libvdeplug2",
    "qemu-system-common",
    "qemu-system-data",
    "qemu-system-x86",
    "seabios",
];

/// The packages, unpacked.
#[derive(Clone, Debug)]
pub struct Packages {
    root: PathBuf,
}

impl Packages {
    /// Those of this checkout, under its `.cache`.
    pub fn of_this_checkout() -> anyhow::Result<Self> {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("a checkout")?;
        Self::fetch(&checkout.join(".cache/vm"))
    }

    /// Those in `place`, downloaded first where they are missing. Others who want them meanwhile wait.
    pub fn fetch(place: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(place).with_context(|| place.display().to_string())?;
        let lock = File::create(place.join("lock"))?;
        lock.lock().context("waiting for another download")?;
        let packages = Self { root: place.join("root") };
        let stamp = place.join("unpacked");
        let wanted = OTHERS.join(" ");
        if !fs::read_to_string(&stamp).is_ok_and(|text| text == wanted) {
            packages.unpack(&place.join("deb")).context("fetching a kernel and an emulator from Debian")?;
            fs::write(stamp, wanted)?;
        }
        Ok(packages)
    }

    fn unpack(&self, downloads: &Path) -> anyhow::Result<()> {
        for place in [downloads, &self.root] {
            if place.exists() {
                fs::remove_dir_all(place)?;
            }
            fs::create_dir_all(place)?;
        }
        let download = || {
            let kernel = kernel_package()?;
            run(Command::new("apt-get")
                .args(["-q", "download", kernel.as_str()])
                .args(OTHERS)
                .current_dir(downloads))
        };
        if download().is_err() {
            // What the machine knows of packages may be old, or nothing.
            run(Command::new("apt-get").args(["update", "-qq"]))?;
            download()?;
        }
        for entry in fs::read_dir(downloads)? {
            run(Command::new("dpkg").arg("-x").arg(entry?.path()).arg(&self.root))?;
        }
        fs::remove_dir_all(downloads)?;
        Ok(())
    }

    /// The kernel's image.
    pub(crate) fn kernel(&self) -> anyhow::Result<PathBuf> {
        let boot = self.root.join("boot");
        for entry in fs::read_dir(&boot)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")) {
                return Ok(path);
            }
        }
        bail!("there is no kernel in {}", boot.display())
    }

    /// A module of the kernel, such as `fs/xfs/xfs`.
    pub(crate) fn module(&self, name: &str) -> anyhow::Result<PathBuf> {
        let modules = self.root.join("lib/modules");
        let version = fs::read_dir(&modules)?.next().context("a kernel's modules")??.path();
        let path = version.join("kernel").join(format!("{name}.ko"));
        ensure!(path.exists(), "the kernel has no module {}", path.display());
        Ok(path)
    }

    pub(crate) fn busybox(&self) -> PathBuf {
        self.root.join("bin/busybox")
    }

    /// The emulator, without arguments.
    pub(crate) fn emulator(&self) -> Command {
        let share = self.root.join("usr/share");
        let libraries = ["usr/lib", "lib"].map(|it| self.root.join(it).join("x86_64-linux-gnu"));
        let libraries = libraries.map(|path| path.to_string_lossy().into_owned()).join(":");
        let mut command = Command::new(self.root.join("usr/bin/qemu-system-x86_64"));
        command
            .env("LD_LIBRARY_PATH", libraries)
            .arg("-L")
            .arg(share.join("qemu"))
            .arg("-L")
            .arg(share.join("seabios"));
        command
    }
}

/// The package that the newest kernel is in.
fn kernel_package() -> anyhow::Result<String> {
    let output = Command::new("apt-cache").args(["depends", KERNEL]).output().context("apt-cache")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let name = text.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image"));
    name.map(|rest| format!("linux-image{rest}")).with_context(|| format!("no package {KERNEL}"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
