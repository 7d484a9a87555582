//! Any octets are all that a server says in a whole session, from its greeting on.

#![no_main]

#[path = "../dialogues.rs"]
#[allow(dead_code, reason = "the other target uses the rest of it")]
mod dialogues;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| dialogues::session(octets));
