//! Where the tools look.

use crate::folder::{Folder, run};

fn environment(directory: &str) -> Vec<(&str, &str)> {
    vec![
        ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "localhost:9092"),
        ("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity"),
        ("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "hunter2"),
        ("MILLRACE_SPOOL__DIRECTORY", directory),
    ]
}

#[test]
fn the_service_s_own_configuration_says_where_the_spool_is() {
    let folder = Folder::with(&[("leads", 3)]);
    let ended = run(&["inspect"], &environment(folder.path().to_str().unwrap()));
    assert_eq!((ended.code, &ended.errors[..]), (0, ""));
    assert!(ended.out.contains("leads"), "{}", ended.out);
}

#[test]
fn a_mistake_in_the_configuration_is_told_and_so_is_the_way_around_it() {
    let ended = run(&["verify"], &[("MILLRACE_SPOOL__SIZE_LIMIT", "much")]);
    assert_eq!((ended.code, &ended.out[..]), (2, ""));
    for word in ["spool.size_limit", "--directory FOLDER"] {
        assert!(ended.errors.contains(word), "{word} in\n{}", ended.errors);
    }
}

#[test]
fn a_folder_that_is_not_there_is_named_with_what_to_do() {
    let folder = Folder::new();
    let missing = folder.path().join("nowhere");
    let ended = run(&["inspect", "--directory", missing.to_str().unwrap()], &[]);
    assert_eq!(ended.code, 1);
    for word in [missing.to_str().unwrap(), "No such file", "--directory"] {
        assert!(ended.errors.contains(word), "{word} in\n{}", ended.errors);
    }
}

#[test]
fn a_source_that_has_no_spool_is_told_with_those_that_have() {
    let folder = Folder::with(&[("leads", 1), ("other-leads", 1)]);
    for tool in ["inspect", "verify", "export"] {
        let ended = folder.tool(&[tool, "--source", "leeds"]);
        assert_eq!((ended.code, &ended.out[..]), (1, ""));
        assert!(ended.errors.contains("spools found: leads, other-leads"), "{}", ended.errors);
    }
}

#[test]
fn one_source_can_be_looked_at_alone() {
    let folder = Folder::with(&[("leads", 2), ("other", 3)]);
    let ended = folder.tool(&["export", "--source", "other"]);
    assert_eq!(ended.code, 0);
    assert_eq!(ended.out.lines().count(), 3);
    assert!(ended.out.lines().all(|line| line.contains(r#""source":"other""#)), "{}", ended.out);
}

#[test]
fn looking_writes_nothing_and_makes_no_lock() {
    let folder = Folder::with(&[("leads", 10), ("other", 1)]);
    folder.deliver("leads", "4.0", &[("t", "2.0")]);
    std::fs::remove_file(folder.path().join("lock")).unwrap();
    let before = folder.snapshot();
    for tool in ["inspect", "verify", "export"] {
        assert_eq!(folder.tool(&[tool]).code, 0);
    }
    assert!(folder.snapshot() == before);
}

#[test]
fn an_empty_folder_holds_nothing_and_that_is_fine() {
    let folder = Folder::new();
    for tool in ["inspect", "verify", "export"] {
        let ended = folder.tool(&[tool]);
        assert_eq!((ended.code, &ended.errors[..]), (0, ""), "{tool}");
    }
    assert!(folder.tool(&["inspect"]).out.contains("nothing was ever stored"));
}
