//! Shape after shape beside what Apache Mesos takes for the same.

use serde_json::json;

use crate::measure::{Spread, float, round};
use crate::plot::Series;
use crate::quota;
use crate::report::Report;
use crate::shapes::{self, Run};
use crate::world::Control;

/// A cycle in which nothing changed may cost this much, in microseconds.
const IDLE_US_MAX: f64 = 5.0;

/// What a row is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goal {
    /// So many times less CPU than Mesos.
    Times(f64),
    /// Nothing measurable.
    Nothing,
    /// Mesos has no figure for it.
    Shown,
}

/// One shape in one size.
struct Row {
    name: &'static str,
    run: fn(usize, usize, Option<Control>) -> Run,
    agents: usize,
    frameworks: usize,
    /// What Apache Mesos took on this machine, in milliseconds.
    mesos_ms: Option<f64>,
    goal: Goal,
}

type Shape = fn(usize, usize, Option<Control>) -> Run;

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |name, run: Shape, goal, sizes: &[(usize, usize, Option<f64>)]| {
        for &(agents, frameworks, mesos_ms) in sizes {
            rows.push(Row { name, run, agents, frameworks, mesos_ms, goal });
        }
    };
    let some = |agents, frameworks, ms| (agents, frameworks, Some(ms));
    add(
        "one offer for each agent",
        shapes::cycle,
        Goal::Times(50.0),
        &[
            some(1_000, 50, 33.0),
            some(5_000, 50, 192.0),
            some(10_000, 50, 392.0),
            some(50_000, 50, 2_400.0),
            some(1_000, 1_000, 43.0),
            some(5_000, 1_000, 235.0),
            some(10_000, 1_000, 447.0),
            (50_000, 1_000, None),
        ],
    );
    let suppressed =
        [some(1_000, 50, 4.7), some(5_000, 50, 19.0), some(10_000, 50, 31.0), some(50_000, 50, 260.0)];
    add("every agent changed, nobody wants", shapes::suppressed, Goal::Times(20.0), &suppressed);
    add("nothing changed, nobody wants", shapes::idle, Goal::Nothing, &suppressed);
    let added = [some(10_000, 50, 724.0), some(10_000, 1_000, 910.0), some(50_000, 50, 4_100.0)];
    add("add agents, one by one", shapes::add_agents, Goal::Times(20.0), &added);
    let updated = [some(10_000, 50, 497.0), some(10_000, 1_000, 675.0), some(50_000, 50, 3_000.0)];
    add("update agents, one by one", shapes::update_agents, Goal::Times(20.0), &updated);
    let revived = [some(10_000, 50, 170.0), some(10_000, 1_000, 3_070.0)];
    add("every framework revives", shapes::revive, Goal::Times(20.0), &revived);
    let filtered = [some(1_000, 50, 370.0), some(5_000, 50, 2_250.0), some(10_000, 50, 6_700.0)];
    add("every agent changed, all filtered", shapes::all_filtered, Goal::Times(20.0), &filtered);
    let added = [some(1_000, 1_000, 3_600.0), some(10_000, 1_000, 42_600.0)];
    add("add agents, every role has quota", quota::add_agents, Goal::Times(20.0), &added);
    let first = [some(300, 300, 103.0), some(3_000, 3_000, 13_600.0)];
    add("large and small quota, first cycle", quota::first, Goal::Times(50.0), &first);
    let idle = [some(300, 300, 79.0), some(3_000, 3_000, 11_700.0)];
    add("large and small quota, nothing changed", quota::idle, Goal::Nothing, &idle);
    let reserved = [some(1, 50, 3.7), some(1, 100, 8.3), some(1, 200, 26.0)];
    add("one RESERVE among as many roles", shapes::reserve, Goal::Times(20.0), &reserved);
    add("offers past labelled reservations", shapes::labels, Goal::Shown, &[(1_000, 50, None)]);
    add("four, 500 and 50 frameworks of three kinds", shapes::mix, Goal::Shown, &[(80, 554, None)]);
    rows
}

