//! `org.apache.mesos.MesosExecutorDriver`.

use drivers::{Executor, ExecutorCallback, ExecutorDriver};
use jni::objects::{JByteArray, JObject, JValue, WeakRef};
use jni::sys::jobject;
use jni::{JNIEnv, JavaVM};

use crate::bytes::{content, read, status, write};
use crate::fault::{self, Fault};
use crate::log;
use crate::scheduler::{give_up, signature};
use crate::table::Table;

static DRIVERS: Table<ExecutorDriver> = Table::new();

/// The field of a driver in which its number is.
const NUMBER: &str = "__driver";

/// The Java object that is called back.
struct Callee {
    vm: JavaVM,
    /// Weak: a driver that nobody has any more is finalised, and ends.
    driver: WeakRef,
}

impl Callee {
    fn call(
        &self,
        driver: &ExecutorDriver,
        body: impl FnOnce(&mut JNIEnv<'_>, &JObject<'_>, &JObject<'_>) -> Result<(), Fault>,
    ) {
        // A driver must not keep the JVM from ending.
        let mut env = match self.vm.attach_current_thread_as_daemon() {
            Ok(env) => env,
            Err(error) => {
                tracing::error!(%error, "the JVM takes no threads any more");
                driver.abort();
                return;
            }
        };
        let called = env.with_local_frame(32, |env| -> Result<(), Fault> {
            let Some(object) = self.driver.upgrade_local(env)? else { return Ok(()) };
            let executor = env.get_field(&object, "executor", "Lorg/apache/mesos/Executor;")?.l()?;
            body(env, &executor, &object)
        });
        if let Err(fault) = called {
            give_up(&mut env, &fault);
            driver.abort();
        }
    }
}

impl Executor for Callee {
    fn call_back(&mut self, driver: &ExecutorDriver, callback: ExecutorCallback) {
        self.call(driver, |env, executor, object| call_back(env, executor, object, callback));
    }

    fn error(&mut self, driver: &ExecutorDriver, message: String) {
        self.call(driver, |env, executor, object| {
            let message = JObject::from(env.new_string(message)?);
            let arguments = [JValue::Object(object), JValue::Object(&message)];
            call(env, executor, "error", "java/lang/String;", &arguments)
        });
    }
}

fn call_back(
    env: &mut JNIEnv<'_>,
    target: &JObject<'_>,
    driver: &JObject<'_>,
    callback: ExecutorCallback,
) -> Result<(), Fault> {
    let driver = JValue::Object(driver);
    match callback {
        ExecutorCallback::Registered { executor, framework, agent } => {
            let executor = write(env, "Protos$ExecutorInfo", &*executor)?;
            let framework = write(env, "Protos$FrameworkInfo", &*framework)?;
            let agent = write(env, "Protos$SlaveInfo", &*agent)?;
            let arguments =
                [driver, JValue::Object(&executor), JValue::Object(&framework), JValue::Object(&agent)];
            let parameters = "Protos$ExecutorInfo;Protos$FrameworkInfo;Protos$SlaveInfo;";
            call(env, target, "registered", parameters, &arguments)
        }
        ExecutorCallback::Reregistered(agent) => {
            let agent = write(env, "Protos$SlaveInfo", &*agent)?;
            call(env, target, "reregistered", "Protos$SlaveInfo;", &[driver, JValue::Object(&agent)])
        }
        ExecutorCallback::LaunchTask(task) => {
            let task = write(env, "Protos$TaskInfo", &*task)?;
            call(env, target, "launchTask", "Protos$TaskInfo;", &[driver, JValue::Object(&task)])
        }
        ExecutorCallback::KillTask(id) => {
            let id = write(env, "Protos$TaskID", &id)?;
            call(env, target, "killTask", "Protos$TaskID;", &[driver, JValue::Object(&id)])
        }
        ExecutorCallback::Message(data) => {
            let data = JObject::from(env.byte_array_from_slice(&data)?);
            call(env, target, "frameworkMessage", "[B", &[driver, JValue::Object(&data)])
        }
        ExecutorCallback::Shutdown => call(env, target, "shutdown", "", &[driver]),
    }
}

fn call(
    env: &mut JNIEnv<'_>,
    executor: &JObject<'_>,
    name: &str,
    parameters: &str,
    arguments: &[JValue<'_, '_>],
) -> Result<(), Fault> {
    let signature = signature("ExecutorDriver;", parameters);
    env.call_method(executor, name, signature, arguments)?;
    Ok(())
}

/// `initialize`.
#[unsafe(no_mangle)]
pub(crate) extern "system" fn Java_org_apache_mesos_MesosExecutorDriver_initialize(
    mut env: JNIEnv<'_>,
    this: JObject<'_>,
) {
    fault::void(&mut env, |env| {
        log::begin();
        let driver = env.new_weak_ref(&this)?.ok_or(Fault::NoDriver)?;
        let callee = Callee { vm: env.get_java_vm()?, driver };
        let number = DRIVERS.add(ExecutorDriver::new(callee));
        env.set_field(&this, NUMBER, "J", JValue::Long(number))?;
        Ok(())
    });
}

/// `finalize`.
#[unsafe(no_mangle)]
pub(crate) extern "system" fn Java_org_apache_mesos_MesosExecutorDriver_finalize(
    mut env: JNIEnv<'_>,
    this: JObject<'_>,
) {
    fault::void(&mut env, |env| {
        let number = env.get_field(&this, NUMBER, "J")?.j()?;
        drop(DRIVERS.remove(number));
        Ok(())
    });
}

fn driver(env: &mut JNIEnv<'_>, this: &JObject<'_>) -> Result<ExecutorDriver, Fault> {
    let number = env.get_field(this, NUMBER, "J")?.j()?;
    DRIVERS.get(number).ok_or(Fault::NoDriver)
}

/// Native methods that answer the driver's status.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident($env:ident, $driver:ident $(, $argument:ident: $kind:ty)*) $body:block)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        pub(crate) extern "system" fn $name<'local>(
            mut env: JNIEnv<'local>,
            this: JObject<'local>,
            $($argument: $kind,)*
        ) -> jobject {
            fault::object(&mut env, |$env| {
                let $driver = driver($env, &this)?;
                let answer = $body;
                status($env, answer)
            })
        }
    )*};
}

methods! {
    /// `start`.
    Java_org_apache_mesos_MesosExecutorDriver_start(env, driver) { driver.start() }

    /// `stop`.
    Java_org_apache_mesos_MesosExecutorDriver_stop(env, driver) { driver.stop() }

    /// `abort`.
    Java_org_apache_mesos_MesosExecutorDriver_abort(env, driver) { driver.abort() }

    /// `join`.
    Java_org_apache_mesos_MesosExecutorDriver_join(env, driver) { driver.join() }

    /// `sendStatusUpdate(TaskStatus)`.
    Java_org_apache_mesos_MesosExecutorDriver_sendStatusUpdate(env, driver, update: JObject<'local>) {
        driver.send_status_update(read(env, &update)?)
    }

    /// `sendFrameworkMessage(byte[])`.
    Java_org_apache_mesos_MesosExecutorDriver_sendFrameworkMessage(env, driver, data: JByteArray<'local>) {
        driver.send_framework_message(content(env, &data)?)
    }
}
