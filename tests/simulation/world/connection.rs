//! The connection to the server.

use super::*;

impl World<'_> {
    pub(super) fn connect(&mut self, number: u64, link: u64) {
        let Some(process) = self.process.as_mut().filter(|process| process.number == number) else { return };
        if process.link.as_ref().is_none_or(|open| open.number != link) {
            return;
        }
        if self.server.fault(self.plan, Knob::ConnectFails) {
            let failures = [
                Failure::new(Step::Connect, Kind::Network, "connection refused"),
                Failure::new(Step::Login, Kind::Login, "NO AUTHENTICATE failed."),
                Failure::new(Step::Token, Kind::Token, "AADSTS7000222"),
                Failure::new(Step::Select, Kind::Refused, "NO It cannot be selected."),
                Failure::new(Step::Login, Kind::Throttled, "NO Request is throttled.")
                    .retry(um_imap_oauth2::failure::Retry::After(Duration::from_secs(20))),
            ];
            let failure = failures[self.random.below(5) as usize].clone();
            if let Some(process) = &mut self.process {
                process.link = None;
            }
            self.note(|| format!("S: {failure}"));
            return self.handle(Input::Lost(failure));
        }
        INBOX.clone_into(&mut self.server.selected);
        self.server.expunged = 0;
        let names = self.server.folders.keys().cloned().collect();
        let connected = Connected {
            uid_validity: UidValidity::new(self.server.uid_validity()).unwrap_or_else(|| unreachable!()),
            exists: self.server.inbox().messages.len() as u32,
            capabilities: Capabilities {
                r#move: !self.plan.is(Knob::NoMove),
                uidplus: !self.plan.is(Knob::NoUidplus),
            },
            folders: Folders { separator: Some('/'), names, junk: None },
            inbox: INBOX.to_owned(),
        };
        self.note(|| {
            format!(
                "S: connection {link}, UIDVALIDITY {}, {} messages",
                connected.uid_validity, connected.exists
            )
        });
        self.handle(Input::Connected(connected));
    }

    pub(super) fn send(&mut self, id: CommandId, command: Command) {
        self.note(|| format!("C: {} {command:?}", id.0));
        let delay = self.random.below(30);
        let Some(link) = self.process.as_mut().and_then(|process| process.link.as_mut()) else {
            return self.ledger.violated(format!("a command without a connection: {command:?}"));
        };
        link.commands.push_back((id, command));
        if !link.serving && !link.silent {
            link.serving = true;
            let link = link.number;
            self.schedule(delay, Happening::Serve { link });
        }
    }

    pub(super) fn serve(&mut self, number: u64) {
        let slowness = self.plan.get(Knob::Slowness);
        let Some(link) = self.process.as_mut().and_then(|process| process.link.as_mut()) else { return };
        if link.number != number || link.silent {
            return;
        }
        let Some((id, command)) = link.commands.pop_front() else {
            link.serving = false;
            return;
        };
        let wires = self.server.serve(self.plan, &mut self.ledger, id, &command);
        let Some(link) = self.process.as_mut().and_then(|process| process.link.as_mut()) else { return };
        let mut time = link.last.max(self.now);
        let step =
            Duration::from_millis(self.random.below(1 + u64::from(slowness) / (1 + wires.len() as u64)));
        let mut scheduled = Vec::new();
        for wire in wires {
            time = time + step;
            if let Wire::Silence = wire {
                link.silent = true;
                let failure = Failure::new(Step::Fetch, Kind::Timeout, "the server does not answer");
                scheduled.push((time + command_time(&command), Wire::Cut(failure)));
            } else {
                link.silent |= matches!(wire, Wire::Cut(_));
                scheduled.push((time, wire));
            }
        }
        link.last = time;
        let silent = link.silent;
        for (time, wire) in scheduled {
            self.schedule_at(time, Happening::Deliver { link: number, wire });
        }
        if !silent {
            self.schedule_at(time, Happening::Serve { link: number });
        }
    }

    pub(super) fn deliver(&mut self, number: u64, wire: Wire) {
        let Some(process) = &mut self.process else { return };
        if process.link.as_ref().is_none_or(|link| link.number != number) {
            return;
        }
        match wire {
            Wire::Event(event) => {
                self.note(|| format!("S: {event:?}"));
                self.handle(Input::Session(event));
            }
            Wire::Body { uid, message } => self.deliver_body(uid, message),
            Wire::Cut(failure) => {
                process.link = None;
                self.note(|| format!("S: *** {failure}"));
                self.handle(Input::Lost(failure));
            }
            Wire::Silence => {}
        }
    }

    pub(super) fn deliver_body(&mut self, uid: u32, message: Message) {
        self.note(|| format!("S: UID {uid} is message {}, {} octets", message.id, message.octets));
        let file_fails = self.server.fault(self.plan, Knob::FileFails);
        let Some(process) = &mut self.process else { return };
        let octets = message.octets as usize + OF_A_MESSAGE;
        let stored = match process.engine.placement(octets as u64) {
            Placement::Memory => Stored::Memory(octets),
            Placement::File if file_fails => Stored::Failed("ENOSPC".into()),
            Placement::File => Stored::File,
            Placement::PassOver => Stored::PassedOver(message.octets),
        };
        let memory = if let Stored::Memory(octets) = stored { octets } else { 0 };
        let handle =
            Handle { id: message.id, uid_validity: process.uid_validity, uid, identity: message.identity };
        process.arriving = Some((uid, Kept { handle, memory }));
        let uid = Uid::new(uid).unwrap_or_else(|| unreachable!());
        self.handle(Input::Session(Event::Arrived(Arrival { uid, identity: message.identity, stored })));
        if let Some(process) = &mut self.process {
            process.arriving = None;
        }
    }
}

fn command_time(command: &Command) -> Duration {
    Duration::from_secs(match command {
        Command::Ask(Ask::Search { .. }) => 300,
        Command::Ask(Ask::Noop) => 30,
        _ => 120,
    })
}
