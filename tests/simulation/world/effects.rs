//! Does what the engine wants done.

use super::*;

impl World<'_> {
    pub(super) fn give_files(&mut self, work: FileWork) {
        self.note(|| format!("disk: {work:?}"));
        let Some(process) = &mut self.process else { return };
        process.files.work.push_back(work);
        process.file_given.get_or_insert(self.now);
        if !std::mem::replace(&mut process.files_busy, true) {
            self.schedule_files();
        }
    }

    pub(super) fn schedule_files(&mut self) {
        let Some(process) = &self.process else { return };
        let number = process.number;
        let hangs = self.server.fault(self.plan, Knob::DiskHangs);
        let delay = if hangs {
            [2_000, 8_000, 15_000, 700_000][self.disk_random.below(4) as usize]
        } else {
            self.disk_random.below(1 + u64::from(self.plan.get(Knob::DiskSlow)))
        };
        self.schedule(delay, Happening::Files { process: number });
    }

    pub(super) fn work_on_files(&mut self, number: u64) {
        let faults = DiskFaults {
            fails: self.server.fault(self.plan, Knob::DiskFails),
            busy: self.server.fault(self.plan, Knob::Busy),
        };
        let Some(process) = self.process.as_mut().filter(|process| process.number == number) else { return };
        let events = process.files.perform(&mut self.disk, faults, &mut self.disk_random);
        process.file_given = (!process.files.work.is_empty()).then_some(self.now);
        process.files_busy = !process.files.work.is_empty();
        if process.files_busy {
            self.schedule_files();
        }
        self.take_losses();
        for event in events {
            self.file_event(event);
        }
    }

    fn file_event(&mut self, event: FileEvent) {
        self.note(|| format!("disk: {event:?}"));
        if let Some(process) = &mut self.process {
            process.journal_lost = match event {
                FileEvent::Claimed(_) | FileEvent::Synced(_) => process.files.replaced,
                FileEvent::Failed(_)
                | FileEvent::Gone(_)
                | FileEvent::Unavailable(_)
                | FileEvent::Busy(_) => true,
                _ => process.journal_lost,
            };
        }
        self.handle(Input::Files(event));
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.steps += 1;
        let is_timer = input == Input::Timer;
        let Some(process) = &mut self.process else { return };
        let effects = process.engine.handle(input, self.now);
        if !effects.is_empty() || !is_timer {
            self.idle_timers = 0;
        }
        for effect in effects {
            self.perform(effect);
        }
        if self.process.as_ref().is_some_and(|process| process.stopped) {
            self.reopen();
        }
    }

    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Connect => self.begin_connecting(),
            Effect::Disconnect | Effect::LogOut => {
                self.note(|| format!("C: {effect:?}"));
                if let Some(link) = self.process.as_mut().and_then(|process| process.link.take()) {
                    self.leave(link);
                }
            }
            Effect::Ask(id, ask) => self.send(id, Command::Ask(ask)),
            Effect::Change(id, change, durable) => {
                self.check_change(&change, durable);
                self.send(id, Command::Change(change));
            }
            Effect::Keep(uid) => {
                if let Some(process) = &mut self.process
                    && let Some((arrived, kept)) = process.arriving.take()
                {
                    let doubled = process.kept.insert(arrived, kept).is_some();
                    if doubled || arrived != uid.get() {
                        self.ledger.violated(format!("UID {uid} is kept twice"));
                    }
                }
            }
            Effect::Discard(uids) => {
                if let Some(process) = &mut self.process {
                    uids.iter().for_each(|uid| _ = process.kept.remove(&uid.get()));
                }
            }
            Effect::Reply(id, reply) => {
                self.note(|| format!("reply {}: {reply:?}", id.0));
                self.replied(id, &reply);
            }
            Effect::Files(work) => self.give_files(work),
            Effect::Report(report) => self.reported(&report),
            Effect::WriteStatus => {}
            Effect::Stop => {
                if let Some(process) = &mut self.process {
                    process.stopped = true;
                }
            }
        }
    }

    pub(super) fn begin_connecting(&mut self) {
        self.note(|| "C: connects".into());
        self.links += 1;
        let number = self.links;
        let delay = self.random.between(1, 300);
        let Some(process) = &mut self.process else { return };
        if process.link.is_some() {
            return self.ledger.violated("two connections at once");
        }
        process.link = Some(Link {
            number,
            commands: VecDeque::new(),
            serving: false,
            last: Time::default(),
            silent: false,
        });
        let process = process.number;
        self.schedule(delay, Happening::Connect { process, link: number });
    }

    pub(super) fn reported(&mut self, report: &Report) {
        self.note(|| format!("log: {report:?}"));
        if let (Report::SetAside(_), Some(process)) = (report, &mut self.process) {
            process.callers.iter_mut().for_each(|caller| caller.set_aside += 1);
        }
        if let Report::Selected { uid_validity } = report
            && let Some(process) = &mut self.process
        {
            process.uid_validity = uid_validity.get();
        }
    }

    /// The mailbox was closed: opens it again in the same process of the system.
    pub(super) fn reopen(&mut self) {
        let Some(process) = self.process.take() else { return };
        self.note(|| "--- closed".into());
        self.ledger.process_ended();
        if let Some(link) = process.link {
            self.ledger.violated(format!("connection {} outlives its mailbox", link.number));
        }
        if let Some((id, waiting, _)) = process.callers.iter().find_map(|caller| caller.waiting) {
            self.ledger.violated(format!("call {id:?} {waiting:?} outlives its mailbox"));
        }
        // The thread of the files may go on for a while.
        let mut files = process.files;
        let left = self.disk_random.below(files.work.len() as u64 + 1);
        for _ in 0..left {
            files.perform(&mut self.disk, DiskFaults::default(), &mut self.disk_random);
        }
        self.begin_process(process.engine.history().clone());
    }
}
