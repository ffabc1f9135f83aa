//! The state of the screen, and how keys change it.

use crate::cli::terminal::Key;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    #[default]
    Overview,
    DeadLetters,
    Refusals,
}

/// The column by which sources are sorted; held topics always come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// In the order of the configuration.
    #[default]
    Name,
    In,
    Backlog,
    Refused,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub page: Page,
    pub sort: Sort,
    pub filter: String,
    /// Whether the filter is being typed.
    pub typing: bool,
    /// Lines that are scrolled out of sight.
    pub scrolled: usize,
}

/// Longest filter in characters.
const MAX_FILTER: usize = 60;
/// Lines that page-up and page-down scroll.
const PAGE_LINES: usize = 10;

impl State {
    /// Applies a key; returns whether the program goes on.
    pub fn press(&mut self, key: Key) -> bool {
        match key {
            Key::Interrupt => return false,
            Key::Resize => {}
            Key::Up => self.scrolled = self.scrolled.saturating_sub(1),
            Key::Down => self.scrolled = self.scrolled.saturating_add(1),
            Key::PageUp => self.scrolled = self.scrolled.saturating_sub(PAGE_LINES),
            Key::PageDown => self.scrolled = self.scrolled.saturating_add(PAGE_LINES),
            key if self.typing => self.typed(key),
            Key::Letter('q') => return false,
            Key::Letter('s') => {
                self.sort = match self.sort {
                    Sort::Name => Sort::In,
                    Sort::In => Sort::Backlog,
                    Sort::Backlog => Sort::Refused,
                    Sort::Refused => Sort::Name,
                }
            }
            Key::Letter('/') => self.typing = true,
            Key::Letter('d') => self.open(Page::DeadLetters),
            Key::Letter('r') => self.open(Page::Refusals),
            Key::Escape if self.page == Page::Overview => self.filter.clear(),
            Key::Escape | Key::Backspace | Key::Enter => self.open(Page::Overview),
            Key::Letter(_) => {}
        }
        true
    }

    /// Opens a page; the same key closes it.
    fn open(&mut self, page: Page) {
        self.page = if self.page == page { Page::Overview } else { page };
        self.scrolled = 0;
    }

    fn typed(&mut self, key: Key) {
        match key {
            Key::Letter(letter) if self.filter.len() < MAX_FILTER => self.filter.push(letter),
            Key::Backspace => drop(self.filter.pop()),
            Key::Enter => self.typing = false,
            Key::Escape => {
                self.typing = false;
                self.filter.clear();
            }
            _ => {}
        }
        self.scrolled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(keys: &[Key]) -> (State, bool) {
        let mut state = State::default();
        let goes_on = keys.iter().all(|key| state.press(*key));
        (state, goes_on)
    }

    #[test]
    fn letters_are_keys_until_a_filter_is_typed() {
        let q = Key::Letter('q');
        assert!(!pressed(&[q]).1 && !pressed(&[Key::Letter('/'), Key::Interrupt]).1);
        let (state, goes_on) = pressed(&[Key::Letter('/'), q, Key::Letter('d'), Key::Enter]);
        assert!(goes_on && state.filter == "qd" && !state.typing && state.page == Page::Overview);
        let (state, _) = pressed(&[Key::Letter('/'), q, Key::Escape]);
        assert_eq!(state, State::default());
    }

    #[test]
    fn a_page_opens_and_closes_and_scrolling_ends_at_the_top() {
        assert_eq!(pressed(&[Key::Letter('d')]).0.page, Page::DeadLetters);
        assert_eq!(pressed(&[Key::Letter('d'), Key::Letter('d')]).0.page, Page::Overview);
        assert_eq!(pressed(&[Key::Letter('r'), Key::Escape]).0.page, Page::Overview);
        assert_eq!(pressed(&[Key::Up, Key::Down, Key::PageUp]).0.scrolled, 0);
        assert_eq!(pressed(&[Key::Letter('s'), Key::Letter('s')]).0.sort, Sort::Backlog);
    }
}
