//! The native methods of `um.imap.oauth2.Native`: convert, call, convert back, and nothing else.
//!
//! Names and signatures must equal those in `java/src/main/java/um/imap/oauth2/Native.java`, where each method is
//! described. The compiler checks the functions here against the signatures that [`entry!`] is given,
//! `tests/exports.rs` compares what is exported with what `javac -h` makes of it.

mod classes;
mod convert;
mod exception;
mod files;
mod registry;

use std::collections::HashMap;
use std::ffi::c_void;

use chrono::{DateTime, NaiveDate, Utc};
use jni::objects::{JByteArray, JClass, JLongArray, JObjectArray, JString, JThrowable};
use jni::sys::{JNI_VERSION_1_8, jboolean, jint, jlong};
use jni::{Env, NativeMethod, native_method};
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};

use crate::check::{self, Connection, Detail};
use crate::config::keys::{FILE_SUFFIX, LANG};
use crate::config::{self, Language, Loaded};
use crate::failure::{Failure, Kind, Step, keep_the_place_of_panics};
use crate::log::Level;
use crate::mailbox::{Body, FetchId, MessageId, Outcome};
use crate::message;
use crate::net::JvmProxy;
use crate::text::Layout;
use exception::{Error, ThrowMailboxException};

/// The JVM calls this once, before any other function of the library.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "system" fn JNI_OnLoad(_vm: *mut jni::sys::JavaVM, _reserved: *mut c_void) -> jint {
    keep_the_place_of_panics();
    #[cfg(windows)]
    stay_loaded();
    JNI_VERSION_1_8
}

/// A class loader that goes away unloads its libraries, while threads of the JVM still have to run the destructors of
/// Rust's thread-locals when they end. On Linux `-z nodelete` (build.rs) sees to that.
#[cfg(windows)]
fn stay_loaded() {
    use windows_sys::Win32::System::LibraryLoader::{
        GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN, GetModuleHandleExW,
    };

    let mut module = std::ptr::null_mut();
    // SAFETY: with FROM_ADDRESS the second argument is any address within the module and is not read, and the third one
    // outlives the call. It fails for an address outside of all modules only.
    unsafe {
        GetModuleHandleExW(
            GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
            stay_loaded as *const u16,
            &mut module,
        );
    }
}

/// Octets that are handed to Java at once.
const PIECE: usize = 4 * 1024;

macro_rules! entry {
    ($($signature:tt)*) => {
        const _: NativeMethod = native_method! {
            java_type = "um.imap.oauth2.Native",
            error_policy = ThrowMailboxException,
            static extern $($signature)*
        };
    };
}

entry! { fn version() -> JString, }
entry! { fn target() -> JString, }
entry! { fn prepare(), }
entry! { fn trust(issuers: jbyte[][], problem: JString), }
entry! { fn proxy(host: JString, port: JString, exceptions: JString), }
entry! { fn language(name: JString), }
entry! { fn keys(listener: JString) -> JString[], }
entry! { fn open_settings(listener: JString, keys_and_values: JString[], work_directory: jbyte[]) -> jlong, }
entry! { fn open_um_home(um_home: jbyte[], listener: JString, work_directory: jbyte[]) -> jlong, }
entry! { fn renew_by_settings(mailbox: jlong, listener: JString, keys_and_values: JString[]) -> jboolean, }
entry! { fn renew_by_um_home(mailbox: jlong, um_home: jbyte[], listener: JString) -> jboolean, }
entry! { fn name(mailbox: jlong) -> JString, }
entry! { fn fetch(mailbox: jlong) -> jlong, }
entry! { fn next(mailbox: jlong, fetch: jlong, numbers: jlong[], flags: JString[]) -> jbyte[], }
entry! { fn read(file: jlong, position: jlong, buffer: jbyte[], offset: jint, length: jint) -> jint, }
entry! { fn release(file: jlong), }
entry! { fn settle(mailbox: jlong, uid_validity: jlong, uid: jlong, outcome: jint) -> jboolean, }
entry! { fn move_to(mailbox: jlong, uid_validity: jlong, uid: jlong, folder: JString) -> jboolean, name = "move", }
entry! { fn delete(mailbox: jlong, uid_validity: jlong, uid: jlong) -> jboolean, }
entry! { fn flush(mailbox: jlong), }
entry! { fn health(mailbox: jlong, numbers: jlong[]) -> JThrowable[], }
entry! { fn check(mailbox: jlong, unread: JString[], texts: JString[][]) -> JThrowable[], }
entry! { fn close(mailbox: jlong), }
entry! { fn log(mailbox: jlong) -> JString[], }

