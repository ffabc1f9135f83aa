//! A delivery as bytes: the frame.
//!
//! ```text
//! offset  bytes  little endian
//!      0      4  magic "MRF\x01" (the version is in it)
//!      4      4  CRC32C over: the segment's generation as u64, then bytes 8.. of the frame
//!      8      8  sequence number in the spool
//!     16      8  received at, milliseconds since 1970
//!     24      2  length of the headers
//!     26      1  codec of the body: 0 none (1 lz4 and 2 zstd are reserved)
//!     27      1  reserved, 0
//!     28      4  length of the body as stored
//!     32      …  headers, then body
//! ```
//! Headers are pairs: name length u8, name, value length u16, value. The first is `:source`.
//!
//! The generation and the sequence number are under the checksum: a frame of another segment does not pass for
//! valid, nor does an earlier one at a later place in this segment. A later one at an earlier place is told by what
//! comes behind it (`walk/search.rs`). There is no trailing mark: only the checksum shows that a frame is whole.
//!
//! Pure: bytes in, values out, no files.

use bytes::Bytes;

use crate::{
    delivery::Delivery,
    source::{SourceName, UnixMillis},
};

pub const MAGIC: [u8; 4] = *b"MRF\x01";
/// Bytes before the headers.
pub const HEAD_LENGTH: usize = 32;
/// The only codec this version writes and reads.
pub const CODEC_NONE: u8 = 0;
const SOURCE: &str = ":source";

/// The fixed part of a frame. That it parses means that the magic is right, nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub checksum: u32,
    pub sequence: u64,
    pub received_at: UnixMillis,
    pub headers_length: u16,
    pub codec: u8,
    pub body_length: u32,
}

impl Head {
    /// Reads a head; `None` when `bytes` are fewer than a head or begin with another magic.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; HEAD_LENGTH] = bytes.first_chunk()?;
        let (magic, rest) = head.split_first_chunk()?;
        let (checksum, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (received_at, rest) = rest.split_first_chunk()?;
        let (headers_length, rest) = rest.split_first_chunk()?;
        let ([codec, _reserved], rest) = rest.split_first_chunk()?;
        let body_length = rest.first_chunk()?;
        (*magic == MAGIC).then_some(Self {
            checksum: u32::from_le_bytes(*checksum),
            sequence: u64::from_le_bytes(*sequence),
            received_at: u64::from_le_bytes(*received_at),
            headers_length: u16::from_le_bytes(*headers_length),
            codec: *codec,
            body_length: u32::from_le_bytes(*body_length),
        })
    }

    /// Returns the bytes of the whole frame, head included.
    pub fn frame_length(&self) -> u64 {
        HEAD_LENGTH as u64 + u64::from(self.headers_length) + u64::from(self.body_length)
    }

    pub fn to_bytes(self) -> [u8; HEAD_LENGTH] {
        let mut bytes = [0; HEAD_LENGTH];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.received_at.to_le_bytes());
        bytes[24..26].copy_from_slice(&self.headers_length.to_le_bytes());
        bytes[26] = self.codec;
        bytes[28..32].copy_from_slice(&self.body_length.to_le_bytes());
        bytes
    }
}

/// The checksum of a frame, fed piece by piece.
#[derive(Clone, Copy, Debug)]
pub struct Checksum(u32);

impl Checksum {
    pub fn new(generation: u64) -> Self {
        Self(crc32c::crc32c(&generation.to_le_bytes()))
    }

    /// Adds the next bytes; the first ones begin at byte 8 of the frame.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, bytes);
    }

    pub fn value(self) -> u32 {
        self.0
    }
}

/// Returns whether the whole `frame` is as it was written into the segment `generation`.
pub fn is_valid(generation: u64, head: &Head, frame: &[u8]) -> bool {
    let mut checksum = Checksum::new(generation);
    checksum.update(&frame[8..]);
    checksum.value() == head.checksum
}

/// Returns the bytes of `delivery` as a frame; `None` when it does not fit into one: a header name over
/// 255 bytes, headers over 65,535 together, or a body over 4 GiB.
pub fn length(delivery: &Delivery) -> Option<u64> {
    let headers_length = headers_length(delivery)?;
    let body_length = u32::try_from(delivery.body.len()).ok()?;
    Some(HEAD_LENGTH as u64 + u64::from(headers_length) + u64::from(body_length))
}

