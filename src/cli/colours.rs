//! Decides whether output has colours, and which: one answer for help, tables, the demo and the log.
//!
//! In this order: `NO_COLOR` (not empty) and `CLICOLOR=0` turn them off, `CLICOLOR_FORCE` (not `0`) turns them on
//! even where the output is no terminal, `TERM=dumb` or an empty `TERM` turns them off, and otherwise a terminal has
//! them.

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal},
};

use clap::builder::styling::{AnsiColor, Styles};
use console::Style;

/// The colours of cargo's help.
pub(super) const HELP_STYLES: Styles = Styles::styled()
    .header(AnsiColor::BrightGreen.on_default().bold())
    .usage(AnsiColor::BrightGreen.on_default().bold())
    .literal(AnsiColor::BrightCyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default())
    .error(AnsiColor::BrightRed.on_default().bold())
    .valid(AnsiColor::BrightCyan.on_default().bold())
    .invalid(AnsiColor::BrightYellow.on_default().bold());

/// Whether each of the two outputs has colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Colours {
    pub out: bool,
    pub errors: bool,
}

impl Colours {
    /// Decides for this process's outputs.
    pub fn of_process() -> Self {
        Self {
            out: are_wanted(io::stdout().is_terminal()),
            errors: are_wanted(io::stderr().is_terminal()),
        }
    }
}

/// Whether an output of this process has colours.
pub(super) fn are_wanted(is_terminal: bool) -> bool {
    has_colours(is_terminal, &|name| env::var_os(name))
}

/// Whether the terminal's cursor may be moved: a dumb terminal only has lines.
pub(super) fn can_redraw() -> bool {
    env::var_os("TERM").is_some_and(|term| term != "dumb" && !term.is_empty())
}

fn has_colours(is_terminal: bool, variable: &dyn Fn(&str) -> Option<OsString>) -> bool {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    if set("NO_COLOR").is_some() || set("CLICOLOR").is_some_and(|value| value == "0") {
        return false;
    }
    if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    is_terminal && set("TERM").is_some_and(|term| term != "dumb")
}

/// The look of a part of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Faint,
    Strong,
    Good,
    Warn,
    Bad,
    Accent,
}

/// Returns `text` in `tone`, unchanged without colours.
pub(super) fn painted(tone: Tone, text: &str, colours: bool) -> String {
    let style = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Faint => Style::new().dim(),
        Tone::Strong => Style::new().bold(),
        Tone::Good => Style::new().green().bold(),
        Tone::Warn => Style::new().yellow().bold(),
        Tone::Bad => Style::new().red().bold(),
        Tone::Accent => Style::new().cyan(),
    };
    match colours {
        true => style.force_styling(true).apply_to(text).to_string(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(is_terminal: bool, variables: &[(&str, &str)]) -> bool {
        let variable = |name: &str| {
            let found = variables.iter().find(|(found, _)| *found == name);
            found.map(|(_, value)| OsString::from(value))
        };
        has_colours(is_terminal, &variable)
    }

    #[test]
    fn the_variables_decide_and_then_the_terminal() {
        let xterm = ("TERM", "xterm");
        assert!(on(true, &[xterm]) && !on(false, &[xterm]));
        assert!(!on(true, &[]) && !on(true, &[("TERM", "dumb")]));
        assert!(!on(true, &[xterm, ("NO_COLOR", "1")]) && on(true, &[xterm, ("NO_COLOR", "")]));
        assert!(!on(true, &[xterm, ("CLICOLOR", "0")]) && on(true, &[xterm, ("CLICOLOR", "1")]));
        assert!(on(false, &[("CLICOLOR_FORCE", "1")]) && !on(false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!on(true, &[xterm, ("CLICOLOR_FORCE", "1"), ("NO_COLOR", "yes")]));
    }

    #[test]
    fn without_colours_a_text_is_as_it_was() {
        assert_eq!(painted(Tone::Bad, "no", false), "no");
        assert_eq!(painted(Tone::Bad, "no", true), "\u{1b}[31m\u{1b}[1mno\u{1b}[0m");
    }
}
