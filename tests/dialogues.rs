//! Dialogues that were changed at random: the cheap and repeatable sister of the fuzz targets in `tests/fuzz`, from the same
//! seeds. `UM_TEST_MUTATIONS=100000` tries more than `make test` does.

#[path = "fuzz/dialogues.rs"]
#[allow(dead_code, reason = "the test of dialects uses the rest of it")]
mod dialogues;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::{env, fs};

#[test]
fn a_recorded_dialogue_is_read_to_its_end() {
    for (name, octets) in seeds("session") {
        dialogues::session(&octets);
        assert!(dialogues::is_whole(&octets), "{name}");
    }
    for (_, octets) in seeds("responses") {
        dialogues::responses(&octets);
    }
}

#[test]
fn whatever_a_server_says_is_read_as_imap_codec_reads_it_or_refused() {
    mutate("responses", dialogues::responses);
}

#[test]
fn a_session_that_is_fed_anything_ends_and_holds_little() {
    mutate("session", dialogues::session);
}

/// Calls `check` with changed seeds, always the same ones.
fn mutate(kind: &str, check: fn(&[u8])) {
    let seeds = seeds(kind);
    let count = env::var("UM_TEST_MUTATIONS").map_or(1_000, |count| count.parse().expect("a number"));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for number in 0..count {
        let (name, seed) = &seeds[number % seeds.len()];
        let mut octets = seed.clone();
        for _ in 0..=random.below(4) {
            random.change(&mut octets, &seeds);
        }
        // The seed and the number tell which one it was; the octets are there to be kept as a seed.
        if catch_unwind(AssertUnwindSafe(|| check(&octets))).is_err() {
            let kept = env::temp_dir().join(format!("um-{kind}-{number}"));
            fs::write(&kept, &octets).expect("a file");
            panic!("{name}, change {number}: {}", kept.display());
        }
    }
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return };
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let most: u64 = most.expect("the kernel tells it").parse().expect("a number");
    assert!(most < 128 * 1024, "{most} kB were resident");
}

fn seeds(kind: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(kind);
    let files = fs::read_dir(&directory).expect("the seeds").map(|entry| entry.expect("a file").path());
    let mut seeds: Vec<_> =
        files.map(|path| (path.display().to_string(), fs::read(&path).expect("a seed"))).collect();
    seeds.sort();
    assert!(!seeds.is_empty());
    seeds
}

/// Xorshift: any numbers that are always the same will do.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn change(&mut self, octets: &mut Vec<u8>, seeds: &[(String, Vec<u8>)]) {
        let at = self.below(octets.len());
        let end = (at + 1 + self.below(40)).min(octets.len());
        match self.below(8) {
            0 => octets.truncate(at),
            1 => drop(octets.drain(at..end)),
            2 => {
                let again = octets[at..end].to_vec();
                octets.splice(at..at, again);
            }
            3 => {
                let (_, other) = &seeds[self.below(seeds.len())];
                let from = self.below(other.len());
                octets.splice(at.., other[from..].iter().copied());
            }
            4 if at < octets.len() => octets[at] ^= 1 << self.below(8),
            5 => {
                // Another number where there is one.
                if let Some(digit) = octets[at..].iter().position(u8::is_ascii_digit) {
                    octets[at + digit] = b'0' + self.below(10) as u8;
                }
            }
            _ => {
                let word = WORDS[self.below(WORDS.len())];
                octets.splice(at..if self.below(2) == 0 { at } else { end }, word.iter().copied());
            }
        }
    }
}

const WORDS: &[&[u8]] = &[
    b"(",
    b")",
    b"{",
    b"}",
    b"\"",
    b"\\",
    b" ",
    b"\r\n",
    b"\n",
    b"\0",
    b"+ ",
    b"* ",
    b"NIL",
    b"{0}\r\n",
    b"{3}\r\n",
    b"{3+}\r\n",
    b"{4294967296}\r\n",
    b"{99999999999999999999}\r\n",
    b"* SEARCH",
    b" 4294967295",
    b" 4294967296",
    b" 0",
    b"BODY[]",
    b"BODY[] NIL",
    b"BODY[] \"\"",
    b"BODY[1]<0> ",
    b"BODY[HEADER.FIELDS (To)] ",
    b"FLAGS (\\Seen \\*)",
    b"UID 7",
    b"UID 0",
    b"RFC822.SIZE 9",
    b"INTERNALDATE \"17-Jul-1996 02:44:25 -0700\"",
    b"* 1 FETCH (",
    b"* BYE Session invalidated - AccessTokenExpired\r\n",
    b"NO Server Unavailable. 15\r\n",
    b"[COPYUID 55 31 6]\r\n",
    b"* OK [COPYUID 14  ] \r\n",
    b"U3 OK done\r\n",
    b"a5 OK done\r\n",
    b"* NO [ALERT] {5}\r\n",
    b"((((((((((((((((",
    b"))))",
];
