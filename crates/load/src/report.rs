//! What a run found, as one line of JSON and as a table for people.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::histogram::Histogram;
use crate::options::Options;
use crate::traffic::Script;

/// A pair in which the hypervisor took more than this share of the time, in thousandths, is left out of the medians.
const STOLEN_MILLI_MAX: u64 = 50;

/// One window of life-cycles.
#[derive(Clone, Debug)]
pub struct Window {
    /// How many.
    pub lives: u64,
    /// The time that passed, in microseconds, as are all times here.
    pub wall_us: u64,
    /// The master's CPU time, if its process is known.
    pub master_cpu_us: Option<u64>,
    /// This program's CPU time.
    pub generator_cpu_us: u64,
    pub(crate) stolen_us: u64,
    pub(crate) latency: Histogram,
    pub(crate) in_flight: usize,
    pub(crate) accepts: u64,
    pub(crate) events: u64,
    pub(crate) script: Script,
    pub(crate) echo: Option<EchoWindow>,
}

/// One window of the calibrator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EchoWindow {
    pub(crate) lives: u64,
    pub(crate) wall_us: u64,
    pub(crate) cpu_us: u64,
    pub(crate) generator_cpu_us: u64,
    pub(crate) stolen_us: u64,
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The measured windows that came to their end.
    pub windows: Vec<Window>,
    /// Tasks launched, with those of the warm-up.
    pub launched: u64,
    /// Tasks whose last update was acknowledged to the agent.
    pub done: u64,
    /// Updates that came more than once, which is allowed.
    pub repeated: u64,
    /// From the first connection until all agents were registered and all frameworks subscribed, in microseconds.
    pub registration_us: u64,
    /// Everything that the audit found wrong. Empty after a good run.
    pub complaints: Vec<String>,
}

