//! Takes the content-coding off a body, within a limit.
//!
//! A body that does not inflate is no error of the sender's that an answer could mend: it is kept as
//! it came, and its content-coding with it, so that it ends as a dead letter and not as a loss.

use std::io::{self, Read};

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header::CONTENT_ENCODING};

use crate::delivery::content_coding;

const PIECE: usize = 64 * 1024;

/// What the `Content-Encoding` header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
    /// Zlib as RFC 9110 has it, or raw as many write it.
    Deflate,
    /// Anything else, several at once included.
    Unknown,
}

impl Coding {
    pub fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(CONTENT_ENCODING).iter();
        let mut names = values.flat_map(|value| content_coding::names(value.as_bytes()));
        let Some(name) = names.next() else { return Self::Identity };
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match names.next() {
            None if is("gzip") || is("x-gzip") => Self::Gzip,
            None if is("deflate") => Self::Deflate,
            _ => Self::Unknown,
        }
    }
}

/// Why there is no inflated body.
#[derive(Debug, PartialEq, Eq)]
pub enum NotInflated<E> {
    /// Not what its coding says, or unknown: to be kept as it came.
    Corrupt,
    /// More than `limit` bytes.
    TooLarge,
    /// `grow` refused.
    NoRoom(E),
}

/// Inflates all of `body`. `grow` is asked, before memory is taken, for the number of bytes that the
/// result may need from then on. Bytes behind the end of the compressed stream make it corrupt.
pub fn inflate<E>(
    coding: Coding,
    body: &[u8],
    limit: u64,
    grow: &mut dyn FnMut(u64) -> Result<(), E>,
) -> Result<Vec<u8>, NotInflated<E>> {
    match coding {
        Coding::Identity | Coding::Unknown => Err(NotInflated::Corrupt),
        Coding::Gzip => take(MultiGzDecoder::new(body), |d| d.into_inner(), limit, grow),
        Coding::Deflate if looks_like_zlib(body) => {
            match take(ZlibDecoder::new(body), |d| d.into_inner(), limit, grow) {
                // Two bytes of raw deflate may look like a zlib header.
                Err(NotInflated::Corrupt) => raw_deflate(body, limit, grow),
                result => result,
            }
        }
        Coding::Deflate => raw_deflate(body, limit, grow),
    }
}

fn raw_deflate<E>(
    body: &[u8],
    limit: u64,
    grow: &mut dyn FnMut(u64) -> Result<(), E>,
) -> Result<Vec<u8>, NotInflated<E>> {
    take(DeflateDecoder::new(body), |d| d.into_inner(), limit, grow)
}

/// RFC 1950: method 8, and the first two bytes are a multiple of 31.
fn looks_like_zlib(body: &[u8]) -> bool {
    matches!(body, [a, b, ..] if a & 0x0f == 8 && u16::from_be_bytes([*a, *b]) % 31 == 0)
}

