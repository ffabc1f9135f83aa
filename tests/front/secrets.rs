//! What is logged, and what never is.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Front, TOKEN, eventually, http2, http2_post, post};

#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Everything that this test's thread logs, which is all of it on a runtime of one thread.
pub fn lines_at(level: Level) -> (Lines, tracing::subscriber::DefaultGuard) {
    // A line that is first met on a thread where nobody listens may count as of no interest to anybody,
    // in other threads too: so there is always somebody.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let (lines, _guard) = lines_at(Level::TRACE);
    let front = Front::start().await;
    let wrong = "nearly-hunter2";
    assert_eq!(front.deliver("{\"payload\":\"pii\"}").await.status, 200);
    for request in [
        format!("POST /v1/leads?token={wrong} HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n"),
        post("", "").replace(TOKEN, wrong),
        format!("POST /v1/other?token={TOKEN} HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n"),
        format!(
            "POST /v1/leads%3Ftoken={TOKEN} HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n"
        ),
        format!("GET /{TOKEN}?{TOKEN} HTTP/1.1\r\nhost: here\r\n\r\n"),
        format!(
            "GET /v1/leads?token={TOKEN} HTTP/1.1\r\nauthorization: {TOKEN}\r\nbad head\r\n\r\n"
        ),
    ] {
        front.ask(&request).await;
    }
    let (mut client, _connection) = http2(front.address).await;
    client.send_request(http2_post(front.address, wrong, "pii")).await.unwrap();
    eventually(|| front.refused("unreadable") == 1).await;
    let text = lines.text();
    for label in ["bad-credentials", "unknown-source", "unreadable", "stored"] {
        assert!(text.contains(label), "{label} is logged:\n{text}");
    }
    // The libraries' own lines below `info` are not ours to judge; the default filter hides them.
    let ours: Vec<_> = text.lines().filter(|line| line.contains("millrace::")).collect();
    assert!(!ours.is_empty());
    for secret in [TOKEN, wrong, "hunter2", "pii"] {
        assert!(!ours.iter().any(|line| line.contains(secret)), "{secret}");
    }
}

#[tokio::test]
async fn a_refusal_names_the_key_to_change() {
    let (lines, _guard) = lines_at(Level::INFO);
    let front = Front::with(|config| config.body_limit = 10).await;
    assert_eq!(front.deliver("longer than ten").await.status, 503);
    let text = lines.text();
    assert!(text.contains("ERROR") && text.contains("key=\"listen.body_limit\""), "{text}");
    assert!(text.contains("source=\"leads\"") && text.contains("status=503"), "{text}");
}

#[tokio::test]
async fn a_flood_of_refusals_is_few_lines() {
    let (lines, _guard) = lines_at(Level::INFO);
    let front = Front::start().await;
    for _ in 0..100 {
        front.ask(&post("", "").replace(TOKEN, "wrong")).await;
    }
    assert_eq!(front.deliveries("leads", "bad-credentials"), 100);
    let count = lines.text().matches("bad-credentials").count();
    assert!((1..20).contains(&count), "{count}");
}
