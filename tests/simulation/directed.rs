//! Histories with a purpose: each shows one rule, and fails without it.

use crate::plan::{Knob, Plan};
use crate::server::Poison;
use crate::world::World;

/// Plays a plan to its end. Returns the dialogue.
fn dialogue(plan: &Plan, prepare: impl FnOnce(&mut World)) -> Vec<String> {
    let mut world = World::new(plan, true);
    prepare(&mut world);
    world.play();
    let trace = world.trace.take().unwrap_or_default();
    assert_eq!(world.ledger.violation, None, "{plan}\n{}", trace.join("\n"));
    trace
}

fn count(trace: &[String], what: &str) -> usize {
    trace.iter().filter(|line| line.contains(what)).count()
}

/// Returns the seconds at which a line was written.
fn time(line: &str) -> f64 {
    line.split_whitespace().next().and_then(|time| time.parse().ok()).unwrap_or(f64::MAX)
}

fn mailbox(messages: u32) -> Plan {
    Plan::quiet(7).with(Knob::Messages, messages).with(Knob::Seconds, 400).with(Knob::Polls, 2)
}

#[test]
fn a_message_that_always_gets_not_now_does_not_hold_up_the_others() {
    for poison in [Poison::NotNow, Poison::Throttle, Poison::No, Poison::Cut] {
        for at in 0..12 {
            let trace = dialogue(&mailbox(12), |world| {
                if let Some(message) = world.server.inbox_mut().messages.values_mut().nth(at) {
                    message.poison = Some(poison);
                }
            });
            let end =
                trace.iter().find(|line| line.contains("Next(Ok(None))")).map_or(f64::MAX, |line| time(line));
            let others = trace
                .iter()
                .filter(|line| line.contains("reply") && line.contains("Next(Ok(Some") && time(line) <= end);
            assert_eq!(others.count(), 11, "{poison:?} at {at}:\n{}", trace.join("\n"));
            assert!(end < 60.0, "{poison:?} at {at}: {end} s");
        }
    }
}

#[test]
fn a_move_without_effect_is_tried_again_on_another_connection() {
    let plan = mailbox(12).with(Knob::NoEffect, 1_000).with(Knob::Faults, 2).with(Knob::EmptyCopyUid, 1_000);
    let trace = dialogue(&plan, |_| {});
    assert!(count(&trace, "Waiting(NoEffect") > 0);
    assert!(count(&trace, "C: connects") > 1);
}

#[test]
fn decisions_about_messages_that_became_others_are_void() {
    let mut void = 0;
    for seed in 0..40 {
        let plan = Plan::quiet(seed).with(Knob::Messages, 10).with(Knob::Seconds, 30).with(Knob::Polls, 9);
        let plan = plan.with(Knob::Recreations, 2).with(Knob::LateSettles, 800).with(Knob::DiskSlow, 100);
        void += count(&dialogue(&plan, |_| {}), "DecisionVoid");
    }
    assert!(void > 0);
}

#[test]
fn what_a_journal_of_version_1_holds_is_carried_out() {
    let trace = dialogue(&mailbox(20).with(Knob::Version1, 1_000), |_| {});
    assert_eq!(count(&trace, "log: Inherited"), 1);
    let lines = trace.iter().filter(|line| line.contains("Change(Move"));
    assert!(lines.count() > 0);
}

#[test]
fn a_lost_answer_to_copy_makes_no_other_copy() {
    for seed in 0..60 {
        let plan = Plan::quiet(seed).with(Knob::Messages, 12).with(Knob::NoMove, 1).with(Knob::Seconds, 60);
        let plan = plan.with(Knob::CutAfter, 300).with(Knob::Faults, 3);
        let mut world = World::new(&plan, false);
        world.play();
        assert_eq!(world.ledger.violation, None, "{plan}");
        let copies = world.ledger.decisions.values().map(|decision| decision.copied).max();
        assert!(copies <= Some(1), "{plan}");
    }
}

#[test]
fn the_number_of_messages_that_one_command_can_change_is_learnt_and_kept() {
    let plan = mailbox(0).with(Knob::ManyMessages, 400).with(Knob::BulkLimit, 20).with(Knob::Seconds, 2_000);
    let mut world = World::new(&plan, true);
    world.play();
    let trace = world.trace.take().unwrap_or_default();
    assert_eq!(world.ledger.violation, None, "{}", trace.join("\n"));
    assert!(count(&trace, "log: BatchSize") > 0);
    assert_eq!(world.disk.batch_size, Some(12));
    let cuts = trace.iter().filter(|line| line.contains("closed the connection")).count();
    assert!(cuts < 12, "{cuts} connections were lost");
}

#[test]
fn a_search_without_an_answer_is_repeated_and_then_all_flags_are_read() {
    let trace = dialogue(&mailbox(9).with(Knob::NoSearchLine, 1_000).with(Knob::Faults, 2), |_| {});
    assert_eq!(count(&trace, "Ask(AllFlags)"), 1);
    assert!(count(&trace, "Next(Ok(Some") >= 9);
}

#[test]
fn patience_ends_a_fetch_whose_commands_hang() {
    let plan = mailbox(5).with(Knob::Hang, 1_000).with(Knob::Faults, 60).with(Knob::Impatient, 1);
    let trace = dialogue(&plan, |_| {});
    let line = |what: &str| trace.iter().find(|line| line.contains(what)).map_or(f64::MAX, |line| time(line));
    let (first, end) = (line("does not answer"), line("Fetch(Err"));
    assert!(end - first <= 30.5, "it took {} s", end - first);
}

#[test]
fn settle_returns_within_a_second_from_a_disk_that_hangs() {
    let plan = mailbox(9).with(Knob::DiskHangs, 400).with(Knob::Faults, 9);
    let trace = dialogue(&plan, |_| {});
    assert!(count(&trace, "log: JournalHangs") > 0, "{}", trace.join("\n"));
}

#[test]
fn closing_does_not_wait_for_a_server_that_hangs() {
    let mut closed = 0;
    for seed in 0..20 {
        let plan = Plan::quiet(seed).with(Knob::Messages, 9).with(Knob::Seconds, 200).with(Knob::Polls, 9);
        let plan = plan.with(Knob::Hang, 300).with(Knob::Faults, 20).with(Knob::Closes, 3);
        closed += count(&dialogue(&plan, |_| {}), "--- closed");
    }
    assert!(closed > 20);
}
