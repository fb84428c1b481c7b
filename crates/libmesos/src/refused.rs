//! Native methods of classes that are not supported: they link, so that the classes load, and throw.
//!
//! `InMemoryState` needs nothing native. The other states and `Log` keep their data in places of Apache Mesos's own (its
//! replicated log, LevelDB), and `V0Mesos` and `V1Mesos` speak the v1 API.

use jni::JNIEnv;
use jni::objects::{JObject, JString};
use jni::sys::{jboolean, jlong, jobject};

use crate::fault::throw;

fn refuse(env: &mut JNIEnv<'_>, this: &JObject<'_>) {
    let class = env.get_object_class(this).and_then(|class| {
        let name = env.call_method(&class, "getName", "()Ljava/lang/String;", &[])?.l()?;
        let name = JString::from(name);
        Ok(String::from(env.get_string(&name)?))
    });
    let class = class.unwrap_or_else(|_| "This class".to_owned());
    let message = format!(
        "{class} is not supported by this libmesos; it has MesosSchedulerDriver and MesosExecutorDriver (and \
         InMemoryState, which needs none)"
    );
    throw(env, "java/lang/UnsupportedOperationException", &message);
}

/// Methods that throw. What else they are given is not looked at: the caller clears it away.
macro_rules! refused {
    ($($kind:ty, $nothing:expr => { $($name:ident)* })*) => {$($(
        #[doc = "Throws."]
        #[unsafe(no_mangle)]
        pub(crate) extern "system" fn $name(mut env: JNIEnv<'_>, this: JObject<'_>) -> $kind {
            refuse(&mut env, &this);
            $nothing
        }
    )*)*};
}

/// Methods that have nothing to free.
macro_rules! finalizers {
    ($($name:ident)*) => {$(
        #[doc = "Does nothing."]
        #[unsafe(no_mangle)]
        pub(crate) extern "system" fn $name(_: JNIEnv<'_>, _: JObject<'_>) {}
    )*};
}

