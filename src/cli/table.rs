//! Renders tables in text.

use std::fmt::Write;

/// Returns `text` cut to `width` characters; a cut text ends with `…`.
pub fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => {
            let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
            cut.push('…');
            cut
        }
    }
}

/// As [`cut`], but cuts the middle: names with the same beginning differ at their ends.
pub fn cut_middle(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let before = width.saturating_sub(1) / 3;
    let after = width.saturating_sub(1) - before;
    let start = text.chars().take(before);
    let end = text.chars().skip(length - after);
    start.chain(['…']).chain(end).collect()
}

/// A table whose columns are as wide as their widest cell; the first column is aligned to the left, the others
/// to the right.
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Whether all columns are aligned to the left.
    of_text: bool,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|name| (*name).to_owned()).collect()], of_text: false }
    }

    /// A table of words, with every column aligned to the left.
    pub fn of_text(head: &[&str]) -> Self {
        Self { of_text: true, ..Self::new(head) }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Renders each row as a line, after `indent`.
    pub fn render(&self, indent: &str) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| console::measure_text_width(cell)).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::from(indent);
            for (column, cell) in row.iter().enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                let width = widths[column];
                // Writing to a String cannot fail.
                let _ = if column == 0 || self.of_text {
                    write!(line, "{gap}{cell:<width$}")
                } else {
                    write!(line, "{gap}{cell:>width$}")
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_name_keeps_its_end_and_a_cut_text_its_beginning() {
        assert_eq!((cut("abcdef", 4).as_str(), cut("abcd", 4).as_str()), ("abc…", "abcd"));
        assert_eq!(cut_middle("abcdefghij", 7), "ab…ghij");
        assert_eq!((cut_middle("ab", 2).as_str(), cut_middle("abc", 1).as_str()), ("ab", "…"));
    }

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(&["source", "bytes"]);
        table.row(["leads".into(), "7".into()]);
        table.row(["accounts".into(), "1,234".into()]);
        assert_eq!(table.render("  "), "  source    bytes\n  leads         7\n  accounts  1,234\n");
        let mut words = Table::of_text(&["topic", "made"]);
        words.row(["a".into(), "yes".into()]);
        assert_eq!(words.render(""), "topic  made\na      yes\n");
    }
}
