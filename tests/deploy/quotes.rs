//! What the runbook and the chart's README quote of the log is what the program says.

use std::{fs, path::Path};

use crate::tools::read;

/// Where a quoted text may come from: the code, a heading, or a panel of the dashboard.
const HEADINGS: [&str; 3] =
    ["deploy/RUNBOOK.md", "deploy/helm/millrace/README.md", "deploy/systemd/README.md"];
const DASHBOARD: &str = "deploy/helm/millrace/files/dashboard.json";

#[test]
fn each_text_that_the_runbook_or_the_chart_quotes_is_said_by_the_program_or_is_a_heading() {
    let mut known = one_line(&code(Path::new("src")));
    for document in HEADINGS {
        let headings =
            read(document).lines().filter(|line| line.starts_with(['#', '*'])).collect::<String>();
        known += &headings;
    }
    known += &read(DASHBOARD);
    // Titles of sections without their stars, as documents quote them.
    let known = known.replace("**… ", "");
    for (document, least) in [("deploy/RUNBOOK.md", 10), ("deploy/helm/millrace/README.md", 1)] {
        let quotes = quotes(&read(document));
        assert!(quotes.len() >= least, "{document}: the quotes were not found: {quotes:?}");
        let strange: Vec<_> = quotes
            .iter()
            .filter(|quote| !quote.split('…').map(str::trim).all(|part| known.contains(part)))
            .collect();
        assert!(
            strange.is_empty(),
            "{document} quotes what no log line, error, heading or panel says; quote the text of the code: {strange:#?}"
        );
    }
}

/// Texts of three words and more in double quotes, outside of blocks of code.
fn quotes(document: &str) -> Vec<String> {
    let mut in_block = false;
    let text: String = document
        .lines()
        .filter(|line| {
            let is_fence = line.trim_start().starts_with("```");
            in_block ^= is_fence;
            !is_fence && !in_block
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let paragraphs = text.split("\n\n");
    let quoted = paragraphs.flat_map(|paragraph| paragraph.split('"').skip(1).step_by(2));
    quoted.map(one_line).filter(|quote| quote.split(' ').count() >= 3).collect()
}

fn code(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("the code can be read");
    let text = entries.map(|entry| {
        let path = entry.expect("the code can be read").path();
        match path.extension() {
            _ if path.is_dir() => code(&path),
            Some(extension) if extension == "rs" => fs::read_to_string(path).expect("it is text"),
            _ => String::new(),
        }
    });
    text.collect()
}

/// Without the breaks of lines, and those of long literals.
fn one_line(text: &str) -> String {
    text.replace("\\\n", "\n").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_quote_is_found_over_the_end_of_its_line_and_not_in_a_block() {
    let text =
        "He says \"this is one\nquote\" and \"two words\".\n\n```\n\"not this one here\"\n```\n";
    assert_eq!(quotes(text), ["this is one quote"]);
}
