use super::*;
use crate::imap::responses::{Code, Condition, Counts, Fetch, Message, Status};
use crate::imap::uids::{UidSet, UidValidity};

/// Everything that `input` is, given in pieces of `size` octets; messages put together.
fn decode(input: &[u8], size: usize) -> Result<(Vec<Event>, Vec<u8>), Malformed> {
    let mut decoder = Decoder::default();
    let (mut events, mut message) = (Vec::new(), Vec::new());
    for piece in input.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() {
            let (used, event) = decoder.decode(rest)?;
            match event {
                Some(Event::Message) => message.extend_from_slice(&rest[..used]),
                Some(event) => events.push(event),
                None => {}
            }
            rest = &rest[used..];
        }
    }
    Ok((events, message))
}

/// The same whatever the pieces are.
fn responses(input: &[u8]) -> Vec<Event> {
    let whole = decode(input, usize::MAX).unwrap();
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(decode(input, size).unwrap(), whole, "in pieces of {size}");
    }
    whole.0
}

fn response(input: &[u8]) -> Response {
    match responses(input).pop() {
        Some(Event::Response(response)) => response,
        other => panic!("{other:?}"),
    }
}

fn refused(input: &[u8]) -> String {
    decode(input, 4096).unwrap_err().to_string()
}

fn condition(status: Status, code: Option<Code>, line: &str) -> Condition {
    Condition { status, code, line: line.into() }
}

#[test]
fn the_counts_of_a_folder_are_read_whatever_it_is_called() {
    let counts = |messages, unseen| Response::Counts(Counts { messages, unseen, ..Counts::default() });
    for (input, expected) in [
        (&b"* STATUS \"a (b)\" (MESSAGES 231 UNSEEN 5)\r\n"[..], counts(Some(231), Some(5))),
        (b"* status {5}\r\na (b) (unseen 0 X 44292 messages 1)\r\n", counts(Some(1), Some(0))),
        (b"* STATUS INBOX ()\r\n", counts(None, None)),
        (b"* STATUS INBOX\r\n", counts(None, None)),
        (b"* STATUS INBOX (MESSAGES many UNSEEN 5)\r\n", counts(None, None)),
    ] {
        assert_eq!(response(input), expected, "{}", String::from_utf8_lossy(input));
    }
}

#[test]
fn the_uidvalidity_of_another_folder_is_a_code() {
    let code = |input: &[u8]| match response(input) {
        Response::Untagged(condition) => condition.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        code(b"* OK [UIDVALIDITY 4294967295] UIDs valid\r\n"),
        UidValidity::new(u32::MAX).map(Code::UidValidity)
    );
    assert_eq!(code(b"* OK [UIDVALIDITY 4294967296] too large\r\n"), Some(Code::Other));
    assert_eq!(code(b"* OK [UIDVALIDITY] none\r\n"), Some(Code::Other));
    assert_eq!(code(b"* OK [UIDVALIDITY  9] two blanks\r\n"), UidValidity::new(9).map(Code::UidValidity));
    assert_eq!(code(b"* OK [UIDVALIDITY 0] none\r\n"), Some(Code::UidValidityZero));
    assert_eq!(code(b"* OK [ALERT] full\r\n"), Some(Code::Alert));
    assert_eq!(code(b"* OK [CLOSED] x\r\n"), Some(Code::Other));
}

#[test]
fn the_items_of_a_fetch_come_in_any_order() {
    let expected = Fetch {
        uid: Uid::new(55),
        flags: Some(vec!["\\Seen".into(), "$Junk".into()]),
        internal_date: Some("17-Jul-1996 02:44:25 -0700".into()),
        size: Some(9),
        message: Some(Message::Streamed),
        header: None,
    };
    for input in [
        &b"* 12 FETCH (UID 55 FLAGS (\\Seen $Junk) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 9 BODY[] {5}\r\nab)\r\n)\r\n"[..],
        b"* 12 fetch (BODY[] {5}\r\nab)\r\n RFC822.SIZE 9 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" FLAGS (\\Seen $Junk) UID 55)\r\n",
        b"* 12 FETCH (MODSEQ (12) X {3}\r\n)\r\n Y ((\"a)\" (b)) NIL) FLAGS (\\Seen $Junk) BODY[] {5+}\r\nab)\r\n UID 55 RFC822.SIZE 9 BODY[1]<0> \"x\" INTERNALDATE \"17-Jul-1996 02:44:25 -0700\")\r\n",
    ] {
        let (events, message) = decode(input, usize::MAX).unwrap();
        assert_eq!(events[0], Event::MessageStart(5));
        assert_eq!(message, b"ab)\r\n");
        assert_eq!(responses(input)[1..], [Event::Response(Response::Fetch(Fetch { ..clone(&expected) }))]);
    }
}

