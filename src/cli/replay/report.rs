//! The result of a replay, as text.

use crate::{
    cli::{table::Table, text},
    service::replay::player::Totals,
};

pub(super) fn problems(totals: &Totals) -> impl Iterator<Item = String> {
    let others = (totals.unnamed > 0).then(|| {
        let others = text::counted(totals.unnamed, "event is", "events are");
        format!("{others} not replayed either")
    });
    let refused = totals.refused.iter().map(|(reason, bodies)| {
        let bodies = text::counted(*bodies, "body was", "bodies were");
        format!("{bodies} refused ({reason}), and stays where it is")
    });
    totals.problems.iter().cloned().chain(others).chain(refused)
}

/// Renders the topics with the numbers of their events.
pub(super) fn table(totals: &Totals, dry_run: bool) -> String {
    let total: u64 = totals.sent.values().sum();
    let verb = if dry_run { "would be sent" } else { "sent" };
    let mut text = format!("{} {verb}\n", text::counted(total, "event", "events"));
    let sent = totals.sent.iter().filter(|(_, events)| **events > 0);
    let mut table = Table::new(&["topic", "events"]);
    let rows = sent.map(|(topic, events)| [topic.clone(), text::count(*events)]);
    rows.for_each(|row| table.row(row));
    if total > 0 {
        text += &table.render("  ");
    }
    for (key, events) in &totals.left_out {
        text += &format!("{} left out by {key}\n", text::counted(*events, "event", "events"));
    }
    text
}
