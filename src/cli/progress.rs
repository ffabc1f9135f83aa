//! A progress bar on standard error, for as long as that is a terminal.
//!
//! Write errors are ignored: nothing depends on the bar.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use console::Term;

use super::colours;

/// Time between two frames.
const FRAME_INTERVAL: Duration = Duration::from_millis(100);
/// Characters of the bar itself, where there is room.
const MAX_BAR_WIDTH: usize = 30;
/// A shorter bar is left out.
const MIN_BAR_WIDTH: usize = 6;

/// One line that is redrawn in place.
pub struct Bar {
    term: Option<Term>,
    last: Option<Instant>,
    /// Whether the line stands on the terminal; shared with the writers of [`Bar::beside`].
    drawn: Arc<AtomicBool>,
}

impl Bar {
    pub fn new() -> Self {
        let term = Some(Term::stderr()).filter(|term| term.is_term() && colours::can_redraw());
        Self { term, last: None, drawn: Arc::default() }
    }

    /// Whether there is a terminal to show the bar on.
    pub fn is_live(&self) -> bool {
        self.term.is_some()
    }

    /// Shows how much of `total` is done, and `text` behind it, unless the last frame was a moment ago.
    pub fn show(&mut self, done: u64, total: u64, text: impl FnOnce() -> String) {
        let Some(term) = &self.term else { return };
        if self.last.is_some_and(|last| last.elapsed() < FRAME_INTERVAL) {
            return;
        }
        self.last = Some(Instant::now());
        let columns = usize::from(term.size().1).max(20) - 1;
        let line = line(done, total, &text(), columns);
        let _ = term.clear_line();
        let _ = term.write_str(&line);
        self.drawn.store(true, Ordering::Relaxed);
    }

    /// Removes the bar, so that other text can be printed.
    pub fn clear(&mut self) {
        if let Some(term) = &self.term
            && self.drawn.swap(false, Ordering::Relaxed)
        {
            let _ = term.clear_line();
        }
        self.last = None;
    }

    /// Returns a writer to standard error for text that is printed while the bar is shown.
    pub fn beside(&self) -> impl Fn() -> Beside + Clone + Send + Sync + 'static {
        let drawn = Arc::clone(&self.drawn);
        move || Beside(Arc::clone(&drawn))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Standard error; removes the bar before it writes.
pub struct Beside(Arc<AtomicBool>);

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.swap(false, Ordering::Relaxed) {
            io::stderr().write_all(b"\r\x1b[2K")?;
        }
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Renders `[=====>    ]  52%  text` in at most `columns`: the text matters more than the bar, which gives way to it.
fn line(done: u64, total: u64, text: &str, columns: usize) -> String {
    let done = done.min(total);
    let parts = |of: u64| {
        if total == 0 { of } else { (u128::from(done) * u128::from(of) / u128::from(total)) as u64 }
    };
    let percent = parts(100);
    let room = columns.saturating_sub(text.chars().count() + "[]  100%  ".len());
    let width = room.min(MAX_BAR_WIDTH);
    let line = if width < MIN_BAR_WIDTH {
        format!("{percent:>3}%  {text}")
    } else {
        let filled = parts(width as u64) as usize;
        let mut bar = "=".repeat(filled);
        if filled < width {
            bar.push('>');
        }
        format!("[{bar:<width$}] {percent:>3}%  {text}")
    };
    line.chars().take(columns).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_up_and_never_runs_over() {
        let line = |done, total, text| line(done, total, text, 100);
        assert_eq!(line(0, 10, "x"), format!("[>{}]   0%  x", " ".repeat(29)));
        assert_eq!(line(5, 10, "x"), format!("[{}>{}]  50%  x", "=".repeat(15), " ".repeat(14)));
        for done in [10, 11] {
            assert_eq!(line(done, 10, "x"), format!("[{}] 100%  x", "=".repeat(30)));
        }
        assert_eq!(line(0, 0, "x"), line(10, 10, "x"));
        assert_eq!(line(u64::MAX, u64::MAX, "x"), line(10, 10, "x"));
    }

    #[test]
    fn the_bar_gives_way_to_the_text_and_no_line_is_wider_than_the_terminal() {
        let text = "12,345 sent, 12,300 delivered, 0 lost, 45 in flight  p99 0.84 ms";
        let shown = line(5, 10, text, 79);
        assert!(shown.ends_with(text) && !shown.contains('['), "{shown}");
        let shown = line(5, 10, text, 90);
        assert!(shown.ends_with(text) && shown.starts_with("[="), "{shown}");
        for columns in [0, 1, 20, 79, 80, 200] {
            assert!(line(5, 10, text, columns).chars().count() <= columns);
        }
    }
}
