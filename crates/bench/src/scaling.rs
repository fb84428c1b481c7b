//! How cost grows with the cluster: of one change (G1), of a cold start (G2).

use allocator::Allocation;
use machine::Rng;
use serde_json::json;

use crate::measure::{Spread, float, measured, round, slope};
use crate::plot::Series;
use crate::report::Report;
use crate::world::{Control, World, parse};

const CHANGE_RATIO_MAX: f64 = 1.3;
const AGENTS_SLOPE_MAX: f64 = 1.05;
const FRAMEWORKS_SLOPE_MAX: f64 = 0.3;

/// Pairs of windows, interleaved.
const PAIRS: usize = 9;

/// A cluster in which everything is offered, and offers come back one at a time.
struct Busy {
    world: World,
    offers: Vec<Allocation>,
    rng: Rng,
}

impl Busy {
    fn new(agents: usize, frameworks: usize, control: Option<Control>) -> Self {
        let mut world = World::new(control);
        world.add_frameworks(frameworks, "*");
        let total = parse("cpus:24;mem:4096;disk:4096;ports:[31000-32000]");
        (0..agents).for_each(|_| world.add_agent(&total, &[]));
        let offers = world.settle();
        Self { world, offers, rng: Rng::new(7) }
    }

    /// CPU microseconds for each of so many offers that come back and are made again.
    fn changes(&mut self, count: usize) -> f64 {
        let mut spent = 0.0;
        let mut out = Vec::with_capacity(1);
        let bound = u64::try_from(self.offers.len()).expect("a count fits");
        let picks: Vec<usize> =
            (0..count).map(|_| usize::try_from(self.rng.below(bound)).expect("below a usize")).collect();
        // One clock reading for a few changes, so that reading it costs nothing of note.
        for few in picks.chunks(20) {
            let mut changed = Vec::with_capacity(few.len());
            let world = &mut self.world;
            let offers = &mut self.offers;
            // What comes back was just read off a connection; the allocator's own memory is what may be cold.
            let warm: Vec<Allocation> = few.iter().map(|pick| copy(&offers[*pick])).collect();
            let ((), cpu_us) = measured(|| {
                for (pick, offer) in few.iter().zip(&warm) {
                    out.clear();
                    world.give_back(offer, None);
                    world.step(&mut out);
                    if let Some(made) = out.pop() {
                        changed.push((std::mem::replace(&mut offers[*pick], made), *pick));
                    }
                }
            });
            spent += cpu_us;
            for (old, pick) in changed {
                world.book.given_back(&old);
                // The newest of a pick stands for those between, which came and went.
                world.book.offered(std::slice::from_ref(&offers[pick]));
            }
        }
        spent / float(count)
    }
}

/// An offer in memory of its own.
fn copy(offer: &Allocation) -> Allocation {
    Allocation { resources: offer.resources.iter().cloned().collect(), ..offer.clone() }
}

/// G1: one agent's change in clusters of growing size, a small and a large one in turn.
pub(crate) fn change(control: Option<Control>, report: &mut Report) -> Series {
    const FRAMEWORKS: usize = 1_000;
    const SIZES: [usize; 7] = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 50_000];
    let count = if control == Some(Control::FullPass) { 10 } else { 4_000 };
    let mut clusters = SIZES.map(|agents| Busy::new(agents, FRAMEWORKS, control));
    let mut costs = SIZES.map(|_| Vec::new());
    let mut ratios = Vec::new();
    for pair in 0..=PAIRS {
        let now: Vec<f64> = clusters.iter_mut().map(|busy| busy.changes(count)).collect();
        // The first warms up.
        if pair > 0 {
            costs.iter_mut().zip(&now).for_each(|(all, cost)| all.push(*cost));
            ratios.push(now[SIZES.len() - 1] / now[0]);
        }
    }
    let complaints: Vec<_> = clusters.iter().flat_map(|busy| busy.world.audit()).collect();
    let points: Vec<_> = SIZES.iter().zip(costs).map(|(size, all)| (float(*size), Spread::of(all))).collect();
    let line: Vec<_> = points.iter().map(|(size, cost)| (*size, cost.median)).collect();
    let (ratio, slope) = (Spread::of(ratios), slope(&line));
    let reached = ratio.median <= CHANGE_RATIO_MAX;
    report.json(&json!({
        "benchmark": "change", "frameworks": FRAMEWORKS,
        "cpu_us": points.iter().map(|(size, cost)| json!({"agents": size, "cost": cost.json()})).collect::<Vec<_>>(),
        "ratio": ratio.json(), "slope": round(slope), "goal": CHANGE_RATIO_MAX, "reached": reached,
        "audit": if complaints.is_empty() { "passed" } else { "failed" }, "complaints": complaints,
    }));
    report.line("");
    report.line(&format!("one offer comes back and is made again, {FRAMEWORKS} frameworks (CPU us)"));
    for (size, cost) in &points {
        report.line(&format!("{size:>10} agents{:>10.3}{:>10.3}{:>10.3}", cost.median, cost.min, cost.max));
    }
    report.line(&format!(
        "  50,000 against 1,000: {:.2} ({:.2} to {:.2}), goal {CHANGE_RATIO_MAX}; slope {slope:.3}{}",
        ratio.median,
        ratio.min,
        ratio.max,
        if reached { "" } else { "  MISSED" }
    ));
    report.audit("change", &complaints);
    report.goal(reached, || "a change's cost against the cluster's size".to_owned());
    Series::ours("one change, by agents, 1,000 frameworks: µs", line)
}

