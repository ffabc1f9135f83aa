//! `millrace topics`: lists the topics of this configuration and their contents; creates them too.
//!
//! The list is made by the service's own code: an example of each type of event that a source is known to send
//! ([`known`]) goes through the service's decoding, routing and encoding ([`catalogue`]), and the
//! result is shown in one of six forms.

mod asyncapi;
mod catalogue;
mod create;
mod json;
mod schemas;
mod strimzi;
mod tables;
#[cfg(test)]
mod tests;
mod value_schemas;

use clap::{Args, ValueEnum};

use self::{catalogue::Catalogue, strimzi::Target};
use super::{ConfigFile, Context, Exit, print};
use crate::service::examples as known;

/// Show the topics of this configuration and what they contain, or create them
///
/// Lists a topic for every event type that the sources are known to send. Unknown types, and custom
/// activities not given with --activity-type, get topics by the same rule.
///
/// Exit codes: 0 success; 1 --create could not create a topic, found one that differs, or got no
/// answer; 2 the command line or the configuration is wrong.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,

    /// A table; JSON; an AsyncAPI 3.0 document, in JSON; KafkaTopic resources for Strimzi 0.49 and
    /// newer, in YAML; or the schema of each topic's values, as JSON Schema or (of flat values) as Avro
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,

    /// Create missing topics as set by topics.partitions, topics.replication_factor and
    /// topics.config. Existing topics that differ are listed, never changed
    #[arg(long, conflicts_with = "format")]
    create: bool,

    /// Include the topic of this activity type: a custom activity (100000 and more) or a new one;
    /// may be repeated
    #[arg(long = "activity-type", value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    activity_types: Vec<i64>,

    /// The Marketo instance, if topics.name contains {munchkin_id}; may be repeated
    #[arg(long = "munchkin-id", value_name = "ID")]
    munchkin_ids: Vec<String>,

    /// For Strimzi: the Kafka resource that the topics belong to
    #[arg(long, value_name = "NAME", required_if_eq("format", "strimzi"))]
    cluster: Option<String>,

    /// For Strimzi: the namespace of the resources
    #[arg(long, value_name = "NAME", requires = "cluster")]
    namespace: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Asyncapi,
    Strimzi,
    Jsonschema,
    Avro,
}

pub(super) fn run(options: &Options, context: &mut Context<'_>) -> Exit {
    let config = context.load(&options.file)?;
    let ids =
        known::Ids { activity_types: &options.activity_types, munchkin_ids: &options.munchkin_ids };
    let catalogue = Catalogue::new(&config, &ids);
    let catalogue = catalogue.map_err(|problem| context.end("topics", problem, 2))?;
    let needs_names = options.create || options.format == Format::Strimzi;
    if needs_names && catalogue.depends_on_munchkin_id() {
        let problem = "topics.name has {munchkin_id}: name your instances with --munchkin-id";
        return Err(context.end("topics", problem, 2));
    }
    if options.create {
        return create::run(&config, &catalogue, context);
    }
    let out = &mut *context.out;
    match options.format {
        Format::Table => print(out, tables::catalogue(&config, &catalogue)),
        Format::Json => print(out, format_args!("{:#}\n", json::document(&config, &catalogue))),
        Format::Asyncapi => {
            print(out, format_args!("{:#}\n", asyncapi::document(&config, &catalogue)));
        }
        Format::Jsonschema => {
            print(out, format_args!("{:#}\n", value_schemas::json_schemas(&config, &catalogue)));
        }
        Format::Avro => {
            print(out, format_args!("{:#}\n", value_schemas::avro(&catalogue)));
            let without = value_schemas::without_avro(&catalogue);
            if without > 0 {
                let note = "topics have no schema in Avro, since topics.value is `data` for them";
                print(context.errors, format_args!("topics: {without} {note}\n"));
            }
        }
        Format::Strimzi => {
            let cluster = options.cluster.as_deref().unwrap_or_default();
            let place = Target { cluster, namespace: options.namespace.as_deref() };
            print(out, strimzi::resources(&config, &catalogue, &place));
        }
    }
    // On standard error beside a document that a program reads; the table contains the notes itself.
    if options.format != Format::Table {
        for note in &catalogue.notes {
            print(context.errors, format_args!("topics: {note}\n"));
        }
    }
    Ok(0)
}
