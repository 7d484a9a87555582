//! Where a value comes from: `cmsbs.properties` → `include.<n>` → `conf.d/*.properties` → the environment, with
//! `key$file` beside each key; or UM's own effective configuration.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use super::explained::explain_unconfigured;
use super::keys::{self, FILE_SUFFIX, Key, Names};
use super::problem::{Origin, Problem, Problems, Shown};
use super::syntax::{self, Flaw};
use super::{Ask, Speak, values};
use crate::failure::{Failure, Kind, Step};
use crate::message;
use crate::text::{Message, Said};

/// Where the values of UM's keys are looked up.
pub(super) struct Layers<'a> {
    /// UM_HOME, to which paths are relative.
    pub home: Option<PathBuf>,
    /// What was odd about the files as a whole. An error is a file that was not read: which keys stand in it is not known.
    pub problems: Problems,
    base: Base<'a>,
    /// What stands in the files that `key$file` names, each read once: text or error.
    contents: RefCell<HashMap<PathBuf, Result<SecretString, Message>>>,
}

/// The value that counts for one name, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub name: String,
    text: SecretString,
    pub origin: Origin,
    pub flaws: Vec<Flaw>,
    /// The line after it that is neither an option nor a comment.
    pub stray_after: Option<usize>,
}

impl Value {
    pub fn text(&self) -> &str {
        self.text.expose_secret()
    }
}

enum Base<'a> {
    Files {
        values: BTreeMap<String, Vec<Value>>,
        environment: Ask<'a>,
        /// The variables that could be meant for UM, with the dots that their names stand for.
        variables: BTreeMap<String, Origin>,
    },
    Settings(Ask<'a>),
}

impl<'a> Layers<'a> {
    /// UM's own effective configuration: UM has read its files and its environment.
    pub fn of_settings(settings: Ask<'a>) -> Self {
        let home = settings(keys::SERVER_HOME.name).filter(|home| !home.trim().is_empty()).map(PathBuf::from);
        Self {
            home,
            problems: Problems::default(),
            base: Base::Settings(settings),
            contents: RefCell::default(),
        }
    }

    /// The files below UM_HOME, and the environment over them.
    pub fn of_um_home(home: &Path, environment: Ask<'a>, speak: Speak) -> Result<Self, Failure> {
        let main = home.join(MAIN_FILE);
        let bytes = read(&main, FILE_LIMIT).map_err(|error| {
            let lang = environment("cmsbs__lang").or_else(|| environment("cmsbs.lang"));
            let language = speak(lang.and_then(|lang| values::language(lang.trim()).ok()));
            let path = main.display();
            let what = message!(ConfigFileFailed, path = path, error = &error);
            let remedy = message!(ConfigUmHomeIs);
            let failure = Failure::own(Step::Configuration, Kind::Configuration, what)
                .remedy(remedy.in_language(language));
            explain_unconfigured(failure, language, &Names::default())
        })?;
        let mut layers = Self {
            home: Some(home.to_owned()),
            problems: Problems::default(),
            base: Base::Files { values: BTreeMap::new(), environment, variables: variables(environment) },
            contents: RefCell::default(),
        };
        let mut read_already = HashSet::new();
        layers.add_with_includes(main, bytes, &mut read_already);
        layers.add_fragments(&mut read_already);
        Ok(layers)
    }

    /// The value of one name: the environment's, else the content of the file that `name$file` names, else the plain one
    /// (inferred). A second one beside it, and a file that cannot be read, are noted in `problems`.
    pub fn value(&self, name: &str, key: &Key, problems: &mut Problems) -> Option<Value> {
        let file_name = format!("{name}{FILE_SUFFIX}");
        let (environment, plain, named_file) = match &self.base {
            Base::Files { .. } => (
                self.environment(name),
                self.last(name, key.secret, problems),
                self.environment(&file_name).or_else(|| self.last(&file_name, false, problems)),
            ),
            Base::Settings(settings) => {
                let ask =
                    |name: &str| settings(name).map(|text| plain_value(name, text.into(), Origin::Settings));
                (None, ask(name), ask(&file_name))
            }
        };
        let named_file = named_file.filter(|named| !named.text().trim().is_empty());
        if let Some(environment) = environment {
            for other in [&plain, &named_file].into_iter().flatten() {
                problems.warning(set_twice(&environment, other));
            }
            return Some(environment);
        }
        let Some(named_file) = named_file else { return plain };
        match (self.content(name, key, &named_file, problems), plain) {
            (Ok(content), Some(plain)) => {
                // UM has read the file itself where it is the one that is asked.
                if matches!(self.base, Base::Files { .. }) || content.text() != plain.text() {
                    problems.warning(set_twice(&content, &plain));
                }
                Some(content)
            }
            (Ok(content), None) => Some(content),
            (Err(problem), Some(plain)) if matches!(self.base, Base::Settings(_)) => {
                problems.warning(problem);
                Some(plain)
            }
            (Err(problem), _) => {
                problems.error(problem);
                None
            }
        }
    }

