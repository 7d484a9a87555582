//! The source files: where sentences may stand, and the texts of the Java wrapper.

use super::texts::holes;

#[test]
fn the_wrappers_texts_are_in_both_languages_with_the_same_values() {
    let wrapper = concat!(env!("CARGO_MANIFEST_DIR"), "/java/src/main/");
    let read = |name: &str| {
        let file = std::fs::read_to_string(format!("{wrapper}java/um/imap/oauth2/{name}.java")).unwrap();
        let entry = |line: &str| {
            let (key, text) = line.trim().strip_prefix("{\"")?.strip_suffix("\"},")?.split_once("\", \"")?;
            Some((key.to_owned(), text.to_owned()))
        };
        file.lines().filter_map(entry).collect::<std::collections::BTreeMap<_, _>>()
    };
    let (english, german) = (read("TextsEnglish"), read("TextsGerman"));
    assert!(english.len() > 30 && english.keys().eq(german.keys()));
    let mut code = String::new();
    for file in std::fs::read_dir(format!("{wrapper}java/um/imap/oauth2")).unwrap() {
        let path = file.unwrap().path();
        if !matches!(path.file_stem().and_then(|name| name.to_str()), Some("TextsEnglish" | "TextsGerman")) {
            code += &std::fs::read_to_string(path).unwrap();
        }
    }
    for (key, text) in &english {
        let values = |text: &str| {
            let mut values = holes(text);
            values.sort();
            values
        };
        assert_eq!(values(text), values(&german[key]), "{key}");
        assert!(code.contains(&format!("\"{key}\"")), "{key} is not used");
    }
    for used in code.split("Texts.text(\"").skip(1) {
        let key = used.split('"').next().unwrap_or_default();
        assert!(english.contains_key(key), "{key} has no text");
    }
}

#[test]
fn no_sentence_stands_in_the_code_of_a_failure() {
    let mut directories = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                // Tests, and the stand-ins for servers in them, make texts of servers.
                if name != "tests" {
                    directories.push(path);
                }
                continue;
            }
            if !name.ends_with(".rs") || name.ends_with("tests.rs") {
                continue;
            }
            let code = std::fs::read_to_string(&path).unwrap();
            let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for call in code.split("Failure::new(").skip(1) {
                let arguments = call.split([';', '?']).next().unwrap_or_default();
                let words = arguments.split('"').skip(1).step_by(2).filter(|text| text.contains(' '));
                let words: Vec<_> =
                    words.filter(|text| text.contains(|c: char| c.is_ascii_lowercase())).collect();
                assert!(words.is_empty(), "{}: {words:?}", path.display());
            }
        }
    }
}
