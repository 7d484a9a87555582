//! What a history is made of: numbers that are drawn from the seed, and that can be made smaller one by one.

use crate::random::Random;

macro_rules! knobs {
    ($($(#[$doc:meta])* $name:ident: $chance:literal, $low:literal ..= $high:literal;)*) => {
        /// One property of a history.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Knob { $($(#[$doc])* $name,)* }

        /// Each with its chance (of 1,000) to be used at all, and the values that it has then.
        const KNOBS: &[(Knob, u32, u64, u64)] = &[$((Knob::$name, $chance, $low, $high),)*];
    };
}

knobs! {
    // The mailbox.
    Messages: 950, 1..=25;
    /// Now and then a mailbox with several batches.
    ManyMessages: 10, 150..=450;
    Arrivals: 500, 1..=15;
    /// Octets of the largest message, in KiB.
    LargeKib: 200, 100..=2_000;
    /// Of 1,000 messages, those whose header fields another one has too.
    Duplicates: 100, 50..=400;
    /// Of 1,000 messages, those that have nothing to be recognised by.
    Markless: 60, 20..=300;
    // The server.
    NoMove: 300, 1..=1;
    NoUidplus: 150, 1..=1;
    /// Of 1,000 answers, those without COPYUID.
    NoCopyUid: 300, 100..=1_000;
    /// Of 1,000 answers, those with an empty COPYUID.
    EmptyCopyUid: 150, 100..=1_000;
    /// SEARCH without a match is answered without a line.
    QuietSearch: 200, 1..=1;
    /// Milliseconds that a command takes at most.
    Slowness: 600, 1..=3_000;
    // Other clients and administrators.
    Foreign: 400, 1..=12;
    FoldersLost: 80, 1..=2;
    ValidityChanges: 80, 1..=2;
    /// The mailbox is made again: the same UIDVALIDITY and UIDs, other messages.
    Recreations: 120, 1..=2;
    // Faults of the server, of 1,000 commands.
    CutBefore: 250, 5..=120;
    CutAfter: 250, 5..=120;
    CutInside: 250, 5..=120;
    CutAnswered: 200, 5..=120;
    Hang: 120, 5..=50;
    Refuse: 200, 10..=200;
    Bad: 120, 10..=100;
    NotNow: 200, 10..=250;
    Throttle: 120, 10..=100;
    NoEffect: 150, 50..=500;
    EffectWithoutOk: 150, 20..=300;
    NoSearchLine: 120, 50..=400;
    NoHeaders: 120, 50..=400;
    OddHeaders: 100, 50..=400;
    NoNumbers: 80, 50..=400;
    WrongSizes: 120, 50..=500;
    /// A command is carried out after its connection was lost.
    Late: 80, 100..=600;
    ConnectFails: 200, 20..=400;
    /// Messages that one command can change before the server cuts the connection.
    BulkLimit: 100, 1..=60;
    /// Messages that the server never delivers while faults last.
    Poison: 200, 1..=4;
    // The process.
    Kills: 400, 1..=4;
    PowerLosses: 150, 1..=3;
    Closes: 150, 1..=3;
    // The disk, of 1,000 calls.
    DiskFails: 150, 5..=150;
    DiskHangs: 120, 5..=60;
    DiskSlow: 200, 1..=400;
    DirectoryLost: 60, 1..=2;
    Busy: 60, 1..=2;
    NoDirectory: 40, 1..=1;
    NoJournal: 60, 1..=1;
    /// The real code of the mailbox directory writes to a disk in memory.
    RealFiles: 500, 1..=1;
    /// Of 1,000 messages, those that a journal of version 1 has decisions about.
    Version1: 80, 100..=800;
    FileFails: 60, 50..=500;
    // The callers.
    Callers: 250, 2..=3;
    LateSettles: 400, 50..=700;
    NeverSettled: 200, 20..=300;
    Flushes: 400, 100..=900;
    Abandons: 100, 20..=200;
    Renewals: 60, 1..=4;
    // The settings.
    UnseenOnly: 250, 1..=1;
    NoPipeline: 200, 1..=1;
    SmallBuffer: 300, 1..=1;
    Impatient: 300, 1..=1;
    // The history.
    Seconds: 1_000, 5..=400;
    Polls: 500, 1..=60;
    Faults: 1_000, 1..=60;
}

/// The numbers of one history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    values: Vec<u32>,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let values = KNOBS.iter().map(|&(_, chance, low, high)| {
            let (used, value) = (random.chance(chance), random.between(low, high) as u32);
            if used { value } else { 0 }
        });
        Self { seed, values: values.collect() }
    }

    /// Makes a plan in which nothing happens but what is set afterwards.
    pub fn quiet(seed: u64) -> Self {
        Self { seed, values: vec![0; KNOBS.len()] }
    }

    pub fn with(mut self, knob: Knob, value: u32) -> Self {
        self.values[knob as usize] = value;
        self
    }

    pub fn get(&self, knob: Knob) -> u32 {
        self.values[knob as usize]
    }

    pub fn is(&self, knob: Knob) -> bool {
        self.get(knob) > 0
    }

    /// Returns plans that are smaller than this one, the smallest first.
    pub fn smaller(&self) -> Vec<Plan> {
        let mut plans = Vec::new();
        for part in [0, 1, 2] {
            for &(knob, ..) in KNOBS {
                let value = self.get(knob);
                let smaller = match part {
                    0 => 0,
                    1 => value / 2,
                    _ => value.saturating_sub(1),
                };
                if smaller < value {
                    plans.push(self.clone().with(knob, smaller));
                }
            }
        }
        plans
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "seed {}:", self.seed)?;
        for (knob, ..) in KNOBS.iter().filter(|(knob, ..)| self.is(*knob)) {
            write!(formatter, " {knob:?}={}", self.get(*knob))?;
        }
        Ok(())
    }
}
