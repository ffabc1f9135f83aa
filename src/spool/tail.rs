//! Tells whether the broken end of a last segment is an unfinished write or damage.

use std::io;

use super::{
    disk::{self, DiskFile},
    frame::{Checksum, HEAD_LENGTH, Head, MAGIC},
    walk::Range,
};

/// Returns whether the bytes of `tail` are certainly those of an unfinished write: a part of a frame, or nothing
/// but zeros (the file's length was stored before the bytes were). Such bytes were never acknowledged.
pub fn is_unfinished(file: &dyn DiskFile, generation: u64, tail: Range) -> io::Result<bool> {
    let length = tail.to - tail.from;
    if length < HEAD_LENGTH as u64 || is_zeros(file, tail)? {
        return Ok(true);
    }
    let mut bytes = [0; HEAD_LENGTH];
    read(file, &mut bytes, tail.from)?;
    let Some(head) = Head::parse(&bytes) else { return Ok(false) };
    if head.frame_length() <= length || head.sequence != tail.first {
        return Ok(false);
    }
    // The frame claims more bytes than there are: it was cut short, or is whole and its length is damaged. In the
    // second case a length that fits makes the checksum right.
    for end in ends(file, tail)? {
        let body = end - tail.from - HEAD_LENGTH as u64;
        let with_body = body.checked_sub(u64::from(head.headers_length));
        let with_headers = body.checked_sub(u64::from(head.body_length));
        let mut candidates = Vec::new();
        if let Some(body_length) = with_body.and_then(|length| u32::try_from(length).ok()) {
            candidates.push(Head { body_length, ..head });
        }
        if let Some(headers_length) = with_headers.and_then(|length| u16::try_from(length).ok()) {
            candidates.push(Head { headers_length, ..head });
        }
        for candidate in candidates {
            let mut checksum = Checksum::new(generation);
            checksum.update(&candidate.to_bytes()[8..]);
            each_piece(file, tail.from + HEAD_LENGTH as u64..end, |piece| {
                checksum.update(piece);
                true
            })?;
            if checksum.value() == head.checksum {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// So many places are tried at most.
const MOST_ENDS: usize = 16;

/// Where the frame at the beginning of `tail` may end: with the tail, or before a write that never ended: where another
/// frame begins, or nothing but zeros follows.
fn ends(file: &dyn DiskFile, tail: Range) -> io::Result<Vec<u64>> {
    let (mut at, mut last_bytes, mut behind_last) = (tail.from + HEAD_LENGTH as u64, 0u32, tail.to);
    let mut ends = vec![tail.to];
    each_piece(file, at..tail.to, |piece| {
        for byte in piece {
            at += 1;
            last_bytes = last_bytes << 8 | u32::from(*byte);
            if last_bytes == u32::from_be_bytes(MAGIC) && ends.len() < MOST_ENDS {
                ends.push(at - MAGIC.len() as u64);
            }
            if *byte != 0 {
                behind_last = at;
            }
        }
        true
    })?;
    ends.push(behind_last);
    ends.retain(|end| *end >= tail.from + HEAD_LENGTH as u64);
    Ok(ends)
}

fn is_zeros(file: &dyn DiskFile, tail: Range) -> io::Result<bool> {
    let mut zeros = true;
    each_piece(file, tail.from..tail.to, |piece| {
        zeros = piece.iter().all(|byte| *byte == 0);
        zeros
    })?;
    Ok(zeros)
}

/// Passes the bytes of `range` to `show` piece by piece, until that returns `false`.
fn each_piece(
    file: &dyn DiskFile,
    range: std::ops::Range<u64>,
    mut show: impl FnMut(&[u8]) -> bool,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut at = range.start;
    while at < range.end {
        let piece = (range.end - at).min(buffer.len() as u64) as usize;
        read(file, &mut buffer[..piece], at)?;
        if !show(&buffer[..piece]) {
            break;
        }
        at += piece as u64;
    }
    Ok(())
}

fn read(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let read = disk::read_full(file, buffer, offset)?;
    if read == buffer.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