fn version<'local>(env: &mut Env<'local>, _class: JClass<'local>) -> Result<JString<'local>, Error> {
    Ok(JString::new(env, env!("CARGO_PKG_VERSION"))?)
}

fn target<'local>(env: &mut Env<'local>, _class: JClass<'local>) -> Result<JString<'local>, Error> {
    Ok(JString::new(env, env!("UM_IMAP_OAUTH2_TARGET"))?)
}

fn prepare<'local>(env: &mut Env<'local>, _class: JClass<'local>) -> Result<(), Error> {
    Ok(classes::look_up(env)?)
}

fn trust<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    issuers: JObjectArray<'local, JByteArray<'local>>,
    problem: JString<'local>,
) -> Result<(), Error> {
    if issuers.is_null() {
        let problem = convert::string(env, &problem, "problem")?;
        let said = message!(TrustStoreUnreadable, problem = problem);
        let failure = Failure::own(Step::Configuration, Kind::Configuration, said);
        let failure = failure.key("javax.net.ssl.trustStore").advised(message!(TrustStoreUnreadableRemedy));
        registry::trust(Err(failure));
        return Ok(());
    }
    let mut anchors = Vec::new();
    for issuer in convert::byte_arrays(env, &issuers)? {
        anchors.push(CertificateDer::from(issuer));
    }
    registry::trust(Ok(anchors));
    Ok(())
}

fn proxy<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    host: JString<'local>,
    port: JString<'local>,
    exceptions: JString<'local>,
) -> Result<(), Error> {
    registry::proxy(JvmProxy {
        host: convert::optional_string(env, &host)?,
        port: convert::optional_string(env, &port)?,
        exceptions: convert::optional_string(env, &exceptions)?,
    });
    Ok(())
}

fn language<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    name: JString<'local>,
) -> Result<(), Error> {
    registry::speak(match convert::string(env, &name, "language")?.as_str() {
        "de" => Language::German,
        _ => Language::English,
    });
    Ok(())
}

fn keys<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    listener: JString<'local>,
) -> Result<JObjectArray<'local, JString<'local>>, Error> {
    let listener = convert::optional_string(env, &listener)?;
    Ok(convert::java_strings(env, &config::keys(listener.as_deref()))?)
}

fn open_settings<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    listener: JString<'local>,
    keys_and_values: JObjectArray<'local, JString<'local>>,
    work_directory: JByteArray<'local>,
) -> Result<jlong, Error> {
    let work_directory = convert::optional_path(env, &work_directory)?;
    let loaded = by_settings(env, &listener, &keys_and_values)?;
    Ok(registry::open(loaded, work_directory)?)
}

fn open_um_home<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    um_home: JByteArray<'local>,
    listener: JString<'local>,
    work_directory: JByteArray<'local>,
) -> Result<jlong, Error> {
    let work_directory = convert::optional_path(env, &work_directory)?;
    let loaded = by_um_home(env, &um_home, &listener)?;
    Ok(registry::open(loaded, work_directory)?)
}

fn renew_by_settings<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    mailbox: jlong,
    listener: JString<'local>,
    keys_and_values: JObjectArray<'local, JString<'local>>,
) -> Result<jboolean, Error> {
    let loaded = by_settings(env, &listener, &keys_and_values)?;
    Ok(registry::renew(mailbox, &loaded)?)
}

fn renew_by_um_home<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    mailbox: jlong,
    um_home: JByteArray<'local>,
    listener: JString<'local>,
) -> Result<jboolean, Error> {
    let loaded = by_um_home(env, &um_home, &listener)?;
    Ok(registry::renew(mailbox, &loaded)?)
}

fn name<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    mailbox: jlong,
) -> Result<JString<'local>, Error> {
    Ok(JString::new(env, registry::name(mailbox)?)?)
}

fn fetch<'local>(_env: &mut Env<'local>, _class: JClass<'local>, mailbox: jlong) -> Result<jlong, Error> {
    let FetchId(fetch) = registry::call(mailbox, |mailbox| mailbox.fetch())?;
    Ok(fetch.cast_signed())
}

