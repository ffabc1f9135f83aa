//! What knowing a million ids costs: `cargo bench --bench deduplicate`. One core, no disk but for the
//! key. Memory is the growth of the resident set while the index fills.

use std::{sync::Arc, time::Instant};

use millrace::{
    deliver::deduplicate::{Claim, Deduplicator, Settings},
    event::{Attributes, Event, Pieces, Stream},
    observe::metrics::Metrics,
    source::SourceName,
    spool::{disk::RealDisk, position::Position},
};

const IDS: u64 = 1_000_000;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings { ids: IDS as usize, ..Settings::default() };
    let sources = ["leads", "adobe"].map(|name| SourceName::new(name).expect("a legal name"));
    let metrics = Metrics::new();
    let shared =
        Deduplicator::open(Arc::new(RealDisk), folder.path(), settings, &sources, &metrics);
    let mut claims = sources.each_ref().map(|source| shared.claims(source));
    let mut guid = String::new();
    let mut claim = |source: usize, number: u64| {
        guid.clear();
        // As long as Marketo's: 36 characters.
        std::fmt::Write::write_fmt(&mut guid, format_args!("0b5e7c1a-0000-4000-8000-{number:012}"))
            .expect("text can be appended to");
        let event = Event {
            index: 0,
            stream: Stream::LeadActivity,
            event_type: "clicklink".into(),
            munchkin_id: Some("999-XYZ-000".into()),
            activity_type_id: Some(3),
            key: Some("999-XYZ-000:1".into()),
            attributes: Attributes {
                id: Some(guid.as_str().into()),
                source: "urn:marketo_activity_stream".into(),
                ..Attributes::default()
            },
            headers: Vec::new(),
            value: Pieces::default(),
            original: b"",
            members: None,
            lead_state: None,
        };
        claims[source].claim(
            &event,
            Position::start_of(1 + number),
            1_770_000_000_000 + number / 1000,
        )
    };

    let before = resident();
    let mut measured =
        |what: &str, source: usize, numbers: std::ops::Range<u64>, expected: bool| {
            let (count, start) = (numbers.end - numbers.start, Instant::now());
            let granted = numbers
                .filter(|number| matches!(claim(source, *number), Claim::Granted(_)))
                .count();
            let each = start.elapsed().as_nanos() as f64 / count as f64;
            assert_eq!(granted as u64, if expected { count } else { 0 }, "{what}");
            println!("{what}: {each:.0} ns a claim");
        };
    measured("new, into an index that fills", 0, 0..IDS, true);
    let filled = resident();
    measured("known, of another source", 1, 0..IDS, false);
    measured("new, into a full index", 0, IDS..2 * IDS, true);
    println!(
        "memory: {:.1} MB resident for {IDS} ids; {:.1} MB by the layout",
        (filled - before) as f64 / 1e6,
        settings.memory() as f64 / 1e6
    );
}

/// Bytes of the resident set.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux has /proc");
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("the second number is the resident set") * 4096
}
