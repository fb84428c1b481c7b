//! The shapes of Apache Mesos's own allocator benchmarks, so that figures stand side by side.

use allocator::{AgentOptions, Allocation, FrameworkCapabilities, Refusal};
use proto::mesos::v1::{Label, Labels};
use resources::{Name, Range, Ranges, Reservation, Resource, Resources, Scalar, Value};
use types::Role;

use crate::measure::measured;
use crate::world::{Control, World, parse};

/// What a run of a shape found: CPU microseconds of what counts, and what the audit found wrong.
pub(crate) struct Run {
    pub(crate) cpu_us: f64,
    /// How many operations that was.
    pub(crate) operations: usize,
    pub(crate) complaints: Vec<String>,
}

impl Run {
    pub(crate) fn of(world: &World, cpu_us: f64, operations: usize) -> Self {
        Self { cpu_us, operations, complaints: world.audit() }
    }

    /// Adds a complaint unless two counts agree.
    pub(crate) fn expecting(mut self, what: &str, is: usize, should: usize) -> Self {
        if is != should {
            self.complaints.push(format!("{is} {what}, not {should}"));
        }
        self
    }
}

/// An agent of most of the shapes.
pub(crate) fn big_agent() -> Resources {
    parse("cpus:24;mem:4096;disk:4096;ports:[31000-32000]")
}

/// Sixteen pieces of the ports, with gaps.
fn port_pieces() -> Resource {
    let pieces = (0..16).map(|at| Range { begin: 31_000 + at * 62, end: 31_000 + at * 62 + 60 });
    Resource::ranges("ports", Ranges::new(pieces))
}

fn half_used(role: &str) -> Resources {
    let mut used = parse("cpus:16;mem:2014;disk:1024");
    used.push(port_pieces());
    used.allocated(&Role::from(role))
}

/// Agents of which two thirds are in use by frameworks in turn.
fn half_used_cluster(agents: usize, frameworks: usize, control: Option<Control>) -> World {
    let mut world = World::new(control);
    world.add_frameworks(frameworks, "*");
    let (total, used) = (big_agent(), half_used("*"));
    for at in 0..agents {
        world.add_agent(&total, &[(at % frameworks, used.clone())]);
    }
    world
}

/// Every offer is given back; what is measured is offering all agents again.
pub(crate) fn cycle(agents: usize, frameworks: usize, control: Option<Control>) -> Run {
    let mut world = half_used_cluster(agents, frameworks, control);
    let offers = world.settle();
    return_all(&mut world, &offers, None);
    let mut out = Vec::with_capacity(agents);
    let ((), cpu_us) = measured(|| world.step(&mut out));
    world.book.offered(&out);
    Run::of(&world, cpu_us, agents).expecting("offers", out.len(), agents)
}

pub(crate) fn return_all(world: &mut World, offers: &[Allocation], refusal: Option<Refusal>) {
    for offer in offers {
        world.give_back(offer, refusal);
        world.book.given_back(offer);
    }
}

/// Every agent has something free and is looked at, but nobody wants offers.
pub(crate) fn suppressed(agents: usize, frameworks: usize, control: Option<Control>) -> Run {
    let mut world = half_used_cluster(agents, frameworks, control);
    let offers = world.settle();
    for framework in world.frameworks.clone() {
        world.allocator.suppress(&framework, &[]);
    }
    return_all(&mut world, &offers, None);
    let mut out = Vec::new();
    let ((), cpu_us) = measured(|| world.step(&mut out));
    Run::of(&world, cpu_us, agents).expecting("offers", out.len(), 0)
}

/// The same, but nothing has changed since: a cycle of Mesos costs as much again, here there is none.
pub(crate) fn idle(agents: usize, frameworks: usize, control: Option<Control>) -> Run {
    let mut world = half_used_cluster(agents, frameworks, control);
    let offers = world.settle();
    for framework in world.frameworks.clone() {
        world.allocator.suppress(&framework, &[]);
    }
    return_all(&mut world, &offers, None);
    let mut out = Vec::new();
    world.step(&mut out);
    let ((), cpu_us) = measured(|| (0..1000).for_each(|_| world.step(&mut out)));
    Run::of(&world, cpu_us / 1000.0, 1).expecting("offers", out.len(), 0)
}

fn small_agent() -> Resources {
    parse("cpus:2;mem:1024;disk:4096;ports:[31000-32000]")
}

fn small_used() -> Resources {
    parse("cpus:1;mem:128;disk:1024;ports:[31126-31510,31512-31623,31810-31852,31854-31964]")
        .allocated(&Role::any())
}

fn revocable_world(frameworks: usize, control: Option<Control>) -> World {
    let mut world = World::new(control);
    let capabilities = FrameworkCapabilities { revocable_resources: true, ..Default::default() };
    (0..frameworks).for_each(|_| world.add_framework(vec![Role::any()], capabilities));
    world
}