/// Appends the frame of `delivery` up to its body, which the caller writes right behind it. Only for
/// a delivery that has a [`length`].
pub fn encode(generation: u64, sequence: u64, delivery: &Delivery, out: &mut Vec<u8>) {
    let start = out.len();
    let mut head = Head {
        checksum: 0,
        sequence,
        received_at: delivery.received_at,
        headers_length: headers_length(delivery).unwrap_or(u16::MAX),
        codec: CODEC_NONE,
        body_length: delivery.body.len() as u32,
    };
    out.extend_from_slice(&head.to_bytes());
    for (name, value) in headers(delivery) {
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    let mut checksum = Checksum::new(generation);
    checksum.update(&out[start + 8..]);
    checksum.update(&delivery.body);
    head.checksum = checksum.value();
    out[start..start + HEAD_LENGTH].copy_from_slice(&head.to_bytes());
}

/// Reads the delivery in a valid `frame`; the body shares its memory. `None` when the headers are not in the
/// form that [`encode`] writes. `spool` is the expected source name, so that it need not be copied each time.
pub fn decode(head: &Head, frame: &Bytes, spool: &SourceName) -> Option<Delivery> {
    let headers_end = HEAD_LENGTH + usize::from(head.headers_length);
    let mut rest = frame.get(HEAD_LENGTH..headers_end)?;
    let (name, source) = take_pair(&mut rest)?;
    if name != SOURCE {
        return None;
    }
    let source = if source == spool.as_str() { spool.clone() } else { SourceName::new(source)? };
    let mut headers = Vec::new();
    while !rest.is_empty() {
        let (name, value) = take_pair(&mut rest)?;
        headers.push((name.to_owned(), value.to_owned()));
    }
    Some(Delivery {
        source,
        received_at: head.received_at,
        headers,
        body: frame.slice(headers_end..),
    })
}

fn headers(delivery: &Delivery) -> impl Iterator<Item = (&str, &str)> {
    let kept = delivery.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    std::iter::once((SOURCE, delivery.source.as_str())).chain(kept)
}

fn headers_length(delivery: &Delivery) -> Option<u16> {
    headers(delivery).try_fold(0_u16, |sum, (name, value)| {
        let name = u16::from(u8::try_from(name.len()).ok()?);
        let value = u16::try_from(value.len()).ok()?;
        sum.checked_add(3)?.checked_add(name)?.checked_add(value)
    })
}

fn take_pair<'a>(bytes: &mut &'a [u8]) -> Option<(&'a str, &'a str)> {
    let (&name_length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(name_length))?;
    let (value_length, rest) = rest.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*value_length)))?;
    *bytes = rest;
    Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(headers: &[(&str, &str)], body: &'static [u8]) -> Delivery {
        Delivery {
            source: SourceName::new("leads").unwrap(),
            received_at: 1_770_000_000_123,
            headers: headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            body: Bytes::from_static(body),
        }
    }

    fn whole(generation: u64, sequence: u64, delivery: &Delivery) -> Bytes {
        let mut frame = Vec::new();
        encode(generation, sequence, delivery, &mut frame);
        frame.extend_from_slice(&delivery.body);
        frame.into()
    }

    #[test]
    fn a_delivery_comes_back_byte_for_byte() {
        for body in [&b""[..], b"{}", &[0xff, 0, 0x80], &[b'x'; 5000]] {
            let given = delivery(&[("content-type", "application/json"), ("empty", "")], body);
            let frame = whole(7, 9, &given);
            let head = Head::parse(&frame).unwrap();
            assert_eq!(head.sequence, 9);
            assert_eq!(head.frame_length(), frame.len() as u64);
            assert_eq!(length(&given), Some(frame.len() as u64));
            assert!(is_valid(7, &head, &frame));
            assert_eq!(decode(&head, &frame, &given.source), Some(given));
        }
    }

    #[test]
    fn any_flipped_bit_is_seen() {
        let frame = whole(7, 9, &delivery(&[("a", "b")], b"{\"k\":1}"));
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let valid = Head::parse(&flipped).is_some_and(|head| is_valid(7, &head, &flipped));
            assert!(!valid, "bit {bit}");
        }
    }

    #[test]
    fn a_frame_of_another_generation_is_not_valid() {
        let frame = whole(7, 9, &delivery(&[], b"{}"));
        let head = Head::parse(&frame).unwrap();
        assert!(!is_valid(8, &head, &frame));
    }

    #[test]
    fn a_delivery_that_does_not_fit_has_no_length() {
        let long = "x".repeat(256);
        assert_eq!(length(&delivery(&[(&long, "")], b"")), None);
        let longer = "x".repeat(40_000);
        assert!(length(&delivery(&[("a", &longer)], b"")).is_some());
        assert_eq!(length(&delivery(&[("a", &longer), ("b", &longer)], b"")), None);
        assert_eq!(length(&delivery(&[("a", &"x".repeat(65_536))], b"")), None);
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let frame = whole(1, 0x0102, &delivery(&[], b"BODY"));
        assert_eq!(&frame[0..4], b"MRF\x01");
        assert_eq!(&frame[8..16], [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&frame[16..24], 1_770_000_000_123_u64.to_le_bytes());
        assert_eq!(&frame[24..26], [15, 0]);
        assert_eq!(&frame[26..28], [0, 0]);
        assert_eq!(&frame[28..32], [4, 0, 0, 0]);
        assert_eq!(&frame[32..], b"\x07:source\x05\x00leadsBODY");
        assert_eq!(
            crc32c::crc32c(&[&[1, 0, 0, 0, 0, 0, 0, 0], &frame[8..]].concat()).to_le_bytes(),
            frame[4..8]
        );
    }
}
