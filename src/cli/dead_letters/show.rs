//! `millrace dead-letters show`: prints one letter, with its original bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use serde_json::json;

use super::{Look, list};
use crate::{
    cli::{
        Context, Exit,
        colours::{Tone, painted},
        print,
        progress::Bar,
        replay::letters::{self, Chosen, ReadLetter, Which},
        text, when,
    },
    config::Config,
    service::replay::letters::Letter,
};

/// Show one dead letter: why it is one, where it came from, and its original bytes
///
/// The rules of `fields` are applied to what is shown; where they cannot be, it is not shown.
///
/// Exit codes: 0 it was found; 1 there is none at this position, or Kafka cannot be read; 2 the command line or the
/// configuration is wrong.
#[derive(Args)]
pub(super) struct Options {
    /// As `list` shows it: `42.7`, or `leads/42.7` where sources share a position
    #[arg(value_name = "POSITION")]
    position: Chosen,

    #[command(flatten)]
    filter: Which,

    /// Print the original bytes alone, all of them and as they are
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    #[command(flatten)]
    look: Look,
}

/// Bytes of the original that are shown without --raw.
const MAX_SHOWN_BYTES: usize = 10 * 1024;
/// Different events that are kept when several match; further ones are only noted.
const MAX_LETTERS: usize = 8;

pub(super) fn run(options: &Options, context: &mut Context<'_>) -> Exit {
    let config = context.load(&options.look.file)?;
    let mut bar = Bar::new();
    context.start_log(&config.log, Some(&bar))?;
    let mut found = Found::default();
    let selection = options.filter.selection(vec![options.position.clone()]);
    let read = letters::each(&config, &mut bar, &mut |record| {
        if let Some(letter) = Letter::of(record).filter(|letter| selection.takes(letter)) {
            found.add(&letter, || ReadLetter(record.clone()));
        }
        Ok(())
    });
    bar.clear();
    let unread = read.map_err(|problem| context.end("dead-letters", problem, 1))?;
    for passed in unread {
        print(context.errors, format_args!("{passed}\n"));
    }
    let chosen = found.chosen(&options.position, &config.topics.dead_letter);
    let letter = chosen.map_err(|problem| context.end("dead-letters", problem, 1))?;
    let Some(letter) = letter.letter() else { return Ok(1) };
    if options.raw {
        let original = letter.shown(&config);
        let original = original.map_err(|problem| context.end("dead-letters", problem, 1))?;
        // `Output` remembers a failed write and reports it at the end.
        let _ = context.out.write_all(&original).and_then(|()| context.out.flush());
    } else if options.look.json {
        print(context.out, format_args!("{}\n", for_programs(&letter, &config)));
    } else {
        print(context.out, for_people(&letter, &config, context.colours.out));
    }
    Ok(0)
}

/// The letters that match, one for each event: the newest, which a replay sends.
#[derive(Default)]
struct Found {
    letters: Vec<(String, ReadLetter)>,
    more: bool,
}

impl Found {
    fn add(&mut self, letter: &Letter<'_>, read: impl FnOnce() -> ReadLetter) {
        let place = format!("{}/{}", letter.source, letter.position);
        match self.letters.iter().position(|(other, _)| *other == place) {
            Some(at) => {
                let other = self.letters[at].1.letter().map(|other| other.place());
                if other < Some(letter.place()) {
                    self.letters[at].1 = read();
                }
            }
            None if self.letters.len() < MAX_LETTERS => self.letters.push((place, read())),
            None => self.more = true,
        }
    }

    fn chosen(mut self, asked: &Chosen, topic: &str) -> Result<ReadLetter, String> {
        match (self.letters.pop(), self.letters.is_empty()) {
            (None, _) => Err(format!(
                "no dead letter at {asked} on {topic}: `millrace dead-letters list` shows those that there are"
            )),
            (Some((_, only)), true) => Ok(only),
            (Some((last, _)), false) => {
                let others = self.letters.iter().map(|(place, _)| place.as_str());
                let all: Vec<_> = others.chain([last.as_str()]).collect();
                let more = if self.more { " …" } else { "" };
                Err(format!("several letters fit; name one of them: {}{more}", all.join(" ")))
            }
        }
    }
}

