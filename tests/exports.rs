//! What the library shows to the JVM: the native methods of `Native.java` and nothing else.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_library_exports_the_native_methods_of_the_java_class_and_nothing_else() {
    let mut expected = native_methods();
    assert!(expected.len() > 10, "Native.java was not understood: {expected:?}");
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

/// The symbols that the JVM looks for, from the declarations in `Native.java`
/// (JNI specification, "Resolving Native Method Names": the long form, with the parameters' types).
fn native_methods() -> BTreeSet<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("java/src/main/java/um/imap/oauth2/Native.java");
    let source = std::fs::read_to_string(source).expect("Native.java can be read");
    source
        .split("static native ")
        .skip(1)
        .map(|rest| {
            let (declaration, _) = rest.split_once(");").expect("a declaration ends with );");
            let (head, parameters) = declaration.split_once('(').expect("a declaration has parameters");
            let name = head.split_whitespace().last().expect("a method has a name");
            let types: String = parameters
                .split(',')
                .filter_map(|parameter| parameter.split_whitespace().next())
                .map(mangled)
                .collect();
            format!("Java_um_imap_oauth2_Native_{name}__{types}")
        })
        .collect()
}

fn mangled(java_type: &str) -> String {
    match java_type {
        "int" => "I".to_owned(),
        "long" => "J".to_owned(),
        "byte" => "B".to_owned(),
        "String" => "Ljava_lang_String_2".to_owned(),
        array => {
            let element = array.strip_suffix("[]").unwrap_or_else(|| panic!("unknown type {array}"));
            format!("_3{}", mangled(element))
        }
    }
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