fn next<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    mailbox: jlong,
    fetch: jlong,
    numbers: JLongArray<'local>,
    flags: JObjectArray<'local, JString<'local>>,
) -> Result<JByteArray<'local>, Error> {
    let fetch = FetchId(fetch.cast_unsigned());
    let Some(message) = registry::call(mailbox, |mailbox| mailbox.next(fetch))? else {
        return Ok(JByteArray::null());
    };
    let received = message.received_millis.unwrap_or(jlong::MIN);
    if !message.flags.is_empty() {
        convert::set_string(env, &flags, 0, &message.flags.join(" "))?;
    }
    let (octets, file, length) = match message.body {
        Body::Memory(octets) => (env.byte_array_from_slice(&octets)?, 0, 0),
        Body::File(file, length) => {
            (env.new_byte_array(0)?, files::keep(file), jlong::try_from(length).unwrap_or(jlong::MAX))
        }
    };
    let MessageId { uid_validity, uid } = message.id;
    numbers.set_region(env, 0, &[uid_validity.into(), uid.into(), received, file, length])?;
    Ok(octets)
}

fn read<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    file: jlong,
    position: jlong,
    buffer: JByteArray<'local>,
    offset: jint,
    length: jint,
) -> Result<jint, Error> {
    let octets = files::read(file, position, length)?;
    // In pieces, for which no memory is needed.
    for (number, piece) in octets.chunks(PIECE).enumerate() {
        let mut signed = [0; PIECE];
        signed.iter_mut().zip(piece).for_each(|(signed, octet)| *signed = octet.cast_signed());
        let at = jint::try_from(number * PIECE).unwrap_or(jint::MAX).saturating_add(offset);
        buffer.set_region(env, at, &signed[..piece.len()])?;
    }
    Ok(jint::try_from(octets.len()).unwrap_or(jint::MAX))
}

fn release<'local>(_env: &mut Env<'local>, _class: JClass<'local>, file: jlong) -> Result<(), Error> {
    files::release(file);
    Ok(())
}

fn settle<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    mailbox: jlong,
    uid_validity: jlong,
    uid: jlong,
    outcome: jint,
) -> Result<jboolean, Error> {
    let id = message_id(uid_validity, uid)?;
    let outcome =
        usize::try_from(outcome).ok().and_then(|ordinal| Outcome::ALL.get(ordinal).copied()).ok_or_else(
            || Failure::own(Step::Call, Kind::Usage, message!(NoOutcome, number = outcome.to_string())),
        )?;
    Ok(registry::call(mailbox, |mailbox| mailbox.settle(id, outcome))?)
}

fn move_to<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    mailbox: jlong,
    uid_validity: jlong,
    uid: jlong,
    folder: JString<'local>,
) -> Result<jboolean, Error> {
    let id = message_id(uid_validity, uid)?;
    let folder = convert::string(env, &folder, "folder")?;
    Ok(registry::call(mailbox, |mailbox| {
        #[cfg(debug_assertions)]
        assert_ne!(folder, PANIC);
        mailbox.move_to(id, &folder)
    })?)
}

fn delete<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    mailbox: jlong,
    uid_validity: jlong,
    uid: jlong,
) -> Result<jboolean, Error> {
    let id = message_id(uid_validity, uid)?;
    Ok(registry::call(mailbox, |mailbox| mailbox.delete(id))?)
}

fn flush<'local>(_env: &mut Env<'local>, _class: JClass<'local>, mailbox: jlong) -> Result<(), Error> {
    Ok(registry::call(mailbox, |mailbox| mailbox.flush())?)
}

fn health<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    mailbox: jlong,
    numbers: JLongArray<'local>,
) -> Result<JObjectArray<'local, JThrowable<'local>>, Error> {
    let health = registry::call(mailbox, |mailbox| Ok(mailbox.health()))?;
    let millis = |time: Option<DateTime<Utc>>| time.map_or(jlong::MIN, |time| time.timestamp_millis());
    let count = |count: u64| jlong::try_from(count).unwrap_or(jlong::MAX);
    let last_day = |day: NaiveDate| (day - NaiveDate::default()).num_days();
    // In step with the constructor of Health.
    let values = [
        health.state as jlong,
        millis(health.last_success),
        health.failures.into(),
        millis(health.failing_since),
        millis(health.throttled_until),
        count(health.pending),
        count(health.set_aside),
        health.credential_ends.map_or(jlong::MIN, last_day),
    ];
    numbers.set_region(env, 0, &values)?;
    let failures: Vec<_> =
        [health.failure].into_iter().chain(health.warnings.into_iter().map(Some)).collect();
    exception::exceptions(env, &failures)
}

