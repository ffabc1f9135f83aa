//! `millrace completions`: scripts with which a shell completes this command line.

use std::io::Write;

use clap::{Args, Command};
use clap_complete::Shell;

use super::print;

/// Print completions of this command line for a shell
///
/// The packages for Debian and for RPM distributions install those of bash, zsh and fish. By hand, for bash:
/// `millrace completions bash >/etc/bash_completion.d/millrace`.
#[derive(Args)]
pub(super) struct Options {
    /// The shell that is to read them
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

pub(super) fn run(options: &Options, mut command: Command, out: &mut dyn Write) -> u8 {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, name, &mut script);
    print(out, String::from_utf8_lossy(&script));
    if options.shell == Shell::Fish {
        print(out, words_for_fish(&command));
    }
    0
}

/// Completes words that stand by themselves: the generator gives fish the options alone.
fn words_for_fish(command: &Command) -> String {
    let name = command.get_name();
    let mut lines = String::new();
    for below in command.get_subcommands() {
        let words = below.get_positionals().flat_map(|argument| argument.get_possible_values());
        let words: Vec<_> = words.map(|word| word.get_name().to_owned()).collect();
        if !words.is_empty() {
            let word = below.get_name();
            let words = words.join(" ");
            lines.push_str(&format!(
                "complete -c {name} -n \"__fish_seen_subcommand_from {word}\" -f -a \"{words}\"\n"
            ));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueEnum};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn each_shell_completes_each_command() {
        for shell in Shell::value_variants() {
            let mut out = Vec::new();
            assert_eq!(run(&Options { shell: *shell }, Cli::command(), &mut out), 0);
            let script = String::from_utf8(out).expect("it is text");
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
            assert!(script.contains("connect"), "{shell} completes no option");
            // PowerShell's and Elvish's have options alone.
            let with_values = matches!(shell, Shell::Bash | Shell::Zsh | Shell::Fish);
            assert!(!with_values || script.contains("listen.tls"), "{shell}: sections of `config`");
        }
    }
}
