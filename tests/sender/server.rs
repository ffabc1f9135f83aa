//! An HTTP/1.1 server that answers as a test wants it, and keeps what it was sent.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With its query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What it answers, and after how long.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
    pub after: Duration,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, content_type: "text/plain", body: String::new(), after: Duration::ZERO }
    }
}

pub struct Server {
    pub address: SocketAddr,
    posts: Arc<Mutex<Vec<Request>>>,
}

type Script = dyn Fn(&Request, usize) -> Reply + Send + Sync;

impl Server {
    /// Passes the challenge; answers the nth POST, from 0, as `script` says.
    pub fn answering(script: impl Fn(usize) -> u16 + Send + Sync + 'static) -> Self {
        Self::start(move |request, n| match request.target.split_once("challenge=") {
            Some((_, value)) => Reply { body: value.to_owned(), ..Reply::status(200) },
            None => Reply::status(script(n)),
        })
    }

    /// `script` is told how many POSTs came before.
    pub fn start(script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let posts = Arc::<Mutex<Vec<Request>>>::default();
        let (script, kept): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&posts));
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (script, kept) = (Arc::clone(&script), Arc::clone(&kept));
                // A connection ends as the client likes.
                thread::spawn(move || serve(socket, &*script, &kept));
            }
        });
        Self { address, posts }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1/under-test", self.address)
    }

    pub fn posts(&self) -> Vec<Request> {
        self.posts.lock().unwrap().clone()
    }
}

/// Answers the requests of one connection, until it ends.
pub fn serve(
    stream: impl Read + Write,
    script: &Script,
    posts: &Mutex<Vec<Request>>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream)? {
        let before = {
            let mut posts = posts.lock().unwrap();
            let before = posts.len();
            if request.method == "POST" {
                posts.push(request.clone());
            }
            before
        };
        let reply = script(&request, before);
        thread::sleep(reply.after);
        let Reply { status, content_type, body, .. } = reply;
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.get_mut().write_all(answer.as_bytes())?;
        stream.get_mut().flush()?;
    }
    Ok(())
}

fn read(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { method, target, headers, body: Vec::new() };
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    request.body.resize(length.unwrap_or_default(), 0);
    stream.read_exact(&mut request.body)?;
    Ok(Some(request))
}
