//! Which fault is due, and what it does.

use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::scenario::{Action, Fault};
use crate::shared::{Shared, locked};
use crate::wire::{Going, Mark, Wire};

/// The faults of a scenario, each with how often its condition has been met.
pub(crate) struct Faults(Mutex<Vec<(Fault, u32)>>);

impl Faults {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        Self(Mutex::new(faults.into_iter().map(|fault| (fault, 0)).collect()))
    }

    pub(crate) fn add(&self, fault: Fault) {
        locked(&self.0).push((fault, 0));
    }

    /// Counts the event for every fault that it concerns, and gives the actions of the first that is due.
    pub(crate) fn due(&self, on: &str, line: &str, connection: u32) -> Option<Vec<Action>> {
        let mut due = None;
        for (fault, met) in locked(&self.0).iter_mut() {
            if !concerns(fault, on, line, connection) {
                continue;
            }
            *met += 1;
            let last = if fault.times == 0 { u32::MAX } else { fault.nth.saturating_add(fault.times - 1) };
            if due.is_none() && (fault.nth..=last).contains(met) {
                due = Some(fault.actions.clone());
            }
        }
        due
    }
}

/// Does what an action says that needs no knowledge of IMAP or HTTP. The others do nothing here.
pub(crate) fn perform(shared: &Shared, wire: &mut Wire, action: &Action, tag: &str) -> Going {
    match action {
        Action::Send(text) => wire.put(text.replace("{tag}", tag).as_bytes()),
        Action::SendBase64(text) => wire.put(&STANDARD.decode(text).unwrap_or_default()),
        Action::WaitMs(ms) => {
            wire.flush()?;
            wire.wait(Duration::from_millis(*ms))
        }
        Action::Drip { octets, every_ms } => {
            wire.flush()?;
            wire.drip(*octets, Duration::from_millis(*every_ms));
            Ok(())
        }
        Action::CutAfter(octets) => wire.mark(*octets, Mark::Cut),
        Action::ResetAfter(octets) => wire.mark(*octets, Mark::Reset),
        Action::StallAfter(octets) => wire.mark(*octets, Mark::Stall),
        Action::FlipAfter(octets) => wire.mark(*octets, Mark::Flip),
        Action::WaitAfter { octets, ms } => wire.mark(*octets, Mark::Wait(Duration::from_millis(*ms))),
        Action::Cut => {
            wire.flush()?;
            wire.cut()
        }
        Action::Reset => {
            wire.flush()?;
            wire.reset()
        }
        Action::Stall => {
            wire.flush()?;
            wire.stall()
        }
        Action::Close => wire.close(),
        Action::Change(change) => {
            shared.change(change);
            Ok(())
        }
        Action::Answer
        | Action::CarryOut
        | Action::Replace { .. }
        | Action::Respond { .. }
        | Action::Refuse(_)
        | Action::Grant(_)
        | Action::Claims(_) => Ok(()),
    }
}

fn concerns(fault: &Fault, on: &str, line: &str, connection: u32) -> bool {
    let any_command = fault.on == "*" && !NO_COMMANDS.contains(&on);
    (any_command || fault.on.eq_ignore_ascii_case(on))
        && fault.connection.is_none_or(|wanted| wanted == connection)
        && fault
            .containing
            .as_ref()
            .is_none_or(|text| line.to_ascii_lowercase().contains(&text.to_ascii_lowercase()))
}

const NO_COMMANDS: [&str; 4] = ["connect", "greeting", "token connect", "token"];

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(json: serde_json::Value) -> Faults {
        Faults::new(serde_json::from_value(json).unwrap())
    }

    #[test]
    fn a_fault_is_due_the_nth_time_and_so_many_times_from_then_on() {
        let faults = faults(serde_json::json!([{"on": "NOOP", "nth": 2, "times": 2, "do": ["cut"]}]));
        let due: Vec<bool> = (0..5).map(|_| faults.due("NOOP", "a NOOP", 1).is_some()).collect();
        assert_eq!(due, [false, true, true, false, false]);
    }

    #[test]
    fn a_fault_without_an_end_is_due_always() {
        let faults = faults(serde_json::json!([{"on": "*", "times": 0, "do": ["cut"]}]));
        assert!((0..100).all(|_| faults.due("NOOP", "a NOOP", 1).is_some()));
        assert!(faults.due("greeting", "", 1).is_none());
    }

    #[test]
    fn a_fault_can_ask_for_a_connection_and_a_text() {
        let faults = faults(serde_json::json!([
            {"on": "UID FETCH", "connection": 2, "containing": "body", "do": ["cut"]}
        ]));
        assert!(faults.due("UID FETCH", "a UID FETCH 1 BODY[]", 1).is_none());
        assert!(faults.due("UID FETCH", "a UID FETCH 1 FLAGS", 2).is_none());
        assert!(faults.due("FETCH", "a FETCH 1 BODY[]", 2).is_none());
        assert!(faults.due("UID FETCH", "a UID FETCH 1 BODY[]", 2).is_some());
    }
}
