//! The executor of the tests of our drivers: tasks run until they are told to finish, or killed.

use bytes::Bytes;
use drivers::{Executor, ExecutorCallback, ExecutorDriver, Status};
use proto::mesos::v1::{self, TaskState};

struct Tasks {
    running: Vec<v1::TaskId>,
}

fn report(driver: &ExecutorDriver, task_id: v1::TaskId, state: TaskState, data: Option<Bytes>) {
    let status = v1::TaskStatus { task_id, state: state.into(), data, ..v1::TaskStatus::default() };
    assert_eq!(driver.send_status_update(status), Status::Running);
}

impl Executor for Tasks {
    fn call_back(&mut self, driver: &ExecutorDriver, callback: ExecutorCallback) {
        match callback {
            ExecutorCallback::Registered { executor, framework, agent } => {
                assert!(executor.executor_id.value.starts_with("executor-"), "{executor:?}");
                assert_eq!((framework.name.as_str(), agent.hostname.as_str()), ("drivers", "127.0.0.1"));
            }
            ExecutorCallback::Reregistered(_) => {}
            ExecutorCallback::LaunchTask(task) => {
                self.running.push(task.task_id.clone());
                report(driver, task.task_id, TaskState::TaskRunning, task.data);
            }
            ExecutorCallback::KillTask(id) => {
                self.running.retain(|running| *running != id);
                report(driver, id, TaskState::TaskKilled, None);
            }
            ExecutorCallback::Message(data) => {
                if data == "finish" {
                    for id in self.running.drain(..) {
                        report(driver, id, TaskState::TaskFinished, None);
                    }
                }
                driver.send_framework_message(data);
            }
            ExecutorCallback::Shutdown => {
                driver.stop();
            }
        }
    }

    fn error(&mut self, _: &ExecutorDriver, message: String) {
        panic!("{message}");
    }
}

fn main() {
    let driver = ExecutorDriver::new(Tasks { running: Vec::new() });
    assert_eq!(driver.run(), Status::Stopped);
}
