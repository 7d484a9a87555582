//! The rules: which messages are fetched when, what is changed on the server when, and what is never repeated.

pub mod record;
