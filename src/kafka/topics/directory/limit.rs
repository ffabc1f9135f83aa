//! `topics.limit`: which topics count, and whether there is room for one more.

use super::{Answers, Directory, Entry, Source};

impl Directory {
    pub fn counted(&self) -> usize {
        self.counted.len()
    }

    /// Whether `topic` would exceed the limit. A topic that counts already, since it was made a moment ago and no
    /// listing shows it yet, does not.
    pub(super) fn is_over_limit(&self, topic: &str, source: Source, being_made: &[String]) -> bool {
        let is_new = |topic: &str| self.rules.counts(topic) && !self.counted.contains(topic);
        if !is_new(topic) {
            return false;
        }
        let new = being_made.iter().filter(|topic| is_new(topic));
        let new: Vec<_> = new.map(|topic| self.source_of(topic)).collect();
        let kept = self.shares.kept_from(source, &new);
        self.counted.len() + new.len() + kept >= self.rules.limit
    }

    /// The source that a topic is looked up for.
    pub(super) fn source_of(&self, topic: &str) -> Source {
        match self.entries.get(topic) {
            Some(Entry::Look { source, .. }) => *source,
            _ => 0,
        }
    }

    /// Counts again. A topic made just now, by us or by another process, may not be listed yet: it goes on counting.
    pub(super) fn count(&mut self, listing: &Answers) {
        let entries = &self.entries;
        let since = &self.counted_since;
        let not_listed_yet = |topic: &String| {
            let entry = entries.get(topic);
            let unseen =
                matches!(entry, Some(Entry::Look { .. } | Entry::Ready { partitions: None }));
            unseen || since.contains(topic)
        };
        self.counted.retain(not_listed_yet);
        let ours = |topic: &&String| topic.starts_with(&self.rules.prefix);
        let found = listing.keys().filter(ours);
        self.counted.extend(found.filter(|topic| self.rules.counts(topic)).cloned());
    }

    /// Counts a topic; whether it did not count before.
    pub(super) fn count_one(&mut self, topic: &str) -> bool {
        if !self.rules.counts(topic) {
            return false;
        }
        self.counted_since.insert(topic.into());
        self.counted.insert(topic.into())
    }
}
