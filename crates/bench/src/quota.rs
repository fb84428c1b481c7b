//! Shapes with quota, after those of Apache Mesos: every role has a guarantee that is its limit as well.

use allocator::{AgentOptions, Allocation, FrameworkCapabilities, Quota};
use resources::{Name, Quantities, Scalar};
use types::Role;

use crate::measure::measured;
use crate::shapes::Run;
use crate::world::{Control, World, agent_id, parse};

/// A guarantee that is a limit as well.
fn quota(text: &str) -> Quota {
    let guarantees = Quantities::parse(text).expect("the text is ours");
    let limits = guarantees.iter().map(|(name, amount)| (name, *amount)).collect();
    Quota { guarantees, limits }
}

/// One more role with a framework and quota.
fn add_role(world: &mut World, role: &str, text: &str) {
    let role = Role::from(role);
    world.allocator.set_quota(&role, quota(text));
    world.add_framework(vec![role], FrameworkCapabilities::default());
}

fn cpus(offers: &[Allocation]) -> Scalar {
    let each = offers.iter().filter_map(|offer| offer.resources.scalar(&Name::CPUS));
    each.fold(Scalar::ZERO, |sum, cpus| sum + cpus)
}

fn units(count: usize) -> Scalar {
    Scalar::from_units(i64::try_from(count).expect("a count fits"))
}

/// Complains unless all guarantees were offered, and no more.
fn guaranteed(mut run: Run, offers: &[Allocation], wanted: usize) -> Run {
    if cpus(offers) != units(wanted) {
        run.complaints.push(format!("{} CPUs were offered, not {wanted}", cpus(offers)));
    }
    run
}

/// Agents come one by one to a cluster of which every role has quota.
pub(crate) fn add_agents(agents: usize, roles: usize, control: Option<Control>) -> Run {
    let mut world = World::new(control);
    (0..roles).for_each(|at| add_role(&mut world, &at.to_string(), "cpus:1;mem:512;disk:256"));
    let total = parse("cpus:16;mem:2048;disk:1024");
    let (mut spent, mut out) = (0.0, Vec::new());
    for at in 0..agents {
        let id = agent_id(at);
        world.book.add_agent(&id, &total, &[]);
        world.agents.push(id.clone());
        let total = total.clone();
        let ((), cpu_us) = measured(|| {
            world.allocator.add_agent(&id, AgentOptions::default(), total, &[]);
            world.step(&mut out);
        });
        spent += cpu_us;
    }
    world.book.offered(&out);
    guaranteed(Run::of(&world, spent, agents), &out, roles)
}

/// Roles of which most are content with half an agent and some need two.
fn large_and_small(agents: usize, control: Option<Control>) -> World {
    let mut world = World::new(control);
    world.allocator.pause();
    let large = agents / 6;
    (large..agents)
        .for_each(|at| add_role(&mut world, &format!("smallQuotaRole{at}"), "cpus:1;mem:1024;disk:1024"));
    (0..large)
        .for_each(|at| add_role(&mut world, &format!("largeQuotaRole{at}"), "cpus:4;mem:4096;disk:4096"));
    let total = parse("cpus:2;mem:2048;disk:2048");
    (0..agents).for_each(|_| world.add_agent(&total, &[]));
    world.allocator.resume();
    world
}

/// The first cycle.
pub(crate) fn first(agents: usize, _roles: usize, control: Option<Control>) -> Run {
    let mut world = large_and_small(agents, control);
    let mut out = Vec::new();
    let ((), cpu_us) = measured(|| world.step(&mut out));
    world.book.offered(&out);
    let large = agents / 6;
    guaranteed(Run::of(&world, cpu_us, agents), &out, agents - large + 4 * large)
}

/// A cycle in which nothing changed.
pub(crate) fn idle(agents: usize, _roles: usize, control: Option<Control>) -> Run {
    const TIMES: usize = 100;
    let mut world = large_and_small(agents, control);
    world.settle();
    let mut out = Vec::new();
    let ((), cpu_us) = measured(|| (0..TIMES).for_each(|_| world.step(&mut out)));
    Run::of(&world, cpu_us / crate::measure::float(TIMES), 1).expecting("offers", out.len(), 0)
}
