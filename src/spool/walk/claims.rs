//! How many deliveries a broken range has held: what the heads in it claim, whole or not.

use super::{
    super::frame::{self, Checksum, HEAD_LENGTH, Head},
    BUFFER_BYTES, End, Walk, WalkError,
};

impl Walk {
    /// Returns a number behind every frame that `from..end` can have held, of which none is whole. Heads tell, as far as
    /// they are there; where there is none, as many numbers are left out as frames have room.
    pub fn behind_all(&mut self, from: u64, end: End) -> Result<u64, WalkError> {
        if self.is_one_frame(from, end)? {
            return Ok(self.expected + 1);
        }
        let (mut at, mut next) = self.along_heads(from, self.expected, end)?;
        match self.highest_claim(from, end)? {
            // It stands where it belongs, and only its length is wrong.
            Some((hit, head)) if (hit, head.sequence) == (at, next) => return Ok(next + 1),
            Some((hit, head)) if head.sequence >= next => {
                let behind = hit.saturating_add(head.frame_length()).min(end.offset);
                (at, next) = self.along_heads(behind, head.sequence + 1, end)?;
            }
            _ => {}
        }
        let rest = end.offset.saturating_sub(at) / HEAD_LENGTH as u64;
        Ok((next + rest).max(self.expected + 1))
    }

    /// Returns whether `from..end` is the frame that is due there, and one of its lengths alone is wrong.
    fn is_one_frame(&mut self, from: u64, end: End) -> Result<bool, WalkError> {
        let Some(head) = self.head_at(from, end.offset)? else { return Ok(false) };
        let begin = from + HEAD_LENGTH as u64;
        let behind_head = end.offset - begin;
        let with_body = behind_head.checked_sub(u64::from(head.headers_length));
        let with_headers = behind_head.checked_sub(u64::from(head.body_length));
        let with_body = with_body.and_then(|length| u32::try_from(length).ok());
        let with_headers = with_headers.and_then(|length| u16::try_from(length).ok());
        let candidates = [
            with_body.map(|body_length| Head { body_length, ..head }),
            with_headers.map(|headers_length| Head { headers_length, ..head }),
        ];
        for candidate in candidates.into_iter().flatten() {
            let mut checksum = Checksum::new(self.generation);
            checksum.update(&candidate.to_bytes()[8..]);
            let mut at = begin;
            while at < end.offset {
                let piece = (end.offset - at).min(BUFFER_BYTES);
                checksum.update(&self.window.get(&*self.file, at, piece, end.offset)?);
                at += piece;
            }
            if checksum.value() == head.checksum && head.sequence == self.expected {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Follows heads that stand one behind the other, the first at `at` with the number `next`. One whose magic or number is
    /// wrong counts where its length leads to the end, or to the next one. Returns where and with which number the one
    /// belongs that is not there.
    fn along_heads(
        &mut self,
        mut at: u64,
        mut next: u64,
        end: End,
    ) -> Result<(u64, u64), WalkError> {
        while end.offset.saturating_sub(at) >= HEAD_LENGTH as u64 {
            let mut bytes =
                self.window.get(&*self.file, at, HEAD_LENGTH as u64, end.offset)?.to_vec();
            let has_magic = bytes.starts_with(&frame::MAGIC);
            bytes[..frame::MAGIC.len()].copy_from_slice(&frame::MAGIC);
            let Some(head) = Head::parse(&bytes) else { break };
            let behind = at.saturating_add(head.frame_length());
            let is_right = has_magic && head.sequence == next && behind <= end.offset;
            let leads_on = behind < end.offset
                && self.head_at(behind, end.offset)?.is_some_and(|it| it.sequence == next + 1);
            if !is_right && !leads_on && behind != end.offset {
                break;
            }
            (at, next) = (behind, next + 1);
        }
        Ok((at, next))
    }

    /// Returns the head in `from..end` with the highest sequence, of a whole frame or not, as far as so many frames fit
    /// there; and its place.
    fn highest_claim(&mut self, from: u64, end: End) -> Result<Option<(u64, Head)>, WalkError> {
        let mut highest: Option<(u64, Head)> = None;
        let mut at = from;
        while let Some(hit) = self.next_magic(at, end.offset)? {
            if let Some(head) = self.head_at(hit, end.offset)?
                && self.is_plausible(&head, from, hit)
                && highest.is_none_or(|(_, other)| other.sequence < head.sequence)
            {
                highest = Some((hit, head));
            }
            at = hit + 1;
        }
        Ok(highest)
    }
}
