//! Metrics as Mesos publishes them: a flat document of names and numbers, and the same for Prometheus.

use proto::json::Writer;
use proto::mesos::v1::Metric;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Names and values.
pub type Snapshot = BTreeMap<String, f64>;

/// The document of `/metrics/snapshot`.
pub fn document(snapshot: &Snapshot) -> Vec<u8> {
    let mut w = Writer::with_capacity(snapshot.len() * 64);
    w.object(|w| snapshot.iter().for_each(|(name, value)| w.field_f64(name, *value)));
    w.into_bytes()
}

/// The same as GET_METRICS answers it.
pub fn messages(snapshot: Snapshot) -> Vec<Metric> {
    snapshot.into_iter().map(|(name, value)| Metric { name, value: Some(value) }).collect()
}

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts so many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The count so far.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    pub fn value(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64
    }
}

/// How many recent durations the quantiles are taken of.
const RECENT_MAX: usize = 1000;

/// Durations of something that happens again and again: the last one, and quantiles of recent ones.
#[derive(Debug, Default)]
pub struct Timer {
    // Held for a moment by whoever measures and whoever publishes.
    recent_ms: Mutex<VecDeque<f64>>,
}

impl Timer {
    /// Notes one duration.
    pub fn record(&self, took: Duration) {
        let mut recent = self.recent_ms.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(took.as_secs_f64() * 1000.0);
    }

    /// Adds the metric `<name>_ms` once something was measured, and its quantiles from the second time on.
    #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
    pub fn publish(&self, name: &str, out: &mut Snapshot) {
        let mut values: Vec<f64> = {
            let recent = self.recent_ms.lock().unwrap_or_else(PoisonError::into_inner);
            recent.iter().copied().collect()
        };
        let Some(last) = values.last() else { return };
        out.insert(format!("{name}_ms"), *last);
        if values.len() < 2 {
            return;
        }
        values.sort_by(f64::total_cmp);
        let mut put = |suffix: &str, value: f64| {
            out.insert(format!("{name}_ms/{suffix}"), value);
        };
        put("count", values.len() as f64);
        put("min", values[0]);
        put("max", values[values.len() - 1]);
        for (suffix, per_10_000) in QUANTILES {
            put(suffix, quantile(&values, per_10_000));
        }
    }
}

/// The quantiles that are published, in ten-thousandths.
const QUANTILES: [(&str, usize); 6] =
    [("p50", 5_000), ("p90", 9_000), ("p95", 9_500), ("p99", 9_900), ("p999", 9_990), ("p9999", 9_999)];

/// The value below which so many ten-thousandths of two or more sorted values are, interpolated between neighbours.
#[expect(clippy::cast_precision_loss, reason = "at most a thousand values")]
fn quantile(sorted: &[f64], per_10_000: usize) -> f64 {
    let position = per_10_000 * (sorted.len() - 1);
    let (index, rest) = (position / 10_000, position % 10_000);
    let (low, high) = (sorted[index], sorted[(index + 1).min(sorted.len() - 1)]);
    low + (high - low) * (rest as f64 / 10_000.0)
}

/// The text format of Prometheus. A name of ours becomes `mesos_` and the name with `_` for what may not stand in
/// one; frameworks and quantiles become labels, so that the number of names stays bounded.
pub fn prometheus(snapshot: &Snapshot) -> String {
    let mut families: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for (name, value) in snapshot {
        let (family, labels) = family(name);
        families.entry(family).or_default().push((labels, *value));
    }
    let mut text = String::with_capacity(snapshot.len() * 80);
    for (family, samples) in families {
        // Writing to a String does not fail.
        let _ = writeln!(text, "# TYPE {family} gauge");
        let mut seen = BTreeSet::new();
        for (labels, value) in samples {
            // Two names may become one; a second sample of the same labels would make the document invalid.
            if seen.insert(labels.clone()) {
                let _ = writeln!(text, "{family}{labels} {value}");
            }
        }
    }
    text
}

/// The name and the labels that a metric has in Prometheus.
fn family(name: &str) -> (String, String) {
    let mut labels: Vec<(&str, &str)> = Vec::new();
    let mut rest = name.to_owned();
    if let Some((id, before, after)) = framework(name) {
        labels.extend([("framework", before), ("framework_id", id)]);
        rest = format!("master/frameworks/{after}");
    }
    if let Some((base, quantile)) = rest.clone().rsplit_once('/')
        && base.ends_with("_ms")
        && let Some((_, value)) = LABELS.iter().find(|(suffix, _)| *suffix == quantile)
    {
        labels.push(("quantile", value));
        rest = format!("{base}/quantiles");
    }
    let clean = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let family = format!("mesos_{}", rest.chars().map(clean).collect::<String>());
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    (family, labels)
}

const LABELS: [(&str, &str); 6] = [
    ("p50", "0.5"),
    ("p90", "0.9"),
    ("p95", "0.95"),
    ("p99", "0.99"),
    ("p999", "0.999"),
    ("p9999", "0.9999"),
];

/// Id, name and what is counted, of `master/frameworks/<name>/<id>/<what>`.
fn framework(name: &str) -> Option<(&str, &str, &str)> {
    let rest = name.strip_prefix("master/frameworks/")?;
    let (framework, rest) = rest.split_once('/')?;
    let (id, what) = rest.split_once('/')?;
    Some((id, framework, what))
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::{Snapshot, Timer, document, prometheus};
    use std::time::Duration;

    #[test]
    fn timers_publish_quantiles() {
        let timer = Timer::default();
        let mut out = Snapshot::new();
        timer.publish("x/run", &mut out);
        assert!(out.is_empty());
        timer.record(Duration::from_millis(3));
        timer.publish("x/run", &mut out);
        assert_eq!(out.len(), 1);
        timer.record(Duration::from_millis(1));
        timer.publish("x/run", &mut out);
        expect_test::expect![[r#"{"x/run_ms":1.0,"x/run_ms/count":2.0,"x/run_ms/max":3.0,"x/run_ms/min":1.0,"x/run_ms/p50":2.0,"x/run_ms/p90":2.8,"x/run_ms/p95":2.9,"x/run_ms/p99":2.98,"x/run_ms/p999":2.998,"x/run_ms/p9999":2.9998}"#]]
            .assert_eq(&String::from_utf8(document(&out)).unwrap());
    }

    #[test]
    fn prometheus_has_labels_for_frameworks_and_quantiles() {
        let names =
            ["master/frameworks/a \"b\"/id-1/calls/accept", "x/run_ms", "x/run_ms/p50", "x/run_ms/p99"];
        let snapshot: Snapshot = names.iter().map(|name| ((*name).to_owned(), 1.5)).collect();
        expect_test::expect![[r#"
            # TYPE mesos_master_frameworks_calls_accept gauge
            mesos_master_frameworks_calls_accept{framework="a \"b\"",framework_id="id-1"} 1.5
            # TYPE mesos_x_run_ms gauge
            mesos_x_run_ms 1.5
            # TYPE mesos_x_run_ms_quantiles gauge
            mesos_x_run_ms_quantiles{quantile="0.5"} 1.5
            mesos_x_run_ms_quantiles{quantile="0.99"} 1.5
        "#]]
        .assert_eq(&prometheus(&snapshot));
    }
}