refused! {
    (), () => {
        Java_org_apache_mesos_Log_00024Reader_initialize
        Java_org_apache_mesos_Log_00024Writer_initialize
        Java_org_apache_mesos_Log_initialize__ILjava_lang_String_2Ljava_util_Set_2
        Java_org_apache_mesos_Log_initialize__ILjava_lang_String_2Ljava_lang_String_2JLjava_util_concurrent_TimeUnit_2Ljava_lang_String_2
        Java_org_apache_mesos_Log_initialize__ILjava_lang_String_2Ljava_lang_String_2JLjava_util_concurrent_TimeUnit_2Ljava_lang_String_2Ljava_lang_String_2_3B
        Java_org_apache_mesos_v1_scheduler_V0Mesos_send
        Java_org_apache_mesos_v1_scheduler_V0Mesos_initialize
        Java_org_apache_mesos_v1_scheduler_V1Mesos_send
        Java_org_apache_mesos_v1_scheduler_V1Mesos_reconnect
        Java_org_apache_mesos_v1_scheduler_V1Mesos_initialize
        Java_org_apache_mesos_state_ZooKeeperState_initialize__Ljava_lang_String_2JLjava_util_concurrent_TimeUnit_2Ljava_lang_String_2
        Java_org_apache_mesos_state_ZooKeeperState_initialize__Ljava_lang_String_2JLjava_util_concurrent_TimeUnit_2Ljava_lang_String_2Ljava_lang_String_2_3B
        Java_org_apache_mesos_state_LevelDBState_initialize
        Java_org_apache_mesos_state_LogState_initialize
    }
    jobject, std::ptr::null_mut() => {
        Java_org_apache_mesos_Log_00024Reader_read
        Java_org_apache_mesos_Log_00024Reader_beginning
        Java_org_apache_mesos_Log_00024Reader_ending
        Java_org_apache_mesos_Log_00024Reader_catchup
        Java_org_apache_mesos_Log_00024Writer_append
        Java_org_apache_mesos_Log_00024Writer_truncate
        Java_org_apache_mesos_state_Variable_value
        Java_org_apache_mesos_state_Variable_mutate
        Java_org_apache_mesos_state_AbstractState_00024FetchFuture_get__
        Java_org_apache_mesos_state_AbstractState_00024FetchFuture_get__JLjava_util_concurrent_TimeUnit_2
        Java_org_apache_mesos_state_AbstractState_00024StoreFuture_get__
        Java_org_apache_mesos_state_AbstractState_00024StoreFuture_get__JLjava_util_concurrent_TimeUnit_2
        Java_org_apache_mesos_state_AbstractState_00024ExpungeFuture_get__
        Java_org_apache_mesos_state_AbstractState_00024ExpungeFuture_get__JLjava_util_concurrent_TimeUnit_2
        Java_org_apache_mesos_state_AbstractState_00024NamesFuture_get__
        Java_org_apache_mesos_state_AbstractState_00024NamesFuture_get__JLjava_util_concurrent_TimeUnit_2
        Java_org_apache_mesos_state_AbstractState__1_1fetch_1get
        Java_org_apache_mesos_state_AbstractState__1_1fetch_1get_1timeout
        Java_org_apache_mesos_state_AbstractState__1_1store_1get
        Java_org_apache_mesos_state_AbstractState__1_1store_1get_1timeout
        Java_org_apache_mesos_state_AbstractState__1_1expunge_1get
        Java_org_apache_mesos_state_AbstractState__1_1expunge_1get_1timeout
        Java_org_apache_mesos_state_AbstractState__1_1names_1get
        Java_org_apache_mesos_state_AbstractState__1_1names_1get_1timeout
    }
    jlong, 0 => {
        Java_org_apache_mesos_state_AbstractState__1_1fetch
        Java_org_apache_mesos_state_AbstractState__1_1store
        Java_org_apache_mesos_state_AbstractState__1_1expunge
        Java_org_apache_mesos_state_AbstractState__1_1names
    }
    jboolean, 0 => {
        Java_org_apache_mesos_state_AbstractState_00024FetchFuture_cancel
        Java_org_apache_mesos_state_AbstractState_00024FetchFuture_isCancelled
        Java_org_apache_mesos_state_AbstractState_00024FetchFuture_isDone
        Java_org_apache_mesos_state_AbstractState_00024StoreFuture_cancel
        Java_org_apache_mesos_state_AbstractState_00024StoreFuture_isCancelled
        Java_org_apache_mesos_state_AbstractState_00024StoreFuture_isDone
        Java_org_apache_mesos_state_AbstractState_00024ExpungeFuture_cancel
        Java_org_apache_mesos_state_AbstractState_00024ExpungeFuture_isCancelled
        Java_org_apache_mesos_state_AbstractState_00024ExpungeFuture_isDone
        Java_org_apache_mesos_state_AbstractState_00024NamesFuture_cancel
        Java_org_apache_mesos_state_AbstractState_00024NamesFuture_isCancelled
        Java_org_apache_mesos_state_AbstractState_00024NamesFuture_isDone
        Java_org_apache_mesos_state_AbstractState__1_1fetch_1cancel
        Java_org_apache_mesos_state_AbstractState__1_1fetch_1is_1cancelled
        Java_org_apache_mesos_state_AbstractState__1_1fetch_1is_1done
        Java_org_apache_mesos_state_AbstractState__1_1store_1cancel
        Java_org_apache_mesos_state_AbstractState__1_1store_1is_1cancelled
        Java_org_apache_mesos_state_AbstractState__1_1store_1is_1done
        Java_org_apache_mesos_state_AbstractState__1_1expunge_1cancel
        Java_org_apache_mesos_state_AbstractState__1_1expunge_1is_1cancelled
        Java_org_apache_mesos_state_AbstractState__1_1expunge_1is_1done
        Java_org_apache_mesos_state_AbstractState__1_1names_1cancel
        Java_org_apache_mesos_state_AbstractState__1_1names_1is_1cancelled
        Java_org_apache_mesos_state_AbstractState__1_1names_1is_1done
    }
}

finalizers! {
    Java_org_apache_mesos_Log_00024Reader_finalize
    Java_org_apache_mesos_Log_00024Writer_finalize
    Java_org_apache_mesos_Log_finalize
    Java_org_apache_mesos_v1_scheduler_V0Mesos_finalize
    Java_org_apache_mesos_v1_scheduler_V1Mesos_finalize
    Java_org_apache_mesos_state_Variable_finalize
    Java_org_apache_mesos_state_AbstractState_00024FetchFuture_finalize
    Java_org_apache_mesos_state_AbstractState_00024StoreFuture_finalize
    Java_org_apache_mesos_state_AbstractState_00024ExpungeFuture_finalize
    Java_org_apache_mesos_state_AbstractState_00024NamesFuture_finalize
    Java_org_apache_mesos_state_AbstractState_finalize
    Java_org_apache_mesos_state_AbstractState__1_1fetch_1finalize
    Java_org_apache_mesos_state_AbstractState__1_1store_1finalize
    Java_org_apache_mesos_state_AbstractState__1_1expunge_1finalize
    Java_org_apache_mesos_state_AbstractState__1_1names_1finalize
    Java_org_apache_mesos_state_LogState_finalize
}