/// The middle, the least and the most of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, min, max })
    }

    fn json(spread: Option<Self>) -> Value {
        spread.map_or(
            Value::Null,
            |s| json!({"median": round(s.median), "min": round(s.min), "max": round(s.max)}),
        )
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[expect(clippy::cast_precision_loss, reason = "counts and microseconds far below 2^53")]
fn per(amount: u64, count: u64) -> f64 {
    amount as f64 / count.max(1) as f64
}

impl Window {
    fn per_second(&self) -> f64 {
        per(self.lives * 1_000_000, self.wall_us)
    }

    fn master_us(&self) -> Option<f64> {
        Some(per(self.master_cpu_us?, self.lives))
    }

    fn echo_us(&self) -> Option<f64> {
        self.echo.map(|echo| per(echo.cpu_us, echo.lives))
    }

    fn ratio(&self) -> Option<f64> {
        Some(self.master_us()? / self.echo_us().filter(|us| *us > 0.0)?)
    }

    fn is_disturbed(&self) -> bool {
        let echo = self.echo.map_or((0, 0), |echo| (echo.stolen_us, echo.wall_us));
        (self.stolen_us + echo.0) * 1000 > (self.wall_us + echo.1) * STOLEN_MILLI_MAX
    }
}

impl Report {
    /// The windows that count: without those in which the machine was taken away, unless that is all of them.
    fn counted(&self) -> Vec<&Window> {
        let calm: Vec<_> = self.windows.iter().filter(|window| !window.is_disturbed()).collect();
        if calm.is_empty() { self.windows.iter().collect() } else { calm }
    }

    fn spread(&self, value: impl Fn(&Window) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.counted().into_iter().filter_map(value))
    }

    fn latency(&self) -> Histogram {
        let mut all = Histogram::default();
        self.counted().into_iter().for_each(|window| all.merge(&window.latency));
        all
    }

    fn mean(&self, value: impl Fn(&Window) -> u64) -> f64 {
        let windows = self.counted();
        let lives = windows.iter().map(|window| window.lives).sum();
        per(windows.into_iter().map(value).sum(), lives)
    }

    /// The mean number of requests for each life-cycle in both directions, as the calibrator makes them.
    fn requests(&self) -> f64 {
        let all: u64 = self.windows.iter().map(|window| window.script.requests_milli()).sum();
        per(all, u64::try_from(self.windows.len()).unwrap_or(1)) / 1000.0
    }

    /// One line.
    pub fn json(&self, options: &Options) -> String {
        let latency = self.latency();
        json!({
            "benchmark": "lifecycle",
            "agents": options.agents,
            "frameworks": options.frameworks,
            "tasks": options.tasks,
            "slots": options.slots,
            "batch": options.batch,
            "rate": options.rate,
            "codec": if options.json { "json" } else { "protobuf" },
            "listeners": options.listeners,
            "pairs": self.windows.len(),
            "pairs_left_out": self.windows.len() - self.counted().len(),
            "launched": self.launched,
            "done": self.done,
            "updates_repeated": self.repeated,
            "registration_ms": round(per(self.registration_us, 1000)),
            "life_cycles_per_second": Spread::json(self.spread(|window| Some(window.per_second()))),
            "master_cpu_us": Spread::json(self.spread(Window::master_us)),
            "echo_cpu_us": Spread::json(self.spread(Window::echo_us)),
            "ratio_to_echo": Spread::json(self.spread(Window::ratio)),
            "generator_cpu_us": Spread::json(self.spread(|window| Some(per(window.generator_cpu_us, window.lives)))),
            "echo_generator_cpu_us": Spread::json(
                self.spread(|window| window.echo.map(|echo| per(echo.generator_cpu_us, echo.lives)))
            ),
            "in_flight": Spread::json(self.spread(|window| Some(per(u64::try_from(window.in_flight).ok()?, 1)))),
            "requests": round(self.requests()),
            "accepts": round(self.mean(|window| window.accepts)),
            "stream_events": round(self.mean(|window| window.events)),
            "latency_us": {
                "p50": latency.permille(500), "p99": latency.permille(990), "p999": latency.permille(999),
                "max": latency.max(),
            },
            "fault": options.fault.map(|fault| format!("{fault:?}")),
            "audit": if self.complaints.is_empty() { "passed" } else { "failed" },
            "complaints": self.complaints,
        })
        .to_string()
    }

    /// A table for people.
    pub fn table(&self, options: &Options) -> String {
        let mut out = String::new();
        let codec = if options.json { "JSON" } else { "protobuf" };
        let mut line = |text: String| writeln!(out, "{text}").expect("writing to a String cannot fail");
        line(format!(
            "{} agents, {} frameworks ({codec}), {} life-cycles in {} windows{}",
            options.agents,
            options.frameworks,
            options.tasks,
            self.windows.len(),
            options.rate.map(|rate| format!(", {rate} arriving per second")).unwrap_or_default(),
        ));
        line(format!("{:44}{:>10}{:>10}{:>10}", "", "median", "min", "max"));
        let rows: [(&str, Option<Spread>); 6] = [
            ("life-cycles per second", self.spread(|window| Some(window.per_second()))),
            ("master CPU per life-cycle, us", self.spread(Window::master_us)),
            ("echo CPU for the same requests, us", self.spread(Window::echo_us)),
            ("ratio of master to echo", self.spread(Window::ratio)),
            (
                "generator CPU per life-cycle, us",
                self.spread(|window| Some(per(window.generator_cpu_us, window.lives))),
            ),
            (
                "life-cycles under way",
                self.spread(|window| Some(per(u64::try_from(window.in_flight).ok()?, 1))),
            ),
        ];
        for (name, spread) in rows {
            match spread {
                Some(Spread { median, min, max }) => {
                    line(format!("{name:44}{median:10.2}{min:10.2}{max:10.2}"))
                }
                None => line(format!("{name:44}{:>10}", "-")),
            }
        }
        let latency = self.latency();
        let ms = |permille| per(latency.permille(permille), 1000);
        line(format!(
            "from intended launch to the last acknowledgement, ms: p50 {:.2}, p99 {:.2}, p99.9 {:.2}, most {:.2}",
            ms(500),
            ms(990),
            ms(999),
            per(latency.max(), 1000)
        ));
        line(format!(
            "per life-cycle: {:.2} requests both ways, {:.2} of them ACCEPT, and {:.2} stream events",
            self.requests(),
            self.mean(|window| window.accepts),
            self.mean(|window| window.events)
        ));
        let left_out = self.windows.len() - self.counted().len();
        if left_out > 0 {
            line(format!(
                "{left_out} pairs left out: the hypervisor took over {STOLEN_MILLI_MAX} thousandths of the time"
            ));
        }
        match self.complaints.len() {
            0 => line(format!(
                "audit: passed; {} launched and done, {} updates repeated",
                self.done, self.repeated
            )),
            _ => line("audit: FAILED".to_owned()),
        }
        for complaint in &self.complaints {
            line(format!("  {complaint}"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
    }

    #[test]
    fn a_report_without_windows_prints() {
        let report = Report {
            windows: Vec::new(),
            launched: 0,
            done: 0,
            repeated: 0,
            registration_us: 0,
            complaints: vec!["lost: task 0".to_owned()],
        };
        let options = Options::default();
        assert!(report.table(&options).contains("FAILED"));
        let line: Value = serde_json::from_str(&report.json(&options)).unwrap();
        assert_eq!(line["audit"], "failed");
    }
}