    /// Every name that the files set, and where each was set last, in the order of the names; then those of the environment
    /// that could be meant for UM, whether it reads them or not. None where UM is asked.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Origin)> {
        let (values, variables) = match &self.base {
            Base::Files { values, variables, .. } => (Some(values), Some(variables)),
            Base::Settings(_) => (None, None),
        };
        let set = values.into_iter().flatten();
        let set = set.filter_map(|(name, values)| Some((name.as_str(), &values.last()?.origin)));
        set.chain(variables.into_iter().flatten().map(|(name, origin)| (name.as_str(), origin)))
    }

    /// Where a key is written that no file has; `None`: UM is asked, and has no files that are known.
    pub fn main_file(&self) -> Option<PathBuf> {
        match (&self.base, &self.home) {
            (Base::Files { .. }, Some(home)) => Some(home.join(MAIN_FILE)),
            _ => None,
        }
    }

    /// A path as it stands in a file.
    pub fn path(&self, text: &str) -> PathBuf {
        match &self.home {
            Some(home) => home.join(text),
            None => PathBuf::from(text),
        }
    }

    /// A file and what it includes, each file once.
    fn add_with_includes(
        &mut self,
        path: PathBuf,
        bytes: Zeroizing<Vec<u8>>,
        read_already: &mut HashSet<PathBuf>,
    ) {
        read_already.insert(identity(&path));
        let mut waiting = self.add(path, &bytes);
        // The last one is the next to read: a file's includes come before those that stand beside it.
        waiting.reverse();
        while let Some(include) = waiting.pop() {
            let path = self.path(include.text());
            let shown = path.display();
            if !read_already.insert(identity(&path)) {
                self.problems.warning(Problem {
                    origin: Some(include.origin),
                    key: include.name,
                    what: message!(ConfigIncludedTwice, path = &shown),
                    remedy: message!(ConfigIncludedTwiceRemedy),
                });
                continue;
            }
            match read(&path, FILE_LIMIT) {
                Ok(bytes) => {
                    let mut includes = self.add(path, &bytes);
                    includes.reverse();
                    waiting.append(&mut includes);
                }
                Err(error) => self.problems.error(Problem {
                    origin: Some(include.origin),
                    key: include.name,
                    what: message!(ConfigFileFailed, path = &shown, error = &error),
                    remedy: message!(ConfigIncludeFailedRemedy),
                }),
            }
        }
    }

    /// `conf.d/*.properties` in the order of their names.
    fn add_fragments(&mut self, read_already: &mut HashSet<PathBuf>) {
        let mut problems = Problems::default();
        let set = self.value(keys::CONF_D.name, &keys::CONF_D, &mut problems);
        let set = set.filter(|value| !value.text().trim().is_empty());
        self.problems.extend(problems);
        let text = set.as_ref().map(|value| value.text().trim()).or(keys::CONF_D.default.value());
        let directory = self.path(text.unwrap_or_default());
        let entries = fs::read_dir(&directory).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let mut paths = match entries {
            Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect::<Vec<_>>(),
            // Nobody needs fragments; but who names another directory has some.
            Err(error) if error.kind() == io::ErrorKind::NotFound && text == keys::CONF_D.default.value() => {
                return;
            }
            Err(error) => {
                let shown = directory.display();
                self.problems.error(Problem {
                    origin: set.map(|value| value.origin),
                    key: keys::CONF_D.name.to_owned(),
                    what: message!(ConfigFileFailed, path = &shown, error = &error),
                    remedy: message!(ConfigFragmentsFailedRemedy),
                });
                return;
            }
        };
        paths.retain(|path| {
            path.extension().is_some_and(|extension| extension == "properties") && !is_editors_lock(path)
        });
        paths.sort();
        for path in paths {
            match read(&path, FILE_LIMIT) {
                Ok(bytes) => self.add_with_includes(path, bytes, read_already),
                Err(error) => self.problems.error(Problem {
                    origin: Some(Origin::WholeFile(Arc::new(path))),
                    key: String::new(),
                    what: message!(ConfigOsError, error = &error),
                    remedy: message!(ConfigFragmentFailedRemedy),
                }),
            }
        }
    }

    /// Takes over the options of a file, and returns the files that it includes, in the order of their numbers.
    fn add(&mut self, path: PathBuf, bytes: &[u8]) -> Vec<Value> {
        let file = syntax::parse(bytes);
        let path = Arc::new(path);
        self.note_oddities(&path, &file);
        let mut includes = BTreeMap::new();
        let Base::Files { values, .. } = &mut self.base else { return Vec::new() };
        for option in file.options {
            let value = Value {
                name: option.name,
                text: option.value.as_str().into(),
                origin: Origin::File { path: path.clone(), line: option.line },
                flaws: option.flaws,
                stray_after: option.stray_after,
            };
            let number = value.name.strip_prefix("include.").and_then(|number| number.parse::<u64>().ok());
            match number {
                Some(number) => _ = includes.insert(number, value),
                None => values.entry(value.name.clone()).or_default().push(value),
            }
        }
        // One without a path includes nothing.
        includes.into_values().filter(|include| !include.text().trim().is_empty()).collect()
    }

    fn note_oddities(&mut self, path: &Arc<PathBuf>, file: &syntax::File) {
        let at = |line| Some(Origin::File { path: path.clone(), line });
        if file.utf16 {
            self.problems.error(Problem {
                origin: Some(Origin::WholeFile(path.clone())),
                key: String::new(),
                what: utf16(),
                remedy: message!(ConfigUtf16Remedy),
            });
        }
        if let Some(line) = file.invalid_utf8 {
            self.problems.warning(Problem {
                origin: at(line),
                key: String::new(),
                what: message!(ConfigNotUtf8),
                remedy: message!(ConfigNotUtf8Remedy),
            });
        }
        if let Some(line) = file.looks_like_utf8 {
            self.problems.warning(Problem {
                origin: at(line),
                key: String::new(),
                what: message!(ConfigLooksLikeUtf8),
                remedy: message!(ConfigLooksLikeUtf8Remedy),
            });
        }
        for &line in file.strays.iter().take(STRAYS_SHOWN) {
            self.problems.warning(Problem {
                origin: at(line),
                key: String::new(),
                what: message!(ConfigStrayLine),
                remedy: message!(ConfigStrayLineRemedy),
            });
        }
        if let Some(more) = file.strays.len().checked_sub(STRAYS_SHOWN).filter(|more| *more > 0) {
            self.problems.warning(Problem {
                origin: Some(Origin::WholeFile(path.clone())),
                key: String::new(),
                what: message!(ConfigMoreStrayLines, more = more),
                remedy: message!(ConfigMoreStrayLinesRemedy),
            });
        }
    }

    /// The environment's value of a name, whose dots may be written as `__` (UM 7.55 and newer).
    fn environment(&self, name: &str) -> Option<Value> {
        let Base::Files { environment, .. } = &self.base else { return None };
        [name.to_owned(), name.replace('.', "__")].into_iter().find_map(|variable| {
            let text = environment(&variable)?;
            Some(plain_value(name, text.into(), Origin::Environment(variable)))
        })
    }

    /// The last value that the files have for a name, with a word about another one before it.
    fn last(&self, name: &str, secret: bool, problems: &mut Problems) -> Option<Value> {
        let Base::Files { values, .. } = &self.base else { return None };
        let (last, before) = values.get(name)?.split_last()?;
        let other = before.iter().rev().find(|other| other.text() != last.text());
        if let Some(other) = other
            && let Origin::File { path, line } = &last.origin
            && let Origin::File { path: other_path, line: other_line } = &other.origin
        {
            let same_file = path == other_path;
            let (other_path, line_there) = (other_path.display(), *other_line);
            let what = if secret || name.ends_with(FILE_SUFFIX) {
                message!(ConfigAlsoSetHidden, path = &other_path, line = line_there)
            } else {
                let value = Shown(other.text());
                message!(ConfigAlsoSet, path = &other_path, line = line_there, value = value)
            };
            let problem = Problem {
                origin: Some(Origin::File { path: path.clone(), line: *line }),
                key: name.to_owned(),
                what,
                remedy: message!(ConfigLastCounts),
            };
            // One file over another is what fragments are for.
            if same_file { problems.warning(problem) } else { problems.info(problem) }
        }
        Some(last.clone())
    }

    /// What stands in the file that `name$file` names.
    fn content(
        &self,
        name: &str,
        key: &Key,
        named: &Value,
        problems: &mut Problems,
    ) -> Result<Value, Problem> {
        let path = self.path(named.text().trim());
        let read_already = self.contents.borrow().get(&path).cloned();
        let content = read_already.unwrap_or_else(|| {
            let content = match read(&path, VALUE_FILE_LIMIT) {
                Ok(bytes) if syntax::is_utf16(&bytes) => Err(utf16()),
                Ok(bytes) => Ok(decoded(&bytes)),
                Err(error) => Err(message!(ConfigOsError, error = &error)),
            };
            self.contents.borrow_mut().insert(path.clone(), content.clone());
            content
        });
        let text = content.map_err(|error| {
            let shown = path.display();
            Problem {
                origin: Some(named.origin.clone()),
                key: named.name.clone(),
                what: message!(ConfigFileFailed, path = &shown, error = error),
                remedy: message!(ConfigValueFileFailedRemedy),
            }
        })?;
        let origin = Origin::ValueFile { path: Arc::new(path), named_by: Box::new(named.origin.clone()) };
        let without_end = text.expose_secret().trim_end_matches(['\r', '\n']);
        // No default takes its place; a password is left empty on purpose.
        if !key.secret && without_end.trim().is_empty() {
            return Err(Problem {
                origin: Some(origin),
                key: named.name.clone(),
                what: empty_file(),
                remedy: message!(ConfigEmptyValueFileRemedy),
            });
        }
        if without_end.len() < text.expose_secret().len() {
            problems.info(Problem {
                origin: Some(origin.clone()),
                key: named.name.clone(),
                what: message!(ConfigValueFileEndsLine),
                remedy: message!(ConfigValueFileEndsLineRemedy),
            });
        }
        Ok(plain_value(name, without_end.into(), origin))
    }
}