/// Shapes and numbers of frameworks that are drawn beside Mesos.
const DRAWN: &[(&str, usize, &str)] = &[
    ("one offer for each agent", 50, "one offer for each agent, by agents, 50 frameworks: ms"),
    ("one offer for each agent", 1_000, "one offer for each agent, by agents, 1,000 frameworks: ms"),
    (
        "every agent changed, nobody wants",
        50,
        "every agent changed, nobody wants, by agents, 50 frameworks: ms",
    ),
    (
        "every agent changed, all filtered",
        50,
        "every agent changed, all filtered, by agents, 50 frameworks: ms",
    ),
];

/// Runs all rows so often each, or only those whose name has `only` in it. What is drawn beside Mesos comes back.
pub(crate) fn run(
    times: usize,
    only: Option<&str>,
    control: Option<Control>,
    report: &mut Report,
) -> Vec<Series> {
    let mut series: Vec<_> = DRAWN.iter().map(|(.., name)| Series::ours(name, Vec::new())).collect();
    report.line(&format!(
        "{:44}{:>8}{:>11}{:>12}{:>10}{:>10}{:>10}{:>8}{:>7}",
        "", "agents", "frameworks", "CPU ms", "min", "max", "Mesos ms", "times", "goal"
    ));
    for row in rows().iter().filter(|row| only.is_none_or(|only| row.name.contains(only))) {
        let cost_ms = row.run(times, control, report);
        let drawn = DRAWN.iter().zip(&mut series);
        for (_, one) in drawn.filter(|((name, many, _), _)| *name == row.name && *many == row.frameworks) {
            one.points.push((float(row.agents), cost_ms));
            one.mesos.extend(row.mesos_ms.map(|mesos_ms| (float(row.agents), mesos_ms)));
        }
    }
    series.retain(|one| !one.points.is_empty());
    series
}

impl Row {
    /// Runs it so often, and says what it cost at the median in milliseconds.
    fn run(&self, times: usize, control: Option<Control>, report: &mut Report) -> f64 {
        // The first fills the caches of the machine and of the allocator of memory, and does not count.
        let runs: Vec<_> =
            (0..=times.max(1)).map(|_| (self.run)(self.agents, self.frameworks, control)).skip(1).collect();
        let spread = Spread::of(runs.iter().map(|run| run.cpu_us / 1000.0));
        let ratio = self.mesos_ms.map(|mesos| mesos / spread.median.max(1e-6));
        let mut complaints: Vec<_> = runs.iter().flat_map(|run| run.complaints.clone()).collect();
        complaints.truncate(5);
        let reached = match self.goal {
            Goal::Times(goal) => ratio.is_none_or(|ratio| ratio >= goal),
            Goal::Nothing => spread.median * 1000.0 <= IDLE_US_MAX,
            Goal::Shown => true,
        };
        let (goal, told) = match self.goal {
            Goal::Times(goal) if self.mesos_ms.is_some() => (Some(goal), format!("{goal:.0}")),
            Goal::Nothing => (None, "0 ms".to_owned()),
            Goal::Times(_) | Goal::Shown => (None, "-".to_owned()),
        };
        let shown = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let per_operation =
            runs.first().map_or(0.0, |run| spread.median * 1000.0 / float(run.operations.max(1)));
        report.json(&json!({
            "benchmark": "allocator",
            "shape": self.name,
            "agents": self.agents,
            "frameworks": self.frameworks,
            "runs": runs.len(),
            "cpu_ms": spread.json(),
            "cpu_us_per_operation": round(per_operation),
            "mesos_ms": self.mesos_ms,
            "times_less": ratio.map(round),
            "goal": goal,
            "reached": reached,
            "audit": if complaints.is_empty() { "passed" } else { "failed" },
            "complaints": complaints,
        }));
        report.line(&format!(
            "{:44}{:>8}{:>11}{:>12.3}{:>10.3}{:>10.3}{:>10}{:>8}{:>7}{}",
            self.name,
            self.agents,
            self.frameworks,
            spread.median,
            spread.min,
            spread.max,
            shown(self.mesos_ms, 1),
            shown(ratio, 0),
            told,
            if reached { "" } else { "  MISSED" }
        ));
        report.audit(self.name, &complaints);
        report.goal(reached, || format!("{} at {} x {}", self.name, self.agents, self.frameworks));
        spread.median
    }
}
