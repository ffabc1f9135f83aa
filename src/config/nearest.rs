//! Suggestions: the known key that an unknown one was probably meant to be.

use super::mistake::Key;

/// Returns the nearest of `known`, if it is near enough to be a useful guess.
pub fn nearest<'a>(unknown: &Key, known: &'a [Key]) -> Option<&'a Key> {
    let written = flat(unknown);
    // A single underscore in place of two, or a dot in place of an underscore.
    if let Some(key) = known.iter().find(|key| flat(key) == written) {
        return Some(key);
    }
    let near = |key: &&Key| distance(&flat(key), &written);
    let best = known.iter().min_by_key(near)?;
    // The limit is lower for short words: two changed letters leave little of them.
    if near(&best) <= 2.max(written.len() / 8).min(written.len() / 3) {
        return Some(best);
    }
    // The right name, but one level too high or too low.
    let first = unknown.segments().first()?;
    let last = unknown.segments().last()?;
    known.iter().find(|k| k.segments().first() == Some(first) && k.segments().last() == Some(last))
}

fn flat(key: &Key) -> String {
    key.toml().replace(['.', '-'], "_")
}

/// Counts letters to add, drop, replace or swap with their neighbour (Damerau's distance, restricted).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<_> = a.chars().collect();
    let b: Vec<_> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = above[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_letters_added_dropped_replaced_and_swapped() {
        for (a, b, n) in
            [("", "", 0), ("abc", "", 3), ("abc", "abd", 1), ("abc", "acb", 1), ("abc", "xabcd", 2)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (n, n), "{a} {b}");
        }
    }

    #[test]
    fn a_slip_is_matched_and_a_stranger_is_not() {
        let known = ["spool.directory", "spool.keep_delivered.age", "sources.leads.auth.tokens"]
            .map(Key::new);
        let guess = |path| nearest(&Key::new(path), &known).map(Key::toml);
        assert_eq!(guess("spool.directroy").as_deref(), Some("spool.directory"));
        assert_eq!(guess("spool_directory").as_deref(), Some("spool.directory"));
        assert_eq!(guess("spool.keep_delivered_age").as_deref(), Some("spool.keep_delivered.age"));
        assert_eq!(guess("sources.leads.tokens").as_deref(), Some("sources.leads.auth.tokens"));
        assert_eq!(guess("colour"), None);
        let short = ["name", "age", "url"].map(Key::new);
        let guess = |path| nearest(&Key::new(path), &short).map(Key::toml);
        assert_eq!(guess("nope"), None, "half of it is another word");
        assert_eq!(guess("nam").as_deref(), Some("name"));
        assert_eq!(guess("ulr").as_deref(), Some("url"), "two letters swapped are one slip");
    }
}
