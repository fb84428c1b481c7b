//! What images may grow to.

/// Bounds for what comes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most layers of an image. The overlay file system takes some hundreds.
    pub layers_max: usize,
    /// The most bytes of one layer as it is downloaded.
    pub download_bytes_max: u64,
    /// The most bytes that one layer may unpack to.
    pub unpacked_bytes_max: u64,
    /// How many times its own size a layer may unpack to...
    pub unpacked_ratio_max: u64,
    /// ...beyond this many bytes, which any layer may.
    pub unpacked_bytes_free: u64,
    /// The most entries of one layer.
    pub entries_max: u64,
    /// The most pulls at a time; others wait.
    pub pulls_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const GB: u64 = 1 << 30;
        Self {
            layers_max: 256,
            download_bytes_max: 256 * GB,
            unpacked_bytes_max: 256 * GB,
            unpacked_ratio_max: 200,
            unpacked_bytes_free: 4 * GB,
            entries_max: 1_000_000,
            pulls_max: 8,
        }
    }
}

impl Limits {
    /// The most bytes that a layer of this size may unpack to.
    pub(crate) fn unpacked(&self, bytes: u64) -> u64 {
        bytes
            .saturating_mul(self.unpacked_ratio_max)
            .max(self.unpacked_bytes_free)
            .min(self.unpacked_bytes_max)
    }
}
