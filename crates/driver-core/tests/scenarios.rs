//! Runs the scripts of `tests/scenarios`: what happens to a driver, then all effects it has.

use std::path::Path;
use std::time::Duration;

use driver_core::{executor, scheduler};
use machine::{Instant, Machine, Now, WallTime};
use proto::json;
use proto::mesos::v1;
use scenario::Block;

/// A driver and its clock.
struct World<M> {
    driver: Option<M>,
    now: Instant,
}

impl<M: Machine> World<M>
where
    M::Effect: std::fmt::Display,
{
    const fn new() -> Self {
        Self { driver: None, now: Instant::ZERO }
    }

    fn time(&self) -> Now {
        let wall = i64::try_from(self.now.as_nanos()).expect("a script is short");
        Now { mono: self.now, wall: WallTime::from_nanos(wall) }
    }

    fn handle(&mut self, event: M::Event) -> String {
        let now = self.time();
        let mut fx = Vec::new();
        self.driver.as_mut().expect("the script begins with `new`").handle_event(now, event, &mut fx);
        show(&fx)
    }

    /// Lets time pass; what happens meanwhile is told with when.
    fn wait(&mut self, seconds: &str) -> String {
        let end = self.now + Duration::from_secs(seconds.parse().expect("seconds"));
        let mut lines = Vec::new();
        loop {
            let driver = self.driver.as_mut().expect("the script begins with `new`");
            let Some(at) = driver.poll_timeout().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            let wall = i64::try_from(self.now.as_nanos()).expect("a script is short");
            let now = Now { mono: self.now, wall: WallTime::from_nanos(wall) };
            let mut fx = Vec::new();
            driver.handle_timeout(now, &mut fx);
            lines.push(format!("at {}\n{}", self.now, show(&fx)));
        }
        self.now = end;
        lines.join("\n")
    }
}

fn show<E: std::fmt::Display>(fx: &[E]) -> String {
    fx.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The first word, and the rest.
fn word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

fn read<T: json::Json>(text: &str) -> T {
    json::from_slice_v0(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn schedule(world: &mut World<scheduler::Driver>, block: &Block) -> String {
    use scheduler::{Config, Driver, Event, Message};
    let rest = block.arguments.as_str();
    let event = match block.command.as_str() {
        "wait" => return world.wait(rest),
        "new" => {
            let (acknowledgements, framework) = word(rest);
            let mut config = Config::new(read(framework));
            config.implicit_acknowledgements = acknowledgements == "implicit";
            config.seed = 1;
            world.driver = Some(Driver::new(config));
            return String::new();
        }
        "detect" if rest == "none" => Event::Detected(None),
        "detect" => {
            let info = v1::MasterInfo { pid: Some(rest.to_owned()), ..v1::MasterInfo::default() };
            Event::Detected(Some(Box::new(info)))
        }
        "message" => {
            let (from, rest) = word(rest);
            let (name, body) = word(rest);
            let message = Message::from_json(name, body).expect(name).expect(body);
            Event::Received { from: from.parse().expect("a pid"), message }
        }
        "exited" => Event::Exited(rest.parse().expect("a pid")),
        "call" => Event::Call(call(read(rest))),
        "acknowledge" => Event::Call(scheduler::Call::Acknowledge(Box::new(read(rest)))),
        "stop" => Event::Stop { failover: rest == "failover" },
        "abort" => Event::Abort,
        other => panic!("{other}: no such command"),
    };
    world.handle(event)
}

/// A call, as the v1 API writes it.
fn call(call: v1::scheduler::Call) -> scheduler::Call {
    use v1::scheduler::call::Type;
    match call.r#type() {
        Type::Accept => {
            let v1::scheduler::call::Accept { offer_ids, operations, filters } = call.accept.expect("accept");
            scheduler::Call::Accept { offer_ids, operations, filters: filters.unwrap_or_default() }
        }
        Type::Decline => {
            let mut decline = call.decline.expect("decline");
            let offer_id = decline.offer_ids.remove(0);
            scheduler::Call::Decline { offer_id, filters: decline.filters.unwrap_or_default() }
        }
        Type::Revive => scheduler::Call::Revive(call.revive.map(|revive| revive.roles).unwrap_or_default()),
        Type::Suppress => {
            scheduler::Call::Suppress(call.suppress.map(|suppress| suppress.roles).unwrap_or_default())
        }
        Type::Kill => scheduler::Call::Kill(call.kill.expect("kill").task_id),
        Type::Request => scheduler::Call::Request(call.request.expect("request").requests),
        Type::Message => {
            let v1::scheduler::call::Message { agent_id, executor_id, data } = call.message.expect("message");
            scheduler::Call::Message { executor_id, agent_id, data }
        }
        Type::Reconcile => {
            let tasks = call.reconcile.expect("reconcile").tasks.into_iter();
            let statuses = tasks.map(|task| v1::TaskStatus {
                task_id: task.task_id,
                agent_id: task.agent_id,
                ..v1::TaskStatus::default()
            });
            scheduler::Call::Reconcile(statuses.collect())
        }
        Type::UpdateFramework => {
            let update = call.update_framework.expect("update_framework");
            scheduler::Call::UpdateFramework {
                framework: Box::new(update.framework_info),
                suppressed_roles: update.suppressed_roles,
                offer_constraints: update.offer_constraints,
            }
        }
        other => panic!("no driver has {other:?}"),
    }
}

fn execute(world: &mut World<executor::Driver>, block: &Block) -> String {
    use executor::{Config, Driver, Event, Message};
    let rest = block.arguments.as_str();
    let event = match block.command.as_str() {
        "wait" => return world.wait(rest),
        "new" => {
            let config = Config {
                own: "executor(1)@127.0.0.1:7000".parse().expect("a pid"),
                agent: "slave(1)@127.0.0.1:5051".parse().expect("a pid"),
                agent_id: "S".into(),
                framework_id: "F".into(),
                executor_id: "e".into(),
                local: rest == "local",
                recovery_timeout: (rest == "checkpointing").then_some(Duration::from_secs(900)),
                shutdown_grace_period: Duration::from_secs(5),
                seed: 1,
            };
            world.driver = Some(Driver::new(config));
            Event::Started
        }
        "message" => {
            let (from, rest) = word(rest);
            let (name, body) = word(rest);
            let message = Message::from_json(name, body).expect(name).expect(body);
            Event::Received { from: from.parse().expect("a pid"), message }
        }
        "exited" => Event::Exited(rest.parse().expect("a pid")),
        "update" => Event::Update(Box::new(read(rest))),
        "say" => Event::Message(bytes::Bytes::copy_from_slice(rest.as_bytes())),
        "stop" => Event::Stop,
        "abort" => Event::Abort,
        other => panic!("{other}: no such command"),
    };
    world.handle(event)
}

fn directory(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name)
}

#[test]
fn schedulers() {
    scenario::run_dir(&directory("scheduler"), World::new, schedule);
}

#[test]
fn executors() {
    scenario::run_dir(&directory("executor"), World::new, execute);
}