fn take<'a, D: Read, E>(
    mut decoder: D,
    rest: impl FnOnce(D) -> &'a [u8],
    limit: u64,
    grow: &mut dyn FnMut(u64) -> Result<(), E>,
) -> Result<Vec<u8>, NotInflated<E>> {
    let mut inflated = Vec::new();
    let mut piece = vec![0; PIECE];
    loop {
        let length = match decoder.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(NotInflated::Corrupt),
        };
        let needed = inflated.len() + length;
        if needed as u64 > limit {
            return Err(NotInflated::TooLarge);
        }
        if needed > inflated.capacity() {
            // Doubling, so that copying stays cheap, but never past what the limit allows.
            let capacity =
                (needed.max(PIECE) * 2).min(usize::try_from(limit).unwrap_or(usize::MAX));
            grow(capacity as u64).map_err(NotInflated::NoRoom)?;
            inflated.reserve_exact(capacity - inflated.len());
        }
        inflated.extend_from_slice(&piece[..length]);
    }
    if rest(decoder).is_empty() { Ok(inflated) } else { Err(NotInflated::Corrupt) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(body: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn inflated(coding: Coding, body: &[u8]) -> Result<Vec<u8>, NotInflated<()>> {
        inflate(coding, body, 1 << 20, &mut |_| Ok(()))
    }

    fn coding(values: &[&str]) -> Coding {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, value.parse().unwrap());
        }
        Coding::of(&headers)
    }

    #[test]
    fn the_header_names_one_coding_that_is_known_or_it_is_unknown() {
        assert_eq!(coding(&[]), Coding::Identity);
        assert_eq!(coding(&["identity"]), Coding::Identity);
        assert_eq!(coding(&[""]), Coding::Identity);
        assert_eq!(coding(&["UTF-8"]), Coding::Identity);
        assert_eq!(coding(&["none", "utf-8, gzip"]), Coding::Gzip);
        assert_eq!(coding(&["GZIP"]), Coding::Gzip);
        assert_eq!(coding(&["x-gzip"]), Coding::Gzip);
        assert_eq!(coding(&["identity, gzip"]), Coding::Gzip);
        assert_eq!(coding(&["deflate"]), Coding::Deflate);
        assert_eq!(coding(&["br"]), Coding::Unknown);
        assert_eq!(coding(&["gzip, gzip"]), Coding::Unknown);
        assert_eq!(coding(&["deflate", "gzip"]), Coding::Unknown);
    }

    #[test]
    fn gzip_and_both_kinds_of_deflate_give_the_body_back() {
        let body = b"{\"activities\":[]}".repeat(20_000);
        assert_eq!(inflated(Coding::Gzip, &gzip(&body)).as_ref(), Ok(&body));
        assert_eq!(inflated(Coding::Deflate, &zlib(&body)).as_ref(), Ok(&body));
        assert_eq!(inflated(Coding::Deflate, &raw(&body)).as_ref(), Ok(&body));
        let members = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(inflated(Coding::Gzip, &members), Ok(b"one two".to_vec()));
    }

    #[test]
    fn every_cut_and_every_addition_makes_it_corrupt() {
        let corrupt = Err(NotInflated::Corrupt);
        for (coding, whole) in [
            (Coding::Gzip, gzip(b"body")),
            (Coding::Deflate, zlib(b"body")),
            (Coding::Deflate, raw(b"body")),
        ] {
            for length in 0..whole.len() {
                assert_eq!(inflated(coding, &whole[..length]), corrupt, "{coding:?} {length}");
            }
            assert_eq!(inflated(coding, &[&whole[..], b"!"].concat()), corrupt, "{coding:?}");
        }
        let mut flipped = gzip(b"body");
        let checksum = flipped.len() - 6;
        flipped[checksum] ^= 1;
        assert_eq!(inflated(Coding::Gzip, &flipped), corrupt);
        assert_eq!(inflated(Coding::Unknown, b"body"), corrupt);
    }

    #[test]
    fn a_bomb_stops_at_the_limit_and_memory_is_asked_for_before_it_is_taken() {
        let bomb = gzip(&vec![0; 8 << 20]);
        let mut most = 0;
        let result = inflate::<()>(Coding::Gzip, &bomb, 1 << 20, &mut |bytes| {
            most = bytes.max(most);
            Ok(())
        });
        assert_eq!(result, Err(NotInflated::TooLarge));
        assert_eq!(most, 1 << 20);
        let refused = inflate(Coding::Gzip, &bomb, 1 << 20, &mut |_| Err("no"));
        assert_eq!(refused, Err(NotInflated::NoRoom("no")));
    }

    #[test]
    fn a_body_of_exactly_the_limit_passes() {
        let body = vec![b'x'; 1 << 20];
        assert_eq!(inflated(Coding::Gzip, &gzip(&body)).map(|b| b.len()), Ok(1 << 20));
    }
}