fn check<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    mailbox: jlong,
    unread: JObjectArray<'local, JString<'local>>,
    texts: JObjectArray<'local, JObjectArray<'local, JString<'local>>>,
) -> Result<JObjectArray<'local, JThrowable<'local>>, Error> {
    let unread = if unread.is_null() { None } else { Some(unreadable(env, &unread)?) };
    let report = registry::check(mailbox, unread)?;
    // In step with the constructor of CheckReport.
    let json = check::json(std::slice::from_ref(&report)).map_err(Failure::internal)?;
    let mut told =
        vec![report.outcome().name().to_owned(), report.text(&Layout::default(), Detail::EveryStep), json];
    for step in &report.steps {
        let connection = step.connection.map(Connection::name).unwrap_or_default();
        told.extend([step.name.name(), connection, &step.title, step.status.name()].map(str::to_owned));
        told.push(step.took.as_millis().to_string());
        for lines in [&step.seen, &step.warnings] {
            told.push(lines.len().to_string());
            told.extend(lines.iter().cloned());
        }
    }
    let told = convert::java_strings(env, &told)?;
    texts.set_element(env, 0, &told)?;
    let failures: Vec<_> = report.steps.into_iter().map(|step| step.failure).collect();
    exception::exceptions(env, &failures)
}

fn close<'local>(_env: &mut Env<'local>, _class: JClass<'local>, mailbox: jlong) -> Result<(), Error> {
    registry::close(mailbox);
    Ok(())
}

fn log<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    mailbox: jlong,
) -> Result<JObjectArray<'local, JString<'local>>, Error> {
    let records = registry::take_log(mailbox);
    if records.is_empty() {
        return Ok(JObjectArray::<JString>::null());
    }
    let mut texts = Vec::with_capacity(records.len() * 2);
    for record in records {
        texts.push(level_name(record.level).to_owned());
        texts.push(record.to_string());
    }
    Ok(convert::java_strings(env, &texts)?)
}

fn by_settings<'local>(
    env: &mut Env<'local>,
    listener: &JString<'local>,
    keys_and_values: &JObjectArray<'local, JString<'local>>,
) -> Result<Loaded, Error> {
    let listener = convert::optional_string(env, listener)?;
    let mut strings = convert::strings(env, keys_and_values)?.into_iter();
    let mut settings = HashMap::new();
    while let (Some(key), Some(value)) = (strings.next(), strings.next()) {
        settings.insert(key, SecretString::from(value));
    }
    let in_file = format!("{}{}", LANG.name, FILE_SUFFIX);
    let language = registry::language().filter(|_| !settings.contains_key(&in_file)).map(code);
    let ask = |key: &str| {
        let set = settings.get(key).map(|value| value.expose_secret().to_owned());
        set.or_else(|| language.filter(|_| key == LANG.name).map(str::to_owned))
    };
    Ok(config::from_settings(&ask, listener.as_deref())?)
}

fn by_um_home<'local>(
    env: &mut Env<'local>,
    um_home: &JByteArray<'local>,
    listener: &JString<'local>,
) -> Result<Loaded, Error> {
    let um_home = convert::optional_path(env, um_home)?
        .ok_or_else(|| Failure::own(Step::Call, Kind::Usage, message!(ParameterIsNull, name = "umHome")))?;
    let listener = convert::optional_string(env, listener)?;
    let environment = |name: &str| std::env::var(name).ok();
    Ok(config::from_um_home_else_in(registry::language(), &um_home, listener.as_deref(), &environment)?)
}

/// Why the configuration could not be read anew, as `Native.check` describes it.
fn unreadable<'local>(
    env: &mut Env<'local>,
    unread: &JObjectArray<'local, JString<'local>>,
) -> Result<Failure, Error> {
    let mut told = convert::strings(env, unread)?.into_iter();
    let mut next = || told.next().unwrap_or_default();
    let failure = Failure::new(Step::Configuration, Kind::Configuration, next());
    let (key, cause, remedy, id) = (next(), next(), next(), next());
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(Failure { key: some(key), id: some(id), ..failure.cause(cause).remedy(remedy) })
}

/// As it is written in `cmsbs.lang`.
fn code(language: Language) -> &'static str {
    match language {
        Language::German => "de",
        Language::English => "en",
    }
}

fn message_id(uid_validity: jlong, uid: jlong) -> Result<MessageId, Failure> {
    match (u32::try_from(uid_validity), u32::try_from(uid)) {
        (Ok(uid_validity), Ok(uid)) => Ok(MessageId { uid_validity, uid }),
        _ => {
            let (validity, uid) = (uid_validity.to_string(), uid.to_string());
            Err(Failure::own(Step::Call, Kind::Usage, message!(NoMessageId, validity = validity, uid = uid)))
        }
    }
}

/// The name of the constant in `System.Logger.Level`.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warning => "WARNING",
        Level::Error => "ERROR",
    }
}

/// In debug builds a move to this folder panics: the tests have no other way to see what Java gets of a panic.
#[cfg(debug_assertions)]
const PANIC: &str = "\u{7}panic";
