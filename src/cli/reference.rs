//! `millrace config`: prints the reference of the configuration, which is `config/default.toml`, whole or in part.

mod wanted;

use std::{ffi::OsStr, io::Write};

use clap::{
    Arg, Args, Command,
    builder::{NonEmptyStringValueParser, PossibleValue, TypedValueParser},
};

use super::print;

/// Print the reference of the configuration: every key with its default, unit and consequence
///
/// The output changes nothing when it is used as a configuration file: keep the lines that you change.
/// `millrace check` prints the values in effect.
#[derive(Args)]
pub(super) struct Options {
    /// A part of it alone: a section with what is below it (`spool`, `listen.tls`), or one key
    /// (`spool.size_limit`), also in the environment's spelling (`MILLRACE_SPOOL__SIZE_LIMIT`)
    #[arg(value_name = "SECTION or KEY", hide_possible_values = true, value_parser = Names)]
    of: Option<String>,
}

/// A parser that accepts any word, and offers the sections to a shell's completion.
#[derive(Clone)]
struct Names;

impl TypedValueParser for Names {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        NonEmptyStringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(sections().into_iter().map(|section| PossibleValue::new(section.name))))
    }
}

/// The name of a section or of a key, as in `spool.size_limit`.
type Name = String;

/// The whole of it.
const REFERENCE: &str = include_str!("../../config/default.toml");

pub(super) fn run(options: &Options, out: &mut dyn Write, errors: &mut dyn Write) -> u8 {
    let Some(name) = &options.of else {
        print(out, REFERENCE);
        return 0;
    };
    match asked(name) {
        Some(part) => {
            print(out, part);
            0
        }
        None => {
            print(errors, format_args!("{}\n", unknown(name)));
            2
        }
    }
}

/// Returns the part that `name` asks for, with the operator's names in its headers.
fn asked(name: &str) -> Option<String> {
    let wanted = wanted::find(name, &|name| part(name).is_some())?;
    let part = part(&wanted.name)?;
    let remark = wanted.remark.map(|remark| format!("# {remark}\n")).unwrap_or_default();
    let Some((example, own)) = &wanted.renamed else { return Some(remark + &part) };
    let renamed = part.lines().map(|line| match header(line) {
        Some(_) => line.replacen(example.as_str(), own, 1) + "\n",
        None => format!("{line}\n"),
    });
    Some(remark + &renamed.collect::<String>())
}

fn unknown(name: &str) -> String {
    let sections = sections();
    let of_section = |section: &Section| {
        let keys = section.lines.iter().filter_map(|line| key(line));
        let keys = keys.map(|key| format!("{}.{key}", section.name)).collect::<Vec<_>>();
        [vec![section.name.to_owned()], keys].concat()
    };
    let places: Vec<Name> = sections.iter().flat_map(of_section).collect();
    let problem = format!("the reference has no section and no key `{name}`");
    match &wanted::guesses(name, &places)[..] {
        [] => {
            let names: Vec<_> = sections.iter().map(|section| section.name).collect();
            format!("{problem}. Sections: {}", names.join(", "))
        }
        [guess] => format!("{problem}. Did you mean `{guess}`?"),
        guesses => format!("{problem}. Did you mean one of `{}`?", guesses.join("`, `")),
    }
}

/// A header with the comment before it, and the lines up to the next header.
struct Section {
    name: &'static str,
    comment: Vec<&'static str>,
    header: &'static str,
    lines: Vec<&'static str>,
}

/// Returns the name in a header: `[spool]`, or commented out as an example `#[sources.audit]`.
fn header(line: &str) -> Option<&str> {
    line.strip_prefix('#').unwrap_or(line).strip_prefix('[')?.strip_suffix(']')
}

/// Returns the name of a key: `size_limit = "10GiB"`, or commented out as an example `#size_limit = "5GiB"`.
fn key(line: &str) -> Option<&str> {
    let line = line.strip_prefix('#').unwrap_or(line);
    if line.starts_with(' ') { None } else { line.split_once(" = ").map(|(key, _)| key) }
}

