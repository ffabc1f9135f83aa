//! `millrace config`: the reference of the configuration, which is `config/default.toml` as it stands.

use std::io::Write;

use clap::Args;

use super::print;

/// Print the reference of the configuration: every key with its default, unit and consequence
///
/// What is printed changes nothing when it is used as a configuration file: keep the lines that you change.
/// `millrace check` prints the values in effect.
#[derive(Args)]
pub(super) struct Options {
    /// A part of it alone: a section with what is below it (`spool`, `listen.tls`), or one key
    /// (`spool.size_limit`)
    #[arg(value_name = "SECTION or KEY")]
    of: Option<String>,
}

/// The whole of it.
const REFERENCE: &str = include_str!("../../config/default.toml");

pub(super) fn run(options: &Options, out: &mut dyn Write, errors: &mut dyn Write) -> u8 {
    let Some(name) = &options.of else {
        print(out, REFERENCE);
        return 0;
    };
    match part(name) {
        Some(part) => {
            print(out, part);
            0
        }
        None => {
            let sections: Vec<_> = sections().iter().map(|section| section.name).collect();
            print(
                errors,
                format_args!(
                    "the reference has no section and no key `{name}`. Sections: {}\n",
                    sections.join(", ")
                ),
            );
            2
        }
    }
}

/// A header with the comment before it, and what follows up to the next one.
struct Section {
    name: &'static str,
    comment: Vec<&'static str>,
    header: &'static str,
    lines: Vec<&'static str>,
}

/// `[spool]`, and as an example `#[sources.audit]`.
fn header(line: &str) -> Option<&str> {
    line.strip_prefix('#').unwrap_or(line).strip_prefix('[')?.strip_suffix(']')
}

/// `size_limit = "10GiB"`, and as an example `#size_limit = "5GiB"`.
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
    /// The key below its section's header, with the comment that is about it. Keys that follow each other
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
        // No section has this name; some are below it.
        assert!(part("sources").expect("sections").contains("#[sources.audit.journal]"));
    }

    #[test]
    fn a_part_of_a_name_is_none() {
        for name in ["", "spo", "spool.", "spool.size", "keep_delivered", "spool.size_limit.x"] {
            assert_eq!(part(name), None, "{name}");
        }
    }
}
