//! The socket as the HTTP library sees it: it reports every byte to [`Activity`], and it lets no answer of the
//! library's own reach a sender.
//!
//! Answers that hyper 1.12 and h2 0.4 write by themselves, as their sources show:
//!
//! - **HTTP/1, 400, 414, 431** (`proto::h1::role`, `on_error`): a head that cannot be parsed or whose
//!   lengths contradict each other, a target over 64 KiB, a head over `max_buf_size` or with too many
//!   headers. Written as the connection's last answer; the error comes out of its future. To a sender
//!   a 4xx is final, and the cause may be ours (a limit) or a proxy's. Hyper cannot be told to answer
//!   anything else, so [`Wire`] puts our own 503 in the place of these heads. That is sound because
//!   the statuses 414 and 431 are in no row of `reply.rs`, 400 has a reason phrase of its own there,
//!   the library always offers all that it has not written yet in one slice beginning at most at an
//!   answer's start, our bodies never contain a status line, and nothing follows such an answer.
//! - **HTTP/1, 408**: none. A head that does not come in time is an error without an answer; our own
//!   watch in `activity.rs` stands in for the time-out, which would also count idle time.
//! - **HTTP/2, 431** (`proto::streams::streams`, `recv_headers`): a head over the advertised
//!   `max_header_list_size`. It cannot be replaced, because its header compression is shared with later
//!   answers, nor is it reported. But it can be seen: a HEADERS frame for which no request was ever
//!   answered by us. [`Wire`] then fails the connection before that frame leaves; no answer is tried
//!   again, a 431 would be final. An answer of ours whose stream the peer reset leaves one such frame
//!   unnoticed: a peer that does both is no sender.
//! - **HTTP/2, everything else malformed**: the stream or the connection is reset, without a status.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use parking_lot::{Mutex, MutexGuard};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{activity::Activity, reply::Outcome};

/// A stream that the library uses, and whose owner gets it back afterwards.
pub struct Wire<S> {
    stream: Arc<Mutex<S>>,
    activity: Arc<Activity>,
    outgoing: Outgoing,
}

enum Outgoing {
    /// The clients are no senders: answers pass unchanged.
    AsItIs,
    /// Nothing written yet.
    Unknown,
    Http1,
    /// Our own answer goes out in place of the library's: its bytes, and how many are written.
    Substitute(Vec<u8>, usize),
    /// The connection has had its last answer.
    Over,
    Http2(Frames),
}

impl<S> Wire<S> {
    /// Returns the wire, and the other handle to its stream. Outgoing bytes are examined only where `to_senders`.
    pub fn new(stream: S, activity: Arc<Activity>, to_senders: bool) -> (Self, Arc<Mutex<S>>) {
        let stream = Arc::new(Mutex::new(stream));
        let outgoing = if to_senders { Outgoing::Unknown } else { Outgoing::AsItIs };
        (Self { stream: stream.clone(), activity, outgoing }, stream)
    }

