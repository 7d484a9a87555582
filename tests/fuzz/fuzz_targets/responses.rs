//! Any octets are what a server says after SELECT: FETCH, SEARCH and all else, compared with `imap-codec`.

#![no_main]

#[path = "../dialogues.rs"]
#[allow(dead_code, reason = "the other target uses the rest of it")]
mod dialogues;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| dialogues::responses(octets));