/// Agents come with something in use, each offered at once.
pub(crate) fn add_agents(agents: usize, frameworks: usize, control: Option<Control>) -> Run {
    let mut world = revocable_world(frameworks, control);
    let (total, used) = (small_agent(), small_used());
    let mut spent = 0.0;
    let mut out = Vec::with_capacity(agents);
    for at in 0..agents {
        let id = crate::world::agent_id(at);
        let used = [(world.frameworks[at % frameworks].clone(), used.clone())];
        world.book.add_agent(&id, &total, &used);
        world.agents.push(id.clone());
        let total = total.clone();
        let ((), cpu_us) = measured(|| {
            world.allocator.add_agent(&id, AgentOptions::default(), total, &used);
            world.step(&mut out);
        });
        spent += cpu_us;
    }
    world.book.offered(&out);
    Run::of(&world, spent, agents).expecting("offers", out.len(), agents)
}

/// Every agent tells of ten revocable cores more, which are offered at once.
pub(crate) fn update_agents(agents: usize, frameworks: usize, control: Option<Control>) -> Run {
    let mut world = revocable_world(frameworks, control);
    let (total, used) = (small_agent(), small_used());
    for at in 0..agents {
        world.add_agent(&total, &[(at % frameworks, used.clone())]);
    }
    world.settle();
    let mut more = total.clone();
    more.push(Resource::scalar(Name::CPUS, Scalar::from_units(10)).with_revocable(true));
    let agents_all = world.agents.clone();
    let mut out = Vec::with_capacity(agents);
    let totals = vec![more.clone(); agents];
    let ((), cpu_us) = measured(|| {
        for (id, total) in agents_all.iter().zip(totals) {
            world.allocator.update_agent(id, total);
            world.step(&mut out);
        }
    });
    agents_all.iter().for_each(|id| world.book.set_total(id, &more));
    world.book.offered(&out);
    Run::of(&world, cpu_us, agents).expecting("offers", out.len(), agents)
}

/// Everything is offered, and every framework revives.
pub(crate) fn revive(agents: usize, frameworks: usize, control: Option<Control>) -> Run {
    let mut world = World::new(control);
    world.add_frameworks(frameworks, "*");
    let total = big_agent();
    (0..agents).for_each(|_| world.add_agent(&total, &[]));
    world.settle();
    let all = world.frameworks.clone();
    let mut out = Vec::new();
    let ((), cpu_us) = measured(|| {
        for framework in &all {
            world.allocator.revive(framework, &[]);
            world.step(&mut out);
        }
    });
    Run::of(&world, cpu_us, frameworks).expecting("offers", out.len(), 0)
}

/// Everybody has refused everything for good, and every agent is looked at again.
pub(crate) fn all_filtered(agents: usize, frameworks: usize, control: Option<Control>) -> Run {
    let mut world = half_used_cluster(agents, frameworks, control);
    decline_all(&mut world);
    world.look_at_all();
    let mut out = Vec::new();
    let ((), cpu_us) = measured(|| world.step(&mut out));
    let filters = world.allocator.filter_count();
    Run::of(&world, cpu_us, agents * frameworks).expecting("offers", out.len(), 0).expecting(
        "filters",
        filters,
        agents * frameworks,
    )
}

/// Has every framework decline every agent for good; says how many declines that was.
fn decline_all(world: &mut World) -> usize {
    let forever = Some(Refusal::MAX);
    let mut declined = 0;
    loop {
        let offers = world.settle();
        if offers.is_empty() {
            return declined;
        }
        declined += offers.len();
        return_all(world, &offers, forever);
    }
}

/// Agents whose frameworks hold reservations with a dozen labels each, no two alike; the rest is offered again.
pub(crate) fn labels(agents: usize, frameworks: usize, control: Option<Control>) -> Run {
    let mut world = World::new(control);
    world.add_frameworks(frameworks, "role1");
    let role = Role::from("role1");
    let reserved = |at: usize, which: usize| {
        let mut labels: Vec<_> = (0..11).map(|n| label(format!("key{n}"), format!("value{n}"))).collect();
        labels.push(label(format!("unique_key_{which}"), format!("value_{at}")));
        let reservation = Reservation {
            labels: Some(Labels { labels }),
            ..Reservation::dynamic("role1", Some("principal1".into()))
        };
        Resource::new(Name::CPUS, Value::Scalar(Scalar::from_units(8))).with_reservations(vec![reservation])
    };
    for at in 0..agents {
        let mut used = parse("mem:2014;disk:1024");
        used.push(port_pieces());
        let (one, two) = (reserved(at, 1), reserved(at, 2));
        let mut total = parse("cpus:8;mem:4096;disk:4096;ports:[31000-32000]");
        for resource in [one, two] {
            total.push(resource.clone());
            used.push(resource);
        }
        world.add_agent(&total, &[(at % frameworks, used.allocated(&role))]);
    }
    let offers = world.settle();
    return_all(&mut world, &offers, None);
    let mut out = Vec::with_capacity(agents);
    let ((), cpu_us) = measured(|| world.step(&mut out));
    world.book.offered(&out);
    Run::of(&world, cpu_us, agents).expecting("offers", out.len(), agents)
}

