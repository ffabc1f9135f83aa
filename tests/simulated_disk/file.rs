//! One file: what processes see, what is on stable storage, and which bytes differ for how long.

use std::{collections::BTreeSet, ops::Range};

use super::random::Random;

#[derive(Clone, Debug)]
pub struct FileData {
    bytes: Vec<u8>,
    stable: Vec<u8>,
    /// Written and not synced, in order, one range a write.
    dirty: Vec<Range<usize>>,
    /// The lengths that it has had since it was synced.
    lengths: Vec<usize>,
    written_at: u64,
}

/// What a disk stores at once, in any order; and what it stores whole or not at all.
const PAGE: usize = 4096;
const SECTOR: usize = 512;

impl FileData {
    pub fn new(now: u64) -> Self {
        let (bytes, stable, dirty, lengths) = Default::default();
        Self { bytes, stable, dirty, lengths, written_at: now }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn written_at(&self) -> u64 {
        self.written_at
    }

    pub fn replace(&mut self, bytes: Vec<u8>) {
        self.stable.clone_from(&bytes);
        self.bytes = bytes;
        self.dirty.clear();
        self.lengths.clear();
    }

    pub fn write(&mut self, offset: usize, bytes: &[u8], now: u64) {
        let end = offset + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
        self.dirty.push(offset..end);
        self.lengths.push(self.bytes.len());
        self.written_at = now;
    }

    pub fn set_length(&mut self, length: usize, now: u64) {
        let before = self.bytes.len();
        self.bytes.resize(length, 0);
        if length > before {
            self.dirty.push(before..length);
        }
        self.lengths.push(length);
        self.written_at = now;
    }

    pub fn sync(&mut self) {
        self.stable.resize(self.bytes.len(), 0);
        self.lengths.clear();
        for range in std::mem::take(&mut self.dirty) {
            self.store(range);
        }
    }

    /// The system writes one page back, before anybody has asked for it.
    pub fn write_back(&mut self, random: &mut Random) {
        let pages = self.dirty_pages();
        if let Some(page) = pages.get(random.below(pages.len() as u64) as usize).cloned() {
            let end = page.end.min(self.bytes.len());
            if self.stable.len() < end {
                self.stable.resize(end, 0);
            }
            self.store(page);
        }
    }

    /// As [`FileData::fail_to_sync`] and [`FileData::lose_power`], of a disk that stores pages in the order that it
    /// likes: each is there or not, now and then torn between two sectors, and the length is any that there was.
    pub fn store_some_pages(&mut self, random: &mut Random) {
        let pages = self.dirty_pages();
        self.lengths.extend([self.stable.len(), self.bytes.len()]);
        let length = self.lengths[random.below(self.lengths.len() as u64) as usize];
        self.stable.resize(length, 0);
        for page in pages {
            if random.percent(50) {
                let sectors = match random.percent(20) {
                    true => random.below((PAGE / SECTOR) as u64) as usize,
                    false => PAGE / SECTOR,
                };
                self.store(page.start..page.start + sectors * SECTOR);
            }
        }
        self.dirty.clear();
        self.lengths.clear();
    }

    /// What is on the disk is all that is left.
    pub fn forget_the_rest(&mut self) {
        self.bytes.clone_from(&self.stable);
    }

    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    fn dirty_pages(&self) -> Vec<Range<usize>> {
        let written = self.dirty.iter().filter(|range| !range.is_empty());
        let numbers = written.flat_map(|range| range.start / PAGE..=(range.end - 1) / PAGE);
        let numbers: BTreeSet<_> = numbers.collect();
        numbers.into_iter().map(|number| number * PAGE..(number + 1) * PAGE).collect()
    }

    /// Some of it arrives; the rest is taken for clean from now on.
    pub fn fail_to_sync(&mut self, random: &mut Random) {
        self.store_some(random);
    }

    /// Some of it had arrived.
    pub fn lose_power(&mut self, random: &mut Random) {
        self.store_some(random);
        self.bytes.clone_from(&self.stable);
    }

    fn store_some(&mut self, random: &mut Random) {
        let dirty = std::mem::take(&mut self.dirty);
        if dirty.is_empty() && self.stable.len() == self.bytes.len() {
            return;
        }
        match random.below(4) {
            0 => {}
            1 => {
                self.stable.resize(self.bytes.len(), 0);
                dirty.into_iter().for_each(|range| self.store(range));
            }
            2 => self.store_beginning(dirty, random),
            _ => self.store_pieces(dirty, random),
        }
    }

    /// Everything up to some byte, where the file then ends if it was growing.
    fn store_beginning(&mut self, dirty: Vec<Range<usize>>, random: &mut Random) {
        let total: usize = dirty.iter().map(Range::len).sum();
        let mut left = random.below(total as u64 + 1) as usize;
        for range in dirty {
            let length = range.len().min(left);
            left -= length;
            let range = range.start..range.start + length;
            if self.stable.len() < range.end.min(self.bytes.len()) {
                self.stable.resize(range.end.min(self.bytes.len()), 0);
            }
            self.store(range);
        }
    }

    /// The whole length, and some pieces of what belongs there; the rest are zeros or old bytes.
    fn store_pieces(&mut self, dirty: Vec<Range<usize>>, random: &mut Random) {
        self.stable.resize(self.bytes.len(), 0);
        for range in dirty {
            let mut at = range.start;
            while at < range.end {
                let piece = (random.below(64) + 1).min((range.end - at) as u64) as usize;
                if random.percent(70) {
                    self.store(at..at + piece);
                }
                at += piece;
            }
        }
    }

    fn store(&mut self, range: Range<usize>) {
        let end = range.end.min(self.bytes.len()).min(self.stable.len());
        if range.start < end {
            self.stable[range.start..end].copy_from_slice(&self.bytes[range.start..end]);
        }
    }
}
