//! The life of task groups, told as scripts: what happens, and what the executor wants done.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

struct World {
    executor: DefaultExecutor,
    now: Instant,
    transcript: String,
}

impl World {
    /// An executor that is subscribed, and was given this group.
    fn with(tasks: &[v1::TaskInfo]) -> Self {
        let options = GroupOptions { executor_id: "E".into(), container_ip: None, seed: 1 };
        let executor = DefaultExecutor::new(options);
        let mut world = Self { executor, now: Instant::ZERO, transcript: String::new() };
        world.subscribed();
        world.launch(tasks);
        world
    }

    fn subscribed(&mut self) {
        let capability = v1::framework_info::Capability { r#type: Some(Capability::TaskKillingState.into()) };
        self.api(v1::executor::Event {
            r#type: Some(event::Type::Subscribed.into()),
            subscribed: Some(event::Subscribed {
                framework_info: v1::FrameworkInfo { capabilities: vec![capability], ..Default::default() },
                container_id: Some(v1::ContainerId { value: "C".to_owned(), parent: None }),
                ..Default::default()
            }),
            ..Default::default()
        });
    }

    fn launch(&mut self, tasks: &[v1::TaskInfo]) {
        self.api(v1::executor::Event {
            r#type: Some(event::Type::LaunchGroup.into()),
            launch_group: Some(event::LaunchGroup {
                task_group: v1::TaskGroupInfo { tasks: tasks.to_vec() },
            }),
            ..Default::default()
        });
    }

    fn api(&mut self, event: v1::executor::Event) {
        self.handle(GroupEvent::Api(Box::new(event)));
    }

    fn kill(&mut self, task: &str) {
        let kill = event::Kill { task_id: v1::TaskId { value: task.to_owned() }, kill_policy: None };
        let kind = Some(event::Type::Kill.into());
        self.api(v1::executor::Event { r#type: kind, kill: Some(kill), ..Default::default() });
    }

    fn shutdown(&mut self) {
        let kind = Some(event::Type::Shutdown.into());
        self.api(v1::executor::Event { r#type: kind, ..Default::default() });
    }

    fn launched(&mut self, task: &str) {
        self.handle(GroupEvent::Launched { task: task.into(), answer: LaunchAnswer::Launched });
    }

    fn refused(&mut self, task: &str) {
        let answer = LaunchAnswer::Refused("no such file".to_owned());
        self.handle(GroupEvent::Launched { task: task.into(), answer });
    }

    /// The task's container ended with this wait status.
    fn ended(&mut self, task: &str, status: i32) {
        let ended = WaitContainer { exit_status: Some(status), ..WaitContainer::default() };
        self.waited(task, WaitAnswer::Ended(Box::new(ended)));
    }

    fn waited(&mut self, task: &str, answer: WaitAnswer) {
        let attempt = self.executor.members.get(&TaskId::from(task)).map_or(0, |member| member.attempt);
        self.handle(GroupEvent::Waited { task: task.into(), attempt, answer });
    }

    fn acknowledge_all(&mut self) {
        for uuid in self.executor.unacknowledged.clone() {
            let acknowledged = event::Acknowledged { task_id: v1::TaskId::default(), uuid };
            self.api(v1::executor::Event {
                r#type: Some(event::Type::Acknowledged.into()),
                acknowledged: Some(acknowledged),
                ..Default::default()
            });
        }
    }

    fn handle(&mut self, event: GroupEvent) {
        let mut fx = Vec::new();
        let now = Now { mono: self.now, ..Now::default() };
        self.executor.handle_event(now, event, &mut fx);
        self.tell(fx);
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.executor.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            let mut fx = Vec::new();
            self.executor.handle_timeout(Now { mono: at, ..Now::default() }, &mut fx);
            self.tell(fx);
        }
        self.now = end;
    }

    fn tell(&mut self, fx: Vec<GroupEffect>) {
        for effect in fx {
            let line = match effect {
                GroupEffect::Update(status) => {
                    let mut line = format!("{} {}", status.task_id.value, status.state().as_str_name());
                    if let Some(reason) = status.reason.and_then(|it| Reason::try_from(it).ok()) {
                        let _ = write!(line, " {}", reason.as_str_name());
                    }
                    if let Some(healthy) = status.healthy {
                        let _ = write!(line, " healthy={healthy}");
                    }
                    if let Some(message) = &status.message {
                        let _ = write!(line, ": {message}");
                    }
                    let container = status.container_status.and_then(|status| status.container_id);
                    assert!(container.is_some_and(|it| it.parent.is_some()), "a task knows its container");
                    line
                }
                GroupEffect::Launch { task, .. } => format!("launch {task}"),
                GroupEffect::Wait { task, .. } => format!("wait {task}"),
                GroupEffect::Kill { task, signal, .. } => format!("signal {signal} to {task}"),
                GroupEffect::Check { task, .. } => format!("check {task}"),
                GroupEffect::HealthCheck { task, .. } => format!("health check {task}"),
                GroupEffect::Link { .. } | GroupEffect::Log(_) => continue,
                GroupEffect::Exit(code) => format!("exit {code}"),
            };
            let _ = writeln!(self.transcript, "{line}");
        }
    }

    fn check(&mut self, expected: &Expect) {
        expected.assert_eq(&std::mem::take(&mut self.transcript));
    }
}

fn task(id: &str) -> v1::TaskInfo {
    v1::TaskInfo { task_id: v1::TaskId { value: id.to_owned() }, ..Default::default() }
}

#[test]
fn tasks_that_finish_let_the_others_be() {
    let mut world = World::with(&[task("a"), task("b")]);
    world.launched("a");
    // Nobody runs before all do.
    world.check(&expect![[r#"
        a TASK_STARTING
        launch a
        b TASK_STARTING
        launch b
    "#]]);
    world.launched("b");
    world.ended("a", 0);
    world.check(&expect![[r#"
        a TASK_RUNNING
        wait a
        b TASK_RUNNING
        wait b
        a TASK_FINISHED: Command exited with status 0
    "#]]);
    world.ended("b", 0);
    world.acknowledge_all();
    world.check(&expect![[r#"
        b TASK_FINISHED: Command exited with status 0
        exit 0
    "#]]);
}

#[test]
fn a_task_that_fails_takes_its_group_along_and_no_other() {
    let mut world = World::with(&[task("a"), task("b")]);
    world.launch(&[task("other")]);
    for id in ["a", "b", "other"] {
        world.launched(id);
    }
    world.transcript.clear();
    world.ended("a", 7 << 8);
    world.check(&expect![[r#"
        a TASK_FAILED: Command exited with status 7
        b TASK_KILLING
        signal 15 to b
    "#]]);
    world.wait(Duration::from_secs(3));
    world.ended("b", 9);
    world.check(&expect![[r#"
        signal 9 to b
        b TASK_KILLED: Command terminated with signal Killed
    "#]]);
    assert!(world.executor.members.contains_key(&TaskId::from("other")));
}

#[test]
fn a_launch_that_is_refused_fails_its_group() {
    let mut world = World::with(&[task("a"), task("b")]);
    world.launched("a");
    world.refused("b");
    world.waited("b", WaitAnswer::NotFound);
    world.ended("a", 15);
    world.check(&expect![[r#"
        a TASK_STARTING
        launch a
        b TASK_STARTING
        launch b
        a TASK_RUNNING
        wait a
        wait b
        b TASK_FAILED: no such file
        a TASK_KILLING
        signal 15 to a
        a TASK_KILLED: Command terminated with signal Terminated
    "#]]);
}

#[test]
fn a_kill_waits_for_the_launch() {
    let mut world = World::with(&[task("a")]);
    world.kill("a");
    world.transcript.clear();
    world.launched("a");
    // A second one changes nothing; a signal that did not get through is sent again.
    world.kill("a");
    world.wait(Duration::from_secs(3));
    world.handle(GroupEvent::NotKilled { task: "a".into(), signal: 9, why: "no agent".to_owned() });
    world.wait(Duration::from_secs(1));
    world.check(&expect![[r#"
        a TASK_RUNNING
        wait a
        a TASK_KILLING
        signal 15 to a
        signal 9 to a
        signal 9 to a
    "#]]);
}

#[test]
fn an_agent_that_comes_back_is_asked_again() {
    let mut world = World::with(&[task("a"), task("b")]);
    world.launched("a");
    world.launched("b");
    world.launch(&[task("late")]);
    world.transcript.clear();
    let stale = world.executor.members[&TaskId::from("a")].attempt;
    world.handle(GroupEvent::Disconnected);
    let unknown = LaunchAnswer::Unknown("connection refused".to_owned());
    world.handle(GroupEvent::Launched { task: "late".into(), answer: unknown });
    // The old agent's end of a wait is none of the task.
    let answer = WaitAnswer::Unknown("broken".to_owned());
    world.handle(GroupEvent::Waited { task: "a".into(), attempt: stale, answer });
    world.wait(Duration::from_secs(5));
    world.check(&expect![[""]]);
    world.subscribed();
    world.launched("late");
    world.waited("a", WaitAnswer::Unknown("Agent has not finished recovery".to_owned()));
    world.wait(Duration::from_secs(1));
    world.ended("a", 0);
    world.check(&expect![[r#"
        wait a
        wait b
        launch late
        late TASK_RUNNING
        wait late
        wait a
        a TASK_FINISHED: Command exited with status 0
    "#]]);
}

#[test]
fn a_task_out_of_time_or_health_is_killed() {
    let second = v1::DurationInfo { nanoseconds: 1_000_000_000 };
    let slow = v1::TaskInfo { max_completion_time: Some(second), ..task("slow") };
    let mut world = World::with(&[slow]);
    world.launched("slow");
    world.transcript.clear();
    world.wait(Duration::from_secs(1));
    world.ended("slow", 9);
    world.check(&expect![[r#"
        signal 15 to slow
        signal 9 to slow
        slow TASK_FAILED REASON_MAX_COMPLETION_TIME_REACHED: Command terminated with signal Killed
    "#]]);
    let check = v1::HealthCheck {
        grace_period_seconds: Some(0.0),
        delay_seconds: Some(0.0),
        consecutive_failures: Some(2),
        ..Default::default()
    };
    let mut world = World::with(&[v1::TaskInfo { health_check: Some(check), ..task("sick") }, task("b")]);
    world.launched("sick");
    world.launched("b");
    world.transcript.clear();
    for result in [Ok(()), Err("no".to_owned()), Err("no".to_owned())] {
        world.wait(Duration::from_secs(10));
        world.handle(GroupEvent::HealthChecked { task: "sick".into(), result });
    }
    world.ended("sick", 15);
    world.check(&expect![[r#"
        health check sick
        sick TASK_RUNNING REASON_TASK_HEALTH_CHECK_STATUS_UPDATED healthy=true
        health check sick
        sick TASK_RUNNING REASON_TASK_HEALTH_CHECK_STATUS_UPDATED healthy=false
        health check sick
        sick TASK_RUNNING REASON_TASK_HEALTH_CHECK_STATUS_UPDATED healthy=false
        sick TASK_KILLING
        signal 15 to sick
        sick TASK_KILLED healthy=false: Command terminated with signal Terminated
        b TASK_KILLING
        signal 15 to b
    "#]]);
}

#[test]
fn checks_tell_what_changed_and_pause_without_an_agent() {
    let check = v1::CheckInfo {
        r#type: Some(v1::check_info::Type::Command.into()),
        delay_seconds: Some(0.0),
        interval_seconds: Some(1.0),
        ..Default::default()
    };
    let mut world = World::with(&[v1::TaskInfo { check: Some(check.clone()), ..task("a") }]);
    world.launched("a");
    world.transcript.clear();
    let found = |code| {
        let mut status = status::no_result_yet(&check);
        status.command = Some(v1::check_status_info::Command { exit_code: Some(code) });
        Ok(Box::new(status))
    };
    for code in [0, 0, 1] {
        world.wait(Duration::from_secs(1));
        world.handle(GroupEvent::Checked { task: "a".into(), result: found(code) });
    }
    world.handle(GroupEvent::Disconnected);
    world.wait(Duration::from_secs(3));
    world.subscribed();
    world.wait(Duration::from_secs(1));
    world.check(&expect![[r#"
        check a
        a TASK_RUNNING REASON_TASK_CHECK_STATUS_UPDATED
        check a
        check a
        a TASK_RUNNING REASON_TASK_CHECK_STATUS_UPDATED
        wait a
        check a
    "#]]);
}

#[test]
fn a_shutdown_kills_all_and_does_not_wait_for_words() {
    let mut world = World::with(&[task("a"), task("b")]);
    world.launched("a");
    world.launched("b");
    world.transcript.clear();
    world.shutdown();
    world.ended("a", 15);
    world.ended("b", 15);
    world.wait(Duration::from_secs(1));
    world.check(&expect![[r#"
        a TASK_KILLING
        signal 15 to a
        b TASK_KILLING
        signal 15 to b
        a TASK_KILLED: Command terminated with signal Terminated
        b TASK_KILLED: Command terminated with signal Terminated
        exit 0
    "#]]);
}

#[test]
fn volumes_of_resources_are_shown_in_the_task() {
    let disk = v1::resource::DiskInfo {
        volume: Some(v1::Volume { container_path: "data".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let resource = v1::Resource { disk: Some(disk), ..Default::default() };
    let task = v1::TaskInfo { resources: vec![resource], ..task("a") };
    let call = launch::call(&ContainerId::root("C"), &task, Some("10.0.0.1"));
    let volume = &call.container.expect("it is contained").volumes[0];
    assert_eq!(volume.container_path, "data");
    let source = volume.source.as_ref().and_then(|source| source.sandbox_path.as_ref()).expect("a path");
    assert_eq!(source.path, "data");
    let variables = call.command.and_then(|command| command.environment).expect("variables").variables;
    let names: Vec<_> = variables.iter().map(|it| (it.name.as_str(), it.value())).collect();
    assert_eq!(names, [("MESOS_CONTAINER_IP", "10.0.0.1"), ("MESOS_ALLOCATION_ROLE", "")]);
}
