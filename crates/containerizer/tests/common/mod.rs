//! Layers and images made by hand, of a static busybox.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use containerizer::provisioner::{Claim, Getting, Images, Pulled};
use launch_plan::ImageConfig;
use proto::mesos::v1::Image;
use proto::mesos::v1::image::{Docker, Type};
use rustix::fs::{FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};

const BUSYBOX: &str = "/bin/busybox";

/// Images that are layers `<directory>/<image>/0`, `1` and so on, all with one configuration.
pub(crate) struct Layers {
    pub(crate) directory: PathBuf,
    pub(crate) config: ImageConfig,
}

impl Images for Layers {
    fn get<'a>(&'a self, image: &'a Image) -> Getting<'a> {
        let name = &image.docker.as_ref().unwrap().name;
        let layers: Vec<PathBuf> = (0..)
            .map(|number| self.directory.join(name).join(number.to_string()))
            .take_while(|layer| layer.is_dir())
            .collect();
        let (config, claim) = (self.config.clone(), self.claim(&layers));
        Box::pin(async move {
            match layers.is_empty() && name == "endless" {
                true => std::future::pending().await,
                false => Ok(Pulled { layers, config, config_path: None, claim }),
            }
        })
    }

    fn claim(&self, _layers: &[PathBuf]) -> Claim {
        Box::new(())
    }
}

/// An image of that name.
pub(crate) fn image(name: &str) -> Image {
    let docker = Docker { name: name.to_owned(), ..Docker::default() };
    Image { r#type: Type::Docker.into(), docker: Some(docker), ..Image::default() }
}

/// Whether this machine can have roots for containers. Says why where it cannot.
pub(crate) fn can(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root || !Path::new(BUSYBOX).exists() {
        eprintln!("SKIPPED {test}: this needs root and the package busybox-static");
    }
    root && Path::new(BUSYBOX).exists()
}

/// A layer with a shell and the commands of busybox.
pub(crate) fn base(layer: &Path) {
    for directory in ["bin", "etc", "opt/kept", "opt/hidden"] {
        fs::create_dir_all(layer.join(directory)).unwrap();
    }
    fs::copy(BUSYBOX, layer.join("bin/busybox")).unwrap();
    for name in [
        "sh", "ls", "cat", "id", "grep", "touch", "mkdir", "sleep", "stat", "mount", "test", "wc", "pwd",
        "env", "rm",
    ] {
        symlink("busybox", layer.join("bin").join(name)).unwrap();
    }
    for file in ["etc/os-release", "opt/kept/old", "opt/hidden/old", "opt/gone"] {
        fs::write(layer.join(file), "base\n").unwrap();
    }
}

/// Takes what is called so away from the layers below.
pub(crate) fn whiteout(path: &Path) {
    mknodat(rustix::fs::CWD, path, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).unwrap();
}

/// Hides what is in a directory of that name in the layers below.
pub(crate) fn opaque(directory: &Path) {
    lsetxattr(directory, "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
}
