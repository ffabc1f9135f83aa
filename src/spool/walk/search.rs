//! The search for the next whole frame behind damage.
//!
//! The length of a broken frame is tried first (most damage is in a body, which is most of the bytes). It is
//! believed only if it leads to the next delivery: a damaged length may lead to a later frame, past whole ones.
//! Otherwise every byte is tried, and a frame that leaves numbers out is believed only if none of them comes later: a
//! disk may have put a page of later frames before whole ones.

use super::{
    super::{
        disk,
        frame::{self, Checksum, HEAD_LENGTH, Head},
    },
    BUFFER_BYTES, End, Walk, WalkError,
};

impl Walk {
    /// Returns offset and sequence of the first valid frame from `search` on that can follow the broken one at `from`.
    /// `head` is the broken frame's, where it can be read: its length is believed if that leads to the next delivery.
    pub(super) fn next_valid(
        &mut self,
        from: u64,
        head: Option<Head>,
        search: u64,
        end: End,
    ) -> Result<Option<(u64, u64)>, WalkError> {
        let behind = head.map(|head| from.saturating_add(head.frame_length()));
        if let Some(behind) = behind.filter(|behind| *behind >= search)
            && let Some(sequence) = self.valid_at(behind, from, end)?
            && sequence == self.expected + 1
        {
            return Ok(Some((behind, sequence)));
        }
        let mut at = search;
        while let Some(hit) = self.next_magic(at, end.offset)? {
            if let Some(sequence) = self.valid_at(hit, from, end)?
                && self.is_in_order(hit, sequence, end)?
            {
                return Ok(Some((hit, sequence)));
            }
            at = hit + 1;
        }
        Ok(None)
    }

    /// Returns the sequence of the frame at `offset` if it is whole and can follow damage that began at `from`.
    fn valid_at(&mut self, offset: u64, from: u64, end: End) -> Result<Option<u64>, WalkError> {
        let Some(head) = self.head_at(offset, end.offset)? else { return Ok(None) };
        if !self.is_plausible(&head, from, offset) {
            return Ok(None);
        }
        Ok(self.whole_at(offset, end)?.map(|head| head.sequence))
    }

    /// Returns the head of the frame at `offset` if it is whole and was not before the walk. Reads in pieces: the length
    /// may be nonsense.
    fn whole_at(&mut self, offset: u64, end: End) -> Result<Option<Head>, WalkError> {
        let Some(head) = self.possible_at(offset, end)? else { return Ok(None) };
        let mut checksum = Checksum::new(self.generation);
        let mut at = offset + 8;
        let stop = offset + head.frame_length();
        while at < stop {
            let piece = (stop - at).min(BUFFER_BYTES);
            checksum.update(&self.window.get(&*self.file, at, piece, end.offset)?);
            at += piece;
        }
        Ok((checksum.value() == head.checksum).then_some(head))
    }

    /// Returns whether the numbers behind the whole frame at `offset` let it stand there. The numbers of a segment only go
    /// up: where one of those that seem to be missing comes later, the disk has put a page of another place before it. What
    /// cannot be read says nothing against the frame.
    pub(super) fn is_in_order(
        &mut self,
        offset: u64,
        sequence: u64,
        end: End,
    ) -> Result<bool, WalkError> {
        // The one that is missing belongs where the walk is.
        if sequence <= self.expected + 1 {
            return Ok(true);
        }
        let mut at = offset;
        loop {
            let whole = match self.whole_at(at, end) {
                Err(WalkError::Io { error, .. }) if disk::is_unreadable(&error) => return Ok(true),
                whole => whole?,
            };
            if whole.is_some_and(|head| head.sequence < sequence) {
                return Ok(false);
            }
            // The bytes in the body of a whole frame are no frame.
            at += whole.map_or(1, |head| head.frame_length());
            match self.next_magic(at, end.offset) {
                Err(WalkError::Io { error, .. }) if disk::is_unreadable(&error) => return Ok(true),
                hit => match hit? {
                    Some(hit) => at = hit,
                    None => return Ok(true),
                },
            }
        }
    }

    /// Returns whether as many frames fit between `from` and `at` as the head's sequence implies.
    pub(super) fn is_plausible(&self, head: &Head, from: u64, at: u64) -> bool {
        let between = (at - from) / HEAD_LENGTH as u64;
        head.sequence >= self.expected && head.sequence - self.expected <= between
    }

    pub(super) fn next_magic(&mut self, from: u64, end: u64) -> Result<Option<u64>, WalkError> {
        let mut at = from;
        while end.saturating_sub(at) >= HEAD_LENGTH as u64 {
            // The bytes in the buffer first: many false hits must not cause many reads.
            let held = self.window.held_from(at);
            let piece = if held > 3 { held } else { BUFFER_BYTES }.min(end - at);
            let bytes = self.window.get(&*self.file, at, piece, end)?;
            if let Some(hit) = bytes.windows(4).position(|four| four == frame::MAGIC) {
                return Ok(Some(at + hit as u64));
            }
            at += piece - 3; // a magic may lie across the border
        }
        Ok(None)
    }
}
