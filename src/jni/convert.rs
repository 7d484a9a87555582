//! Strings and arrays from Java and to Java. Arrays are copied: no critical sections, no pinning.

#[cfg(unix)]
use std::ffi::OsString;
use std::path::PathBuf;

use jni::Env;
use jni::objects::{JByteArray, JObjectArray, JString};
use jni::refs::IntoAuto;

use super::exception::Error;
use crate::failure::{Failure, Kind, Step};
use crate::message;

pub(super) fn optional_string(env: &Env<'_>, string: &JString<'_>) -> Result<Option<String>, Error> {
    if string.is_null() {
        return Ok(None);
    }
    Ok(Some(string.try_to_string(env)?))
}

/// `what` names the parameter in the failure that a `null` is.
pub(super) fn string(env: &Env<'_>, string: &JString<'_>, what: &str) -> Result<String, Error> {
    optional_string(env, string)?
        .ok_or_else(|| Failure::own(Step::Call, Kind::Usage, message!(ParameterIsNull, name = what)).into())
}

/// A path as `PathOctets` in Java writes it.
pub(super) fn optional_path(env: &Env<'_>, octets: &JByteArray<'_>) -> Result<Option<PathBuf>, Error> {
    if octets.is_null() {
        return Ok(None);
    }
    Ok(Some(path(env.convert_byte_array(octets)?)))
}

#[cfg(unix)]
fn path(octets: Vec<u8>) -> PathBuf {
    <OsString as std::os::unix::ffi::OsStringExt>::from_vec(octets).into()
}

#[cfg(not(unix))]
fn path(octets: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&octets).into_owned().into()
}

pub(super) fn strings(
    env: &mut Env<'_>,
    array: &JObjectArray<'_, JString<'_>>,
) -> Result<Vec<String>, Error> {
    let mut strings = Vec::new();
    for index in 0..array.len(env)? {
        let element = array.get_element(env, index)?.auto();
        strings.push(string(env, &element, "an element of the array")?);
    }
    Ok(strings)
}

pub(super) fn byte_arrays(
    env: &mut Env<'_>,
    array: &JObjectArray<'_, JByteArray<'_>>,
) -> Result<Vec<Vec<u8>>, Error> {
    let mut arrays = Vec::new();
    for index in 0..array.len(env)? {
        let element = array.get_element(env, index)?.auto();
        arrays.push(env.convert_byte_array(&*element)?);
    }
    Ok(arrays)
}

pub(super) fn java_strings<'local>(
    env: &mut Env<'local>,
    strings: &[String],
) -> jni::errors::Result<JObjectArray<'local, JString<'local>>> {
    let array = JObjectArray::<JString>::new(env, strings.len(), JString::null())?;
    for (index, string) in strings.iter().enumerate() {
        set_string(env, &array, index, string)?;
    }
    Ok(array)
}

pub(super) fn set_string(
    env: &mut Env<'_>,
    array: &JObjectArray<'_, JString<'_>>,
    index: usize,
    string: &str,
) -> jni::errors::Result<()> {
    let element = JString::new(env, string)?.auto();
    array.set_element(env, index, &*element)
}
