//! Stamps the target into the library, puts the texts into the form in which they are read, and keeps the library mapped once
//! it is loaded.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
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
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    catalogue(&out);
    messages(&out);
}

/// TOML is for those who write it: a parser of it would be a twentieth of the library, which has one of JSON anyway. What
/// is put into the library is a quarter of it.
fn catalogue(out: &Path) {
    println!("cargo:rerun-if-changed={CATALOGUE}");
    let value = serde_json::to_value(table(Path::new(CATALOGUE))).expect(CATALOGUE);
    write(&out.join("catalogue.json.deflate"), &compress_to_vec(value.to_string().as_bytes(), SMALLEST));
}

/// Makes `enum Id`, its names and `TABLE` from `messages/*.toml`: `[name]`, `en`, `de`.
fn messages(out: &Path) {
    println!("cargo:rerun-if-changed={MESSAGES}");
    let mut files: Vec<_> =
        fs::read_dir(MESSAGES).expect(MESSAGES).map(|file| file.expect(MESSAGES).path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let (mut variants, mut names, mut rows) = (String::new(), String::new(), String::new());
    for file in files {
        for (name, entry) in table(&file) {
            let entry = entry.as_table().unwrap_or_else(|| panic!("{}: {name}", file.display()));
            let known = ["en", "de", "lines"];
            assert!(entry.keys().all(|key| known.contains(&key.as_str())), "{name}: en, de and lines alone");
            let lines = entry.get("lines").and_then(toml::Value::as_bool).unwrap_or_default();
            let text = |language: &str| {
                let text = entry.get(language).and_then(toml::Value::as_str);
                let text = text.unwrap_or_else(|| panic!("{}: {name} has no {language}", file.display()));
                if lines { text.trim_end().to_owned() } else { folded(text) }
            };
            let (en, de) = (text("en"), text("de"));
            let holes = holes(&[&en, &de]);
            let variant = variant(&name);
            // A string takes all that is written to it.
            _ = writeln!(variants, "    {variant},");
            _ = writeln!(names, "            Id::{variant} => {variant:?},");
            _ = writeln!(rows, "    Row {{ name: {name:?}, en: {en:?}, de: {de:?}, holes: &{holes:?} }},");
        }
    }
    let code = format!(
        "/// A sentence's id.\n#[derive(Clone, Copy, PartialEq, Eq, Hash)]\npub enum Id {{\n{variants}}}\n\
         impl Id {{\n    pub const ALL: &'static [Id] = &[{all}];\n\
         \x20   #[cfg(test)]\n    fn variant(self) -> &'static str {{\n        match self {{\n{names}        }}\n    }}\n}}\n\
         static TABLE: [Row; Id::ALL.len()] = [\n{rows}];\n",
        all = variants.lines().map(|line| format!("Id::{}", line.trim())).collect::<String>(),
    );
    write(&out.join("messages.rs"), code.as_bytes());
}

/// `config-port` → `ConfigPort`.
fn variant(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    };
    name.split(['-', '.']).map(word).collect()
}

/// The names of the holes of some sentences, each once.
fn holes(sentences: &[&str]) -> Vec<String> {
    let mut holes: Vec<String> = Vec::new();
    for rest in sentences.iter().flat_map(|sentence| sentence.split('{').skip(1)) {
        if rest.starts_with(|c: char| c.is_ascii_lowercase())
            && let Some((hole, _)) = rest.split_once('}')
        {
            let name = hole.split('|').next().unwrap_or_default().to_owned();
            if !holes.contains(&name) {
                holes.push(name);
            }
        }
    }
    holes
}

/// Long sentences are broken into lines in the file; in a message they are one.
fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn table(file: &Path) -> toml::Table {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn write(to: &Path, bytes: &[u8]) {
    fs::write(to, bytes).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
}

const CATALOGUE: &str = "src/text/catalogue.toml";
const MESSAGES: &str = "src/text/messages";

/// miniz_oxide's highest level.
const SMALLEST: u8 = 10;
