//! The mailbox directory on the real file system.

#[cfg(unix)]
mod rights;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::{Files, MailboxName, RealDisk, abandoned, obstacle};
use crate::engine::record::{
    Action, Copy, FileEvent, FileWork, Found, Identity, Mark, Pending, Record, Seq, Target,
};
use crate::failure::Failure;
use crate::imap::uids::{Uid, UidValidity};

fn name() -> MailboxName {
    MailboxName { host: "h".into(), port: 993, user: "u@example.com".into(), folder: "INBOX".into() }
}

struct Place {
    work: TempDir,
    directory: PathBuf,
}

impl Place {
    fn new() -> Self {
        let work = tempfile::tempdir().unwrap();
        let directory = name().directory(&work.path().join("work"));
        Self { work, directory }
    }

    fn files(&self) -> Files {
        Files::new(Arc::new(RealDisk), &self.directory, &name(), true)
    }

    fn unwanted(&self) -> Files {
        Files::new(Arc::new(RealDisk), &self.directory, &name(), false)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Makes the directory, and a journal of these octets.
    fn with_journal(octets: &[u8]) -> Self {
        let place = Self::new();
        drop(claimed(&mut place.files()));
        fs::write(place.path("journal"), octets).unwrap();
        place
    }
}

#[track_caller]
fn claimed(files: &mut Files) -> Found {
    match <[FileEvent; 1]>::try_from(files.perform(FileWork::Claim)) {
        Ok([FileEvent::Claimed(found)]) => found,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn gone(files: &mut Files, work: FileWork) -> Failure {
    match <[FileEvent; 1]>::try_from(files.perform(work)) {
        Ok([FileEvent::Gone(failure)]) => failure,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn unavailable(files: &mut Files) -> String {
    match <[FileEvent; 1]>::try_from(files.perform(FileWork::Claim)) {
        Ok([FileEvent::Unavailable(failure)]) => failure.observed,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn busy(files: &mut Files) -> Failure {
    match <[FileEvent; 1]>::try_from(files.perform(FileWork::Claim)) {
        Ok([FileEvent::Busy(failure)]) => failure,
        other => panic!("{other:?}"),
    }
}

/// Adds records, which must succeed.
#[track_caller]
fn add(files: &mut Files, records: impl IntoIterator<Item = Record>) {
    for record in records {
        let events = files.perform(FileWork::Append { seq: Seq(1), records: vec![record] });
        assert_eq!(events, [FileEvent::Written(Seq(1))]);
    }
    assert_eq!(files.perform(FileWork::Sync { seq: Seq(1) }), [FileEvent::Synced(Seq(1))]);
}

fn rewrite(files: &mut Files, records: Vec<Record>) -> Vec<FileEvent> {
    files.perform(FileWork::Rewrite { seq: Seq(9), records })
}

fn validity(number: u32) -> UidValidity {
    UidValidity::new(number).unwrap()
}

fn uids(numbers: impl IntoIterator<Item = u32>) -> Vec<Uid> {
    numbers.into_iter().filter_map(Uid::new).collect()
}

fn identity(uid: u32) -> Identity {
    Identity {
        received: Some(1_706_778_000_000 + i64::from(uid)),
        mark: Mark::Fields(u64::MAX - u64::from(uid)),
    }
}

fn decided_under(uid_validity: u32, uid: u32, action: Action) -> Record {
    Record::Decided {
        uid_validity: validity(uid_validity),
        uid: Uid::new(uid).unwrap(),
        identity: identity(uid),
        action,
    }
}

fn decided(uid: u32) -> Record {
    decided_under(14, uid, Action::Delete)
}

fn done(numbers: impl IntoIterator<Item = u32>) -> Record {
    Record::Done { uid_validity: validity(14), uids: uids(numbers) }
}

fn found_uids(found: &Found) -> Vec<u32> {
    found.pending.iter().map(|pending| pending.uid.get()).collect()
}

fn found(place: &Place) -> Vec<u32> {
    found_uids(&claimed(&mut place.files()))
}

#[test]
fn decisions_that_are_not_done_are_found_again() {
    let place = Place::new();
    let mut files = place.files();
    assert_eq!(claimed(&mut files), Found::default());
    let strange = Action::Move("Gelöscht \"{x}\"\\\n".into());
    add(
        &mut files,
        [
            decided_under(14, 1, strange.clone()),
            decided(2),
            decided_under(14, 3, Action::MarkSeen),
            decided_under(15, 1, Action::Delete),
            done([2]),
        ],
    );
    drop(files);
    let pending = |uid_validity, uid, action: &Action| Pending {
        uid_validity: validity(uid_validity),
        uid: Uid::new(uid).unwrap(),
        identity: identity(uid),
        action: action.clone(),
        copy: Copy::NotSent,
    };
    let expected =
        [pending(14, 1, &strange), pending(14, 3, &Action::MarkSeen), pending(15, 1, &Action::Delete)];
    // Also after it was written anew by each of the processes before.
    for _ in 0..3 {
        let found = claimed(&mut place.files());
        assert_eq!(found.pending, expected);
        assert_eq!((found.damaged, found.oddities.len()), (0, 0));
    }
}

#[test]
fn the_progress_of_a_copy_is_found_again() {
    let place = Place::new();
    let mut files = place.files();
    claimed(&mut files);
    let target = Target { uid_validity: validity(3), next: Uid::new(100).unwrap() };
    add(&mut files, (1..=300).map(decided));
    let (uid_validity, all) = (validity(14), uids(1..=300));
    add(
        &mut files,
        [
            Record::Copying { uid_validity, uids: all, target },
            Record::Copied { uid_validity, uids: uids(2..=299) },
            done(3..=299),
        ],
    );
    drop(files);
    let found = claimed(&mut place.files());
    let copies: Vec<_> = found.pending.iter().map(|pending| (pending.uid.get(), pending.copy)).collect();
    assert_eq!(copies, [(1, Copy::Sent(target)), (2, Copy::Done), (300, Copy::Sent(target))]);
    assert_eq!(claimed(&mut place.files()).pending, found.pending);
}

/// As version 0.1 wrote it.
const VERSION_1: &str = include_str!("testdata/journal-1");

#[test]
fn a_journal_of_version_1_is_carried_out() {
    let place = Place::with_journal(VERSION_1.as_bytes());
    for _ in 0..2 {
        let found = claimed(&mut place.files());
        assert_eq!((found.damaged, found.oddities.len()), (0, 0));
        let pending: Vec<_> = found
            .pending
            .iter()
            .map(|Pending { uid_validity, uid, identity, action, copy }| {
                assert_eq!(identity.mark, Mark::Unknown);
                (uid_validity.get(), uid.get(), identity.received, action.clone(), *copy)
            })
            .collect();
        let debug = Action::Move("debug".into());
        assert_eq!(
            pending,
            [
                (14, 1, Some(1706778000001), debug, Copy::Done),
                (14, 3, None, Action::MarkSeen, Copy::NotSent),
                (15, 4, Some(1706778000004), Action::Delete, Copy::NotSent),
            ]
        );
    }
}

#[test]
fn wherever_a_crash_cuts_the_file_the_whole_records_count() {
    let place = Place::new();
    let mut files = place.files();
    claimed(&mut files);
    let mut ends = Vec::new();
    for uid in 1..=3 {
        add(&mut files, [decided(uid)]);
        ends.push(fs::read(place.path("journal")).unwrap().len());
    }
    drop(files);
    let whole = fs::read(place.path("journal")).unwrap();
    for cut in 0..=whole.len() {
        fs::write(place.path("journal"), &whole[..cut]).unwrap();
        let mut files = place.files();
        let found = claimed(&mut files);
        // The end of the last line does not matter.
        let records = ends.iter().filter(|&&end| end <= cut + 1).count();
        assert_eq!(found.pending.len(), records, "cut after {cut}");
        assert_eq!((found.damaged, found.oddities.len()), (0, 0), "cut after {cut}");
        add(&mut files, [decided(9)]);
        drop(files);
        assert_eq!(self::found(&place).len(), records + 1, "cut after {cut}");
        assert_eq!(place.names(), ["journal", "lock"]);
    }
}

#[test]
fn one_damaged_octet_takes_at_most_its_own_record() {
    let place = Place::new();
    let mut files = place.files();
    claimed(&mut files);
    add(&mut files, (1..=4).map(decided));
    drop(files);
    let whole = fs::read(place.path("journal")).unwrap();
    let first = whole.windows(9).position(|octets| octets == b"{\"decided").unwrap() - 17;
    for at in 0..whole.len() {
        for change in [1 << (at % 8), whole[at] ^ b'\n'] {
            if change == 0 {
                continue;
            }
            let mut damaged = whole.clone();
            damaged[at] ^= change;
            fs::write(place.path("journal"), &damaged).unwrap();
            let found = claimed(&mut place.files());
            let line_end = whole[at] == b'\n';
            let expected = if at < first || line_end { 4 } else { 3 };
            assert_eq!(found.pending.len(), expected, "{at}: {}", String::from_utf8_lossy(&damaged));
            assert_eq!(found.oddities.len(), 0);
        }
    }
    assert_eq!(place.names(), ["journal", "lock"]);
}

#[test]
fn records_without_any_header_are_carried_out_and_reported() {
    for journal in [VERSION_1.to_owned(), {
        let place = Place::new();
        let mut files = place.files();
        claimed(&mut files);
        add(&mut files, (1..=3).map(decided));
        fs::read_to_string(place.path("journal")).unwrap()
    }] {
        let journal = journal.replace("\"journal\"", "\"jiurnal\"");
        let place = Place::with_journal(journal.as_bytes());
        let found = claimed(&mut place.files());
        assert_eq!((found.pending.len(), found.oddities.len()), (3, 1), "{found:?}");
    }
}

#[test]
fn a_file_that_is_not_this_mailboxs_counts_for_nothing_and_is_kept_aside() {
    let place = Place::new();
    let other = MailboxName { user: "v@example.com".into(), ..name() };
    let mut files = Files::new(Arc::new(RealDisk), &place.directory, &other, true);
    claimed(&mut files);
    add(&mut files, [decided(7)]);
    drop(files);
    let foreign = fs::read(place.path("journal")).unwrap();
    let newer = VERSION_3.as_bytes().to_vec();
    for (content, why) in [
        (foreign, "another mailbox"),
        (newer, "version is 3"),
        (b"\0".repeat(100_000), "no header"),
        (b"Dear diary".to_vec(), "no header"),
        (b" {".repeat(100_000), "no header"),
    ] {
        let place = Place::with_journal(&content);
        let mut files = place.files();
        let found = claimed(&mut files);
        assert_eq!(found.pending, []);
        assert!(found.oddities[0].observed.contains(why), "{:?}", found.oddities);
        assert_eq!(fs::read(place.path("journal.void1")).unwrap(), content);
        add(&mut files, [decided(1)]);
        drop(files);
        assert_eq!(self::found(&place), [1]);
    }
}

/// What a later version could write.
const VERSION_3: &str = include_str!("testdata/journal-3");

#[test]
fn a_rewrite_replaces_everything() {
    let place = Place::new();
    let mut files = place.files();
    claimed(&mut files);
    let empty = fs::read(place.path("journal")).unwrap();
    add(&mut files, (1..=300).map(decided));
    let both = [FileEvent::Written(Seq(9)), FileEvent::Synced(Seq(9))];
    assert_eq!(rewrite(&mut files, vec![decided(7), decided(8)]), both);
    add(&mut files, [done([7])]);
    assert_eq!(place.names(), ["journal", "lock", "owner"]);
    drop(files);
    assert_eq!(found(&place), [8]);
    let mut files = place.files();
    claimed(&mut files);
    assert_eq!(rewrite(&mut files, vec![]), both);
    assert_eq!(fs::read(place.path("journal")).unwrap(), empty);
    add(&mut files, [decided(5)]);
    drop(files);
    assert_eq!(found(&place), [5]);
}

#[test]
fn void_decisions_are_kept_in_three_files() {
    let place = Place::new();
    let mut files = place.files();
    claimed(&mut files);
    for uid in 1..=5 {
        let events = files.perform(FileWork::KeepVoid { records: vec![decided(uid)] });
        assert_eq!(events, [FileEvent::VoidKept(place.path("journal.void1").display().to_string())]);
    }
    for (number, uid) in [(1, 5), (2, 4), (3, 3)] {
        let text = fs::read_to_string(place.path(&format!("journal.void{number}"))).unwrap();
        assert!(text.contains(&format!("\"uid\":{uid},")), "{text}");
    }
    assert_eq!(place.names().len(), 6);
}

#[test]
fn an_unwanted_journal_is_not_begun_and_one_that_holds_something_is_carried_out() {
    let place = Place::new();
    claimed(&mut place.unwanted());
    assert_eq!(place.names(), ["lock"]);
    let mut files = place.files();
    claimed(&mut files);
    add(&mut files, [decided(1)]);
    drop(files);
    let mut files = place.unwanted();
    assert_eq!(found_uids(&claimed(&mut files)), [1]);
    add(&mut files, [done([1])]);
    drop(files);
    assert_eq!(found(&place), [0; 0]);
}

#[test]
fn the_batch_size_is_kept_and_its_damage_does_no_harm() {
    let place = Place::new();
    let mut files = place.files();
    claimed(&mut files);
    assert_eq!(files.perform(FileWork::KeepBatchSize(50)), []);
    drop(files);
    assert_eq!(claimed(&mut place.files()).batch_size, Some(50));
    let whole = fs::read(place.path("batch-size")).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(place.path("batch-size"), damaged).unwrap();
        let found = claimed(&mut place.files());
        assert_eq!((found.batch_size, found.oddities.len()), (None, 0));
    }
}

#[test]
fn the_second_reader_is_told_who_the_first_one_is() {
    let place = Place::new();
    let mut first = place.files();
    claimed(&mut first);
    let failure = busy(&mut place.files());
    let here = format!("this process ({})", std::process::id());
    assert!(failure.observed.contains(&here) && failure.remedy.contains("GC.run"), "{failure}");
    // Another process with the same number, after the machine was started again.
    let owner = fs::read_to_string(place.path("owner")).unwrap();
    let at = owner.find("\"started\":").unwrap_or(owner.len() - 2);
    fs::write(place.path("owner"), owner[..at].trim_end_matches(',').to_owned() + "}").unwrap();
    if cfg!(target_os = "linux") {
        let observed = busy(&mut place.files()).observed;
        assert!(observed.contains(&format!("held by process {} (", std::process::id())), "{observed}");
    }
    fs::write(place.path("owner"), "{\"pid\":1").unwrap();
    assert!(busy(&mut place.files()).observed.contains("another process"));
    first.perform(FileWork::Release);
    assert_eq!(place.names(), ["journal", "lock"]);
    claimed(&mut place.files());
}

#[test]
#[cfg(unix)]
fn a_directory_or_file_that_is_removed_or_replaced_is_noticed() {
    type Harm = fn(&Path);
    let harms: [Harm; 6] = [
        |directory| fs::remove_dir_all(directory).unwrap(),
        |directory| fs::remove_dir_all(directory.parent().unwrap()).unwrap(),
        |directory| fs::rename(directory, directory.with_extension("old")).unwrap(),
        |directory| fs::remove_file(directory.join("lock")).unwrap(),
        |directory| fs::remove_file(directory.join("journal")).unwrap(),
        |directory| {
            fs::write(directory.join("new"), "").unwrap();
            fs::rename(directory.join("new"), directory.join("journal")).unwrap();
        },
    ];
    for harm in harms {
        for work in [
            FileWork::Claim,
            FileWork::Sync { seq: Seq(2) },
            FileWork::Rewrite { seq: Seq(2), records: vec![decided(2)] },
        ] {
            let place = Place::new();
            let mut files = place.files();
            claimed(&mut files);
            assert_eq!(files.perform(FileWork::Claim), [FileEvent::StillClaimed]);
            add(&mut files, [decided(1)]);
            harm(&place.directory);
            let failure = gone(&mut files, work);
            assert!(failure.observed.contains("removed or replaced"), "{failure}");
            let append = FileWork::Append { seq: Seq(3), records: vec![decided(3)] };
            assert_eq!(files.perform(append), [], "nothing is written without the lock");
            claimed(&mut files);
            busy(&mut place.files());
        }
    }
}

#[test]
#[cfg(unix)]
fn a_reader_whose_lock_was_removed_leaves_the_next_one_alone() {
    let place = Place::new();
    let mut first = place.files();
    claimed(&mut first);
    fs::remove_file(place.path("lock")).unwrap();
    let mut second = place.files();
    claimed(&mut second);
    add(&mut second, [decided(2)]);
    gone(&mut first, FileWork::Rewrite { seq: Seq(1), records: vec![decided(1)] });
    busy(&mut first);
    assert!(place.path("owner").exists());
    drop((first, second));
    assert_eq!(found(&place), [2]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_failure_is_reported_once_and_a_rewrite_mends_it() {
    let place = Place::new();
    let mut files = place.files();
    claimed(&mut files);
    add(&mut files, [decided(1)]);
    fs::create_dir(place.path("journal.new")).unwrap();
    let events = rewrite(&mut files, vec![decided(1), decided(2)]);
    assert!(matches!(&events[..], [FileEvent::Failed(_)]), "{events:?}");
    let append = || FileWork::Append { seq: Seq(3), records: vec![decided(3)] };
    assert_eq!(files.perform(append()), []);
    assert_eq!(files.perform(FileWork::Sync { seq: Seq(3) }), []);
    assert_eq!(files.perform(FileWork::Claim), [FileEvent::StillClaimed]);
    fs::remove_dir(place.path("journal.new")).unwrap();
    assert_eq!(rewrite(&mut files, vec![decided(2)]).len(), 2);
    assert_eq!(files.perform(append()), [FileEvent::Written(Seq(3))]);
    drop(files);
    assert_eq!(found(&place), [2, 3]);
}

#[test]
fn an_installation_that_is_missing_is_not_made() {
    let place = Place::new();
    let directory = name().directory(&place.work.path().join("missing/work"));
    let mut files = Files::new(Arc::new(RealDisk), &directory, &name(), true);
    assert!(unavailable(&mut files).contains("the directory does not exist"));
    assert!(obstacle(&RealDisk, &directory).is_some());
    assert_eq!(obstacle(&RealDisk, &place.directory), None, "it is made");
    assert_eq!(fs::read_dir(place.work.path()).unwrap().count(), 0);
}

#[test]
fn decisions_of_a_mailbox_that_is_not_configured_any_more_are_found() {
    let place = Place::new();
    let work = place.directory.parent().unwrap();
    assert_eq!(abandoned(&RealDisk, work, &[]).unwrap(), []);
    let mut files = place.files();
    claimed(&mut files);
    assert_eq!(abandoned(&RealDisk, work, &[]).unwrap(), []);
    add(&mut files, [decided(1), decided(2)]);
    drop(files);
    // The first header is damaged.
    let mut journal = fs::read(place.path("journal")).unwrap();
    journal[3] ^= 1;
    fs::write(place.path("journal"), journal).unwrap();
    let found = abandoned(&RealDisk, work, &[]).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].mailbox, "u@example.com/INBOX at h:993");
    assert_eq!((found[0].messages, &found[0].directory), (2, &place.directory));
    assert_eq!(abandoned(&RealDisk, work, std::slice::from_ref(&place.directory)).unwrap(), []);
    fs::write(place.path("journal"), VERSION_1).unwrap();
    assert_eq!(abandoned(&RealDisk, work, &[]).unwrap()[0].messages, 3);
}