fn clone(fetch: &Fetch) -> Fetch {
    Fetch {
        uid: fetch.uid,
        flags: fetch.flags.clone(),
        internal_date: fetch.internal_date.clone(),
        size: fetch.size,
        message: Some(Message::Streamed),
        header: None,
    }
}

#[test]
fn a_message_may_be_empty_quoted_or_absent() {
    let message = |input: &[u8]| match response(input) {
        Response::Fetch(fetch) => fetch.message,
        other => panic!("{other:?}"),
    };
    assert_eq!(message(b"* 1 FETCH (UID 2 BODY[] {0}\r\n)\r\n"), Some(Message::Streamed));
    assert_eq!(message(b"* 1 FETCH (UID 2 BODY[] \"\")\r\n"), Some(Message::Quoted(vec![])));
    assert_eq!(message(b"* 1 FETCH (UID 2 BODY[] \"a\\\"b\")\r\n"), Some(Message::Quoted(b"a\"b".to_vec())));
    assert_eq!(message(b"* 1 FETCH (UID 2 BODY[] NIL)\r\n"), Some(Message::Absent));
    assert_eq!(message(b"* 1 FETCH (UID 2)\r\n"), None);
}

#[test]
fn a_message_passes_unchanged_whatever_is_in_it() {
    let octets: Vec<u8> = (0..=255).chain(*b"\r\na1 OK done\r\n* 1 FETCH (BODY[] {9}\r\n\r\0").collect();
    let mut input = format!("* 1 FETCH (UID 7 BODY[] {{{}}}\r\n", octets.len()).into_bytes();
    input.extend_from_slice(&octets);
    input.extend_from_slice(b")\r\nU1 OK done\r\n");
    for size in [1, 5, usize::MAX] {
        assert_eq!(decode(&input, size).unwrap().1, octets);
    }
}

#[test]
fn conditions_keep_their_words() {
    assert_eq!(
        response(b"U7 NO [TRYCREATE] Mailbox doesn't exist: debug\r\n"),
        Response::Tagged {
            tag: "U7".into(),
            condition: condition(
                Status::No,
                Some(Code::TryCreate),
                "NO [TRYCREATE] Mailbox doesn't exist: debug"
            ),
        }
    );
    assert_eq!(
        response(b"* ok Still here {5}\n"),
        Response::Untagged(condition(Status::Ok, None, "ok Still here {5}"))
    );
    assert_eq!(
        response(b"* BYE Session invalidated - AccessTokenExpired\r\n"),
        Response::Bye("BYE Session invalidated - AccessTokenExpired".into())
    );
    assert_eq!(response(b"+ idling\r\n"), Response::Continuation(b"idling".to_vec()));
    assert_eq!(response(b"+\r\n"), Response::Continuation(vec![]));
    assert_eq!(response(b"* PREAUTH come in\r\n"), Response::PreAuth("PREAUTH come in".into()));
}

#[test]
fn exchanges_lines_without_a_star_are_understood() {
    assert_eq!(
        response(b"[COPYUID 55 31 6]\r\n"),
        Response::Untagged(condition(Status::Ok, copied(&[31]), "[COPYUID 55 31 6]"))
    );
    assert_eq!(
        response(b"NO Server Unavailable. 15\r\n"),
        Response::Untagged(condition(Status::No, None, "NO Server Unavailable. 15"))
    );
    assert_eq!(
        response(b"U3 OK [COPYUID 14  ] done\r\n"),
        Response::Tagged {
            tag: "U3".into(),
            condition: condition(Status::Ok, copied(&[]), "OK [COPYUID 14  ] done"),
        }
    );
}

