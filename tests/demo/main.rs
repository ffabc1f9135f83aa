//! The demo as a user meets it: a process, its output and its exit code.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;
mod terminal;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

/// A demo that runs, without a terminal.
struct Demo {
    process: Child,
    output: BufReader<ChildStdout>,
    text: String,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .arg("demo")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output, text: String::new() }
    }

    /// Reads on until a line fits, and returns that line.
    fn line(&mut self, fits: impl Fn(&str) -> bool) -> String {
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).unwrap();
            assert!(read > 0, "the demo ended early:\n{}", self.text);
            self.text.push_str(&line);
            if fits(&line) {
                return line.trim_end().to_owned();
            }
        }
    }

    fn end(mut self) -> (ExitStatus, String) {
        self.output.read_to_string(&mut self.text).unwrap();
        (self.process.wait().unwrap(), std::mem::take(&mut self.text))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // After a failed assertion; an error means that it has ended.
        let _ = self.process.kill();
    }
}

/// The number in the summary's line that begins with `label`.
fn number(text: &str, label: &str) -> Option<u64> {
    let summary = &text[text.find("\nSummary")?..];
    let line = summary.lines().find(|line| line.trim_start().starts_with(label))?;
    line.split_whitespace().next_back()?.replace(',', "").parse().ok()
}

/// The words of a shell's line that quotes with `'` alone.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

/// Does what `curl` would do with these arguments; returns the status line.
fn request(words: &[String]) -> String {
    let after = |option| words.iter().skip_while(move |word| *word != option).nth(1);
    let url = words.iter().find_map(|word| word.strip_prefix("http://")).unwrap();
    let (address, path) = url.split_once('/').unwrap();
    let body = after("-d").unwrap();
    let headers: Vec<_> =
        words.windows(2).filter(|pair| pair[0] == "-H").map(|pair| pair[1].as_str()).collect();
    assert_eq!(headers.len(), 2);
    let mut socket = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n{}\r\n\r\n",
        body.len(),
        headers.join("\r\n"),
    );
    socket.write_all((head + body).as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_demo_with_an_outage_loses_nothing_and_its_numbers_add_up() {
    let mut demo = Demo::start(&["--duration", "6s", "--interval", "1s"]);
    let curl = demo.line(|line| line.starts_with("curl "));
    assert!(request(&words(&curl)).starts_with("HTTP/1.1 200"), "{curl}");
    let (status, text) = demo.end();
    assert!(status.success(), "{status}\n{text}");
    assert!(text.contains("(in memory, for the demo only)"), "{text}");
    assert!(text.contains("The broker goes away") && text.contains("The broker is back"), "{text}");

    let number =
        |label: &str| number(&text, label).unwrap_or_else(|| panic!("no {label}:\n{text}"));
    assert!(number("Marketo sent") >= 3 * 5, "{text}");
    assert!(number("Adobe I/O sent") >= 4 * 5, "{text}");
    for sender in ["Marketo", "Adobe I/O"] {
        let [sent, accepted] = ["sent", "accepted"].map(|what| number(&format!("{sender} {what}")));
        assert_eq!(accepted, sent, "{text}");
    }
    assert_eq!(number("events acknowledged"), number("events sent"), "{text}");
    assert_eq!(number("lost"), 0);
    assert_eq!(number("out of order"), 0);
    assert_eq!(
        number("events on topics"),
        number("events acknowledged") + number("repeated"),
        "{text}"
    );
    assert_eq!(number("records of others"), 1, "the event sent by hand is on its topic:\n{text}");
    assert!(
        text.contains("broker away   p50"),
        "requests were answered while it was away:\n{text}"
    );
}

#[test]
fn an_interrupt_ends_a_demo_without_an_end_with_its_summary() {
    let mut demo = Demo::start(&["--forever", "--subscriptions", "1", "--interval", "100ms"]);
    demo.line(|line| line.contains("answered 200"));
    let interrupt = format!("kill -INT {}", demo.process.id());
    assert!(Command::new("sh").args(["-c", &interrupt]).status().unwrap().success());
    let (status, text) = demo.end();
    assert!(status.success(), "{status}\n{text}");
    assert_eq!(number(&text, "lost"), Some(0), "{text}");
    assert!(number(&text, "events acknowledged") > Some(0), "{text}");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_starts() {
    for arguments in [
        &["--duration", "0s"][..],
        &["--duration", "soon"],
        &["--subscriptions", "0"],
        &["--forever", "--duration", "5s"],
    ] {
        let demo = Demo::start(arguments);
        let (status, text) = demo.end();
        assert_eq!((status.code(), text.as_str()), (Some(2), ""), "{arguments:?}");
    }
}
