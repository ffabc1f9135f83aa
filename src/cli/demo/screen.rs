//! The demo's output: a terminal that it has to itself until its end, or plain lines.
//!
//! On a terminal the head with the addresses and the commands never scrolls away, and everything fits again when the
//! size changes. At the end the terminal is restored, and the last view is printed there.
//!
//! Write errors are ignored: a reader that closed the pipe does not want the rest, and the demo's result is
//! its exit code.

use std::time::{Duration, Instant};

use console::Term;

use super::view::{Line, Tone, View};
use crate::cli::{
    colours::{self, painted},
    terminal::{self, Key, Terminal},
};

pub struct Screen {
    term: Term,
    /// Whether the view is redrawn in place.
    live: bool,
    terminal: Option<Terminal>,
    colours: bool,
    head: Head,
    last: Option<Instant>,
    ended: bool,
}

/// Renders the head for a number of columns.
type Head = Box<dyn Fn(usize) -> Vec<Line> + Send + Sync>;

/// Time between two frames on a terminal.
const FRAME_INTERVAL: Duration = Duration::from_millis(200);
/// Time between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

impl Screen {
    pub fn new() -> Self {
        let term = Term::buffered_stdout();
        let live = term.is_term() && colours::can_redraw();
        let colours = colours::are_wanted(term.is_term());
        let head: Head = Box::new(|_| Vec::new());
        Self { term, live, terminal: None, colours, head, last: None, ended: false }
    }

    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Takes the terminal, and keeps `head` at its top.
    pub fn open(&mut self, head: impl Fn(usize) -> Vec<Line> + Send + Sync + 'static) {
        self.head = Box::new(head);
        self.terminal = Terminal::open(self.colours).ok();
        self.live = self.terminal.is_some();
    }

    /// Leaves the terminal, and prints a line that stays.
    pub fn say(&mut self, tone: Tone, text: &str) {
        self.close();
        let _ = self.term.write_line(&painted(tone, text, self.colours));
        let _ = self.term.flush();
        self.last = None;
    }

    /// Whether a key has ended the stage since the last call.
    pub fn is_ended(&mut self) -> bool {
        let Some(terminal) = &mut self.terminal else { return false };
        for key in terminal.keys() {
            match key {
                Key::Letter('q') | Key::Interrupt => self.ended = true,
                Key::Resize => {
                    terminal.forget();
                    self.last = None;
                }
                _ => {}
            }
        }
        std::mem::take(&mut self.ended)
    }

    /// Shows `view`, unless the last one was shown a moment ago.
    pub fn show(&mut self, view: impl FnOnce() -> View) {
        let distance = if self.live { FRAME_INTERVAL } else { LINE_INTERVAL };
        if self.last.is_none_or(|last| last.elapsed() >= distance) {
            self.show_now(&view());
            self.last = Some(Instant::now());
        }
    }

    pub fn show_now(&mut self, view: &View) {
        match &mut self.terminal {
            Some(terminal) => terminal.draw(|columns, rows| {
                let lines = view.lines(&(self.head)(columns), rows);
                lines.into_iter().map(|(tone, text)| terminal::Line::of(tone, text)).collect()
            }),
            None if self.live => {}
            None => {
                let _ = self.term.write_line(&view.line());
                let _ = self.term.flush();
            }
        }
    }

    /// Gives the terminal back, with the last view on it.
    pub fn keep(&mut self, view: &View) {
        if self.terminal.is_none() {
            return;
        }
        self.close();
        let columns = usize::from(self.term.size().1).max(20);
        let mut lines = view.lines(&(self.head)(columns), usize::MAX);
        // The last line names the keys, which no longer work.
        lines.pop();
        for (tone, text) in lines {
            let _ = self.term.write_line(&painted(tone, &text, self.colours));
        }
        let _ = self.term.flush();
    }

    fn close(&mut self) {
        self.terminal = None;
    }
}
