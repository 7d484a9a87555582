//! Passes the server's answers to the parts of the engine that asked.

use std::time::Duration;

use super::input::{Answer, CommandId, Event, Status};
use super::{Engine, Purpose, progress, settle};

impl Engine {
    pub(super) fn session_event(&mut self, event: Event) {
        if self.session().is_none() {
            return;
        }
        match event {
            Event::Exists(exists) => {
                if let Some(session) = self.session_mut() {
                    session.exists = exists;
                }
            }
            Event::Expunged(messages) => {
                if let Some(session) = self.session_mut() {
                    session.exists = session.exists.saturating_sub(messages);
                }
            }
            Event::SearchLine => self.search_line(),
            Event::Found(uids) => self.found(*uids.start(), *uids.end()),
            Event::Attributes(attributes) => self.attributes(attributes),
            Event::Progress => self.octets_came(),
            Event::Arrived(arrival) => self.arrived(arrival),
            Event::Vanished(uids) => self.vanished_from_folder(&uids),
            Event::Copied(uids) => self.copies_named(&uids),
            Event::Done(id, answer) => self.command_done(id, &answer),
        }
    }

    fn command_done(&mut self, id: CommandId, answer: &Answer) {
        let Some(session) = self.session_mut() else { return };
        let Some(at) = session.in_flight.iter().position(|(in_flight, _)| *in_flight == id) else { return };
        let Some((_, purpose)) = session.in_flight.remove(at) else { return };
        match answer.status {
            Status::Ok => {
                self.throttled_since = None;
                if self.in_flight() > 0 {
                    self.pipeline.coped();
                }
            }
            Status::Bad if self.in_flight() > 0 => self.pipeline.failed(),
            Status::NotNow(time) => self.not_now(&purpose, time, answer),
            _ => {}
        }
        match purpose {
            Purpose::MakeFolder { configured, name } => self.folder_made(configured, name, answer),
            purpose if purpose.fetch().is_some() => self.fetch_answered(&purpose, answer),
            Purpose::CreateTarget { name } => self.target_created(name, answer),
            Purpose::TargetBefore => self.target_known(answer),
            Purpose::Change => self.change_answered(answer),
            Purpose::ProveNoop => self.prove_present(),
            Purpose::ProvePresent => self.proof_answered(answer),
            Purpose::Headers { uids } => self.headers_answered(&uids, answer),
            Purpose::SilentPresent => self.silent_answered(answer),
            Purpose::TargetAfter => self.target_counted(answer),
            Purpose::ExamineTarget => self.target_examined(answer),
            Purpose::ReadTarget => self.target_read(answer),
            _ => self.reselected(answer),
        }
    }

    fn fetch_answered(&mut self, purpose: &Purpose, answer: &Answer) {
        if let Status::NotNow(time) = answer.status {
            return self.fetch_not_now(purpose, time, answer);
        }
        match purpose {
            Purpose::Noop { fetch } => {
                if let Some(progress) = self.progress.as_mut().filter(|progress| progress.id == *fetch) {
                    progress.stage = progress::Stage::Ready;
                }
            }
            Purpose::Search { fetch } => self.search_answered(*fetch, answer),
            Purpose::AllFlags { fetch } => self.flags_listed(*fetch, answer),
            Purpose::Sizes { fetch } => self.sizes_answered(*fetch, answer),
            Purpose::Bodies { fetch, uids } => self.bodies_answered(*fetch, uids, answer),
            Purpose::Doubts { fetch } => self.doubts_answered(*fetch, answer),
            _ => {}
        }
    }

    /// The server will do it later: nothing is sent until then.
    pub(super) fn not_now(&mut self, purpose: &Purpose, time: Option<Duration>, answer: &Answer) {
        let problem = settle::unavailable(purpose.step(), time, answer);
        match time {
            Some(time) => self.throttled(time, problem),
            None => {
                let now = self.now;
                self.pause_until = Some(now + NOT_NOW);
                if let Some(progress) = &mut self.progress {
                    progress.troubled(now, problem);
                }
            }
        }
    }
}

/// Pause after "not now" without a time.
const NOT_NOW: Duration = Duration::from_secs(1);
