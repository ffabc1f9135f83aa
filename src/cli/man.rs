//! `millrace man`: the manual pages of this command line, made from the texts of its help.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Command};
use clap_mangen::Man;

use super::print;

/// Print the manual page of a command, or write all of them into a folder
///
/// `millrace man | man --local-file -` shows the first of them. The packages for Debian and for RPM
/// distributions install them all.
///
/// Exit codes: 0 all is well; 1 the folder cannot be written; 2 there is no such command.
#[derive(Args)]
pub(super) struct Options {
    /// The command whose page is wanted, as in `millrace man spool inspect`; without it, the page of millrace
    #[arg(value_name = "COMMAND")]
    of: Vec<String>,

    /// Write the page of each command into this folder, which is made where it is missing
    #[arg(long, value_name = "FOLDER", conflicts_with = "of")]
    directory: Option<PathBuf>,
}

pub(super) fn run(
    options: &Options,
    command: Command,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> u8 {
    if let Some(folder) = &options.directory {
        return match write_all(command, folder) {
            Ok(()) => 0,
            Err(problem) => {
                print(errors, format_args!("man: {problem}\n"));
                1
            }
        };
    }
    match page(command, &options.of) {
        Some(page) => {
            print(out, page);
            0
        }
        None => {
            let words = options.of.join(" ");
            print(
                errors,
                format_args!(
                    "millrace has no command `{words}`; `millrace help` lists the commands\n"
                ),
            );
            2
        }
    }
}

/// Writes all pages. Each is written aside and renamed, so that a page is there as a whole or not at all.
fn write_all(command: Command, folder: &Path) -> Result<(), String> {
    let named = folder.display();
    let cannot = |what: &str, error: &io::Error| format!("cannot {what} {named}: {error}");
    if folder.exists() && !folder.is_dir() {
        return Err(format!("{named} is not a folder: name one that the pages may be written to"));
    }
    fs::create_dir_all(folder).map_err(|error| cannot("make the folder", &error))?;
    for page in pages(command) {
        let place = folder.join(page.get_filename());
        write_page(&page, folder, &place).map_err(|error| {
            format!("cannot write {}: {error}; it was left as it was", place.display())
        })?;
    }
    Ok(())
}

fn write_page(page: &Man, folder: &Path, place: &Path) -> io::Result<()> {
    let readable = fs::Permissions::from_mode(0o644);
    let mut file =
        tempfile::Builder::new().prefix(".millrace-").permissions(readable).tempfile_in(folder)?;
    page.render(&mut file)?;
    file.flush()?;
    file.persist(place)?;
    Ok(())
}

/// Returns the page of `command`, which is built already. Sets the foot, which would have the command's own name.
fn man(command: Command) -> Man {
    Man::new(command).source(concat!("millrace ", env!("CARGO_PKG_VERSION"))).manual("millrace")
}

/// Returns one page for each command.
fn pages(command: Command) -> Vec<Man> {
    let mut command = command.disable_help_subcommand(true);
    // Gives each command the name that its page has: `millrace-spool-inspect`.
    command.build();
    let mut commands = vec![command];
    let mut pages = Vec::new();
    while let Some(command) = commands.pop() {
        let below = command.get_subcommands().filter(|below| !below.is_hide_set());
        commands.extend(below.cloned());
        pages.push(man(command));
    }
    pages
}

/// Renders the page of a command; `None` where a word of `of` is no subcommand of the one before it.
fn page(command: Command, of: &[String]) -> Option<String> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut command = &command;
    for word in of {
        command = command.find_subcommand(word)?;
    }
    let mut page = Vec::new();
    // Writing to memory cannot fail.
    let _ = man(command.clone()).render(&mut page);
    Some(String::from_utf8_lossy(&page).into_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    /// Returns exit code, standard output and standard error.
    fn ran(options: &Options) -> (u8, String, String) {
        let mut out = Vec::new();
        let mut errors = Vec::new();
        let code = run(options, Cli::command(), &mut out, &mut errors);
        let text = |bytes| String::from_utf8(bytes).expect("it is text");
        (code, text(out), text(errors))
    }

    fn of(words: &[&str]) -> Options {
        Options { of: words.iter().map(|word| (*word).to_owned()).collect(), directory: None }
    }

    #[test]
    fn a_folder_gets_one_page_for_each_command_and_each_is_what_is_printed_for_its_words() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let place = folder.path().join("man/man1");
        let options = Options { of: Vec::new(), directory: Some(place.clone()) };
        assert_eq!(ran(&options), (0, String::new(), String::new()));
        let mut pages = Vec::new();
        for entry in fs::read_dir(&place).expect("it is made") {
            let path = entry.expect("it can be listed").path();
            let text = fs::read_to_string(&path).expect("it can be read");
            pages.push(path.file_stem().expect("a name").to_string_lossy().into_owned());
            let name = pages.last().expect("it is there");
            let words: Vec<_> = name.split('-').skip(1).collect();
            // A name with several hyphens can be cut in two ways, of which one is a command.
            let words = if ran(&of(&words)).0 == 0 { words } else { with_hyphens(&words) };
            assert_eq!(ran(&of(&words)), (0, text, String::new()), "{name}");
        }
        for page in ["millrace", "millrace-serve", "millrace-spool-inspect", "millrace-man"] {
            assert!(pages.iter().any(|found| found == page), "{pages:?}");
        }
        assert!(!pages.iter().any(|page| page.contains("help")), "{pages:?}");
    }

    /// Joins `dead-letters`, which is one word.
    fn with_hyphens<'a>(words: &[&'a str]) -> Vec<&'a str> {
        let joined = |word: &&'a str| if *word == "dead" { "dead-letters" } else { *word };
        words.iter().filter(|word| **word != "letters").map(joined).collect()
    }

    #[test]
    fn the_foot_of_each_page_has_the_program_and_its_version() {
        let foot = concat!("\"millrace ", env!("CARGO_PKG_VERSION"), "\" millrace");
        for words in [&[][..], &["spool", "inspect"], &["config"]] {
            let (_, page, _) = ran(&of(words));
            let head = page.lines().find(|line| line.starts_with(".TH")).expect("a head");
            assert!(head.ends_with(foot), "{head}");
        }
    }

    #[test]
    fn a_page_says_what_the_help_says() {
        let (code, page, _) = ran(&of(&["check"]));
        assert_eq!(code, 0);
        for part in [".TH", "millrace\\-check", "Check the configuration", "\\-\\-connect"] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }

    #[test]
    fn a_command_that_is_none_has_no_page() {
        let (code, out, errors) = ran(&of(&["spool", "mend"]));
        assert_eq!((code, out.as_str()), (2, ""));
        assert_eq!(
            errors,
            "millrace has no command `spool mend`; `millrace help` lists the commands\n"
        );
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        let folder = file.path().join("man1");
        for (folder, what) in [(file.path().to_owned(), "is not a folder"), (folder, "cannot make")]
        {
            let options = Options { of: Vec::new(), directory: Some(folder.clone()) };
            let (code, _, errors) = ran(&options);
            assert_eq!(code, 1);
            assert!(errors.contains(&folder.display().to_string()), "{errors}");
            assert!(errors.contains(what), "{errors}");
        }
    }

    #[test]
    fn a_page_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        // No file takes the place of a folder.
        let place = folder.path().join("millrace.1");
        fs::create_dir(&place).expect("it can be made");
        let options = Options { of: Vec::new(), directory: Some(folder.path().to_owned()) };
        let (code, _, errors) = ran(&options);
        assert_eq!(code, 1);
        assert!(errors.contains(&place.display().to_string()), "{errors}");
        let left = fs::read_dir(folder.path()).expect("it can be listed");
        let left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
    }
}