fn label(key: String, value: String) -> Label {
    Label { key, value: Some(value) }
}

/// One agent holds a reservation of each of so many roles; one of them is unreserved and reserved again.
pub(crate) fn reserve(_agents: usize, roles: usize, control: Option<Control>) -> Run {
    const TIMES: usize = 40;
    let mut world = World::new(control);
    let mut total = Resources::new();
    let mut used = Vec::new();
    for at in 0..roles {
        let role = Role::from(format!("role-abcdefghijklmnopqrstuvwxyz-{at:05}"));
        world.add_framework(vec![role.clone()], FrameworkCapabilities::default());
        let labels =
            Labels { labels: vec![label("Label".into(), format!("a-label-of-thirty-six-letters-{at:06}"))] };
        let reservation = Reservation { labels: Some(labels), ..Reservation::dynamic(role.clone(), None) };
        let mut part = parse("cpus:100;mem:100;disk:100");
        part.push(Resource::ranges("ports", Ranges::one(2, 2)));
        let part: Resources =
            part.into_iter().map(|resource| resource.with_reservations(vec![reservation.clone()])).collect();
        total += &part;
        used.push((at, part.allocated(&role)));
    }
    world.add_agent(&total, &used);
    world.settle();
    let (framework, agent) = (world.frameworks[0].clone(), world.agents[0].clone());
    let reserved = used[0].1.clone();
    let plain = reserved.to_unreserved();
    let mut out = Vec::new();
    let ((), cpu_us) = measured(|| {
        for _ in 0..TIMES {
            world.allocator.update_allocation(&framework, &agent, &reserved, &plain);
            world.step(&mut out);
            world.allocator.update_allocation(&framework, &agent, &plain, &reserved);
            world.step(&mut out);
        }
    });
    // The figure of Mesos is for one operation.
    let each = cpu_us / crate::measure::float(2 * TIMES);
    Run::of(&world, each, 1).expecting("offers", out.len(), 0)
}

/// Frameworks of three kinds, with tasks of different sizes to launch, until all are launched.
pub(crate) fn mix(agents: usize, _frameworks: usize, control: Option<Control>) -> Run {
    let mut world = World::new(control);
    // How many tasks are left, how large each is, and how many one offer may hold.
    let mut jobs: Vec<(usize, Resources, usize)> = Vec::new();
    let mut add = |world: &mut World, role: String, tasks: usize, task: &str, most: usize| {
        world.add_framework(vec![Role::from(role)], FrameworkCapabilities::default());
        jobs.push((tasks, parse(task), most));
    };
    (0..4).for_each(|at| add(&mut world, format!("roleA-{at}"), 4000, "cpus:0.07;mem:400", 100));
    (0..500).for_each(|_| add(&mut world, "roleB".to_owned(), 5, "cpus:0.1;mem:4000", 1));
    (0..50).for_each(|at| add(&mut world, format!("roleC-{at}"), 20, "cpus:1;mem:1000", 5));
    let total = parse("cpus:64;mem:488000");
    (0..agents).for_each(|_| world.add_agent(&total, &[]));
    let wanted: usize = jobs.iter().map(|(tasks, ..)| tasks).sum();
    let numbers: std::collections::BTreeMap<_, _> =
        world.frameworks.iter().cloned().enumerate().map(|(at, id)| (id, at)).collect();
    let (mut spent, mut launched, mut offers_made) = (0.0, 0, 0);
    let mut offers = Vec::new();
    // A cycle can help every framework once, so this many are far more than needed.
    for _ in 0..10_000 {
        offers.clear();
        let ((), cpu_us) = measured(|| world.step(&mut offers));
        spent += cpu_us;
        world.book.offered(&offers);
        offers_made += offers.len();
        for offer in &offers {
            let (left, task, most) = &mut jobs[numbers[&offer.framework]];
            let mut rest = offer.resources.unallocated();
            let mut here = 0;
            while here < *most && *left > 0 && rest.contains(task) {
                rest -= task;
                here += 1;
                *left -= 1;
            }
            launched += here;
            let rest = rest.allocated(&offer.role);
            let done = (*left == 0 && here == 0).then_some(Refusal::MAX);
            world.book.returned(&offer.agent, &rest);
            let ((), cpu_us) = measured(|| {
                world.allocator.recover(world.now, &offer.framework, &offer.agent, &rest, done);
            });
            spent += cpu_us;
        }
        if launched == wanted {
            break;
        }
    }
    Run::of(&world, spent, offers_made).expecting("tasks launched", launched, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audits_pass_and_an_offer_too_few_or_too_many_fails_them() {
        let complaints = |control| cycle(40, 5, control).complaints.join("; ");
        assert_eq!(complaints(None), "");
        let lost = complaints(Some(Control::LoseOffer));
        assert!(lost.contains(" is out, but ") && !lost.contains("over-committed"), "{lost}");
        let doubled = complaints(Some(Control::DoubleOffer));
        assert!(doubled.contains("over-committed: "), "{doubled}");
    }
}
