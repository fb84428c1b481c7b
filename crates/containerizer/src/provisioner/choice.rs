//! Which backend makes roots: the one that is asked for, or the best that works where roots are kept.

use std::fs;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, statfs};

/// A way to make a root from layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// By overlayfs.
    Overlay,
    /// By copying all files.
    Copy,
}

/// File systems that overlayfs does not work on, by the kernel's numbers. COMPAT(mesos): the same.
const NOT_FOR_OVERLAY: &[(u64, &str)] = &[
    (0x6175_6673, "aufs"),
    (0x9123_683e, "btrfs"),
    (0xf15f, "ecryptfs"),
    (0x2fc1_2fc1, "zfs"),
    (0x794c_7630, "overlay"),
];

impl Backend {
    /// Its name, as `--image_provisioner_backend` has it, and directories.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Copy => "copy",
        }
    }

    /// Chooses one for roots in `directory`, which exists.
    pub(super) fn choose(asked: Option<&str>, directory: &Path) -> Result<Self, String> {
        let refused = |name: &str, why: &str| {
            Err(format!("The specified provisioner backend '{name}' is not supported: {why}"))
        };
        match asked {
            None => Ok(match why_no_overlay(directory) {
                None => Self::Overlay,
                Some(why) => {
                    tracing::info!(
                        "Provisioner backend 'overlay' is not supported on '{}': {why}",
                        directory.display()
                    );
                    Self::Copy
                }
            }),
            Some("copy") => Ok(Self::Copy),
            Some(name @ "overlay") => match why_no_overlay(directory) {
                None => Ok(Self::Overlay),
                Some(why) => refused(name, &why),
            },
            Some(name @ ("aufs" | "bind")) => refused(name, "there are 'overlay' and 'copy'"),
            Some(name) => refused(name, "Not found"),
        }
    }
}

fn why_no_overlay(directory: &Path) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it requires root privileges".to_owned());
    }
    // A kernel may have it as a module that is loaded when it is first mounted, and then does not list it.
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let listed = known.lines().any(|line| line.split_whitespace().last() == Some("overlay"));
    if !listed && !Path::new("/lib/modules").exists() {
        return Some("this kernel has no overlayfs".to_owned());
    }
    let kind = match statfs(directory) {
        Ok(stat) => u64::from_ne_bytes(stat.f_type.to_ne_bytes()),
        Err(errno) => return Some(errno.to_string()),
    };
    if let Some((_, name)) = NOT_FOR_OVERLAY.iter().find(|(number, _)| *number == kind & 0xffff_ffff) {
        return Some(format!("the underlying filesystem is '{name}'"));
    }
    match tells_kinds(directory) {
        Ok(true) => None,
        Ok(false) => Some("missing d_type support on the underlying filesystem".to_owned()),
        Err(error) => Some(format!("Cannot verify filesystem attributes: {error}")),
    }
}

/// Whether the names in a directory come with what they are of.
fn tells_kinds(directory: &Path) -> std::io::Result<bool> {
    let probe = directory.join(".probe");
    fs::create_dir_all(&probe)?;
    let opened =
        rustix::fs::open(directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let found = Dir::read_from(&opened)?.find_map(|entry| {
        let entry = entry.ok()?;
        (entry.file_name().to_bytes() == b".probe").then(|| entry.file_type() != FileType::Unknown)
    });
    fs::remove_dir(&probe)?;
    Ok(found.unwrap_or(false))
}
