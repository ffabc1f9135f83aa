//! The ids of made-up activities (`marketoGUID`, later `ce_id`): unique, and with a meaning.
//!
//! An id names run, subscription, the event's number within the subscription and its number within
//! its lead. So a consumer can look it up in an array instead of a set of strings,
//! and can check the order of a lead's events without knowing the payload.

use std::fmt;

/// An id, written as 32 hexadecimal digits in the groups of a UUID (which it otherwise is not).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId {
    /// Distinguishes this run's events from those of other runs and programs.
    pub run: u32,
    pub subscription: u16,
    /// Number of earlier events of the same lead.
    pub of_lead: u32,
    /// Number of earlier events of the same subscription; below 2^48.
    pub number: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, subscription, of_lead, number } = self;
        let high = of_lead >> 16;
        let low = of_lead & 0xffff;
        write!(f, "{run:08x}-{subscription:04x}-{high:04x}-{low:04x}-{number:012x}")
    }
}

impl EventId {
    /// Parses an id; `None` for text that this module did not write.
    pub fn parse(text: &str) -> Option<Self> {
        let group = |from: usize, to: usize| -> Option<u64> {
            let digits = text.get(from..to)?;
            let legal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            digits.bytes().all(legal).then(|| u64::from_str_radix(digits, 16).ok())?
        };
        let dashes = [8, 13, 18, 23];
        if text.len() != 36 || dashes.iter().any(|&at| text.as_bytes()[at] != b'-') {
            return None;
        }
        Some(Self {
            run: u32::try_from(group(0, 8)?).ok()?,
            subscription: u16::try_from(group(9, 13)?).ok()?,
            of_lead: u32::try_from(group(14, 18)? << 16 | group(19, 23)?).ok()?,
            number: group(24, 36)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let id =
            EventId { run: 0xdead_0001, subscription: 7, of_lead: 0x0001_0002, number: 1 << 40 };
        assert_eq!(id.to_string(), "dead0001-0007-0001-0002-010000000000");
        assert_eq!(EventId::parse(&id.to_string()), Some(id));
        let last = EventId {
            run: u32::MAX,
            subscription: u16::MAX,
            of_lead: u32::MAX,
            number: (1 << 48) - 1,
        };
        assert_eq!(EventId::parse(&last.to_string()), Some(last));
    }

    #[test]
    fn what_is_not_ours_is_none() {
        for text in [
            "",
            "dead0001-0007-0001-0002-01000000000",
            "dead0001-0007-0001-0002-01000000000g",
            "+ead0001-0007-0001-0002-010000000000",
            "DEAD0001-0007-0001-0002-010000000000",
            "dead0001+0007-0001-0002-010000000000",
            "dead0001-0007-0001-0002-0100000000ü",
            "ünadüüü0001-0007-0001-0002-010000000",
        ] {
            assert_eq!(EventId::parse(text), None, "{text}");
        }
    }
}
