//! What goes wrong on the native side, and how Java is told.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jni::JNIEnv;
use jni::objects::JObject;
use jni::sys::jobject;
use proto::wire::WireError;

/// Why a native method cannot do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The JVM refuses, or an exception of Java's is on its way.
    #[error("{0}")]
    Java(#[from] jni::errors::Error),
    /// An object's bytes are not its message.
    #[error("{0}")]
    Bytes(#[from] WireError),
    /// The object was never initialised, or is finalised already.
    #[error("The driver is not initialized")]
    NoDriver,
}

/// Runs a native method that answers an object; null when it throws.
pub(crate) fn object<'local>(
    env: &mut JNIEnv<'local>,
    body: impl FnOnce(&mut JNIEnv<'local>) -> Result<JObject<'local>, Fault>,
) -> jobject {
    run(env, body).map_or(std::ptr::null_mut(), |object| object.into_raw())
}

/// Runs a native method that answers nothing.
pub(crate) fn void<'local>(
    env: &mut JNIEnv<'local>,
    body: impl FnOnce(&mut JNIEnv<'local>) -> Result<(), Fault>,
) {
    // What went wrong is thrown.
    let _ = run(env, body);
}

/// Runs the body, and throws what goes wrong with it. A panic of ours is thrown as well: it must not unwind into Java.
fn run<'local, T>(
    env: &mut JNIEnv<'local>,
    body: impl FnOnce(&mut JNIEnv<'local>) -> Result<T, Fault>,
) -> Option<T> {
    let (class, message) = match catch_unwind(AssertUnwindSafe(|| body(env))) {
        Ok(Ok(answer)) => return Some(answer),
        Ok(Err(fault @ Fault::Bytes(_))) => ("java/lang/IllegalArgumentException", fault.to_string()),
        Ok(Err(fault)) => ("java/lang/IllegalStateException", fault.to_string()),
        Err(_) => ("java/lang/InternalError", "libmesos panicked; see stderr".to_owned()),
    };
    throw(env, class, &message);
    None
}

/// Throws, unless something is thrown already.
pub(crate) fn throw(env: &mut JNIEnv<'_>, class: &str, message: &str) {
    let pending = env.exception_check().unwrap_or(false);
    if !pending && let Err(error) = env.throw_new(class, message) {
        tracing::error!(%error, class, message, "cannot throw");
    }
}
