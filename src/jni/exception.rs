//! [`Failure`]s and panics → `um.imap.oauth2.MailboxException`, in one place.

use std::any::Any;

use jni::errors::{ErrorPolicy, JniError};
use jni::objects::{JObject, JObjectArray, JString, JThrowable, JValue};
use jni::refs::IntoAuto;
use jni::strings::{JNIStr, JNIString};
use jni::{Env, jni_sig};

use super::classes;
use super::registry::explained;
use crate::failure::{Failure, Retry, panicked};

/// What an entry point fails with.
pub(super) enum Error {
    Failure(Box<Failure>),
    /// JNI itself: a Java exception that is under way, no room in the Java heap, or a wrong use of it.
    Jni(jni::errors::Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failure(Box::new(failure))
    }
}

impl From<jni::errors::Error> for Error {
    fn from(error: jni::errors::Error) -> Self {
        Self::Jni(error)
    }
}

/// Throws a `MailboxException` for each error and panic.
pub(super) struct ThrowMailboxException;

impl<T: Default> ErrorPolicy<T, Error> for ThrowMailboxException {
    type Captures<'unowned_env_local: 'native_method, 'native_method> = ();

    fn on_error<'unowned_env_local: 'native_method, 'native_method>(
        env: &mut Env<'unowned_env_local>,
        _captures: &mut (),
        error: Error,
    ) -> jni::errors::Result<T> {
        match error {
            // One that no mailbox returned.
            Error::Failure(failure) if failure.cause.is_empty() && failure.remedy.is_empty() => {
                throw(env, &explained(*failure));
            }
            Error::Failure(failure) => throw(env, &failure),
            Error::Jni(_) if env.exception_check() => {}
            Error::Jni(jni::errors::Error::JniCall(JniError::NoMemory)) => throw_out_of_memory(env),
            Error::Jni(error) => throw(env, &explained(Failure::internal(error))),
        }
        Ok(T::default())
    }

    fn on_panic<'unowned_env_local: 'native_method, 'native_method>(
        env: &mut Env<'unowned_env_local>,
        _captures: &mut (),
        payload: Box<dyn Any + Send + 'static>,
    ) -> jni::errors::Result<T> {
        throw(env, &explained(panicked(payload)));
        Ok(T::default())
    }
}

/// An array of `Throwable`, with null for what is none.
pub(super) fn exceptions<'local>(
    env: &mut Env<'local>,
    failures: &[Option<Failure>],
) -> Result<JObjectArray<'local, JThrowable<'local>>, Error> {
    let array = JObjectArray::<JThrowable>::new(env, failures.len(), JThrowable::null())?;
    for (index, failure) in failures.iter().enumerate() {
        if let Some(failure) = failure {
            let exception = exception(env, failure)?.auto();
            array.set_element(env, index, &*exception)?;
        }
    }
    Ok(array)
}

fn throw(env: &mut Env<'_>, failure: &Failure) {
    let thrown = exception(env, failure).and_then(|exception| env.throw(exception));
    // `throw` answers with an error too: what counts is whether an exception is under way. None must never mean success.
    match thrown {
        _ if env.exception_check() => {}
        Err(jni::errors::Error::JniCall(JniError::NoMemory)) => throw_out_of_memory(env),
        _ => throw_new(env, classes::INTERNAL, &failure.to_string()),
    }
}

/// The JVM's own, which says that the Java heap is full, is caught by `jni` and comes as an error.
fn throw_out_of_memory(env: &mut Env<'_>) {
    throw_new(env, classes::OUT_OF_MEMORY, "the Java heap has no room for what um-imap-oauth2 returns");
}

fn throw_new(env: &mut Env<'_>, class: &JNIStr, text: &str) {
    // It answers with an error in any case.
    let _ = classes::find(env, class).and_then(|class| env.throw_new(class, JNIString::from(text)));
}

fn exception<'local>(env: &mut Env<'local>, failure: &Failure) -> jni::errors::Result<JThrowable<'local>> {
    env.with_local_frame_returning_local::<_, JThrowable, _>(LOCAL_REFERENCES, |env| {
        let source = match &failure.source {
            Some(source) => exception(env, source)?,
            None => JThrowable::null(),
        };
        let step = JString::new(env, failure.step.name())?;
        let kind = JString::new(env, failure.kind.name())?;
        let observed = JString::new(env, &failure.observed)?;
        let key = match &failure.key {
            Some(key) => JString::new(env, key)?,
            None => JString::null(),
        };
        let cause = JString::new(env, &failure.cause)?;
        let remedy = JString::new(env, &failure.remedy)?;
        let id = match &failure.id {
            Some(id) => JString::new(env, id)?,
            None => JString::null(),
        };
        let retry_after = match failure.retry {
            Retry::After(time) => i64::try_from(time.as_millis()).unwrap_or(i64::MAX),
            Retry::Never | Retry::Later => -1,
        };
        let class = classes::find(env, classes::MAILBOX_EXCEPTION)?;
        // In step with the constructor of MailboxException, which MailboxExceptionTest checks.
        let object: JObject = env.new_object(
            class,
            jni_sig!(
                "(Ljava/lang/String;Ljava/lang/String;Ljava/lang/String;Ljava/lang/String;Ljava/lang/String;Ljava/lang/String;ZJLjava/lang/String;Ljava/lang/Throwable;)V"
            ),
            &[
                JValue::Object(&step),
                JValue::Object(&kind),
                JValue::Object(&observed),
                JValue::Object(&key),
                JValue::Object(&cause),
                JValue::Object(&remedy),
                JValue::Bool(failure.retry != Retry::Never),
                JValue::Long(retry_after),
                JValue::Object(&id),
                JValue::Object(&source),
            ],
        )?;
        env.cast_local::<JThrowable>(object)
    })
}

/// Strings, class, cause and the exception itself.
const LOCAL_REFERENCES: usize = 16;
