use std::time::Duration;

use super::*;
use crate::engine::input::{Call, CallId, Connected, Input};
use crate::engine::record::{Action, Copy, Identity, Mark};
use crate::engine::time::Time;
use crate::engine::{History, Settings};
use crate::imap::folders::Folders;
use crate::imap::session::Capabilities;
use crate::imap::uids::Uid;

/// Work is done in its order. Two looks at the lock wait on a disk that hangs, and a rewrite behind them. The first look finds
/// that the lock is lost, the second one claims it again, and the rewrite comes after that.
#[test]
fn a_rewrite_from_before_the_lock_was_lost_takes_nothing_out_of_the_journal_that_is_claimed_after_it() {
    let mut history = Played::new();
    history.asks_for_messages();
    history.files(FileEvent::Claimed(found(pending(1, 7))));
    history.asks_for_messages();
    history.passes(10);
    history.asks_for_messages();
    // The decision about UID 1 is void, and the journal is to be empty.
    let effects = history.connects(8);
    let [emptied] = &rewrites(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(emptied.1, []);

    history.files(FileEvent::Gone(Failure::own(Step::Storage, Kind::Storage, message!(DirectorySilent))));
    // A decision of another reader, which the rewrite above is about to remove.
    let left = pending(2, 8);
    let effects = history.files(FileEvent::Claimed(found(left.clone())));
    let [restored] = &rewrites(&effects)[..] else { panic!("{effects:?}") };
    assert!(restored.0 > emptied.0);
    assert_eq!(restored.1, left.records());
}

#[test]
fn a_journal_on_which_no_earlier_work_is_under_way_is_left_as_it_is_found() {
    let mut history = Played::new();
    history.connects(8);
    history.asks_for_messages();
    let effects = history.files(FileEvent::Claimed(found(pending(2, 8))));
    assert_eq!(rewrites(&effects), []);
}

/// An engine, and the time.
struct Played {
    engine: Engine,
    now: Time,
    calls: u64,
}

impl Played {
    fn new() -> Self {
        let settings = Settings {
            read_only: false,
            unseen_only: false,
            buffer: 1 << 20,
            pipeline: 2,
            patience: Duration::from_secs(300),
            throttled: Duration::from_secs(600),
            close: Duration::from_secs(1),
            targets: Vec::new(),
            directory: true,
            journal: true,
            password: false,
            fingerprint: 0,
            seed: 0,
        };
        Self { engine: Engine::new(settings, History::default()), now: Time::default(), calls: 0 }
    }

    fn handle(&mut self, input: Input) -> Vec<Effect> {
        self.engine.handle(input, self.now)
    }

    fn files(&mut self, event: FileEvent) -> Vec<Effect> {
        self.handle(Input::Files(event))
    }

    /// Begins a fetch, which has the lock looked at.
    fn asks_for_messages(&mut self) {
        self.calls += 1;
        let effects = self.handle(Input::Call(CallId(self.calls), Call::Fetch));
        assert!(effects.contains(&Effect::Files(FileWork::Claim)), "{effects:?}");
    }

    fn passes(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.handle(Input::Timer);
    }

    fn connects(&mut self, uid_validity: u32) -> Vec<Effect> {
        self.handle(Input::Connected(Connected {
            uid_validity: UidValidity::new(uid_validity).unwrap(),
            exists: 2,
            capabilities: Capabilities { r#move: true, uidplus: true },
            folders: Folders { separator: Some('/'), ..Folders::default() },
            inbox: "INBOX".to_owned(),
        }))
    }
}

fn pending(uid: u32, uid_validity: u32) -> Pending {
    Pending {
        uid_validity: UidValidity::new(uid_validity).unwrap(),
        uid: Uid::new(uid).unwrap(),
        identity: Identity { received: Some(1_767_571_200_000), mark: Mark::Fields(1) },
        action: Action::Delete,
        copy: Copy::NotSent,
    }
}

fn found(pending: Pending) -> Found {
    Found { pending: vec![pending], ..Found::default() }
}

fn rewrites(effects: &[Effect]) -> Vec<(Seq, Vec<Record>)> {
    let rewrite = |effect: &Effect| match effect {
        Effect::Files(FileWork::Rewrite { seq, records }) => Some((*seq, records.clone())),
        _ => None,
    };
    effects.iter().filter_map(rewrite).collect()
}
