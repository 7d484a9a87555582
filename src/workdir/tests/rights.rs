//! Rights, links and odd files, on Unix.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn in_english(arg: Option<crate::text::Arg>) -> Option<String> {
    arg.map(|arg| crate::message!(LogFinding, finding = arg).in_language(crate::text::Language::English))
}

#[test]
fn odd_files_in_place_of_ours_are_a_clear_failure() {
    type Oddity = fn(&Path);
    let oddities: [(Oddity, &str); 4] = [
        (|path| fs::create_dir(path).unwrap(), "directory"),
        (
            |path| {
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
            },
            "FIFO",
        ),
        (|path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(), "symbolic link"),
        (
            |path| {
                let victim = path.with_extension("victim");
                fs::write(&victim, "").unwrap();
                fs::hard_link(victim, path).unwrap();
            },
            "hard link",
        ),
    ];
    for (make, what) in oddities {
        for name in ["journal", "lock"] {
            let place = Place::new();
            fs::create_dir_all(&place.directory).unwrap();
            make(&place.path(name));
            let observed = unavailable(&mut place.files());
            assert!(observed.contains(what) && observed.contains(name), "{observed}");
            assert_eq!(in_english(obstacle(&RealDisk, &place.directory)), Some(observed));
        }
        if what != "hard link" {
            let place = Place::new();
            fs::create_dir_all(&place.directory).unwrap();
            make(&place.path("owner"));
            make(&place.path("status.json"));
            let found = claimed(&mut place.files());
            assert!(found.oddities[0].observed.contains(what), "{found:?}");
            let failure = place.files().write_status("{}").unwrap_err();
            assert!(failure.observed.contains(what), "{failure}");
        }
    }
}

#[test]
fn directories_and_files_are_for_their_owner_whatever_the_umask() {
    // The umask belongs to the process, so each one has a process of its own.
    if std::env::var_os("UMASK_IS_SET").is_none() {
        let test = "workdir::tests::rights::directories_and_files_are_for_their_owner_whatever_the_umask";
        for umask in ["000", "077", "177"] {
            let mut shell = std::process::Command::new("/bin/sh");
            shell.arg("-c").arg(format!("umask {umask}; exec \"$0\" --exact {test}"));
            let output =
                shell.arg(std::env::current_exe().unwrap()).env("UMASK_IS_SET", "1").output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{umask}: {text}");
        }
        return;
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let place = Place::new();
    let mut files = place.files();
    let events = files.perform(FileWork::Claim);
    let written = files.write_status("{}");
    assert!(matches!(&events[..], [FileEvent::Claimed(_)]), "{events:?}");
    written.unwrap();
    for path in [place.directory.parent().unwrap(), &place.directory] {
        assert_eq!(mode(path), 0o700);
    }
    for name in ["lock", "owner", "journal", "status.json"] {
        assert_eq!(mode(&place.path(name)), 0o600, "{name}");
    }
    // Those who may enter the directory may read the status, and nothing else.
    fs::set_permissions(&place.directory, fs::Permissions::from_mode(0o750)).unwrap();
    files.write_status("{}").unwrap();
    assert_eq!(mode(&place.path("status.json")), 0o640);
    assert_eq!(mode(&place.path("journal")), 0o600);
}

#[test]
fn a_directory_that_others_may_write_is_refused_with_the_command_that_mends_it() {
    for bad in [0o770, 0o702, 0o1777] {
        let place = Place::new();
        drop(claimed(&mut place.files()));
        let work = place.directory.parent().unwrap();
        for path in [work, &place.directory] {
            fs::set_permissions(path, fs::Permissions::from_mode(bad)).unwrap();
            let observed = unavailable(&mut place.files());
            assert!(observed.contains(&format!("chmod go-w {}", path.display())), "{observed}");
            assert_eq!(in_english(obstacle(&RealDisk, &place.directory)), Some(observed));
            assert!(place.files().write_status("{}").is_err());
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        claimed(&mut place.files());
        assert_eq!(obstacle(&RealDisk, &place.directory), None);
    }
}

#[test]
fn what_root_makes_belongs_to_the_owner_of_the_directory_above() {
    use std::os::unix::fs::{MetadataExt, chown, symlink};

    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    chown(place.work.path(), Some(1234), Some(1234)).unwrap();
    let mut files = place.files();
    claimed(&mut files);
    add(&mut files, [decided(1)]);
    rewrite(&mut files, vec![decided(2)]);
    for path in [place.directory.clone(), place.path("lock"), place.path("journal"), place.path("owner")] {
        assert_eq!(fs::metadata(&path).unwrap().uid(), 1234, "{}", path.display());
    }
    drop(files);
    // A third user's directory or file.
    chown(&place.directory, Some(1235), None).unwrap();
    assert!(unavailable(&mut place.files()).contains("Run: chown 1234 "));
    chown(&place.directory, Some(1234), None).unwrap();
    chown(place.path("journal"), Some(1235), None).unwrap();
    assert!(unavailable(&mut place.files()).contains("another account (1235)"));
    // A link that a user made is not followed by root.
    fs::remove_dir_all(place.directory.parent().unwrap()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = place.directory.parent().unwrap();
    symlink(elsewhere.path(), link).unwrap();
    std::os::unix::fs::lchown(link, Some(1234), None).unwrap();
    assert!(unavailable(&mut place.files()).contains("symbolic link"));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_link_that_root_or_this_user_made_is_followed() {
    let place = Place::new();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), place.directory.parent().unwrap()).unwrap();
    claimed(&mut place.files());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
}
