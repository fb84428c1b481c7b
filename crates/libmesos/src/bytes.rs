//! Objects of Java to our messages and back.

use bytes::Bytes;
use drivers::Status;
use jni::JNIEnv;
use jni::objects::{JByteArray, JObject, JString, JValue};
use prost::Message;
use proto::schema::Described;
use proto::wire;

use crate::classes;
use crate::fault::Fault;

/// What a message object says.
pub(crate) fn read<T: Message + Default + Described>(
    env: &mut JNIEnv<'_>,
    object: &JObject<'_>,
) -> Result<T, Fault> {
    if object.is_null() {
        return Err(jni::errors::Error::NullPtr("a message").into());
    }
    let array = JByteArray::from(env.call_method(object, "toByteArray", "()[B", &[])?.l()?);
    let bytes = Bytes::from(env.convert_byte_array(&array)?);
    env.delete_local_ref(array)?;
    Ok(wire::decode(bytes)?)
}

/// What each message object of a collection says.
pub(crate) fn read_all<T: Message + Default + Described>(
    env: &mut JNIEnv<'_>,
    collection: &JObject<'_>,
) -> Result<Vec<T>, Fault> {
    each(env, collection, |env, object| read(env, object))
}

/// The strings of a collection.
pub(crate) fn strings(env: &mut JNIEnv<'_>, collection: &JObject<'_>) -> Result<Vec<String>, Fault> {
    each(env, collection, |env, object| {
        let text = env.new_local_ref(object)?;
        string(env, text)
    })
}

/// The text of a string object.
pub(crate) fn string(env: &mut JNIEnv<'_>, object: JObject<'_>) -> Result<String, Fault> {
    let text = JString::from(object);
    Ok(env.get_string(&text)?.into())
}

/// The content of a byte array.
pub(crate) fn content(env: &mut JNIEnv<'_>, array: &JByteArray<'_>) -> Result<Bytes, Fault> {
    Ok(Bytes::from(env.convert_byte_array(array)?))
}

fn each<T>(
    env: &mut JNIEnv<'_>,
    collection: &JObject<'_>,
    mut read: impl FnMut(&mut JNIEnv<'_>, &JObject<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    if collection.is_null() {
        return Err(jni::errors::Error::NullPtr("a collection").into());
    }
    let iterator = env.call_method(collection, "iterator", "()Ljava/util/Iterator;", &[])?.l()?;
    let mut all = Vec::new();
    while env.call_method(&iterator, "hasNext", "()Z", &[])?.z()? {
        let object = env.call_method(&iterator, "next", "()Ljava/lang/Object;", &[])?.l()?;
        all.push(read(env, &object)?);
        // There may be more of them than a frame holds references.
        env.delete_local_ref(object)?;
    }
    Ok(all)
}

/// A message as an object of the class `org.apache.mesos.CLASS`.
pub(crate) fn write<'local, T: Message>(
    env: &mut JNIEnv<'local>,
    class: &str,
    message: &T,
) -> Result<JObject<'local>, Fault> {
    let name = format!("org/apache/mesos/{class}");
    let class = classes::find(env, &name)?;
    let array = JObject::from(env.byte_array_from_slice(&message.encode_to_vec())?);
    let signature = format!("([B)L{name};");
    let object = env.call_static_method(&class, "parseFrom", signature, &[JValue::Object(&array)])?.l()?;
    // A callback may have many messages, and a frame holds few references.
    env.delete_local_ref(array)?;
    env.delete_local_ref(class)?;
    Ok(object)
}

/// A status as Java has it.
pub(crate) fn status<'local>(env: &mut JNIEnv<'local>, status: Status) -> Result<JObject<'local>, Fault> {
    let class = classes::find(env, "org/apache/mesos/Protos$Status")?;
    let number = [JValue::Int(status.number())];
    Ok(env.call_static_method(&class, "valueOf", "(I)Lorg/apache/mesos/Protos$Status;", &number)?.l()?)
}
