//! Scripts of what happens to an allocator, and all it does: `tests/scenarios/*.txt`.
//!
//! A line is a command; below `----` stands what came of it. `UPDATE_EXPECT=1 cargo
//! test -p allocator --test histories` writes the answers anew. Every answer is also
//! held against the naive rule of `world`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::world::{World, resources};
use allocator::{
    AgentOptions, Allocation, Constraint, Constraints, FrameworkCapabilities, FrameworkOptions, Options,
    Pattern, PatternLimits, Predicate, Quota, Selector, ShortTasks,
};
use resources::{Name, Quantities, Scalar};
use types::{FrameworkId, Role};

/// The value of `name=` among the words of a command.
fn value<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn roles(list: Option<&str>) -> Vec<Role> {
    list.into_iter().flat_map(|list| list.split(',')).map(Role::from).collect()
}

fn framework(words: &[&str]) -> FrameworkOptions {
    let able = |what: &str| value(words, "able").is_some_and(|list| list.split(',').any(|one| one == what));
    let roles_of = roles(value(words, "roles"));
    let minimum = value(words, "minimum").map(|text| vec![Quantities::parse(text).expect("parses")]);
    FrameworkOptions {
        constraints: constraints(words).into_iter().map(|all| (roles_of[0].clone(), all)).collect(),
        min_allocatable: minimum.into_iter().map(|clauses| (roles_of[0].clone(), clauses)).collect(),
        roles: roles_of,
        suppressed: roles(value(words, "suppressed")),
        capabilities: FrameworkCapabilities {
            gpu_resources: able("gpus"),
            revocable_resources: able("revocable"),
            shared_resources: able("shared"),
            multi_role: true,
            reservation_refinement: able("refinement"),
            region_aware: able("region"),
        },
    }
}

fn quota(words: &[&str]) -> Quota {
    let limits = value(words, "limit").unwrap_or_default().split(';').filter(|pair| !pair.is_empty());
    let limits = limits.map(|pair| {
        let (name, bound) = pair.split_once(':').expect("a pair");
        (Name::from(name), Scalar::from_f64(bound.parse().expect("a number")).expect("fits"))
    });
    let limits: Vec<_> = limits.collect();
    Quota {
        guarantees: Quantities::parse(value(words, "guarantee").unwrap_or_default()).expect("parses"),
        limits: limits.iter().map(|(name, bound)| (name, *bound)).collect(),
    }
}

/// `host=PATTERN` admits agents whose host matches.
fn constraints(words: &[&str]) -> Option<Arc<Constraints>> {
    let pattern = Pattern::new(value(words, "host")?, PatternLimits::default()).expect("a pattern");
    let predicate = Predicate::TextMatches(pattern);
    Some(Arc::new(Constraints { groups: vec![vec![Constraint { selector: Selector::Hostname, predicate }]] }))
}

fn agent(words: &[&str]) -> AgentOptions {
    let lacks = |what: &str| value(words, "lacks").is_some_and(|list| list.split(',').any(|one| one == what));
    AgentOptions {
        active: true,
        multi_role: !lacks("multi_role"),
        hierarchical_role: !lacks("hierarchical_role"),
        remote_region: words.contains(&"remote"),
    }
}

/// The newest of what is out to `framework` on `agent` that holds `size`.
fn find(world: &World, framework: &str, agent: &str, size: &str) -> usize {
    let is_it = |out: &Allocation| {
        let size = resources(size).allocated(&out.role);
        out.framework.as_str() == framework && out.agent.as_str() == agent && out.resources.contains(&size)
    };
    let newest = world.out.iter().rposition(is_it);
    newest.unwrap_or_else(|| panic!("no {size} of {agent} is out to {framework}"))
}

