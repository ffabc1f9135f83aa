//! A progress bar on standard error, for as long as that is a terminal.
//!
//! Errors of writing are passed over: nothing depends on what is shown.

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

/// From one picture to the next.
const FRAME: Duration = Duration::from_millis(100);
/// Characters of the bar itself.
const WIDTH: u64 = 30;

/// One line that is redrawn in place.
pub struct Bar {
    term: Option<Term>,
    last: Option<Instant>,
    /// Whether the line stands on the terminal; shared with those who print beside it.
    drawn: Arc<AtomicBool>,
}

impl Bar {
    pub fn new() -> Self {
        let term = Some(Term::stderr()).filter(|term| term.is_term() && colours::can_redraw());
        Self { term, last: None, drawn: Arc::default() }
    }

    /// Whether anybody sees it.
    pub fn is_live(&self) -> bool {
        self.term.is_some()
    }

    /// Shows how much of `total` is done, and `text` behind it, unless the last picture is too young.
    pub fn show(&mut self, done: u64, total: u64, text: impl FnOnce() -> String) {
        let Some(term) = &self.term else { return };
        if self.last.is_some_and(|last| last.elapsed() < FRAME) {
            return;
        }
        self.last = Some(Instant::now());
        let columns = usize::from(term.size().1).max(20) - 1;
        let line: String = line(done, total, &text()).chars().take(columns).collect();
        let _ = term.clear_line();
        let _ = term.write_str(&line);
        self.drawn.store(true, Ordering::Relaxed);
    }

    /// Takes it away, so that something else can be printed.
    pub fn clear(&mut self) {
        if let Some(term) = &self.term
            && self.drawn.swap(false, Ordering::Relaxed)
        {
            let _ = term.clear_line();
        }
        self.last = None;
    }

    /// Standard error for those who print while the bar stands there.
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

/// Standard error; takes the bar away before it writes.
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

/// `[=====>    ]  52%  text`
fn line(done: u64, total: u64, text: &str) -> String {
    let done = done.min(total);
    let parts = |of: u64| {
        if total == 0 { of } else { (u128::from(done) * u128::from(of) / u128::from(total)) as u64 }
    };
    let filled = parts(WIDTH) as usize;
    let mut bar = "=".repeat(filled);
    if filled < WIDTH as usize {
        bar.push('>');
    }
    format!("[{bar:<width$}] {:>3}%  {text}", parts(100), width = WIDTH as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_up_and_never_runs_over() {
        assert_eq!(line(0, 10, "x"), format!("[>{}]   0%  x", " ".repeat(29)));
        assert_eq!(line(5, 10, "x"), format!("[{}>{}]  50%  x", "=".repeat(15), " ".repeat(14)));
        for done in [10, 11] {
            assert_eq!(line(done, 10, "x"), format!("[{}] 100%  x", "=".repeat(30)));
        }
        assert_eq!(line(0, 0, "x"), line(10, 10, "x"));
        assert_eq!(line(u64::MAX, u64::MAX, "x"), line(10, 10, "x"));
    }
}