fn uids(first: u32, last: u32) -> Event {
    Event::Uids(Uid::new(first).unwrap()..=Uid::new(last).unwrap())
}

const SEARCH_END: Event = Event::Response(Response::SearchEnd { readable: true });

#[test]
fn a_search_of_any_length_is_read_as_it_comes() {
    for (input, ranges) in [
        (&b"* SEARCH 1 22 23 4294967295\r\n"[..], vec![uids(1, 1), uids(22, 23), uids(u32::MAX, u32::MAX)]),
        (b"* SEARCH\r\n", vec![]),
        (b"* SEARCH\n", vec![]),
        (b"*  search  3 \n", vec![uids(3, 3)]),
        (b"\0* SEARCH 1 2\r\n", vec![uids(1, 2)]),
        (b"* ESEARCH (TAG \"U1\") UID ALL 1:5,8\r\n", vec![uids(1, 5), uids(8, 8)]),
        (b"* ESEARCH (TAG \"U1\") UID\r\n", vec![]),
    ] {
        let mut expected = ranges;
        expected.push(SEARCH_END);
        assert_eq!(responses(input), expected, "{}", String::from_utf8_lossy(input));
    }
    // Neighbours, and numbers with a gap between any two.
    for (step, count) in [(1, 1), (2, 200_000)] {
        let numbers = (0..200_000).map(|number| format!(" {}", 1 + number * step)).collect::<String>();
        let input = format!("* SEARCH{numbers}\r\n");
        assert_eq!(decode(input.as_bytes(), 16_384).unwrap().0.len(), count + 1);
    }
}

#[test]
fn words_that_begin_like_search_are_other_words() {
    for input in
        [&b"* SEARCHES 1\r\n"[..], b"* SEARC\r\n", b"* ESEARCHX\r\n", b"*\r\n", b"*          SEARCH 1\r\n"]
    {
        assert_eq!(response(input), Response::Other, "{}", String::from_utf8_lossy(input));
    }
}

fn set(uids: &[u32]) -> UidSet {
    uids.iter().copied().filter_map(Uid::new).collect()
}

fn copied(sources: &[u32]) -> Option<Code> {
    Some(Code::CopyUid { sources: set(sources) })
}

#[test]
fn the_sources_of_a_copyuid_are_read_and_nothing_is_made_up() {
    for (code, sources) in [
        ("COPYUID 55 31 6", &[31][..]),
        ("COPYUID 55 31:33,9 6:9", &[9, 31, 32, 33]),
        ("copyuid 1 63,63:65 1,1:3", &[63, 64, 65]),
        ("COPYUID 1 5:3 1:3", &[3, 4, 5]),
        ("COPYUID 983  ", &[]),
        ("COPYUID 983", &[]),
        ("COPYUID", &[]),
        ("COPYUID 1 0,x,7:,4294967296,*,9 1", &[9]),
    ] {
        let Response::Untagged(condition) = response(format!("* OK [{code}] done\r\n").as_bytes()) else {
            panic!("{code}")
        };
        assert_eq!(condition.code, copied(sources), "{code}");
    }
}

#[test]
fn vanished_messages_are_named_by_uid() {
    for (input, uids) in [
        (&b"* VANISHED 3:5,9\r\n"[..], &[3, 4, 5, 9][..]),
        (b"* vanished (EARLIER) 7\r\n", &[7]),
        (b"* VANISHED\r\n", &[]),
        (b"* VANISHED (((\r\n", &[]),
    ] {
        assert_eq!(response(input), Response::Vanished(set(uids)), "{}", String::from_utf8_lossy(input));
    }
}

#[test]
fn a_set_is_no_larger_than_a_folder() {
    let whole = "1:4294967295,".repeat(4_000);
    let Response::Vanished(set) = response(format!("* VANISHED {whole}\r\n").as_bytes()) else { panic!() };
    assert_eq!(set.len(), limits::SET_UIDS);
}

