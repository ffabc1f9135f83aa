//! Where the demo prints: a terminal whose last lines are redrawn in place, or plain lines.
//!
//! Errors of writing are passed over: whoever closed the pipe does not want to read on, and the
//! demo's result is its exit code.

use std::{
    env,
    time::{Duration, Instant},
};

use console::{Style, Term};

use super::view::{Line, Tone, View};

pub struct Screen {
    term: Term,
    /// Redraws in place.
    live: bool,
    colours: bool,
    /// Lines of the last frame that stand on the terminal.
    drawn: usize,
    last: Option<Instant>,
}

/// From one frame to the next.
const FRAME: Duration = Duration::from_millis(200);
/// From one plain line to the next.
const LINE: Duration = Duration::from_secs(1);

impl Screen {
    pub fn new() -> Self {
        let term = Term::buffered_stdout();
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        let live = term.is_term() && !dumb;
        let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { term, live, colours: live && !no_colour, drawn: 0, last: None }
    }

    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Prints a line that stays, above what is redrawn.
    pub fn say(&mut self, tone: Tone, text: &str) {
        let _ = self.term.clear_last_lines(std::mem::take(&mut self.drawn));
        let _ = self.term.write_line(&self.dressed(tone, text));
        let _ = self.term.flush();
        self.last = None;
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
        if self.live {
            let (rows, _) = self.term.size();
            let lines = view.lines(usize::from(rows));
            self.draw(&lines);
        } else {
            let _ = self.term.write_line(&view.line());
        }
        let _ = self.term.flush();
    }

    /// What was drawn last stays where it is.
    pub fn keep(&mut self) {
        self.drawn = 0;
    }

    fn draw(&mut self, lines: &[Line]) {
        let (_, columns) = self.term.size();
        let columns = usize::from(columns).max(20) - 1;
        let _ = self.term.move_cursor_up(std::mem::take(&mut self.drawn));
        for (tone, text) in lines {
            // A line that wraps would be two to go up over.
            let text: String = text.chars().take(columns).collect();
            let _ = self.term.clear_line();
            let _ = self.term.write_line(&self.dressed(*tone, &text));
        }
        let _ = self.term.clear_to_end_of_screen();
        self.drawn = lines.len();
    }

    fn dressed(&self, tone: Tone, text: &str) -> String {
        let style = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Faint => Style::new().dim(),
            Tone::Good => Style::new().green().bold(),
            Tone::Bad => Style::new().red().bold(),
        };
        if !self.colours {
            return text.to_owned();
        }
        style.force_styling(true).apply_to(text).to_string()
    }
}