fn is_comment(line: &str) -> bool {
    line.starts_with("# ")
}

fn sections() -> Vec<Section> {
    let mut sections = Vec::<Section>::new();
    let mut before = Vec::new();
    for line in REFERENCE.lines() {
        let lines = sections.last_mut().map_or(&mut before, |section| &mut section.lines);
        let Some(name) = header(line) else {
            lines.push(line);
            continue;
        };
        let comment = lines.iter().rposition(|line| !is_comment(line)).map_or(0, |last| last + 1);
        let comment = lines.split_off(comment);
        sections.push(Section { name, comment, header: line, lines: Vec::new() });
    }
    sections
}

fn part(name: &str) -> Option<String> {
    let of_name = |section: &Section| {
        let rest = section.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let parts: Vec<String> =
        sections().iter().filter(|section| of_name(section)).map(whole).collect();
    if !parts.is_empty() {
        return Some(parts.join("\n"));
    }
    let (section, wanted) = name.rsplit_once('.')?;
    sections().iter().find(|found| found.name == section)?.key(wanted)
}

fn whole(section: &Section) -> String {
    let all = section.comment.iter().chain([&section.header]).chain(&section.lines);
    let text = all.map(|line| format!("{line}\n")).collect::<String>();
    format!("{}\n", text.trim_end())
}

impl Section {
    /// Returns the key below its section's header, with its comment. Keys that follow each other
    /// without a comment between them share the one before the first.
    fn key(&self, wanted: &str) -> Option<String> {
        let at = self.lines.iter().position(|line| key(line) == Some(wanted))?;
        let above = &self.lines[..at];
        let is_other = |line: &&str| !is_comment(line) && key(line).is_none();
        let group = above.iter().rposition(|line| is_comment(line) || is_other(line));
        let end = group.map_or(0, |last| last + 1);
        let start =
            above[..end].iter().rposition(|line| !is_comment(line)).map_or(0, |last| last + 1);
        let comment = above[start..end].iter();
        let lines = [&self.header].into_iter().chain(comment).chain([&self.lines[at]]);
        Some(lines.map(|line| format!("{line}\n")).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_section_and_each_key_of_the_reference_can_be_asked_for() {
        let mut keys = 0;
        for section in sections() {
            let printed = part(section.name).expect("the section is there");
            assert!(printed.contains(&format!("{}\n", section.header)), "{}", section.name);
            for line in &section.lines {
                let Some(key) = key(line) else { continue };
                let name = format!("{}.{key}", section.name);
                let printed = part(&name).unwrap_or_else(|| panic!("{name}"));
                let lines: Vec<_> = printed.lines().collect();
                assert_eq!((lines[0], lines[lines.len() - 1]), (section.header, *line), "{name}");
                let comment = &lines[1..lines.len() - 1];
                assert!(
                    !comment.is_empty() && comment.iter().all(|line| is_comment(line)),
                    "{name}"
                );
                keys += 1;
            }
        }
        assert!(keys > 80, "{keys}");
    }

    #[test]
    fn the_sections_together_are_the_whole_reference_but_for_its_head() {
        let together: Vec<_> = sections().iter().map(whole).collect();
        let together = together.join("\n");
        assert!(REFERENCE.ends_with(&together), "{together}");
        assert!(REFERENCE.len() - together.len() < 2000, "{}", together.len());
    }

    #[test]
    fn a_section_comes_with_the_comment_before_it_and_with_what_is_below_it() {
        let oauth = part("oauth").expect("a section");
        assert!(oauth.starts_with("# Tokens that the service issues itself, for"), "{oauth}");
        assert!(oauth.contains("\n\n# One table for each client; its name is the client's id"));
        assert!(oauth.contains("#[oauth.clients.marketo]\n"), "{oauth}");
        let spool = part("spool").expect("a section");
        assert!(spool.contains("[spool.keep_delivered]"), "{spool}");
        assert!(!spool.contains("[quarantine]"), "{spool}");
        // No section has this name; some sections are below it.
        assert!(part("sources").expect("sections").contains("#[sources.audit.journal]"));
    }

    #[test]
    fn a_key_is_found_by_the_names_that_an_operator_has_at_hand() {
        for (name, header, end) in [
            ("MILLRACE_SPOOL__SIZE_LIMIT", "[spool]", "size_limit = \"10GiB\"\n"),
            ("SPOOL__SIZE_LIMIT", "[spool]", "size_limit = \"10GiB\"\n"),
            ("sources.user-audit.size_limit", "[sources.user-audit]", "#size_limit = \"5GiB\"\n"),
            ("sources.x.auth.client_ids", "[sources.x.auth]", "abcdef\"]\n"),
            ("sources.x.journal.url", "[sources.x.journal]", "\n"),
            (
                "MILLRACE_SOURCES__USER_AUDIT__AUTH__HEADER_SCHEME",
                "[sources.user-audit.auth]",
                "\n",
            ),
            ("oauth.clients.other.secrets", "[oauth.clients.other]", "\n"),
            (
                "kafka.properties.sasl.username",
                "[kafka.properties]",
                "#sasl_username = \"millrace\"\n",
            ),
            ("MILLRACE_KAFKA__PROPERTIES__SASL_PASSWORD", "[kafka.properties]", "\n"),
            ("MILLRACE_KAFKA__PROPERTIES__LINGER_MS", "[kafka.properties]", "\n"),
            ("catalog.activity_types.46", "[catalog.activity_types]", "\n"),
        ] {
            let printed = asked(name).unwrap_or_else(|| panic!("{name}"));
            assert!(printed.contains(header) && printed.ends_with(end), "{name}: {printed}");
        }
        for name in ["sources.leads.auth.tokens_file", "MILLRACE_SOURCES__X__AUTH__TOKENS_FILE"] {
            let printed = asked(name).expect("it is there");
            assert!(printed.starts_with("# tokens_file is the path of a file"), "{printed}");
        }
        for name in ["oauth.signing_keys_file", "sources.x.journal.client_secret_file"] {
            assert!(asked(name).is_some(), "{name}");
        }
        assert!(
            asked("sources.user-audit").expect("a source").contains("[sources.user-audit.auth")
        );
    }

    #[test]
    fn a_slip_is_answered_with_the_name_that_was_meant() {
        for (name, guess) in [
            ("spool.sise_limit", "Did you mean `spool.size_limit`?"),
            ("spol", "Did you mean `spool`?"),
            ("MILLRACE_SPOOL__SIZE_LIMITS", "Did you mean `spool.size_limit`?"),
            ("sources.user-audit.size_limt", "Did you mean `sources.user-audit.size_limit`?"),
            ("size_limit", "one of `spool.size_limit`, `sources.leads.size_limit`"),
            ("hold_aftr", "`forward.hold_after`"),
        ] {
            let said = unknown(name);
            assert!(said.contains(guess), "{name}: {said}");
        }
        for stranger in ["quux", "nope"] {
            let said = unknown(stranger);
            assert!(said.contains("Sections: listen, "), "{said}");
        }
    }

    #[test]
    fn each_key_that_a_refusal_names_is_in_the_reference() {
        use crate::ingest::{authenticate::reason, listen::reply};
        let of_reasons = reason::TABLE.iter().map(|row| row.key);
        let of_outcomes = reply::TABLE.iter().filter_map(|row| row.key);
        for key in of_reasons.chain(of_outcomes) {
            let is_there = ["leads", "audit"]
                .iter()
                .any(|source| asked(&key.replace("<name>", source)).is_some());
            assert!(is_there, "{key}");
        }
    }

    #[test]
    fn a_part_of_a_name_is_none() {
        for name in ["", "spo", "spool.", "spool.size", "keep_delivered", "spool.size_limit.x"] {
            assert_eq!(part(name), None, "{name}");
        }
    }
}