fn for_programs(letter: &Letter<'_>, config: &Config) -> serde_json::Value {
    let mut value = list::to_json(letter);
    match letter.shown(config) {
        Ok(bytes) => {
            let is_cut = bytes.len() > MAX_SHOWN_BYTES;
            let beginning = &bytes[..bytes.len().min(MAX_SHOWN_BYTES)];
            value["bytes"] = json!(bytes.len());
            value["body"] = match std::str::from_utf8(&bytes) {
                Ok(body) => json!({ "text": head(body), "base64": null, "cut": is_cut }),
                Err(_) => {
                    json!({ "text": null, "base64": STANDARD.encode(beginning), "cut": is_cut })
                }
            };
        }
        Err(problem) => value["problem"] = json!(problem),
    }
    value
}

fn for_people(letter: &Letter<'_>, config: &Config, colours: bool) -> String {
    let mut lines = String::new();
    let mut line = |name: &str, value: &str| {
        let name = painted(Tone::Accent, &format!("{name:<9}"), colours);
        lines.push_str(&format!("{name} {}\n", text::printable(value)));
    };
    line("source", letter.source.as_str());
    line("position", &letter.position.to_string());
    line("reason", letter.reason);
    line("words", letter.error);
    line("time", &letter.at.map(|at| when::shown(at) + " UTC").unwrap_or_else(|| "-".into()));
    line("topic", letter.original_topic.unwrap_or("- (not known: it could not be decoded)"));
    if let Some(key) = letter.key() {
        line("key", &String::from_utf8_lossy(key));
    }
    let topic = &config.topics.dead_letter;
    line(
        "letter",
        &format!("{topic}, partition {}, offset {}", letter.record.partition, letter.record.offset),
    );
    let place = if letter.is_pointer { " (from quarantine)" } else { "" };
    match letter.shown(config) {
        Ok(bytes) => {
            line("original", &format!("{}{place}", text::bytes(bytes.len() as u64)));
            lines.push('\n');
            lines.push_str(&body(&bytes));
        }
        Err(problem) => line("original", &problem),
    }
    let source = &letter.source;
    let position = letter.position;
    lines + &format!("\ntry it: millrace dead-letters replay {source}/{position} --dry-run\n")
}

/// Returns the beginning of `body`, cut between characters.
fn head(body: &str) -> &str {
    let end = (0..=body.len().min(MAX_SHOWN_BYTES)).rev().find(|at| body.is_char_boundary(*at));
    &body[..end.unwrap_or(0)]
}

fn body(bytes: &[u8]) -> String {
    let all = text::bytes(bytes.len() as u64);
    let shown = text::bytes(MAX_SHOWN_BYTES as u64);
    let cut = match bytes.len() > MAX_SHOWN_BYTES {
        true => format!("… {shown} of {all} are shown; --raw prints all\n"),
        false => String::new(),
    };
    let beginning = &bytes[..bytes.len().min(MAX_SHOWN_BYTES)];
    match std::str::from_utf8(bytes) {
        Ok(body) => format!("{}\n{cut}", text::printable_lines(head(body)).trim_end()),
        Err(_) => format!("(no UTF-8; in base64)\n{}\n{cut}", STANDARD.encode(beginning)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_original_is_cut_between_characters_and_controls_do_not_reach_a_terminal() {
        let long = "ü".repeat(MAX_SHOWN_BYTES);
        assert!(head(&long).len() <= MAX_SHOWN_BYTES && long.starts_with(head(&long)));
        assert!(body(long.as_bytes()).contains("--raw prints all"));
        let shown = body(b"{\"a\":\"\x1b[2J\"}\n");
        assert_eq!(shown, "{\"a\":\"\u{fffd}[2J\"}\n");
        assert!(body(&[0xff, 0xfe]).contains("//4="));
    }
}
