//! `libmesos.so`: the native side of the Java classes `org.apache.mesos.*`, for frameworks that run in a JVM.
//!
//! Java loads this library by `MESOS_NATIVE_JAVA_LIBRARY`. Messages cross as bytes (`toByteArray` of the object,
//! `parseFrom` of the class), so that it does not matter which protobuf the jar was made with, nor where that was moved.
//!
//! HotSpot looks for a native method's short name before the long one with its arguments. So whatever has overloads in any
//! version of the jar has its long name alone, or one overload would take the calls of all.
//!
//! `unsafe` is in the attributes that export functions, and nowhere else: a driver's number in its Java object is looked
//! up in a table, never taken for a pointer.

mod bytes;
mod classes;
mod executor;
mod fault;
mod log;
mod refused;
mod scheduler;
mod table;

use std::ffi::c_void;

use jni::objects::{JClass, JValue};
use jni::sys::{JNI_ERR, JNI_VERSION_1_2, jint, jobject};
use jni::{JNIEnv, JavaVM};

/// The JVM has loaded this library.
#[unsafe(no_mangle)]
pub extern "system" fn JNI_OnLoad(vm: JavaVM, _: *mut c_void) -> jint {
    let loaded = || -> Result<(), fault::Fault> {
        let mut env = vm.get_env()?;
        classes::remember_loader(&mut env)?;
        let class = classes::find(&mut env, "org/apache/mesos/MesosNativeLibrary")?;
        let field = env.get_static_field_id(&class, "loaded", "Z")?;
        // The Java side never sets this by itself, and would load again and again.
        env.set_static_field(&class, field, JValue::Bool(1))?;
        Ok(())
    };
    match loaded() {
        Ok(()) => JNI_VERSION_1_2,
        Err(_) => JNI_ERR,
    }
}

/// `MesosNativeLibrary._version`.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_apache_mesos_MesosNativeLibrary__1version(
    mut env: JNIEnv<'_>,
    _: JClass<'_>,
) -> jobject {
    fault::object(&mut env, |env| {
        let class = classes::find(env, "org/apache/mesos/MesosNativeLibrary$Version")?;
        let mut numbers =
            daemon::VERSION.mesos.split('.').map(|part| part.parse::<i64>().unwrap_or_default());
        let mut next = || JValue::Long(numbers.next().unwrap_or_default());
        let parts = [next(), next(), next()];
        Ok(env.new_object(&class, "(JJJ)V", &parts)?)
    })
}