#[test]
fn status_names_what_the_next_message_gets() {
    let Response::Counts(counts) = response(b"* STATUS a (UIDNEXT 44292  UIDVALIDITY 14 MESSAGES 0)\r\n")
    else {
        panic!()
    };
    let expected = Counts {
        messages: Some(0),
        uid_next: Uid::new(44_292),
        uid_validity: UidValidity::new(14),
        ..Counts::default()
    };
    assert_eq!(counts, expected);
    let Response::Counts(counts) = response(b"* STATUS a (UIDNEXT 0 UIDVALIDITY 4294967296)\r\n") else {
        panic!()
    };
    assert_eq!(counts, Counts::default());
}

fn fetch(input: &[u8]) -> Fetch {
    match response(input) {
        Response::Fetch(fetch) => fetch,
        other => panic!("{}: {other:?}", String::from_utf8_lossy(input)),
    }
}

#[test]
fn header_lines_are_octets_in_every_form() {
    let item = "BODY[HEADER.FIELDS (MESSAGE-ID DATE RECEIVED)]";
    for (value, expected) in [
        ("{12}\r\nDate: \u{1}x\r\n\r\n", &b"Date: \x01x\r\n\r\n"[..]),
        ("\"a\\\"b\"", b"a\"b"),
        ("NIL", b""),
        ("{0}\r\n", b""),
    ] {
        let header = fetch(format!("* 1 FETCH (UID 2 {item} {value} RFC822.SIZE 7)\r\n").as_bytes());
        assert_eq!((header.header.as_deref(), header.size), (Some(expected), Some(7)), "{value:?}");
    }
    for item in ["body[header.fields (\"Message-ID\" \"Date\")]", "BODY[HEADER.FIELDS ({4}\r\nDate)]"] {
        let read = fetch(format!("* 1 FETCH ({item}  {{3}}\r\nabc UID 2)\r\n").as_bytes());
        assert_eq!((read.header.as_deref(), read.uid), (Some(&b"abc"[..]), Uid::new(2)), "{item:?}");
    }
}

#[test]
fn of_a_long_header_the_beginning_is_kept_and_nothing_fails() {
    let long = "x".repeat(limits::LITERAL + 1_000);
    let input =
        format!("* 1 FETCH (UID 2 BODY[HEADER.FIELDS (DATE)] {{{}}}\r\n{long} FLAGS ())\r\n", long.len());
    let read = fetch(input.as_bytes());
    assert_eq!((read.header.map(|header| header.len()), read.flags), (Some(limits::LITERAL), Some(vec![])));
}

#[test]
fn items_are_read_as_servers_write_them() {
    assert_eq!(fetch(b"* 1 FETCH (FLAGS NIL UID 2)\r\n").flags, Some(vec![]));
    for (size, expected) in
        [("9.3736e+06", Some(9_373_600)), ("12", Some(12)), ("1e999", None), ("many", None)]
    {
        let read = fetch(format!("*  7  FETCH  ( RFC822.SIZE {size}  UID 2 )\r\n").as_bytes());
        assert_eq!((read.size, read.uid), (expected, Uid::new(2)), "{size}");
    }
    for date in ["23-Nov-2026", "\"23-Nov-2026\""] {
        let read = fetch(format!("* 1 FETCH (INTERNALDATE {date} UID 2)\r\n").as_bytes());
        assert_eq!((read.internal_date.as_deref(), read.uid), (Some("23-Nov-2026"), Uid::new(2)));
    }
    let envelope = "ENVELOPE (\"d\" {3}\r\na)b ((NIL NIL \"x\" \"y\")) NIL NIL NIL NIL NIL NIL \"<i>\")";
    assert_eq!(fetch(format!("* 1 FETCH ({envelope} UID 2)\r\n").as_bytes()).uid, Uid::new(2));
}

#[test]
fn a_message_that_begins_at_its_first_octet_is_whole() {
    let (events, message) = decode(b"* 1 FETCH (UID 2 BODY[]<0> {3}\r\nabc)\r\n", usize::MAX).unwrap();
    assert_eq!((&events[0], &message[..]), (&Event::MessageStart(3), &b"abc"[..]));
}

