//! The numbers by which IMAP names messages, and sets of them.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::limits;

/// Names a message within one UIDVALIDITY of its mailbox: `uniqueid = nz-number` (RFC 9051 §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(NonZeroU32);

/// Tells for how long UIDs keep their meaning: `uidvalidity = nz-number` (RFC 9051 §2.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UidValidity(NonZeroU32);

macro_rules! number {
    ($name:ident) => {
        impl $name {
            /// Returns `None` for 0, which no server may use.
            pub fn new(number: u32) -> Option<Self> {
                NonZeroU32::new(number).map(Self)
            }

            pub fn get(self) -> u32 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

number!(Uid);
number!(UidValidity);

/// A set of UIDs. A million of them in one run take a few octets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UidSet(RoaringBitmap);

impl UidSet {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a UID. Returns whether it was missing.
    pub fn insert(&mut self, uid: Uid) -> bool {
        self.0.insert(uid.get())
    }

    pub fn insert_range(&mut self, uids: RangeInclusive<Uid>) {
        self.0.insert_range(uids.start().get()..=uids.end().get());
    }

    /// Removes a UID. Returns whether it was there.
    pub fn remove(&mut self, uid: Uid) -> bool {
        self.0.remove(uid.get())
    }

    pub fn contains(&self, uid: Uid) -> bool {
        self.0.contains(uid.get())
    }

    /// Counts the UIDs. The cost grows with the set: do not call it for each UID that is added.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn first(&self) -> Option<Uid> {
        self.0.min().and_then(Uid::new)
    }

    pub fn last(&self) -> Option<Uid> {
        self.0.max().and_then(Uid::new)
    }

    /// Iterates in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        self.0.iter().filter_map(Uid::new)
    }

    pub fn intersects(&self, other: &UidSet) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &UidSet) {
        self.0 |= &other.0;
    }

    /// Removes all of `other`.
    pub fn subtract(&mut self, other: &UidSet) {
        self.0 -= &other.0;
    }

    /// Removes everything that is not in `other`.
    pub fn retain(&mut self, other: &UidSet) {
        self.0 &= &other.0;
    }

    /// Returns the UIDs that are in both.
    pub fn common(&self, other: &UidSet) -> UidSet {
        UidSet(&self.0 & &other.0)
    }

    /// Returns the UIDs that are not in `other`.
    pub fn without(&self, other: &UidSet) -> UidSet {
        UidSet(&self.0 - &other.0)
    }

    /// Removes the first UIDs and returns them: at most `count`, and no more than one command line may name
    /// ([`limits::UID_SET`]).
    pub fn take_front(&mut self, count: usize) -> UidSet {
        let mut taken = RoaringBitmap::new();
        let mut octets = 0;
        let mut last = None;
        for uid in self.0.iter().take(count) {
            // The set may grow by `,` and the number, or by `:` and the number.
            if last.is_none_or(|last: u32| last.checked_add(1) != Some(uid)) {
                octets += 2 * (1 + digits(uid));
            }
            if octets > limits::UID_SET {
                break;
            }
            taken.insert(uid);
            last = Some(uid);
        }
        self.0 -= &taken;
        UidSet(taken)
    }

    /// Splits the set into two of about the same size; the second one is empty if there is only one UID.
    pub fn halves(&self) -> [UidSet; 2] {
        let mut first = self.clone();
        let second = first.0.iter().skip(self.len().div_ceil(2) as usize).collect::<RoaringBitmap>();
        first.0 -= &second;
        [first, UidSet(second)]
    }
}

impl FromIterator<Uid> for UidSet {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        Self(uids.into_iter().map(Uid::get).collect())
    }
}

impl Extend<Uid> for UidSet {
    fn extend<I: IntoIterator<Item = Uid>>(&mut self, uids: I) {
        self.0.extend(uids.into_iter().map(Uid::get));
    }
}

impl From<Uid> for UidSet {
    fn from(uid: Uid) -> Self {
        Self::from_iter([uid])
    }
}

/// Writes the set as `sequence-set` (RFC 9051 §9), with ranges: `1:3,7`. Only UIDs of the set are named.
impl fmt::Display for UidSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut iter = self.0.iter();
        while let Some(range) = iter.next_range() {
            let (first, last) = range.into_inner();
            write!(formatter, "{separator}{first}")?;
            if last > first {
                write!(formatter, ":{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

fn digits(uid: u32) -> usize {
    uid.checked_ilog10().unwrap_or(0) as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(uids: impl IntoIterator<Item = u32>) -> UidSet {
        uids.into_iter().filter_map(Uid::new).collect()
    }

    #[test]
    fn neighbours_become_ranges_and_gaps_stay_gaps() {
        assert_eq!(set([1, 2, 3, 7, 9, 10]).to_string(), "1:3,7,9:10");
        assert_eq!(set([5]).to_string(), "5");
        assert_eq!(set([]).to_string(), "");
        assert_eq!(set([u32::MAX - 1, u32::MAX]).to_string(), "4294967294:4294967295");
    }

    #[test]
    fn a_command_line_never_grows_beyond_its_limit() {
        let mut uids = set((1..100_000u32).map(|n| 4_000_000_000 + 2 * n));
        let before = uids.len();
        let taken = uids.take_front(usize::MAX);
        assert!(taken.to_string().len() <= limits::UID_SET);
        assert!(taken.len() > 200);
        assert_eq!(taken.len() + uids.len(), before);
        assert!(taken.last() < uids.first());
    }

    #[test]
    fn a_run_of_any_length_is_one_range() {
        let mut uids = set(1..=1_000_000);
        let taken = uids.take_front(999_999);
        assert_eq!(taken.to_string(), "1:999999");
        assert_eq!(uids.to_string(), "1000000");
    }

    #[test]
    fn halves_are_disjoint_and_whole() {
        for count in 0..8 {
            let whole = set(1..=count);
            let [mut first, second] = whole.halves();
            assert!(!first.intersects(&second) && first.len() - second.len() <= 1);
            first.add(&second);
            assert_eq!(first, whole);
        }
    }
}
