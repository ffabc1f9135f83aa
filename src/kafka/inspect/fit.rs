//! Whether topics of the program's own have the settings that their purpose needs, for `check --connect`.
//!
//! A topic that somebody else has made, or whose settings were changed, may lose what the service relies on without any
//! error.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    config,
    kafka::{
        advice::Advice,
        topics::{COMPRESSION, made_as},
    },
};

use super::settings::{NoSettings, Settings, settings};

/// How well a topic's settings serve its purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    Good,
    /// One sentence for each setting that does harm, with what to do.
    Bad(Vec<String>),
    /// The settings are not known; the text has the reason.
    Unknown(String),
}

/// Compares the settings of those of `names` that are topics of the program's own; `names` exist.
pub fn fit(
    kafka: &config::Kafka,
    topics: &config::Topics,
    names: &[String],
    timeout: Duration,
) -> Vec<(String, Fit)> {
    let own = |name: &&String| purpose(topics, name).is_some();
    let own: Vec<_> = names.iter().filter(own).cloned().collect();
    let advice = Advice::new(kafka, Some(topics));
    let mut found = settings(kafka, &own, timeout);
    own.into_iter()
        .map(|name| {
            let fit = match found.remove(&name) {
                Some(Ok(settings)) => of(topics, &name, &settings, &advice),
                Some(Err(NoSettings::Because(why))) => {
                    Fit::Unknown(format!("{why}; run: {}", advice.allow_settings(&name)))
                }
                Some(Err(NoSettings::NotThereYet)) | None => {
                    Fit::Unknown("the cluster gave no answer about them".into())
                }
            };
            (name, fit)
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Checkpoints,
    LeadStates,
    Ids,
}

fn purpose(topics: &config::Topics, name: &str) -> Option<Purpose> {
    match () {
        () if name == topics.checkpoints => Some(Purpose::Checkpoints),
        () if topics.lead_state.as_deref() == Some(name) => Some(Purpose::LeadStates),
        () if topics.ids.as_deref() == Some(name) => Some(Purpose::Ids),
        () => None,
    }
}

fn of(topics: &config::Topics, name: &str, settings: &Settings, advice: &Advice) -> Fit {
    let Some(purpose) = purpose(topics, name) else { return Fit::Good };
    let wanted = &made_as(topics, name).config;
    let bad: Vec<_> = misfits(purpose, wanted, settings)
        .into_iter()
        .map(|(setting, harm)| {
            let is = settings.get(setting).map_or("unknown", String::as_str);
            let wanted = wanted.get(setting).map_or("-1", String::as_str);
            let run = advice.set(name, &[(setting, wanted)]);
            format!("topic {name} ({}) has {setting}={is}: {harm}; run: {run}", key(purpose))
        })
        .collect();
    if bad.is_empty() { Fit::Good } else { Fit::Bad(bad) }
}

fn key(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Checkpoints => "topics.checkpoints",
        Purpose::LeadStates => "topics.lead_state",
        Purpose::Ids => "topics.ids",
    }
}

/// Returns the settings that do harm, and the harm.
fn misfits(
    purpose: Purpose,
    wanted: &BTreeMap<String, String>,
    settings: &Settings,
) -> Vec<(&'static str, &'static str)> {
    let policy = settings.get("cleanup.policy").map_or("", String::as_str);
    let has = |wanted: &str| policy.split(',').any(|policy| policy.trim() == wanted);
    let limit = |setting: &str| {
        let limit = settings.get(setting).and_then(|limit| limit.parse::<i64>().ok());
        limit.filter(|limit| *limit >= 0)
    };
    let expires = limit("retention.ms").is_some() || limit("retention.bytes").is_some();
    let mut bad = Vec::new();
    match purpose {
        Purpose::Checkpoints if has("delete") && expires => bad.push((
            "cleanup.policy",
            "checkpoints expire by time or size, and without its checkpoint a spool that was restored or moved \
             delivers again what it has",
        )),
        Purpose::LeadStates if !has("compact") => bad.push((
            "cleanup.policy",
            "states of leads are kept by time or size and not by lead, and those of deleted leads stay until then",
        )),
        Purpose::Ids => {
            if has("compact") {
                bad.push((
                    "cleanup.policy",
                    "of what each replica has told, all but the last record goes; repeats are delivered again",
                ));
            }
            let kept = wanted.get("retention.ms").and_then(|kept| kept.parse::<i64>().ok());
            if limit("retention.ms").zip(kept).is_some_and(|(is, kept)| is < kept) {
                bad.push((
                    "retention.ms",
                    "that is less than deduplicate.window, and a replica that starts does not learn of older ids",
                ));
            }
            if limit("retention.bytes").is_some() {
                bad.push((
                    "retention.bytes",
                    "records may go before deduplicate.window is over, and a replica that starts does not learn of \
                     their ids",
                ));
            }
            if settings.get(COMPRESSION).is_some_and(|is| is != "uncompressed") {
                bad.push((
                    COMPRESSION,
                    "a broker takes records that are huge once they are decompressed, from any program that may \
                     write to this topic",
                ));
            }
        }
        Purpose::Checkpoints | Purpose::LeadStates => {}
    }
    bad
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> config::Topics {
        config::Topics {
            ids: Some("ids".into()),
            lead_state: Some("states".into()),
            ..config::Topics::default()
        }
    }

    #[track_caller]
    fn named(name: &str, settings: &[(&str, &str)]) -> Vec<String> {
        let kafka = config::Kafka {
            bootstrap_servers: "b:9092".into(),
            properties: Default::default(),
            queue_size: 1,
            delivery: Default::default(),
        };
        let advice = Advice::new(&kafka, Some(&topics()));
        let settings =
            settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        match of(&topics(), name, &settings, &advice) {
            Fit::Good => Vec::new(),
            Fit::Bad(all) => all,
            Fit::Unknown(why) => panic!("{why}"),
        }
    }

    #[test]
    fn a_topic_that_was_made_as_this_service_makes_it_fits() {
        for name in ["ids", "states", "marketo.checkpoints"] {
            let topics = topics();
            let made = made_as(&topics, name);
            let broker = [("retention.ms", "604800000"), ("retention.bytes", "-1")];
            let mut settings: BTreeMap<_, _> = broker.into();
            settings
                .extend(made.config.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let settings: Vec<_> = settings.into_iter().collect();
            assert_eq!(named(name, &settings), [""; 0], "{name}");
        }
        let longer = [("cleanup.policy", "delete"), ("retention.ms", "-1")];
        for name in ["ids", "marketo.checkpoints"] {
            assert_eq!(named(name, &longer), [""; 0], "{name}");
        }
        assert_eq!(named("events", &[("cleanup.policy", "compact")]), [""; 0]);
    }

    #[test]
    fn each_setting_that_does_harm_is_named_with_the_command_that_repairs_it() {
        for (name, setting, is, repair) in [
            ("ids", "cleanup.policy", "compact", "delete"),
            ("ids", "cleanup.policy", "compact,delete", "delete"),
            ("ids", "retention.ms", "3600000", "93600000"),
            ("ids", "retention.bytes", "1000000", "-1"),
            ("ids", "compression.type", "producer", "uncompressed"),
            ("states", "cleanup.policy", "delete", "compact"),
        ] {
            let found = named(name, &[(setting, is)]);
            let [one] = &found[..] else { panic!("{name}, {setting}: {found:?}") };
            assert!(one.contains(&format!(") has {setting}={is}: ")), "{one}");
            let run = format!(
                "; run: kafka-configs.sh --bootstrap-server b:9092 --alter --entity-type topics --entity-name \
                 '{name}' --add-config '{setting}={repair}'"
            );
            assert!(one.ends_with(&run), "{one}");
        }
        let expires = [("cleanup.policy", "delete"), ("retention.ms", "604800000")];
        let found = named("marketo.checkpoints", &expires);
        assert!(found.len() == 1 && found[0].contains("topics.checkpoints"), "{found:?}");
    }
}