#[test]
fn after_a_message_only_its_response_goes_on() {
    for tail in
        [")", " )", " FLAGS ())", "  UID 2 FLAGS () )", " MODSEQ (5) X-GM-MSGID 7)  ", " BODY[1] {1}\r\n))"]
    {
        let input = format!("* 1 FETCH (UID 2 BODY[] {{3}}\r\nabc{tail}\r\n");
        assert_eq!(decode(input.as_bytes(), 1).unwrap().0.len(), 2, "{tail}");
    }
    for tail in
        ["", "d)", "FLAGS ())", " and more text)", ") * SEARCH 1", ") x", " UID 2", " FLAGS () see you)"]
    {
        let input = format!("* 1 FETCH (UID 2 BODY[] {{3}}\r\nabc{tail}\r\n");
        assert!(refused(input.as_bytes()).contains("cannot be read"), "{tail}");
    }
}

#[test]
fn capabilities_may_stand_anywhere_and_have_any_blanks() {
    let expected = || vec!["IMAP4rev2".to_owned(), "AUTH=X@-OAUTH2".to_owned(), "==".to_owned()];
    assert_eq!(
        response(b"*  CAPABILITY  IMAP4rev2 AUTH=X@-OAUTH2 == \n"),
        Response::Capabilities(expected())
    );
    for line in [
        "* OK [CAPABILITY IMAP4rev2  AUTH=X@-OAUTH2 ==] hi",
        "U1 OK [capability IMAP4rev2 AUTH=X@-OAUTH2 == ]",
    ] {
        let (Response::Untagged(condition) | Response::Tagged { condition, .. }) =
            response(format!("{line}\r\n").as_bytes())
        else {
            panic!("{line}")
        };
        assert_eq!(condition.code, Some(Code::Capability(expected())), "{line}");
    }
}

#[test]
fn lines_may_be_empty_or_begin_with_nul() {
    for input in [&b"\r\n"[..], b"\n", b"\0\0\r\n", b" \t \r\n"] {
        assert_eq!(responses(input), [], "{input:?}");
    }
    assert_eq!(response(b"\0\0* 3 EXISTS\r\n"), Response::Exists(3));
    assert_eq!(response(b"\n\0*\0OK\0still here\n\r\n* 3  EXISTS\n"), Response::Exists(3));
    for line in ["U1  OK", "U1 OK", "\0U1 OK"] {
        let Response::Tagged { tag, condition } = response(format!("{line}\r\n").as_bytes()) else {
            panic!("{line}")
        };
        assert_eq!((tag.as_str(), condition.status), ("U1", Status::Ok), "{line}");
    }
}

#[test]
fn a_trace_shows_lines_and_only_the_length_of_literals() {
    let mut decoder = Decoder::default();
    let mut rest = &b"* 1 FETCH (UID 2 BODY[] {6}\r\nsecret FLAGS ())\r\n"[..];
    let mut event = None;
    while !rest.is_empty() {
        let (used, last) = decoder.decode(rest).unwrap();
        (rest, event) = (&rest[used..], last);
    }
    let Some(Event::Response(response)) = event else { panic!("{event:?}") };
    assert_eq!(decoder.trace(&response), "* 1 FETCH (UID 2 BODY[] {6 octets} FLAGS ())");
}

#[test]
fn nothing_is_quoted_that_can_be_a_part_of_a_message_that_was_counted_wrongly() {
    let mut decoder = Decoder::default();
    let mut rest = &b"* 1 FETCH (BODY[] {1}\r\na)\r\n* secret\r\n* LIST secret\r\nsecret\r\n"[..];
    let mut reported = Vec::new();
    while !rest.is_empty() {
        let (used, event) = decoder.decode(rest).unwrap();
        rest = &rest[used..];
        if let Some(Event::Response(response)) = event {
            reported.push((decoder.trace(&response), response));
        }
    }
    let (traced, responses): (Vec<_>, Vec<_>) = reported.into_iter().unzip();
    assert_eq!(traced, ["* 1 FETCH (BODY[] {1 octets})", "{10 octets}", "{15 octets}", "{8 octets}"]);
    assert_eq!(
        responses[2..],
        [Response::Unreadable("{13 octets}".into()), Response::Alien("{6 octets}".into())]
    );
}

#[test]
fn unknown_data_is_passed_over() {
    for input in [
        &b"* FLAGS (\\Answered)\r\n"[..],
        b"* 7 RECENT\r\n",
        b"* XLIST () \"/\" {5}\r\nab\r\nc\r\n",
        b"* X-NEW (((\r\n",
        b"* \r\n",
    ] {
        assert_eq!(response(input), Response::Other, "{}", String::from_utf8_lossy(input));
    }
    assert_eq!(response(b"* 23 EXISTS\r\n"), Response::Exists(23));
    assert_eq!(response(b"* 44 EXPUNGE\r\n"), Response::Expunge(44));
}

