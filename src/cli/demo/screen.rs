//! Where the demo shows itself: a terminal that it has to itself until its end, or plain lines.
//!
//! On a terminal the head with the addresses and the commands never scrolls away, and everything fits again when the
//! size changes. At the end the terminal is as it was, and what is worth keeping is printed there.
//!
//! Errors of writing are passed over: the reader who closed the pipe does not want to read on, and the demo's result is
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
    /// Redraws in place.
    live: bool,
    terminal: Option<Terminal>,
    colours: bool,
    head: Head,
    last: Option<Instant>,
    ended: bool,
}

/// The head for a width.
type Head = Box<dyn Fn(usize) -> Vec<Line> + Send + Sync>;

/// From one frame to the next.
const FRAME: Duration = Duration::from_millis(200);
/// From one plain line to the next.
const LINE: Duration = Duration::from_secs(1);

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

    /// Prints a line that stays.
    pub fn say(&mut self, tone: Tone, text: &str) {
        self.close();
        let _ = self.term.write_line(&painted(tone, text, self.colours));
        let _ = self.term.flush();
        self.last = None;
    }

    /// Whether a key has ended it since the last question.
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

    /// Shows `view`, unless the last one is too young.
    pub fn show(&mut self, view: impl FnOnce() -> View) {
        let distance = if self.live { FRAME } else { LINE };
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
        // The keys are those of the terminal that was.
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
