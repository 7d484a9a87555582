//! What the library shows to the JVM: the native methods of `Native.java` and nothing else.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_library_exports_the_native_methods_of_the_java_class_and_nothing_else() {
    let mut expected = native_methods();
    assert!(expected.len() > 10, "the header was not understood: {expected:?}");
    expected.insert("JNI_OnLoad".to_owned());
    assert_eq!(exports(), expected);
}

#[test]
fn the_library_stays_mapped_when_its_class_loader_goes() {
    let output = run("readelf", &["--dynamic", "--wide"]);
    assert!(output.lines().any(|line| line.contains("FLAGS_1") && line.contains("NODELETE")), "{output}");
}

#[test]
fn the_library_carries_its_version_and_target() {
    let library = std::fs::read(library()).expect("the library can be read");
    let target = format!("{}-", std::env::consts::ARCH);
    for stamp in [env!("CARGO_PKG_VERSION"), target.as_str()] {
        assert!(library.windows(stamp.len()).any(|octets| octets == stamp.as_bytes()), "{stamp}");
    }
}

/// The library's defined dynamic symbols.
fn exports() -> BTreeSet<String> {
    run("nm", &["-D", "--defined-only"])
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .map(|symbol| symbol.split('@').next().unwrap_or(symbol).to_owned())
        .collect()
}

/// The symbols that the JVM looks for, from the header that `javac -h` makes of `Native.java`. It names the methods in the short
/// form and tells their signatures; the library has the long form, with the parameters' types (JNI specification, "Resolving
/// Native Method Names").
fn native_methods() -> BTreeSet<String> {
    let directory = tempfile::tempdir().expect("a directory for the header");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("java/src/main/java/um/imap/oauth2/Native.java");
    let output = Command::new("javac")
        .args(["--release", "11", "-h"])
        .arg(directory.path())
        .arg("-d")
        .arg(directory.path())
        .arg(source)
        .output()
        .unwrap_or_else(|error| panic!("javac (a JDK): {error}"));
    assert!(output.status.success(), "javac: {}", String::from_utf8_lossy(&output.stderr));
    let header = directory.path().join("um_imap_oauth2_Native.h");
    let header = std::fs::read_to_string(header).expect("javac has written a header");
    let mut methods = BTreeSet::new();
    let mut parameters = None;
    for line in header.lines() {
        if let Some(signature) = line.trim_start().strip_prefix("* Signature: (") {
            parameters = signature.split(')').next().map(mangled);
        } else if let Some((_, name)) = line.split_once(" JNICALL ") {
            let parameters = parameters.take().expect("a signature stands before each function");
            methods.insert(format!("{name}__{parameters}"));
        }
    }
    methods
}

/// A descriptor as it stands in a symbol.
fn mangled(descriptor: &str) -> String {
    descriptor.replace('_', "_1").replace(';', "_2").replace('[', "_3").replace('/', "_")
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .arg(library())
        .output()
        .unwrap_or_else(|error| panic!("{program} (package binutils): {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("names of symbols are ASCII")
}

/// cargo builds it together with this test, beside it.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its path");
    test.with_file_name("libum_imap_oauth2.so")
}
