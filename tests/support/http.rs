//! A sender's HTTP client, over a plain socket so that a test decides every byte: HTTP/1.1, one
//! request after another on one connection, a new connection when the last one is gone.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// As long as Marketo waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// From before the first byte of the request (or of the connection) to the last of the answer.
    pub time: Duration,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// `headers` are whole lines without their ends. An error is what a sender would see: refused,
    /// reset, timed out, cut off.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[String],
        body: &[u8],
    ) -> io::Result<Answer> {
        let start = Instant::now();
        // Taken, so that a connection in an unknown state is not used again.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        if method != "GET" {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        // A server may answer before it has read a body that it will not take, and close; its answer
        // counts for more than our broken pipe.
        let sent = connection
            .get_mut()
            .write_all(head.as_bytes())
            .and_then(|()| connection.get_mut().write_all(body));
        let (status, headers, body, keep) = match (read_answer(&mut connection), sent) {
            (Ok(answer), _) => answer,
            (Err(_), Err(error)) | (Err(error), Ok(())) => return Err(error),
        };
        if keep {
            self.connection = Some(connection);
        }
        Ok(Answer { status, headers, body, time: start.elapsed() })
    }

    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.request("GET", path, &[], b"")
    }

    /// A delivery as Marketo sends it.
    pub fn deliver(&mut self, path: &str, token: &str, body: &[u8]) -> io::Result<Answer> {
        let headers =
            ["content-type: application/json".into(), format!("authorization: Bearer {token}")];
        self.request("POST", path, &headers, body)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(BufReader::new(stream))
    }
}

type Parsed = (u16, Vec<(String, String)>, Vec<u8>, bool);

fn read_answer(connection: &mut impl BufRead) -> io::Result<Parsed> {
    let first = read_line(connection)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| invalid(&format!("not a status line: {first:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(connection)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let value = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let mut body = Vec::new();
    if let Some(length) = value("content-length") {
        let length: usize = length.parse().map_err(|_| invalid("content-length"))?;
        body.resize(length, 0);
        connection.read_exact(&mut body)?;
    } else if value("transfer-encoding") == Some("chunked") {
        while let size @ 1.. = read_chunk_size(connection)? {
            connection.by_ref().take(size).read_to_end(&mut body)?;
            read_line(connection)?;
        }
        read_line(connection)?;
    }
    let keep = value("connection") != Some("close");
    Ok((status, headers, body, keep))
}

fn read_chunk_size(connection: &mut impl BufRead) -> io::Result<u64> {
    let line = read_line(connection)?;
    u64::from_str_radix(&line, 16).map_err(|_| invalid(&line))
}

fn read_line(connection: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
