//! `millrace topics --create`: creates missing topics, and reports existing ones that differ.

use std::time::Duration;

use super::{
    catalogue::{Catalogue, Topic},
    tables::{exceptions, settings},
};
use crate::{
    cli::{Context, Exit, print, table::Table, text},
    config::Config,
    kafka::{self, Ensured},
};

/// Time for the cluster to answer at all, and then again to create the topics.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn run(config: &Config, catalogue: &Catalogue, context: &mut Context<'_>) -> Exit {
    let names: Vec<_> = catalogue.named().map(|topic| topic.name.clone()).collect();
    let ensured = kafka::ensure_topics(&config.kafka, &config.topics, &names, CLUSTER_TIMEOUT)
        .map_err(|error| context.end("topics", error, 1))?;
    let out = &mut *context.out;
    let mut table = Table::of_text(&["topic", "", ""]);
    let mut made = 0;
    let mut differ = 0;
    let mut refused = 0;
    for (topic, ensured) in &ensured {
        let (word, more) = match ensured {
            Ensured::Made => {
                made += 1;
                ("made", String::new())
            }
            Ensured::AsWanted => ("is there", String::new()),
            Ensured::Differs(differences) => {
                differ += 1;
                let all: Vec<_> = differences.iter().map(ToString::to_string).collect();
                ("DIFFERS", all.join("; "))
            }
            Ensured::Refused(why) => {
                refused += 1;
                ("FAILED", why.clone())
            }
        };
        table.row([topic.clone(), word.into(), more]);
    }
    print(out, table.render(""));
    let of = |n: u64, what: &str| format!("{} {what}", text::count(n));
    let counts = [of(made, "made"), of(differ, "differ"), of(refused, "failed")].join(", ");
    print(out, format_args!("\n{} topics: {counts}\n", text::count(names.len() as u64)));
    if made > 0 {
        print(out, format_args!("made with {}\n", settings(&config.topics)));
        let is_made = |topic: &&Topic| ensured.contains(&(topic.name.clone(), Ensured::Made));
        print(out, exceptions(config, catalogue.topics.iter().filter(is_made)));
    }
    if differ > 0 {
        print(
            out,
            "topics that differ were left as they are: change them by Kafka's own tools, or the configuration\n",
        );
    }
    for note in &catalogue.notes {
        print(context.errors, format_args!("topics: {note}\n"));
    }
    Ok(u8::from(differ > 0 || refused > 0))
}