    fn stream(&self) -> MutexGuard<'_, S> {
        self.stream.lock()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *self.stream()).poll_read(cx, buffer))?;
        let came = &buffer.filled()[before..];
        if !came.is_empty() {
            self.activity.bytes_came(came, Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    fn write_inner(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream()).poll_write(cx, bytes)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            match &mut this.outgoing {
                Outgoing::Unknown => {
                    // A server's first frame is short, so its first byte (of a length) is 0.
                    let is_http1 = bytes.first() == Some(&b'H');
                    this.outgoing = match is_http1 {
                        true => Outgoing::Http1,
                        false => Outgoing::Http2(Frames::default()),
                    };
                }
                Outgoing::AsItIs => return this.write_inner(cx, bytes),
                Outgoing::Http1 => match automatic_answer(bytes) {
                    None => return this.write_inner(cx, bytes),
                    Some((0, outcome)) => {
                        this.outgoing = Outgoing::Substitute(outcome.raw(), 0);
                    }
                    Some((start, _)) => return this.write_inner(cx, &bytes[..start]),
                },
                Outgoing::Substitute(own, written) => {
                    let mut stream = this.stream.lock();
                    while *written < own.len() {
                        match ready!(Pin::new(&mut *stream).poll_write(cx, &own[*written..]))? {
                            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                            count => *written += count,
                        }
                    }
                    drop(stream);
                    this.outgoing = Outgoing::Over;
                }
                Outgoing::Over => return Poll::Ready(Ok(bytes.len())),
                Outgoing::Http2(frames) => {
                    // `ahead` looks at all bytes; `passed` counts only those that the socket takes.
                    let mut ahead = *frames;
                    let mut passed = *frames;
                    let allowed = ahead.pass(bytes, this.activity.answered());
                    if allowed == 0 && !bytes.is_empty() {
                        this.activity.head_was_too_large();
                        return Poll::Ready(Err(io::Error::other("head over the limit")));
                    }
                    let written = ready!(this.write_inner(cx, &bytes[..allowed]))?;
                    passed.pass(&bytes[..written], u64::MAX);
                    this.outgoing = Outgoing::Http2(passed);
                    return Poll::Ready(Ok(written));
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_shutdown(cx)
    }
}

/// Finds the library's own refusal in `bytes`: where it begins, and the outcome to answer in its place.
fn automatic_answer(bytes: &[u8]) -> Option<(usize, Outcome)> {
    const VERSION: &[u8] = b"HTTP/1.";
    const STATUS_LINE: usize = b"HTTP/1.1 400 ".len();
    bytes.windows(STATUS_LINE).enumerate().find_map(|(start, line)| {
        if !line.starts_with(VERSION) || line[8] != b' ' || line[12] != b' ' {
            return None;
        }
        match &line[9..12] {
            b"400" if bytes[start + STATUS_LINE..].starts_with(b"Bad Request") => {
                Some((start, Outcome::Unreadable))
            }
            b"414" | b"431" => Some((start, Outcome::HeadTooLarge)),
            _ => None,
        }
    })
}

/// Reads the frames that a server sends and counts its answers.
#[derive(Clone, Copy, Default)]
struct Frames {
    head: [u8; 9],
    head_length: usize,
    /// Bytes of the payload that are still to come.
    payload: usize,
    answers: u64,
}

impl Frames {
    const HEADERS: u8 = 1;

    /// Returns how many of `bytes` may be sent so that no more than `answered` answers are.
    fn pass(&mut self, bytes: &[u8], answered: u64) -> usize {
        let mut at = 0;
        let mut frame = 0;
        while at < bytes.len() {
            if self.payload > 0 {
                let step = self.payload.min(bytes.len() - at);
                self.payload -= step;
                at += step;
                continue;
            }
            if self.head_length == 0 {
                frame = at;
            }
            self.head[self.head_length] = bytes[at];
            self.head_length += 1;
            at += 1;
            if self.head_length == self.head.len() {
                let [a, b, c, kind, ..] = self.head;
                self.head_length = 0;
                self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                if kind == Self::HEADERS {
                    if self.answers >= answered {
                        return frame;
                    }
                    self.answers += 1;
                }
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_librarys_own_refusals_are_found_wherever_they_begin() {
        let find = |text: &str| automatic_answer(text.as_bytes());
        assert_eq!(find("HTTP/1.1 400 Bad Request\r\n"), Some((0, Outcome::Unreadable)));
        assert_eq!(find("HTTP/1.0 431 Request Header"), Some((0, Outcome::HeadTooLarge)));
        assert_eq!(find("HTTP/1.1 414 URI Too Long\r\n"), Some((0, Outcome::HeadTooLarge)));
        assert_eq!(
            find("HTTP/1.1 200 OK\r\n\r\nstoredHTTP/1.1 400 Bad Request"),
            Some((25, Outcome::Unreadable))
        );
        for ours in [
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 401 Unauthorized\r\n",
            "HTTP/1.1 503 S",
            "stored",
            "HTTP/1.1 400 Request Refused\r\n",
        ] {
            assert_eq!(find(ours), None, "{ours}");
        }
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, 0, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn a_headers_frame_without_an_answer_of_ours_does_not_pass() {
        let sent =
            [frame(4, b"settings"), frame(1, b"answer"), frame(0, b"body"), frame(1, b"not ours")]
                .concat();
        let ours = sent.len() - 9 - 8;
        for cut in 0..=sent.len() {
            let mut frames = Frames::default();
            let first = frames.pass(&sent[..cut], 1);
            let second = if first == cut { frames.pass(&sent[cut..], 1) } else { 0 };
            // A head that is cut in two is caught when its second half is offered.
            let expected = if (ours + 1..ours + 9).contains(&cut) { cut } else { ours };
            assert_eq!(first + second, expected, "cut at {cut}");
        }
        assert_eq!(Frames::default().pass(&sent, 2), sent.len());
    }
}
