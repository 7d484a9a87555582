//! The classes of the JVM that are needed to tell Java of a failure.
//!
//! `jni` looks up the class of an exception when it has caught one, by calls of Java's. Where these fail themselves it looks up
//! the classes of their exceptions, and so on without end: near the end of a thread's stack, or with a context class loader that
//! is closed. What it has looked up once it keeps, so it does that when there is nothing in the way yet. They are classes of the
//! JVM's own, so that nobody's class loader is held by them.

use jni::Env;
use jni::errors::Result;
use jni::exceptions::{
    JArrayIndexOutOfBoundsException, JArrayStoreException, JClassCircularityError, JClassFormatError,
    JClassNotFoundException, JExceptionInInitializerError, JIllegalArgumentException,
    JIllegalMonitorStateException, JInstantiationException, JLinkageError, JNoClassDefFoundError,
    JNoSuchFieldError, JNoSuchMethodError, JNumberFormatException, JOutOfMemoryError, JSecurityException,
    JStringIndexOutOfBoundsException,
};
use jni::jni_str;
use jni::objects::{JClass, JClassLoader, JObject, JString, JThread, JThrowable};
use jni::refs::{LoaderContext, Reference};
use jni::strings::JNIStr;

/// Looks up all of them.
pub(super) fn look_up(env: &mut Env<'_>) -> Result<()> {
    macro_rules! look_up {
        ($($class:ty),* $(,)?) => {
            $(drop(<$class>::lookup_class(env, &LoaderContext::None)?);)*
        };
    }
    look_up!(
        JObject,
        JString,
        JThrowable,
        JClass,
        JClassLoader,
        JThread,
        JArrayIndexOutOfBoundsException,
        JArrayStoreException,
        JClassCircularityError,
        JClassFormatError,
        JClassNotFoundException,
        JExceptionInInitializerError,
        JIllegalArgumentException,
        JIllegalMonitorStateException,
        JInstantiationException,
        JLinkageError,
        JNoClassDefFoundError,
        JNoSuchFieldError,
        JNoSuchMethodError,
        JNumberFormatException,
        JOutOfMemoryError,
        JSecurityException,
        JStringIndexOutOfBoundsException,
    );
    find(env, MAILBOX_EXCEPTION)?;
    find(env, OUT_OF_MEMORY)?;
    find(env, INTERNAL)?;
    Ok(())
}

/// As the class loader of `Native` has it: the context class loader of the calling thread can have another one of that name.
pub(super) fn find<'local>(env: &mut Env<'local>, name: &JNIStr) -> Result<JClass<'local>> {
    env.find_class(name)
}

pub(super) const MAILBOX_EXCEPTION: &JNIStr = jni_str!("um/imap/oauth2/MailboxException");
pub(super) const OUT_OF_MEMORY: &JNIStr = jni_str!("java/lang/OutOfMemoryError");
pub(super) const INTERNAL: &JNIStr = jni_str!("java/lang/InternalError");
