//! The executor's life, as scripts: each step, then all its effects.

use expect_test::{Expect, expect};
use machine::WallTime;

use super::*;

struct Script {
    executor: CommandExecutor,
    now: Now,
    log: String,
}

impl Script {
    fn new() -> Self {
        Self::of(Kind::Command)
    }

    fn of(kind: Kind) -> Self {
        let shutdown_grace = Duration::from_secs(5);
        let options = Options { kind, executor_id: "e".into(), shutdown_grace, seed: 1 };
        Self { executor: CommandExecutor::new(options), now: Now::default(), log: String::new() }
    }

    fn at(mut self, millis: u64) -> Self {
        let mono = Instant::ZERO + Duration::from_millis(millis);
        self.now = Now { mono, wall: WallTime::from_nanos(0) };
        let mut fx = Vec::new();
        self.executor.handle_timeout(self.now, &mut fx);
        self.write(&format!("{millis}ms"), fx)
    }

    fn event(mut self, name: &str, event: Event) -> Self {
        let mut fx = Vec::new();
        self.executor.handle_event(self.now, event, &mut fx);
        self.write(name, fx)
    }

    fn launch(self, task: v1::TaskInfo) -> Self {
        let launch = Some(event::Launch { task });
        self.api("launch", v1::executor::Event { launch, ..kind(event::Type::Launch) })
    }

    fn api(self, name: &str, event: v1::executor::Event) -> Self {
        self.event(name, Event::Api(Box::new(event)))
    }

    fn kill(self, grace_secs: Option<i64>) -> Self {
        let kill_policy = grace_secs.map(|secs| v1::KillPolicy {
            grace_period: Some(v1::DurationInfo { nanoseconds: secs * 1_000_000_000 }),
        });
        let kill = Some(event::Kill { task_id: v1::TaskId { value: "t".to_owned() }, kill_policy });
        self.api("kill", v1::executor::Event { kill, ..kind(event::Type::Kill) })
    }

    /// The agent acknowledges the last update.
    fn acknowledge(self) -> Self {
        let uuid = self.executor.last.as_ref().and_then(|last| last.uuid.clone()).expect("an update");
        let acknowledged = Some(event::Acknowledged { task_id: v1::TaskId { value: "t".to_owned() }, uuid });
        self.api("acknowledge", v1::executor::Event { acknowledged, ..kind(event::Type::Acknowledged) })
    }

    fn write(mut self, name: &str, fx: Vec<Effect>) -> Self {
        self.log.push_str(&format!("> {name}\n"));
        for effect in fx {
            let line = match effect {
                Effect::Update(status) => {
                    let mut line = status.state().as_str_name().to_owned();
                    if let Some(message) = &status.message {
                        line.push_str(&format!(" '{message}'"));
                    }
                    if status.reason.is_some() {
                        line.push_str(&format!(" {}", status.reason().as_str_name()));
                    }
                    if let Some(data) = &status.data {
                        line.push_str(&format!(" data={}", String::from_utf8_lossy(data)));
                    }
                    for network in status.container_status.iter().flat_map(|it| &it.network_infos) {
                        line.push_str(&format!(" ip={}", network.ip_addresses[0].ip_address()));
                    }
                    if let Some(healthy) = status.healthy {
                        line.push_str(&format!(" healthy={healthy}"));
                    }
                    if let Some(code) = status.check_status.and_then(|c| c.command).map(|c| c.exit_code) {
                        line.push_str(&format!(" check={code:?}"));
                    }
                    line
                }
                Effect::Start(start) => format!("start {}", start.command.value()),
                Effect::StartContainer(task) => format!("start the container of {}", task.task_id.value),
                Effect::Signal(signal) => format!("signal {signal:?}"),
                Effect::Check(_) => "check".to_owned(),
                Effect::HealthCheck(_) => "health check".to_owned(),
                Effect::Log(_) => continue,
                Effect::Exit(code) => format!("exit {code}"),
            };
            self.log.push_str(&format!("{line}\n"));
        }
        self
    }

