//! How wide standard output is.

use console::Term;

/// `None` where it is no terminal: then lines are as long as they are.
pub(super) fn of_output() -> Option<usize> {
    let term = Term::stdout();
    term.is_term().then(|| usize::from(term.size().1).max(20))
}
