//! `org.apache.mesos.MesosSchedulerDriver`.

use bytes::Bytes;
use drivers::{Call, Scheduler, SchedulerCallback, SchedulerConfig, SchedulerDriver};
use jni::objects::{JByteArray, JObject, JValue, WeakRef};
use jni::sys::{jboolean, jobject};
use jni::{JNIEnv, JavaVM};
use proto::mesos::v1;

use crate::bytes::{content, read, read_all, status, string, strings, write};
use crate::fault::{self, Fault};
use crate::log;
use crate::table::Table;

static DRIVERS: Table<SchedulerDriver> = Table::new();

/// The field of a driver in which its number is.
const NUMBER: &str = "__driver";

/// The Java object that is called back.
struct Callee {
    vm: JavaVM,
    /// Weak: a driver that nobody has any more is finalised, and ends.
    driver: WeakRef,
}

impl Scheduler for Callee {
    fn call_back(&mut self, driver: &SchedulerDriver, callback: SchedulerCallback) {
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
            let scheduler = env.get_field(&object, "scheduler", "Lorg/apache/mesos/Scheduler;")?.l()?;
            call_back(env, &scheduler, &object, callback)
        });
        if let Err(fault) = called {
            give_up(&mut env, &fault);
            driver.abort();
        }
    }
}

/// Tells on stderr what a callback has thrown, and takes it away: nobody can catch it.
pub(crate) fn give_up(env: &mut JNIEnv<'_>, fault: &Fault) {
    tracing::error!(%fault, "a callback failed; the driver is aborted");
    // Where even this fails there is nothing left to tell.
    let _ = env.exception_describe();
    let _ = env.exception_clear();
}

fn call_back(
    env: &mut JNIEnv<'_>,
    scheduler: &JObject<'_>,
    driver: &JObject<'_>,
    callback: SchedulerCallback,
) -> Result<(), Fault> {
    let driver = JValue::Object(driver);
    match callback {
        SchedulerCallback::Registered(id, master) => {
            let id = write(env, "Protos$FrameworkID", &id)?;
            let master = write(env, "Protos$MasterInfo", &*master)?;
            let arguments = [driver, JValue::Object(&id), JValue::Object(&master)];
            call(env, scheduler, "registered", "Protos$FrameworkID;Protos$MasterInfo;", &arguments)
        }
        SchedulerCallback::Reregistered(master) => {
            let master = write(env, "Protos$MasterInfo", &*master)?;
            call(env, scheduler, "reregistered", "Protos$MasterInfo;", &[driver, JValue::Object(&master)])
        }
        SchedulerCallback::Disconnected => call(env, scheduler, "disconnected", "", &[driver]),
        SchedulerCallback::Offers(offers) => {
            let list = env.new_object("java/util/ArrayList", "()V", &[])?;
            for offer in &offers {
                let offer = write(env, "Protos$Offer", offer)?;
                env.call_method(&list, "add", "(Ljava/lang/Object;)Z", &[JValue::Object(&offer)])?;
                env.delete_local_ref(offer)?;
            }
            call(env, scheduler, "resourceOffers", "java/util/List;", &[driver, JValue::Object(&list)])
        }
        SchedulerCallback::Rescinded(id) => {
            let id = write(env, "Protos$OfferID", &id)?;
            call(env, scheduler, "offerRescinded", "Protos$OfferID;", &[driver, JValue::Object(&id)])
        }
        SchedulerCallback::Update(status) => {
            let status = write(env, "Protos$TaskStatus", &*status)?;
            call(env, scheduler, "statusUpdate", "Protos$TaskStatus;", &[driver, JValue::Object(&status)])
        }
        SchedulerCallback::Message { executor_id, agent_id, data } => {
            let executor = write(env, "Protos$ExecutorID", &executor_id)?;
            let agent = write(env, "Protos$SlaveID", &agent_id)?;
            let data = JObject::from(env.byte_array_from_slice(&data)?);
            let arguments =
                [driver, JValue::Object(&executor), JValue::Object(&agent), JValue::Object(&data)];
            call(env, scheduler, "frameworkMessage", "Protos$ExecutorID;Protos$SlaveID;[B", &arguments)
        }
        SchedulerCallback::AgentLost(id) => {
            let id = write(env, "Protos$SlaveID", &id)?;
            call(env, scheduler, "slaveLost", "Protos$SlaveID;", &[driver, JValue::Object(&id)])
        }
        SchedulerCallback::ExecutorLost { executor_id, agent_id, status } => {
            let executor = write(env, "Protos$ExecutorID", &executor_id)?;
            let agent = write(env, "Protos$SlaveID", &agent_id)?;
            let arguments = [driver, JValue::Object(&executor), JValue::Object(&agent), JValue::Int(status)];
            call(env, scheduler, "executorLost", "Protos$ExecutorID;Protos$SlaveID;I", &arguments)
        }
        SchedulerCallback::Error(message) => {
            let message = JObject::from(env.new_string(message)?);
            call(env, scheduler, "error", "java/lang/String;", &[driver, JValue::Object(&message)])
        }
    }
}