/// Everything added to a cluster that did nothing yet, then offered: CPU microseconds.
fn cold(agents: usize, frameworks: usize, control: Option<Control>, complaints: &mut Vec<String>) -> f64 {
    let mut world = World::new(control);
    world.add_frameworks(frameworks, "*");
    let total = parse("cpus:24;mem:4096;disk:4096;ports:[31000-32000]");
    (0..agents).for_each(|_| world.add_agent(&total, &[]));
    let mut out = Vec::with_capacity(agents);
    let ((), cpu_us) = measured(|| world.step(&mut out));
    world.book.offered(&out);
    complaints.extend(world.audit());
    if world.book.offers() != agents {
        complaints.push(format!("{} offers, not {agents}", world.book.offers()));
    }
    cpu_us
}

/// G2: a cold full allocation, swept in agents and in frameworks.
pub(crate) fn full(control: Option<Control>, report: &mut Report) -> [Series; 2] {
    const AGENTS: [usize; 5] = [1_250, 2_500, 5_000, 10_000, 20_000];
    const FRAMEWORKS: [usize; 5] = [125, 250, 500, 1_000, 2_000];
    let mut complaints = Vec::new();
    let mut by_agents = AGENTS.map(|_| Vec::new());
    let mut by_frameworks = FRAMEWORKS.map(|_| Vec::new());
    for pass in 0..=7 {
        let mut sweep = |sizes: &mut [Vec<f64>], size: &dyn Fn(usize) -> (usize, usize)| {
            for (at, all) in sizes.iter_mut().enumerate() {
                let (agents, frameworks) = size(at);
                let cost = cold(agents, frameworks, control, &mut complaints);
                if pass > 0 {
                    all.push(cost / 1000.0);
                }
            }
        };
        sweep(&mut by_agents, &|at| (AGENTS[at], FRAMEWORKS[4]));
        sweep(&mut by_frameworks, &|at| (AGENTS[4], FRAMEWORKS[at]));
    }
    complaints.truncate(5);
    let line = |sizes: &[usize], costs: &[Vec<f64>]| -> Vec<(f64, f64)> {
        sizes.iter().zip(costs).map(|(size, all)| (float(*size), Spread::of(all.clone()).median)).collect()
    };
    let lines = [line(&AGENTS, &by_agents), line(&FRAMEWORKS, &by_frameworks)];
    let slopes = lines.clone().map(|line| slope(&line));
    let limits = [AGENTS_SLOPE_MAX, FRAMEWORKS_SLOPE_MAX];
    let reached = slopes.iter().zip(limits).all(|(slope, limit)| *slope <= limit);
    report.json(&json!({
        "benchmark": "full",
        "by_agents_at_2000_frameworks_ms": lines[0], "by_frameworks_at_20000_agents_ms": lines[1],
        "slope_agents": round(slopes[0]), "slope_frameworks": round(slopes[1]),
        "goal_agents": AGENTS_SLOPE_MAX, "goal_frameworks": FRAMEWORKS_SLOPE_MAX, "reached": reached,
        "audit": if complaints.is_empty() { "passed" } else { "failed" }, "complaints": complaints,
    }));
    report.line("");
    report.line("cold full allocation, one role, no filters (CPU ms)");
    let names = ["agents, 2,000 frameworks", "frameworks, 20,000 agents"];
    for ((line, name), (slope, limit)) in lines.iter().zip(names).zip(slopes.iter().zip(limits)) {
        line.iter().for_each(|(size, cost)| report.line(&format!("{size:>10} {name:30}{cost:>10.3}")));
        let verdict = if *slope <= limit { "" } else { "  MISSED" };
        report.line(&format!("  slope {slope:.3}, goal {limit}{verdict}"));
    }
    report.audit("full", &complaints);
    report.goal(reached, || "slopes of a cold full allocation".to_owned());
    let [agents, frameworks] = lines;
    [
        Series::ours("cold full allocation, by agents, 2,000 frameworks: ms", agents),
        Series::ours("cold full allocation, by frameworks, 20,000 agents: ms", frameworks),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pass_over_the_cluster_is_seen() {
        let ratio = |control| {
            let [small, large] = [20, 640].map(|agents| {
                let mut busy = Busy::new(agents, 10, control);
                let cost = busy.changes(40);
                assert_eq!(busy.world.audit(), Vec::<String>::new());
                cost
            });
            large / small
        };
        let (ours, full) = (ratio(None), ratio(Some(Control::FullPass)));
        assert!(full > 3.0 * CHANGE_RATIO_MAX && full > ours, "{full} with a full pass, {ours} else");
    }
}
