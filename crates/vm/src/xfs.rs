//! File systems that the machine which runs the tests may lack: XFS, with project quotas and without.

use std::path::Path;

use crate::Guest;

/// Files with holes that are disks: they take as much memory as is written.
const SCRIPT: &str = "
for place in /xfs /xfs-without-quotas; do
    truncate -s 320M $place.disk && mkfs.xfs -q $place.disk && mkdir $place || poweroff -f
done
mount -t xfs -o loop,prjquota /xfs.disk /xfs && mount -t xfs -o loop /xfs-without-quotas.disk /xfs-without-quotas || poweroff -f
";

impl Guest {
    /// Gives the machine what XFS takes. Returns the script that makes one with project quotas at `/xfs`, and one at
    /// `/xfs-without-quotas`.
    pub fn xfs(&mut self) -> anyhow::Result<&'static str> {
        for module in ["drivers/block/loop", "lib/libcrc32c", "fs/xfs/xfs"] {
            self.module(module)?;
        }
        let mkfs = Path::new("/usr/sbin/mkfs.xfs");
        self.program(mkfs, mkfs)?;
        Ok(SCRIPT)
    }
}