fn call(
    env: &mut JNIEnv<'_>,
    scheduler: &JObject<'_>,
    name: &str,
    parameters: &str,
    arguments: &[JValue<'_, '_>],
) -> Result<(), Fault> {
    let signature = signature("SchedulerDriver;", parameters);
    env.call_method(scheduler, name, signature, arguments)?;
    Ok(())
}

/// A callback's signature: its driver, then its parameters, without the package where that is Mesos's.
pub(crate) fn signature(driver: &str, parameters: &str) -> String {
    let mut signature = format!("(Lorg/apache/mesos/{driver}");
    for parameter in parameters.split_inclusive(';') {
        if parameter.starts_with("Protos$") {
            signature.push_str("Lorg/apache/mesos/");
        } else if parameter.starts_with("java/") {
            signature.push('L');
        }
        signature.push_str(parameter);
    }
    signature + ")V"
}

/// A field that older jars lack.
fn optional<'local>(
    env: &mut JNIEnv<'local>,
    object: &JObject<'_>,
    name: &str,
    kind: &str,
) -> Result<Option<JObject<'local>>, Fault> {
    match env.get_field(object, name, kind) {
        Ok(value) => Ok(Some(value.l()?).filter(|value| !value.is_null())),
        Err(_) => {
            env.exception_clear()?;
            Ok(None)
        }
    }
}

fn config(env: &mut JNIEnv<'_>, this: &JObject<'_>) -> Result<SchedulerConfig, Fault> {
    let framework = env.get_field(this, "framework", "Lorg/apache/mesos/Protos$FrameworkInfo;")?.l()?;
    let master = env.get_field(this, "master", "Ljava/lang/String;")?.l()?;
    let implicit_acknowledgements = match env.get_field(this, "implicitAcknowledgements", "Z") {
        Ok(value) => value.z()?,
        Err(_) => {
            env.exception_clear()?;
            true
        }
    };
    let credential = optional(env, this, "credential", "Lorg/apache/mesos/Protos$Credential;")?;
    let suppressed = optional(env, this, "suppressedRoles", "Ljava/util/Collection;")?;
    Ok(SchedulerConfig {
        framework: read(env, &framework)?,
        master: string(env, master)?,
        implicit_acknowledgements,
        credential: credential.map(|credential| read(env, &credential)).transpose()?,
        suppressed_roles: match suppressed {
            Some(roles) => strings(env, &roles)?,
            None => Vec::new(),
        },
    })
}

/// `initialize`.
#[unsafe(no_mangle)]
pub(crate) extern "system" fn Java_org_apache_mesos_MesosSchedulerDriver_initialize(
    mut env: JNIEnv<'_>,
    this: JObject<'_>,
) {
    fault::void(&mut env, |env| {
        log::begin();
        let config = config(env, &this)?;
        let driver = env.new_weak_ref(&this)?.ok_or(Fault::NoDriver)?;
        let callee = Callee { vm: env.get_java_vm()?, driver };
        let number = DRIVERS.add(SchedulerDriver::new(config, callee));
        env.set_field(&this, NUMBER, "J", JValue::Long(number))?;
        Ok(())
    });
}

/// `finalize`.
#[unsafe(no_mangle)]
pub(crate) extern "system" fn Java_org_apache_mesos_MesosSchedulerDriver_finalize(
    mut env: JNIEnv<'_>,
    this: JObject<'_>,
) {
    fault::void(&mut env, |env| {
        let number = env.get_field(&this, NUMBER, "J")?.j()?;
        drop(DRIVERS.remove(number));
        Ok(())
    });
}

