//! What the machine says of itself: load, processors, memory.

use proto::json::Writer;
use std::collections::BTreeMap;

/// A look at the machine. What the kernel does not tell is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct System {
    /// Average load of 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// How many processors this process may use.
    pub cpus: Option<usize>,
    /// Total and free memory in bytes.
    pub memory: Option<(u64, u64)>,
}

impl System {
    /// Looks now.
    pub fn look() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            load: load(&read("/proc/loadavg")),
            cpus: std::thread::available_parallelism().ok().map(usize::from),
            memory: memory(&read("/proc/meminfo")),
        }
    }

    /// Adds the `system/` metrics.
    #[expect(clippy::cast_precision_loss, reason = "processors and bytes far below 2^53")]
    pub fn publish(&self, out: &mut BTreeMap<String, f64>) {
        let mut put = |name: &str, value: f64| {
            out.insert(format!("system/{name}"), value);
        };
        if let Some([one, five, fifteen]) = self.load {
            put("load_1min", one);
            put("load_5min", five);
            put("load_15min", fifteen);
        }
        if let Some(cpus) = self.cpus {
            put("cpus_total", cpus as f64);
        }
        if let Some((total, free)) = self.memory {
            put("mem_total_bytes", total as f64);
            put("mem_free_bytes", free as f64);
        }
    }

    /// The document of `/system/stats.json`.
    pub fn document(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.object(|w| {
            if let Some([one, five, fifteen]) = self.load {
                w.field_f64("avg_load_15min", fifteen);
                w.field_f64("avg_load_1min", one);
                w.field_f64("avg_load_5min", five);
            }
            if let Some(cpus) = self.cpus {
                w.field_u64("cpus_total", cpus as u64);
            }
            if let Some((total, free)) = self.memory {
                w.field_u64("mem_free_bytes", free);
                w.field_u64("mem_total_bytes", total);
            }
        });
        w.into_bytes()
    }
}

fn load(text: &str) -> Option<[f64; 3]> {
    let mut values = text.split_ascii_whitespace().map(str::parse);
    let mut next = || values.next()?.ok();
    Some([next()?, next()?, next()?])
}

fn memory(text: &str) -> Option<(u64, u64)> {
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(1024)
    };
    Some((bytes("MemTotal:")?, bytes("MemFree:")?))
}

#[cfg(test)]
mod tests {
    use super::{load, memory};

    #[test]
    fn reads_what_the_kernel_writes() {
        assert_eq!(load("0.10 1.5 2 1/234 567\n"), Some([0.1, 1.5, 2.0]));
        assert_eq!(load(""), None);
        assert_eq!(memory("MemTotal:       2 kB\nMemFree:        1 kB\n"), Some((2048, 1024)));
        assert_eq!(memory("MemTotal: 2 kB\n"), None);
    }
}
