//! The width of standard output.

use console::Term;

/// Returns the columns; `None` where it is no terminal: then lines are not cut.
pub(super) fn of_output() -> Option<usize> {
    let term = Term::stdout();
    term.is_term().then(|| usize::from(term.size().1).max(20))
}