fn run(world: &mut World, line: &str, out: &mut String) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        // A new cluster where a part of agents is for short tasks.
        ["short-tasks", permille, list] => {
            let mut options = world.options.clone();
            let roles = roles(Some(list)).into_iter().collect();
            options.short_tasks = ShortTasks { permille: permille.parse().expect("a number"), roles };
            *world = World::new(options);
        }
        // A new cluster where a role has a minimum offer size.
        ["min-offer", role, size] => {
            let mut options = world.options.clone();
            options.min_offers.insert(role.into(), Quantities::parse(size).expect("parses"));
            *world = World::new(options);
        }
        ["framework", id, ..] => world.add_framework(id, framework(&words)),
        ["update-framework", id, ..] => world.update_framework(id, framework(&words)),
        ["remove-framework", id] => world.remove_framework(id),
        ["activate-framework", id] => world.set_framework_active(id, true),
        ["deactivate-framework", id] => world.set_framework_active(id, false),
        ["suppress", id, ..] => world.suppress(id, &roles(value(&words, "roles"))),
        ["revive", id, ..] => world.revive(id, &roles(value(&words, "roles"))),
        ["agent", id, total, ..] => world.add_agent(id, agent(&words), resources(total)),
        ["update-agent", id, total] => world.update_agent(id, resources(total)),
        ["activate-agent", id] => world.set_agent_active(id, true),
        ["deactivate-agent", id] => world.set_agent_active(id, false),
        ["remove-agent", id] => world.remove_agent(id),
        ["unavailable", id] => world.set_unavailable(id, true),
        ["available", id] => world.set_unavailable(id, false),
        ["answer", framework, agent, seconds] => {
            world.answer(framework, agent, Some(seconds.parse().expect("a number")));
        }
        ["withdraw", framework, agent] => world.answer(framework, agent, None),
        ["request", framework] => world.request(framework, None),
        ["request", framework, agent] => world.request(framework, Some(agent)),
        ["whitelist", "*"] => world.set_whitelist(None),
        ["whitelist", ref hosts @ ..] => {
            world.set_whitelist(Some(hosts.iter().map(|host| (*host).to_owned()).collect()));
        }
        ["weight", role, weight] => world.set_weight(role, weight.parse().expect("a number")),
        ["quota", role, ..] => world.set_quota(role, quota(&words)),
        ["consumed", role] => {
            let role = Role::from(role);
            let (required, available) = world.allocator.quota_headroom();
            writeln!(out, "{role} consumes {}", world.allocator.quota_consumed(&role)).expect("fits");
            writeln!(out, "required {required}, available {available}").expect("fits");
        }
        // An operator makes one of the other.
        ["claim", agent, consumed, converted] => {
            if !world.claim(agent, &resources(consumed), &resources(converted)) {
                writeln!(out, "not free").expect("fits");
            }
        }
        ["decline", framework, agent, ref rest @ ..] => {
            let at = find(world, framework, agent, "");
            let all = world.out[at].resources.clone();
            world.give_back(at, &all, rest.first().map(|seconds| seconds.parse().expect("a number")));
        }
        // Launches tasks of this size, and declines the rest.
        ["accept", framework, agent, size, ref rest @ ..] => {
            let at = find(world, framework, agent, size);
            let held = world.out[at].clone();
            let left =
                held.resources.checked_sub(&resources(size).allocated(&held.role)).expect("enough is there");
            world.give_back(at, &left, rest.first().map(|seconds| seconds.parse().expect("a number")));
        }
        ["end", framework, agent, size] => {
            let at = find(world, framework, agent, size);
            let size = resources(size).allocated(&world.out[at].role.clone());
            world.give_back(at, &size, None);
        }
        ["wait", millis] => world.wait(Duration::from_millis(millis.parse().expect("a number"))),
        ["explain", id] => {
            for why in world.allocator.explain(&FrameworkId::from(id), usize::MAX) {
                writeln!(out, "{}: holds on {} agents; {:?}", why.role, why.holds, why.obstacles())
                    .expect("fits");
            }
        }
        ["report", id] => {
            for why in world.allocator.explain(&FrameworkId::from(id), usize::MAX) {
                report(&why, out);
            }
        }
        ["role", role] => match world.allocator.report_role(&Role::from(role)) {
            Some(report) => report_role(&report, out),
            None => writeln!(out, "nobody is in {role}").expect("fits"),
        },
        ["shares", ref roles @ ..] => {
            for role in roles {
                let share = world.allocator.role_share(&Role::from(*role)).as_f64();
                writeln!(out, "{role} {share:.4}").expect("fits");
            }
        }
        ref other => panic!("no such command: {other:?}"),
    }
    for allocation in world.settle(usize::MAX) {
        let offered = allocation.resources.unallocated();
        writeln!(
            out,
            "offer {} as {}: {} of {}",
            allocation.framework, allocation.role, offered, allocation.agent
        )
        .expect("fits");
    }
    for (framework, agent) in &world.made_asks {
        writeln!(out, "ask {framework} to leave {agent}").expect("fits");
    }
}

fn report(why: &allocator::Explanation, out: &mut String) {
    let place = why.standing.place.map_or("never".to_owned(), |place| format!("after {place}"));
    writeln!(out, "{}: {place}, before it {:?}", why.role, why.standing.before).expect("fits");
    for class in &why.classes {
        for finding in &class.findings {
            write!(out, "{} agents of {}: {}", finding.agents, class.total, finding.obstacle.text())
                .expect("fits");
            let until = finding.until.map(|until| format!(" until {} s", until.as_nanos() / 1_000_000_000));
            write!(out, "{}", until.unwrap_or_default()).expect("fits");
            if !finding.reserved_for.is_empty() {
                write!(out, " {:?}", finding.reserved_for).expect("fits");
            }
            for (framework, role) in &finding.kept_for {
                write!(out, " of {framework} in {role}").expect("fits");
            }
            for holder in &finding.holders {
                write!(out, "; {} holds {}", holder.framework, holder.amounts).expect("fits");
            }
            writeln!(out).expect("fits");
        }
    }
}

fn report_role(report: &allocator::RoleReport, out: &mut String) {
    let share = report.share.as_f64();
    writeln!(out, "{} has {} (share {share:.3})", report.role, report.allocated).expect("fits");
    for one in &report.frameworks {
        let place = one.place.map_or("never".to_owned(), |place| format!("after {place}"));
        let share = one.share.as_f64();
        writeln!(out, "{} in {}: share {share:.3}, {place}", one.framework, one.role).expect("fits");
    }
}

fn answer(script: &str) -> String {
    let mut world = World::new(Options::default());
    let mut answers = String::new();
    // What stands below a rule is an old answer, up to the next empty line.
    let mut is_answer = false;
    for line in script.lines() {
        if is_answer {
            is_answer = !line.is_empty();
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            writeln!(answers, "{line}").expect("fits");
            continue;
        }
        if line == "----" {
            is_answer = true;
            continue;
        }
        let mut out = String::new();
        run(&mut world, line, &mut out);
        writeln!(answers, "{line}").expect("fits");
        if !out.is_empty() {
            writeln!(answers, "----\n{out}").expect("fits");
        }
    }
    answers
}

#[test]
fn scripts_answer_as_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let script = std::fs::read_to_string(&file).expect("readable");
        expect_test::expect_file![file].assert_eq(&answer(&script));
    }
}