fn driver(env: &mut JNIEnv<'_>, this: &JObject<'_>) -> Result<SchedulerDriver, Fault> {
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
    Java_org_apache_mesos_MesosSchedulerDriver_start(env, driver) { driver.start() }

    /// `stop(boolean)`.
    Java_org_apache_mesos_MesosSchedulerDriver_stop(env, driver, failover: jboolean) {
        driver.stop(failover != 0)
    }

    /// `abort`.
    Java_org_apache_mesos_MesosSchedulerDriver_abort(env, driver) { driver.abort() }

    /// `join`.
    Java_org_apache_mesos_MesosSchedulerDriver_join(env, driver) { driver.join() }

    /// `requestResources(Collection)`.
    Java_org_apache_mesos_MesosSchedulerDriver_requestResources(env, driver, requests: JObject<'local>) {
        driver.call(Call::Request(read_all(env, &requests)?))
    }

    /// `launchTasks(OfferID, Collection, Filters)`.
    Java_org_apache_mesos_MesosSchedulerDriver_launchTasks__Lorg_apache_mesos_Protos_00024OfferID_2Ljava_util_Collection_2Lorg_apache_mesos_Protos_00024Filters_2(
        env, driver, offer: JObject<'local>, tasks: JObject<'local>, filters: JObject<'local>
    ) {
        let offers = vec![read(env, &offer)?];
        driver.call(Call::launch(offers, read_all(env, &tasks)?, read(env, &filters)?))
    }

    /// `launchTasks(Collection, Collection, Filters)`.
    Java_org_apache_mesos_MesosSchedulerDriver_launchTasks__Ljava_util_Collection_2Ljava_util_Collection_2Lorg_apache_mesos_Protos_00024Filters_2(
        env, driver, offers: JObject<'local>, tasks: JObject<'local>, filters: JObject<'local>
    ) {
        let offers = read_all(env, &offers)?;
        driver.call(Call::launch(offers, read_all(env, &tasks)?, read(env, &filters)?))
    }

    /// `killTask(TaskID)`.
    Java_org_apache_mesos_MesosSchedulerDriver_killTask(env, driver, task: JObject<'local>) {
        driver.call(Call::Kill(read(env, &task)?))
    }

    /// `acceptOffers(Collection, Collection, Filters)`.
    Java_org_apache_mesos_MesosSchedulerDriver_acceptOffers(
        env, driver, offers: JObject<'local>, operations: JObject<'local>, filters: JObject<'local>
    ) {
        let offer_ids = read_all(env, &offers)?;
        let operations = read_all(env, &operations)?;
        driver.call(Call::Accept { offer_ids, operations, filters: read(env, &filters)? })
    }

    /// `declineOffer(OfferID, Filters)`.
    Java_org_apache_mesos_MesosSchedulerDriver_declineOffer(
        env, driver, offer: JObject<'local>, filters: JObject<'local>
    ) {
        driver.call(Call::Decline { offer_id: read(env, &offer)?, filters: read(env, &filters)? })
    }

    /// `reviveOffers()`.
    Java_org_apache_mesos_MesosSchedulerDriver_reviveOffers__(env, driver) {
        driver.call(Call::Revive(Vec::new()))
    }

    /// `reviveOffers(Collection)`: of no roles at all it does nothing.
    Java_org_apache_mesos_MesosSchedulerDriver_reviveOffers__Ljava_util_Collection_2(
        env, driver, roles: JObject<'local>
    ) {
        let roles = strings(env, &roles)?;
        if roles.is_empty() { driver.status() } else { driver.call(Call::Revive(roles)) }
    }

    /// `suppressOffers()`.
    Java_org_apache_mesos_MesosSchedulerDriver_suppressOffers__(env, driver) {
        driver.call(Call::Suppress(Vec::new()))
    }

    /// `suppressOffers(Collection)`: of no roles at all it does nothing.
    Java_org_apache_mesos_MesosSchedulerDriver_suppressOffers__Ljava_util_Collection_2(
        env, driver, roles: JObject<'local>
    ) {
        let roles = strings(env, &roles)?;
        if roles.is_empty() { driver.status() } else { driver.call(Call::Suppress(roles)) }
    }

    /// `acknowledgeStatusUpdate(TaskStatus)`.
    Java_org_apache_mesos_MesosSchedulerDriver_acknowledgeStatusUpdate(env, driver, update: JObject<'local>) {
        driver.call(Call::Acknowledge(Box::new(read(env, &update)?)))
    }

    /// `sendFrameworkMessage(ExecutorID, SlaveID, byte[])`.
    Java_org_apache_mesos_MesosSchedulerDriver_sendFrameworkMessage(
        env, driver, executor: JObject<'local>, agent: JObject<'local>, data: JByteArray<'local>
    ) {
        let data: Bytes = content(env, &data)?;
        let executor_id = read(env, &executor)?;
        driver.call(Call::Message { executor_id, agent_id: read(env, &agent)?, data })
    }

    /// `reconcileTasks(Collection)`.
    Java_org_apache_mesos_MesosSchedulerDriver_reconcileTasks(env, driver, statuses: JObject<'local>) {
        driver.call(Call::Reconcile(read_all(env, &statuses)?))
    }

    /// `updateFramework(FrameworkInfo, Collection)`.
    Java_org_apache_mesos_MesosSchedulerDriver_updateFramework(
        env, driver, framework: JObject<'local>, roles: JObject<'local>
    ) {
        let framework: v1::FrameworkInfo = read(env, &framework)?;
        let suppressed_roles = strings(env, &roles)?;
        driver.call(Call::UpdateFramework {
            framework: Box::new(framework),
            suppressed_roles,
            offer_constraints: None,
        })
    }

    /// `updateFrameworkWithConstraints(FrameworkInfo, Collection, OfferConstraints)`.
    Java_org_apache_mesos_MesosSchedulerDriver_updateFrameworkWithConstraints(
        env, driver, framework: JObject<'local>, roles: JObject<'local>, constraints: JObject<'local>
    ) {
        let framework: v1::FrameworkInfo = read(env, &framework)?;
        let suppressed_roles = strings(env, &roles)?;
        driver.call(Call::UpdateFramework {
            framework: Box::new(framework),
            suppressed_roles,
            offer_constraints: Some(read(env, &constraints)?),
        })
    }
}