    fn expect(self, expected: Expect) {
        expected.assert_eq(&self.log);
    }
}

fn kind(kind: event::Type) -> v1::executor::Event {
    v1::executor::Event { r#type: Some(kind.into()), ..Default::default() }
}

fn task() -> v1::TaskInfo {
    v1::TaskInfo {
        task_id: v1::TaskId { value: "t".to_owned() },
        command: Some(v1::CommandInfo { value: Some("run".to_owned()), ..Default::default() }),
        ..Default::default()
    }
}

#[test]
fn a_command_that_succeeds() {
    Script::new()
        .launch(task())
        .event("started", Event::Started)
        .event("ended", Event::Ended(Exit::Exited(0)))
        .acknowledge()
        .expect(expect![[r#"
            > launch
            TASK_STARTING
            start run
            > started
            TASK_RUNNING
            > ended
            TASK_FINISHED 'Command exited with status 0'
            > acknowledge
            exit 0
        "#]]);
}

#[test]
fn a_command_that_fails_or_cannot_start() {
    Script::new()
        .launch(task())
        .event("started", Event::Started)
        .event("ended", Event::Ended(Exit::Signaled { signal: 11, core_dumped: true }))
        .event("ended again", Event::Ended(Exit::Exited(0)))
        .at(60_000)
        .expect(expect![[r#"
            > launch
            TASK_STARTING
            start run
            > started
            TASK_RUNNING
            > ended
            TASK_FAILED 'Command terminated with signal Segmentation fault (core dumped)'
            > ended again
            > 60000ms
            exit 1
        "#]]);
    Script::new()
        .launch(task())
        .event("not started", Event::NotStarted("Failed to run the command".into()))
        .acknowledge()
        .expect(expect![[r#"
            > launch
            TASK_STARTING
            start run
            > not started
            TASK_FAILED 'Failed to run the command'
            > acknowledge
            exit 0
        "#]]);
}

#[test]
fn a_second_task_is_refused() {
    Script::new().launch(task()).launch(task()).expect(expect![[r#"
        > launch
        TASK_STARTING
        start run
        > launch
        TASK_FAILED 'Attempted to run multiple tasks using a "command" executor'
    "#]]);
}

#[test]
fn a_kill_escalates_and_a_later_one_may_only_shorten_it() {
    Script::new()
        .launch(task())
        .event("started", Event::Started)
        .kill(Some(20))
        .at(1_000)
        .kill(Some(30))
        .kill(Some(5))
        .at(4_999)
        .at(5_000)
        .event("ended", Event::Ended(Exit::Signaled { signal: 9, core_dumped: false }))
        .expect(expect![[r#"
            > launch
            TASK_STARTING
            start run
            > started
            TASK_RUNNING
            > kill
            signal Terminate
            > 1000ms
            > kill
            > kill
            > 4999ms
            > 5000ms
            signal Kill
            > ended
            TASK_KILLED 'Command terminated with signal Killed'
        "#]]);
}

#[test]
fn a_kill_while_starting_waits_for_the_start() {
    Script::new().launch(task()).kill(None).event("started", Event::Started).expect(expect![[r#"
        > launch
        TASK_STARTING
        start run
        > kill
        > started
        TASK_RUNNING
        signal Terminate
    "#]]);
}

#[test]
fn a_framework_that_knows_killing_is_told() {
    let subscribed = event::Subscribed {
        framework_info: v1::FrameworkInfo {
            capabilities: vec![v1::framework_info::Capability {
                r#type: Some(v1::framework_info::capability::Type::TaskKillingState.into()),
            }],
            ..Default::default()
        },
        ..Default::default()
    };
    Script::new()
        .api(
            "subscribed",
            v1::executor::Event { subscribed: Some(subscribed), ..kind(event::Type::Subscribed) },
        )
        .launch(task())
        .event("started", Event::Started)
        .api("shutdown", kind(event::Type::Shutdown))
        .at(3_000)
        .expect(expect![[r#"
            > subscribed
            > launch
            TASK_STARTING
            start run
            > started
            TASK_RUNNING
            > shutdown
            TASK_KILLING
            signal Terminate
            > 3000ms
            signal Kill
        "#]]);
}

#[test]
fn a_shutdown_does_not_wait_long_for_the_last_acknowledgement() {
    Script::new()
        .launch(task())
        .event("started", Event::Started)
        .api("shutdown", kind(event::Type::Shutdown))
        .event("ended", Event::Ended(Exit::Signaled { signal: 15, core_dumped: false }))
        .at(500)
        .expect(expect![[r#"
            > launch
            TASK_STARTING
            start run
            > started
            TASK_RUNNING
            > shutdown
            signal Terminate
            > ended
            TASK_KILLED 'Command terminated with signal Terminated'
            > 500ms
            exit 0
        "#]]);
}

#[test]
fn a_completion_time_is_a_failure() {
    let mut task = task();
    task.max_completion_time = Some(v1::DurationInfo { nanoseconds: 2_000_000_000 });
    Script::new()
        .launch(task)
        .event("started", Event::Started)
        .at(2_000)
        .event("ended", Event::Ended(Exit::Signaled { signal: 15, core_dumped: false }))
        .expect(expect![[r#"
            > launch
            TASK_STARTING
            start run
            > started
            TASK_RUNNING
            > 2000ms
            signal Terminate
            signal Kill
            > ended
            TASK_FAILED 'Command terminated with signal Terminated' REASON_MAX_COMPLETION_TIME_REACHED
        "#]]);
}

#[test]
fn a_task_that_stays_unhealthy_is_killed() {
    let mut task = task();
    task.health_check = Some(v1::HealthCheck {
        delay_seconds: Some(1.0),
        interval_seconds: Some(1.0),
        grace_period_seconds: Some(0.0),
        consecutive_failures: Some(2),
        ..Default::default()
    });
    let sick = || Event::HealthChecked(Err("no".into()));
    Script::new()
        .launch(task)
        .event("started", Event::Started)
        .at(1_000)
        .event("healthy", Event::HealthChecked(Ok(())))
        .at(2_000)
        .event("sick", sick())
        .at(3_000)
        .event("sick", sick())
        .event("ended", Event::Ended(Exit::Signaled { signal: 15, core_dumped: false }))
        .expect(expect![[r#"
            > launch
            TASK_STARTING
            start run
            > started
            TASK_RUNNING
            > 1000ms
            health check
            > healthy
            TASK_RUNNING REASON_TASK_HEALTH_CHECK_STATUS_UPDATED healthy=true
            > 2000ms
            health check
            > sick
            TASK_RUNNING REASON_TASK_HEALTH_CHECK_STATUS_UPDATED healthy=false
            > 3000ms
            health check
            > sick
            TASK_RUNNING REASON_TASK_HEALTH_CHECK_STATUS_UPDATED healthy=false
            signal Terminate
            > ended
            TASK_KILLED 'Command terminated with signal Terminated' healthy=false
        "#]]);
}

#[test]
fn a_check_tells_only_what_changed() {
    let mut task = task();
    task.check = Some(v1::CheckInfo {
        r#type: Some(v1::check_info::Type::Command.into()),
        delay_seconds: Some(0.0),
        interval_seconds: Some(1.0),
        ..Default::default()
    });
    let result = |code| {
        Event::Checked(Ok(Box::new(v1::CheckStatusInfo {
            r#type: Some(v1::check_info::Type::Command.into()),
            command: Some(v1::check_status_info::Command { exit_code: Some(code) }),
            ..Default::default()
        })))
    };
    Script::new()
        .launch(task)
        .event("started", Event::Started)
        .at(1)
        .event("0", result(0))
        .at(1_001)
        .event("0 again", result(0))
        .at(2_001)
        .event("1", result(1))
        .event("could not", Event::Checked(Err("no shell".into())))
        .expect(expect![[r#"
            > launch
            TASK_STARTING check=None
            start run
            > started
            TASK_RUNNING check=None
            > 1ms
            check
            > 0
            TASK_RUNNING REASON_TASK_CHECK_STATUS_UPDATED check=Some(0)
            > 1001ms
            check
            > 0 again
            > 2001ms
            check
            > 1
            TASK_RUNNING REASON_TASK_CHECK_STATUS_UPDATED check=Some(1)
            > could not
            TASK_RUNNING REASON_TASK_CHECK_STATUS_UPDATED check=None
        "#]]);
}

#[test]
fn an_executor_without_agent_ends_its_task() {
    Script::new()
        .launch(task())
        .event("started", Event::Started)
        .event("lost", Event::AgentLost)
        .at(0)
        .event("ended", Event::Ended(Exit::Signaled { signal: 9, core_dumped: false }))
        .expect(expect![[r#"
            > launch
            TASK_STARTING
            start run
            > started
            TASK_RUNNING
            > lost
            signal Terminate
            > 0ms
            signal Kill
            > ended
            TASK_KILLED 'Command terminated with signal Killed'
            exit 1
        "#]]);
    Script::new().event("lost", Event::AgentLost).expect(expect![[r#"
        > lost
        exit 1
    "#]]);
}

fn container() -> Event {
    let address = v1::network_info::IpAddress { ip_address: Some("10.0.0.2".to_owned()), protocol: None };
    let network = v1::NetworkInfo { ip_addresses: vec![address], ..Default::default() };
    Event::ContainerStarted(Box::new(Container { inspected: "[{}]".into(), network: Some(network) }))
}

#[test]
fn a_container_is_told_of_and_has_the_agents_grace_period() {
    // Its image may say what to run.
    let task = v1::TaskInfo {
        command: Some(v1::CommandInfo::default()),
        health_check: Some(v1::HealthCheck { delay_seconds: Some(0.0), ..Default::default() }),
        ..task()
    };
    Script::of(Kind::Docker)
        .launch(task.clone())
        .event("started", container())
        .event("healthy", Event::HealthChecked(Ok(())))
        .launch(task)
        .kill(None)
        .at(4999)
        .at(5000)
        .event("ended", Event::Ended(Exit::Exited(137)))
        .expect(expect![[r#"
            > launch
            TASK_STARTING
            start the container of t
            > started
            TASK_RUNNING data=[{}] ip=10.0.0.2
            > healthy
            TASK_RUNNING REASON_TASK_HEALTH_CHECK_STATUS_UPDATED ip=10.0.0.2 healthy=true
            > launch
            TASK_FAILED 'Attempted to run multiple tasks using a "docker" executor'
            > kill
            signal Terminate
            > 4999ms
            > 5000ms
            signal Kill
            > ended
            TASK_KILLED 'Container exited with status 137'
        "#]]);
}

#[test]
fn a_container_that_cannot_be_made_says_why() {
    Script::of(Kind::Docker)
        .launch(task())
        .event("not started", Event::NotStarted("Failed to run docker container: no".to_owned()))
        .expect(expect![[r#"
            > launch
            TASK_STARTING
            start the container of t
            > not started
            TASK_FAILED 'Failed to run docker container: no'
        "#]]);
}

#[test]
fn a_container_whose_end_nobody_saw_failed() {
    Script::of(Kind::Docker)
        .launch(task())
        .event("started", container())
        .event("ended", Event::Ended(Exit::Unknown("the daemon is gone".to_owned())))
        .expect(expect![[r#"
            > launch
            TASK_STARTING
            start the container of t
            > started
            TASK_RUNNING data=[{}] ip=10.0.0.2
            > ended
            TASK_FAILED 'Failed to get exit status of container: the daemon is gone'
        "#]]);
}
