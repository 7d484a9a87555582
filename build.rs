//! Stamps the target into the library, and keeps it mapped once it is loaded.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=UM_IMAP_OAUTH2_TARGET={}", env::var("TARGET").unwrap_or_default());
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // A class loader that goes away unloads its libraries; destructors of Rust's thread-locals, which threads of
        // the JVM run when they end, must not point into nothing then.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