/// Those of the process that begin with `cmsbs` in any case, as far as `environment` has them, too: it cannot list its own.
fn variables(environment: Ask) -> BTreeMap<String, Origin> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let names = names.filter(|name| name.to_ascii_lowercase().starts_with("cmsbs"));
    let names = names.filter(|name| environment(name).is_some());
    names.map(|name| (name.replace("__", "."), Origin::Environment(name))).collect()
}

fn plain_value(name: &str, text: SecretString, origin: Origin) -> Value {
    Value { name: name.to_owned(), text, origin, flaws: Vec::new(), stray_after: None }
}

fn set_twice(counts: &Value, other: &Value) -> Problem {
    Problem {
        origin: Some(counts.origin.clone()),
        key: counts.name.clone(),
        what: message!(ConfigSetTwice, name = &other.name, place = other.origin.place()),
        remedy: message!(ConfigSetTwiceRemedy),
    }
}

/// What is said of a file that `name$file` names.
pub(super) fn empty_file() -> Message {
    message!(ConfigEmptyValueFile)
}

fn utf16() -> Message {
    message!(ConfigUtf16)
}

/// Opens a regular file for reading, and checks what was opened. Opening a pipe does not wait for its writer.
pub fn open_regular(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.union(rustix::fs::OFlags::NOCTTY).bits().cast_signed(),
    );
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other(Said(message!(FileIrregular)))) }
}

