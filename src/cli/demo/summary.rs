//! The result of the demo: the senders' counts compared with the records that the consumer read.

use crate::sender::Tally;

use super::{
    books::Inner,
    text::{count, counted, time},
    view::{Line, Tone, times},
};

/// Topics that are listed.
const MAX_TOPICS: usize = 12;

/// The demo's result.
pub struct Summary {
    pub tally: Tally,
    /// Reasons why the result is not certain (not drained, not read to the end).
    pub troubles: Vec<String>,
}

impl Summary {
    /// Whether events were acknowledged and none of them was lost.
    pub fn is_good(&self) -> bool {
        self.tally.acknowledged > 0 && self.tally.is_complete() && self.troubles.is_empty()
    }

    pub fn lines(&self, books: &Inner, with_topics: bool) -> Vec<Line> {
        let tally = &self.tally;
        let mut lines: Vec<Line> = Vec::new();
        let mut plain = |text: String| lines.push((Tone::Plain, text));
        plain(String::new());
        if with_topics {
            let all = books.ledger.topics();
            let mut all: Vec<_> = all.map(|(name, records)| (name.to_owned(), records)).collect();
            all.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
            let width = all.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
            for (name, records) in all.iter().take(MAX_TOPICS) {
                plain(format!("  {name:<width$}  {:>9}", count(*records)));
            }
            if let Some(rest) = all.get(MAX_TOPICS..).filter(|rest| !rest.is_empty()) {
                let records = rest.iter().map(|(_, records)| records).sum();
                plain(format!(
                    "  {:<width$}  {:>9}",
                    format!("{} more", rest.len()),
                    count(records)
                ));
            }
            plain(String::new());
        }
        plain("Summary (on topics: counted by a consumer that read them)".into());
        let all = books.all();
        let answers = all.answers();
        for side in &books.senders {
            let ok = side.answers().statuses.get(&200).copied().unwrap_or_default();
            let name = side.name;
            let sent = count(side.requests);
            plain(format!("  {:<21} {sent:>12}", format!("{name} sent")));
            plain(format!("  {:<21} {:>12}", format!("{name} accepted"), count(ok)));
        }
        for (label, number) in [
            ("events sent", tally.sent),
            ("events acknowledged", tally.acknowledged),
            ("events on topics", tally.on_topics),
            ("lost", tally.lost),
            ("repeated", tally.repeated),
            ("out of order", tally.out_of_order),
        ] {
            plain(format!("  {label:<21} {:>12}", count(number)));
        }
        for (label, number) in [
            ("sent again by sender", tally.sent_again),
            ("never acknowledged", tally.unacknowledged),
            ("records of others", tally.others),
        ] {
            if number > 0 {
                plain(format!("  {label:<21} {:>12}", count(number)));
            }
        }
        plain(format!("  answer time           {}", times("broker there", &all.there)));
        plain(format!("                        {}", times("broker away ", &all.away)));
        if let Some(longest) = answers.longest() {
            plain(format!("                        longest {}", time(longest)));
        }
        plain(String::new());
        for trouble in &self.troubles {
            lines.push((Tone::Bad, trouble.clone()));
        }
        lines.push(self.verdict());
        lines
    }

    fn verdict(&self) -> Line {
        let tally = &self.tally;
        let acknowledged = counted(tally.acknowledged, "event", "events");
        if self.is_good() {
            return (
                Tone::Good,
                format!(
                    "Nothing lost: {acknowledged} acknowledged, all on their topics and in order."
                ),
            );
        }
        if tally.acknowledged == 0 {
            return (Tone::Bad, "Nothing was acknowledged.".into());
        }
        let text = format!(
            "{acknowledged} acknowledged: {} missing from the topics, {} out of order.",
            count(tally.lost),
            count(tally.out_of_order)
        );
        (Tone::Bad, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::demo::books::Books, sender::Ledger};

    fn verdict(tally: Tally, troubles: &[&str]) -> (bool, String) {
        let troubles = troubles.iter().map(|&text| text.to_owned()).collect();
        let summary = Summary { tally, troubles };
        let books = Books::new(Ledger::new(1, 1, 0), &["Marketo"]);
        let lines = summary.lines(&books.lock(), true);
        (summary.is_good(), lines.into_iter().map(|(_, text)| text + "\n").collect())
    }

    #[test]
    fn only_a_run_that_lost_nothing_is_good() {
        let fine = Tally { sent: 1200, acknowledged: 1000, on_topics: 1000, ..Tally::default() };
        let (good, text) = verdict(fine, &[]);
        assert!(good && text.contains("Nothing lost: 1,000 events acknowledged"), "{text}");
        assert!(text.contains("  events on topics             1,000\n"), "{text}");
        assert!(text.contains("  Marketo accepted                 0\n"), "{text}");

        let (good, text) = verdict(Tally { lost: 2, ..fine }, &[]);
        assert!(!good && text.contains("2 missing from the topics"), "{text}");
        assert!(!verdict(Tally { out_of_order: 1, ..fine }, &[]).0);
        let (good, text) = verdict(Tally::default(), &[]);
        assert!(!good && text.contains("Nothing was acknowledged"), "{text}");
        let (good, text) = verdict(fine, &["not drained"]);
        assert!(!good && text.contains("not drained"), "{text}");
    }
}
