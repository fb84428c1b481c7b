//! The form in which a layer hides what is below it: that of the overlay file system.
//!
//! Archives have files with names such as `.wh.name` for that. A layer in the store has none of them. This is the seam
//! to whoever stacks layers:
//!
//! - a **character device 0/0** hides whatever has its name in the layers below ([`is_whiteout`]);
//! - a directory with the **extended attribute** [`OPAQUE`] of value `y` hides what the directory of its name has below;
//!   its own entries are seen ([`is_opaque`]).
//!
//! The overlay file system understands both by itself. A backend that copies layers on top of each other, lowest first,
//! removes what an entry hides before it goes on, and copies neither the device nor the attribute. There are no other
//! devices in a layer, and no other `trusted.overlay.*` attributes: both are left out when it is unpacked.

use std::io;
use std::path::Path;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

/// The attribute of a directory that hides what is below it.
pub const OPAQUE: &str = "trusted.overlay.opaque";

/// What stands for [`OPAQUE`] where the agent is not root and may not set it. Such a layer serves no mount.
pub(crate) const OPAQUE_UNPRIVILEGED: &str = "user.overlay.opaque";

/// Whether a file of a layer hides what has its name below.
#[must_use]
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Whether a directory of a layer hides what the directory of its name has below.
pub fn is_opaque(directory: &Path) -> io::Result<bool> {
    for name in [OPAQUE, OPAQUE_UNPRIVILEGED] {
        let mut value = [0; 1];
        match rustix::fs::lgetxattr(directory, name, &mut value) {
            Ok(1) if value == *b"y" => return Ok(true),
            Ok(_) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}
