//! The demo on a terminal: what stays at its top, another size, and the end.

use crate::support::terminal::Terminal;

fn start(columns: u16, rows: u16) -> Terminal {
    // A name of a temporary folder as most machines have it.
    let environment = [("TMPDIR", "/tmp")];
    Terminal::start(&["demo", "--forever", "--interval", "500ms"], &environment, columns, rows)
}

/// All that stays, on a screen of any size.
fn has_head(lines: &[String]) -> bool {
    let begins = |text: &str| lines.iter().any(|line| line.starts_with(text));
    begins("  Marketo   http://127.0.0.1:")
        && begins("  Adobe I/O http://127.0.0.1:")
        && begins("  console   http://127.0.0.1:")
        && begins("curl -i http://127.0.0.1:")
        && begins("kcat -b 127.0.0.1:")
}

fn topics(lines: &[String]) -> usize {
    lines.iter().filter(|line| line.starts_with("  marketo.") && line.ends_with("/s")).count()
}

#[test]
fn the_head_stays_and_ten_topics_have_rates_at_any_size_and_q_ends_it_with_a_summary() {
    let mut demo = start(80, 24);
    let lines = demo.until("ten topics at 80 by 24", |it| has_head(it) && topics(it) == 10);
    assert!(lines.iter().any(|line| line.contains("/event")), "{lines:#?}");
    assert!(lines[23].starts_with("q ends it"), "{lines:#?}");
    assert!(demo.is_on_its_own_screen());
    demo.resize(120, 40);
    let lines = demo.until("more topics at 120 by 40", |it| has_head(it) && topics(it) > 10);
    assert_eq!(lines.len(), 40);
    demo.resize(80, 24);
    demo.until("ten topics again", |it| has_head(it) && topics(it) == 10);
    demo.press("q");
    let status = demo.end();
    let written = demo.written();
    assert!(status.success(), "{written}");
    assert!(!demo.is_on_its_own_screen(), "the terminal is as it was");
    let after = written.rsplit("\u{1b}[?1049l").next().unwrap();
    assert!(after.contains("Nothing lost: ") && after.contains("curl -i"), "{after}");
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    for variable in [("NO_COLOR", "1"), ("CLICOLOR", "0")] {
        let mut demo = Terminal::start(&["demo", "--duration", "1s"], &[variable], 80, 24);
        assert!(demo.end().success());
        let written = demo.written();
        assert!(!written.contains("\u{1b}[32m") && written.contains("Nothing lost"), "{written}");
    }
    let mut demo = Terminal::start(&["demo", "--duration", "1s"], &[("TERM", "dumb")], 80, 24);
    assert!(demo.end().success());
    assert!(!demo.written().contains('\u{1b}'), "{}", demo.written());
}
