//! Where everything is sent to, in the clear or over TLS.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::support::bridge::TOKEN;

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Target {
    pub fn new(address: SocketAddr, tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        Self { address, tls }
    }

    /// A plain connection of stranger `n`, who has an address of his own among many.
    pub async fn connect(&self, n: usize) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        let host = u8::try_from(n % 100).unwrap_or(0) + 100;
        socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
        let stream = timeout(Duration::from_secs(20), socket.connect(self.address)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A connection that HTTP can be spoken on.
    pub async fn open(&self, n: usize) -> io::Result<Box<dyn Stream>> {
        let stream = self.connect(n).await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = "localhost".try_into().map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(tls.clone()).connect(name, stream).await?))
    }
}

/// The head of a delivery to `leads`, up to the framing of its body.
pub fn leads() -> String {
    format!("POST /v1/leads HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {TOKEN}\r\n")
}

/// A batch with one activity.
pub fn batch(guid: &str) -> String {
    format!(
        r#"{{"munchkinId":"999-XYZ-000","activities":[{{"marketoGUID":"{guid}","leadId":1,"activityDate":"2026-03-02T09:59:58Z","activityTypeId":3,"activityType":"Click Link","attributes":[]}}]}}"#
    )
}

/// The status of the next answer, its body taken from the stream.
pub async fn status(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<u16> {
    let (mut read, end) = (Vec::new(), b"\r\n\r\n");
    let head = loop {
        if let Some(at) = read.windows(4).position(|four| four == end) {
            break at + 4;
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    while read.len() < head + length.unwrap_or(0) {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    text[9..12].parse().map_err(io::Error::other)
}

/// Writes as much as the other side takes, and reads what it says until it closes or is silent for a
/// second.
pub async fn say(stream: &mut (impl Stream + ?Sized), bytes: &[u8]) -> Vec<u8> {
    let mut said = Vec::new();
    // Whoever is refused may be cut off while it still writes.
    let _ = timeout(Duration::from_secs(2), stream.write_all(bytes)).await;
    while let Ok(Ok(1..)) = timeout(Duration::from_secs(1), stream.read_buf(&mut said)).await {}
    said
}
