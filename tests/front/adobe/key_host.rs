//! A host that keys are fetched from. It notes what it is asked for, and answers what it was told to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use reqwest::Url;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Clone)]
pub enum Says {
    /// 200 with this body.
    Text(String),
    /// This status, and these header lines (each with its end).
    Status(u16, String),
    /// Nothing, and closes.
    Nothing,
    /// As the inner one, once it was released.
    Later(Box<Says>),
}

#[derive(Clone)]
pub struct KeyHost {
    pub url: Url,
    inner: Arc<Inner>,
}

struct Inner {
    says: Mutex<HashMap<String, Says>>,
    /// The heads of all requests.
    asked: watch::Sender<Vec<String>>,
    released: watch::Sender<bool>,
}

impl KeyHost {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let inner = Arc::new(Inner {
            says: Mutex::default(),
            asked: watch::Sender::new(Vec::new()),
            released: watch::Sender::new(false),
        });
        let host = Self { url, inner: inner.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = inner.clone();
                tokio::spawn(async move { inner.serve(stream).await });
            }
        });
        host
    }

    pub fn says(&self, path: &str, says: Says) {
        self.inner.says.lock().unwrap().insert(path.to_owned(), says);
    }

    pub fn release(&self) {
        self.inner.released.send_replace(true);
    }

    /// The request lines so far.
    pub fn asked(&self) -> Vec<String> {
        let heads = self.inner.asked.borrow();
        heads.iter().map(|head| head.lines().next().unwrap_or_default().to_owned()).collect()
    }

    pub async fn was_asked(&self, times: usize) {
        let mut asked = self.inner.asked.subscribe();
        crate::support::within(asked.wait_for(|heads| heads.len() >= times)).await.unwrap();
    }
}

impl Inner {
    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut read = Vec::new();
        while !read.windows(4).any(|end| end == b"\r\n\r\n") {
            if stream.read_buf(&mut read).await.ok()? == 0 {
                return None;
            }
        }
        let head = String::from_utf8(read).ok()?;
        let path = head.split(' ').nth(1)?.to_owned();
        self.asked.send_modify(|heads| heads.push(head));
        let says = self.says.lock().unwrap().get(&path).cloned();
        let says = match says {
            Some(Says::Later(says)) => {
                self.released.subscribe().wait_for(|released| *released).await.ok()?;
                Some(*says)
            }
            other => other,
        };
        let answer = match says {
            Some(Says::Text(text)) => {
                let length = text.len();
                format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}"
                )
            }
            Some(Says::Status(status, headers)) => format!(
                "HTTP/1.1 {status} Whatever\r\nconnection: close\r\n{headers}content-length: 0\r\n\r\n"
            ),
            Some(Says::Nothing | Says::Later(_)) => return None,
            None => {
                "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".into()
            }
        };
        stream.write_all(answer.as_bytes()).await.ok()
    }
}
