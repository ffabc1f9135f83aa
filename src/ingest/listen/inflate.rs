//! Decodes the content-coding of a body, within a limit.
//!
//! No answer could make the sender repair a body that does not inflate: it is stored as it came, with its
//! content-coding, so that it becomes a dead letter and is not lost.

use std::io::{self, Read};

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header::CONTENT_ENCODING};

use crate::delivery::content_coding;

/// Bytes that are inflated at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Coding that the `Content-Encoding` header names.
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

/// Reason for which there is no inflated body.
#[derive(Debug, PartialEq, Eq)]
pub enum NotInflated<E> {
    /// The body is not in its coding, or that is unknown: it is to be stored as it came.
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
    attempts(coding, body, |format| {
        let mut inflated = Vec::new();
        decode(format, body, limit, &mut |piece| {
            let needed = inflated.len() + piece.len();
            if needed > inflated.capacity() {
                // Doubling, so that copying stays cheap, but never beyond the limit.
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                let capacity = (needed.max(PIECE_BYTES) * 2).min(limit);
                grow(capacity as u64)?;
                inflated.reserve_exact(capacity - inflated.len());
            }
            inflated.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(inflated)
    })
}

/// Counts the bytes that [`inflate`] would return. Takes as long, and no memory for them.
pub fn measure<E>(coding: Coding, body: &[u8], limit: u64) -> Result<u64, NotInflated<E>> {
    attempts(coding, body, |format| decode(format, body, limit, &mut |_| Ok(())))
}

/// Format of a compressed body; `deflate` may be either of two.
#[derive(Clone, Copy)]
enum Format {
    Gzip,
    Zlib,
    RawDeflate,
}

/// Tries the formats that `body` may have, and returns the first result that is not corrupt.
fn attempts<T, E>(
    coding: Coding,
    body: &[u8],
    mut attempt: impl FnMut(Format) -> Result<T, NotInflated<E>>,
) -> Result<T, NotInflated<E>> {
    match coding {
        Coding::Identity | Coding::Unknown => Err(NotInflated::Corrupt),
        Coding::Gzip => attempt(Format::Gzip),
        Coding::Deflate if looks_like_zlib(body) => match attempt(Format::Zlib) {
            // Two bytes of raw deflate may look like a zlib header.
            Err(NotInflated::Corrupt) => attempt(Format::RawDeflate),
            result => result,
        },
        Coding::Deflate => attempt(Format::RawDeflate),
    }
}

/// Checks the header of RFC 1950: method 8, and the first two bytes are a multiple of 31.
fn looks_like_zlib(body: &[u8]) -> bool {
    matches!(body, [a, b, ..] if a & 0x0f == 8 && u16::from_be_bytes([*a, *b]) % 31 == 0)
}

/// Takes a piece of the inflated body, or refuses it.
type Put<'a, E> = &'a mut dyn FnMut(&[u8]) -> Result<(), E>;

/// Gives all of the inflated body to `put`, and returns its length.
fn decode<E>(
    format: Format,
    body: &[u8],
    limit: u64,
    put: Put<'_, E>,
) -> Result<u64, NotInflated<E>> {
    match format {
        Format::Gzip => take(MultiGzDecoder::new(body), |d| d.into_inner(), limit, put),
        Format::Zlib => take(ZlibDecoder::new(body), |d| d.into_inner(), limit, put),
        Format::RawDeflate => take(DeflateDecoder::new(body), |d| d.into_inner(), limit, put),
    }
}

fn take<'a, D: Read, E>(
    mut decoder: D,
    rest: impl FnOnce(D) -> &'a [u8],
    limit: u64,
    put: Put<'_, E>,
) -> Result<u64, NotInflated<E>> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut length = 0;
    loop {
        let read = match decoder.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(NotInflated::Corrupt),
        };
        length += read as u64;
        if length > limit {
            return Err(NotInflated::TooLarge);
        }
        put(&piece[..read]).map_err(NotInflated::NoRoom)?;
    }
    if rest(decoder).is_empty() { Ok(length) } else { Err(NotInflated::Corrupt) }
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
    fn the_measured_length_is_the_inflated_length() {
        let body = b"{\"activities\":[]}".repeat(20_000);
        let measured = |coding, body: &[u8], limit| measure::<()>(coding, body, limit);
        for (coding, bytes) in [
            (Coding::Gzip, gzip(&body)),
            (Coding::Deflate, zlib(&body)),
            (Coding::Deflate, raw(&body)),
        ] {
            assert_eq!(measured(coding, &bytes, 1 << 20), Ok(body.len() as u64), "{coding:?}");
            assert_eq!(measured(coding, &bytes, 1000), Err(NotInflated::TooLarge), "{coding:?}");
        }
        assert_eq!(measured(Coding::Gzip, b"no", 1000), Err(NotInflated::Corrupt));
    }

    #[test]
    fn a_body_of_exactly_the_limit_passes() {
        let body = vec![b'x'; 1 << 20];
        assert_eq!(inflated(Coding::Gzip, &gzip(&body)).map(|b| b.len()), Ok(1 << 20));
    }
}