#[test]
fn lines_that_are_no_imap_are_told_from_data_that_cannot_be_read() {
    for line in ["OK done without a tag", "HTTP/1.1 400 Bad Request", "-- ", "a_b OK"] {
        assert_eq!(response(format!("{line}\r\n").as_bytes()), Response::Alien(line.into()));
    }
    for line in ["* LIST (\\Marked", "* 1 FETCH (UID 0)", "* 1 FETCH (UID 3 FLAGS", "* 3 FETCH FLAGS"] {
        assert_eq!(response(format!("{line}\r\n").as_bytes()), Response::Unreadable(line.into()));
    }
    assert_eq!(responses(b"* SEARCH x\r\n"), [Event::Response(Response::SearchEnd { readable: false })]);
    assert!(refused(b"* 1 FETCH (BODY[] {1}\r\na BODY[] {1}\r\na)\r\n").contains("two messages"));
    assert!(refused(b"* 1 FETCH (BODY[] {1}\r\na\r\n").contains("cannot be read"));
    assert!(refused(b"* 1 FETCH (BODY[] {99999999999999999999}\r\n").contains("not a number"));
}

#[test]
fn nothing_grows_beyond_its_limit() {
    let line = |octets: usize| {
        let mut line = b"* X ".to_vec();
        line.resize(octets - 2, b'x');
        line.extend_from_slice(b"\r\n");
        line
    };
    assert_eq!(response(&line(limits::LINE)), Response::Other);
    assert!(refused(&line(limits::LINE + 1)).contains("a line of more than"));

    let literal = |octets: usize| {
        let mut input = format!("* X {{{octets}}}\r\n").into_bytes();
        input.resize(input.len() + octets, b'(');
        input.extend_from_slice(b"\r\n");
        input
    };
    assert_eq!(response(&literal(limits::LITERAL)), Response::Other);
    assert_eq!(response(&literal(limits::LITERAL + 1)), Response::Other, "the rest is passed over");
    let announced = format!("* X {{{}}}\r\n", limits::DATA + 1);
    assert!(refused(announced.as_bytes()).contains("not a message"));
    let many = "{1}\r\nx ".repeat(limits::LITERALS + 1);
    assert!(refused(format!("* X {many}\r\n").as_bytes()).contains("not a message"));

    let announced = |octets: u64| format!("* 1 FETCH (BODY[] {{{octets}}}\r\n").into_bytes();
    assert_eq!(decode(&announced(limits::MESSAGE), 4096).unwrap().0, [Event::MessageStart(limits::MESSAGE)]);
    assert!(refused(&announced(limits::MESSAGE + 1)).contains("at most"));
    assert!(refused(&announced(4 << 30)).contains("at most"));
}

#[test]
fn a_message_has_as_many_flags_as_are_taken_and_the_rest_are_passed_over() {
    let short = (["a"; 1_000].join(" "), limits::FLAGS);
    let long = (["b".repeat(1_000).as_str(); 60].join(" "), limits::FLAG_OCTETS / 1_000);
    for (flags, taken) in [short, long] {
        let input = format!("* 1 FETCH (FLAGS ({flags}) UID 7)\r\n");
        let Response::Fetch(fetch) = response(input.as_bytes()) else { panic!("{taken}") };
        assert_eq!((fetch.uid, fetch.flags.map(|flags| flags.len())), (Uid::new(7), Some(taken)));
    }
}

#[test]
fn parentheses_may_be_nested_as_deep_as_a_line_is_long() {
    let mut input = b"* 1 FETCH (UID 3 X ".to_vec();
    input.resize(limits::LINE / 2, b'(');
    input.resize(limits::LINE - 40, b')');
    input.extend_from_slice(b" FLAGS ())\r\n");
    // Whether the parentheses match or not, there is an answer and no stack is used up.
    assert!(matches!(response(&input), Response::Fetch(_) | Response::Unreadable(_)));
}
