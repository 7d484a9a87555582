//! Stamps the target into the library, puts the catalogue of explanations into the form in which it is read, and keeps
//! the library mapped once it is loaded.

use std::path::Path;
use std::{env, fs};

use miniz_oxide::deflate::compress_to_vec;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=UM_IMAP_OAUTH2_TARGET={}", env::var("TARGET").unwrap_or_default());
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // A class loader that goes away unloads its libraries; destructors of Rust's thread-locals, which threads of
        // the JVM run when they end, must not point into nothing then.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
    catalogue();
}

/// TOML is for those who write it: a parser of it would be a twentieth of the library, which has one of JSON anyway. What
/// is put into the library is a quarter of it.
fn catalogue() {
    println!("cargo:rerun-if-changed={CATALOGUE}");
    let text = fs::read_to_string(CATALOGUE).expect(CATALOGUE);
    let value: serde_json::Value =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{CATALOGUE}: {error}"));
    let to = Path::new(&env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("catalogue.json.deflate");
    fs::write(&to, compress_to_vec(value.to_string().as_bytes(), SMALLEST))
        .unwrap_or_else(|error| panic!("{}: {error}", to.display()));
}

const CATALOGUE: &str = "src/explain/catalogue.toml";

/// miniz_oxide's highest level.
const SMALLEST: u8 = 10;
