//! CPU time of this thread, spreads of figures, and slopes.

use rustix::time::{ClockId, clock_gettime};

/// Microseconds of CPU that this thread has used.
#[expect(clippy::cast_precision_loss, reason = "a run is far shorter than 2^53 microseconds")]
pub(crate) fn cpu_us() -> f64 {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    spent.tv_sec as f64 * 1e6 + spent.tv_nsec as f64 / 1e3
}

/// What some work returned, and its CPU time in microseconds.
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let before = cpu_us();
    let made = work();
    (made, cpu_us() - before)
}

/// Memory of this process that is in use, in bytes; nothing where the kernel does not say.
pub(crate) fn resident_bytes() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident: usize = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    float(resident * rustix::param::page_size())
}

/// Microseconds of CPU of the process `pid`, to a tick: two fields of its `stat` are its own, four those of its ended
/// children too.
#[expect(clippy::cast_precision_loss, reason = "ticks of a run are few")]
pub(crate) fn process_cpu_us(pid: &str, fields: usize) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // utime, stime, cutime, cstime: past the name, which may hold anything.
    let numbers = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(fields);
    let ticks: u64 = numbers.filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(ticks as f64 * 1e6 / rustix::param::clock_ticks_per_second() as f64)
}

/// The middle, the least and the most of some figures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (values.first(), values.last()) else { return Self::default() };
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Self { median, min: *min, max: *max }
    }

    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::json!({"median": round(self.median), "min": round(self.min), "max": round(self.max)})
    }
}

/// Three figures behind the point are enough.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// A count as a float.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
pub(crate) fn float(count: usize) -> f64 {
    count as f64
}

/// The slope of the line through the logarithms of the points (least squares).
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<_> = points.iter().map(|(x, y)| (x.ln(), y.max(1e-9).ln())).collect();
    let count = float(logs.len());
    let mean_x = logs.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = logs.iter().map(|(_, y)| y).sum::<f64>() / count;
    let above: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_exponents() {
        let square: Vec<_> = [1.0, 2.0, 4.0, 8.0].map(|x: f64| (x, 3.0 * x * x)).into();
        assert!((slope(&square) - 2.0).abs() < 1e-9);
        let flat: Vec<_> = [1.0, 2.0, 4.0].map(|x| (x, 5.0)).into();
        assert!(slope(&flat).abs() < 1e-9);
    }

    #[test]
    fn spreads() {
        assert_eq!(Spread::of([]), Spread::default());
        assert_eq!(Spread::of([4.0, 1.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        let (_, spent) = measured(|| (0..100_000_u64).fold(0, |sum, x| std::hint::black_box(sum ^ x)));
        assert!(spent > 0.0);
    }
}