/// Reads the whole of a regular file: a pipe would wait for its writer, a device has no end.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = open_regular(path)?;
    let length = file.metadata()?.len();
    // Allocated once, so that no copies of what is in it stay behind.
    let room = usize::try_from(length.min(limit)).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(Said(message!(FileTooLarge, most = limit))));
    }
    Ok(bytes)
}

/// UTF-8, else ISO-8859-1.
fn decoded(bytes: &[u8]) -> SecretString {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => Zeroizing::new(syntax::latin1(bytes)).as_str().into(),
    }
}

/// `.#name`, a link to nowhere: Emacs makes it as long as a file has unsaved changes.
fn is_editors_lock(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".#"))
}

/// The same for every way to write the path of one file.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Whether every account of the machine can read a file: its mode says so, and so do the directories above it.
#[cfg(unix)]
pub(crate) fn others_can_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    let allows = |path: &Path, bit| fs::metadata(path).is_ok_and(|data| data.permissions().mode() & bit != 0);
    let Ok(path) = fs::canonicalize(path) else { return false };
    allows(&path, 0o004) && path.ancestors().skip(1).all(|directory| allows(directory, 0o001))
}

/// Who can read a file stands in access control lists there, which are not looked at.
#[cfg(not(unix))]
pub(crate) fn others_can_read(_path: &Path) -> bool {
    false
}

const MAIN_FILE: &str = "cmsbs-conf/cmsbs.properties";
/// A configuration of UM has some thousand lines; a file that was named by mistake must not fill the memory.
const FILE_LIMIT: u64 = 16 << 20;
/// A file that was named by mistake must not fill the log.
const STRAYS_SHOWN: usize = 20;
/// Secrets and URLs.
const VALUE_FILE_LIMIT: u64 = 64 << 10;
