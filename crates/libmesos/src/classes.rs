//! Finding Java's classes.
//!
//! A thread that Java did not start sees only the classes of the system. Mesos's are wherever the application put them, so
//! they are asked of the loader that loaded this library.

use std::sync::OnceLock;

use jni::JNIEnv;
use jni::objects::{JClass, JObject, JValue, WeakRef};

use crate::fault::Fault;

/// The context class loader of the thread that loaded this library. Weak, so that an application can be unloaded.
static LOADER: OnceLock<Option<WeakRef>> = OnceLock::new();

/// Remembers the current thread's context class loader. Java sets it to the jar's own while it loads this library.
pub(crate) fn remember_loader(env: &mut JNIEnv<'_>) -> Result<(), Fault> {
    let thread =
        env.call_static_method("java/lang/Thread", "currentThread", "()Ljava/lang/Thread;", &[])?.l()?;
    let loader = env.call_method(&thread, "getContextClassLoader", "()Ljava/lang/ClassLoader;", &[])?.l()?;
    LOADER.get_or_init(|| env.new_weak_ref(&loader).ok().flatten());
    Ok(())
}

/// A class of Mesos's, by its name with slashes.
pub(crate) fn find<'local>(env: &mut JNIEnv<'local>, name: &str) -> Result<JClass<'local>, Fault> {
    let loader = match LOADER.get() {
        Some(Some(weak)) => weak.upgrade_local(env)?,
        Some(None) | None => None,
    };
    let Some(loader) = loader else { return Ok(env.find_class(name)?) };
    let name = JObject::from(env.new_string(name.replace('/', "."))?);
    let signature = "(Ljava/lang/String;)Ljava/lang/Class;";
    let class = env.call_method(&loader, "loadClass", signature, &[JValue::Object(&name)])?.l()?;
    env.delete_local_ref(name)?;
    env.delete_local_ref(loader)?;
    Ok(JClass::from(class))
}
