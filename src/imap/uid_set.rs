//! Sets of UIDs as IMAP commands write them.

use roaring::RoaringBitmap;

use super::limits;

/// Takes UIDs off the front of `uids`, as many as one command may name, and returns them: at most `count`, and no more
/// than fit on a command line.
///
/// Only UIDs that are in the set are named: `2:4` is written for 2, 3, 4, and never for 2 and 4.
pub fn take_front(uids: &mut RoaringBitmap, count: usize) -> RoaringBitmap {
    let mut taken = RoaringBitmap::new();
    let mut octets = 0;
    let mut last = None;
    for uid in uids.iter().take(count) {
        // In the worst case `,` and the number, or `:` and the number, are added.
        if last.is_none_or(|last| last + 1 != uid) {
            octets += 2 * (1 + digits(uid));
        }
        if octets > limits::UID_SET {
            break;
        }
        taken.insert(uid);
        last = Some(uid);
    }
    *uids -= &taken;
    taken
}

/// `sequence-set` of RFC 9051 §9, with ranges: `1:3,7`.
pub fn format(uids: &RoaringBitmap) -> String {
    let mut text = String::new();
    let mut iter = uids.iter();
    let mut range: Option<(u32, u32)> = None;
    loop {
        let next = iter.next();
        match (range, next) {
            (Some((first, last)), Some(uid)) if last.checked_add(1) == Some(uid) => {
                range = Some((first, uid))
            }
            (finished, next) => {
                if let Some((first, last)) = finished {
                    push_range(&mut text, first, last);
                }
                match next {
                    Some(uid) => range = Some((uid, uid)),
                    None => return text,
                }
            }
        }
    }
}

fn push_range(text: &mut String, first: u32, last: u32) {
    use std::fmt::Write;
    if !text.is_empty() {
        text.push(',');
    }
    let written = if first == last { write!(text, "{first}") } else { write!(text, "{first}:{last}") };
    debug_assert!(written.is_ok());
}

fn digits(uid: u32) -> usize {
    uid.checked_ilog10().unwrap_or(0) as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(uids: &[u32]) -> RoaringBitmap {
        uids.iter().copied().collect()
    }

    #[test]
    fn neighbours_become_ranges_and_gaps_stay_gaps() {
        assert_eq!(format(&set(&[1, 2, 3, 7, 9, 10])), "1:3,7,9:10");
        assert_eq!(format(&set(&[5])), "5");
        assert_eq!(format(&set(&[])), "");
        assert_eq!(format(&set(&[u32::MAX - 1, u32::MAX])), "4294967294:4294967295");
    }

    #[test]
    fn a_command_line_never_grows_beyond_its_limit() {
        let mut uids: RoaringBitmap = (1..100_000u32).map(|n| 4_000_000_000 + 2 * n).collect();
        let before = uids.len();
        let taken = take_front(&mut uids, usize::MAX);
        assert!(format(&taken).len() <= limits::UID_SET);
        assert!(taken.len() > 200);
        assert_eq!(taken.len() + uids.len(), before);
        assert!(taken.max() < uids.min());
    }

    #[test]
    fn a_run_of_any_length_is_one_range() {
        let mut uids: RoaringBitmap = (1..=1_000_000).collect();
        let taken = take_front(&mut uids, 999_999);
        assert_eq!(format(&taken), "1:999999");
        assert_eq!(format(&uids), "1000000");
    }
}
