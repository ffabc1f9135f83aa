//! The picture in `src/ARCHITECTURE.md` and the code are the same: no module uses another that its
//! row of the table does not name, the rows form no circle, and `src/` has few entries.
//!
//! The table is the one whose head begins `| module | may use |`; both columns hold modules in backquotes, as
//! paths below the crate. The longest row that a path begins with is its module. `*` is every module, and a row
//! that has it takes no part in circles. A module that stands in no row is a mistake, and so is a row for a module
//! that is not there. In the second column a wing (`ingest`) stands for all its modules.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

mod names;
mod shares;
mod words;

/// `src/` shows the path of an event, and a reader takes it in at one look.
const ENTRIES: usize = 16;

type Table = BTreeMap<String, Vec<String>>;

fn table(text: &str) -> Table {
    let rows = text
        .lines()
        .skip_while(|line| !line.starts_with("| module | may use |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut table = Table::new();
    for row in rows {
        let mut cells = row.split('|').skip(1);
        let modules = quoted(cells.next().unwrap_or_default());
        let may_use = quoted(cells.next().unwrap_or_default());
        for module in modules {
            let before = table.insert(module.clone(), may_use.clone());
            assert!(before.is_none(), "`{module}` stands in two rows");
        }
    }
    expanded(table)
}

/// A wing, which is no row, stands for all the rows below it.
fn expanded(table: Table) -> Table {
    let rows_of = |name: &String| match table.contains_key(name) {
        true => vec![name.clone()],
        false => {
            let mut rows: Vec<_> =
                table.keys().filter(|row| is_below(row, name)).cloned().collect();
            if rows.is_empty() {
                rows.push(name.clone());
            }
            rows
        }
    };
    let expand = |may_use: &Vec<String>| may_use.iter().flat_map(rows_of).collect();
    table.iter().map(|(row, may_use)| (row.clone(), expand(may_use))).collect()
}

fn is_below(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The row that a path below the crate belongs to.
fn row_of<'a>(table: &'a Table, path: &str) -> Option<&'a str> {
    let rows = table.keys().filter(|row| is_below(path, row));
    rows.max_by_key(|row| row.len()).map(String::as_str)
}

/// A circle of rows, each of which may use the next one.
fn circle(table: &Table) -> Option<Vec<&str>> {
    fn visit<'a>(
        table: &'a Table,
        row: &'a str,
        path: &mut Vec<&'a str>,
        done: &mut Vec<&'a str>,
    ) -> bool {
        if done.contains(&row) {
            return false;
        }
        if let Some(at) = path.iter().position(|it| *it == row) {
            path.drain(..at);
            return true;
        }
        path.push(row);
        for next in table.get(row).into_iter().flatten().filter(|it| *it != "*") {
            if visit(table, next, path, done) {
                return true;
            }
        }
        path.pop();
        done.push(row);
        false
    }
    let (mut path, mut done) = (Vec::new(), Vec::new());
    table.keys().any(|row| visit(table, row, &mut path, &mut done)).then_some(path)
}

/// What stands in backquotes.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every file of code below `folder`; tests may use what they like.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_stem().is_some_and(|stem| stem != "tests")
        {
            found.push(path);
        }
    }
    found
}

/// The path below the crate of a file below `src`: `spool/disk.rs` is `spool::disk`.
fn module_of(file: &Path) -> String {
    let names = file.with_extension("");
    let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
    names.join("::")
}

fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// Every path behind a `crate::` or `super::` in the code of `module` without its tests, as a path below the
/// crate; a list in braces is taken apart.
fn uses(module: &str, code: &str) -> Vec<String> {
    let code: String = without_tests(code)
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            // `some_crate::` and `$crate::` are not ours, and `super::super::` is read from its first word.
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || "_$:".contains(c)) {
                continue;
            }
            let (mut rest, mut before) = (&code[at..], module);
            while let Some(behind) = rest.strip_prefix("super::") {
                rest = behind;
                before = before.rsplit_once("::").map_or("", |(above, _)| above);
            }
            let before = match rest.strip_prefix("crate::") {
                Some(behind) => {
                    rest = behind;
                    String::new()
                }
                None if before.is_empty() => String::new(),
                None => format!("{before}::"),
            };
            expand(&mut rest, &before, &mut found);
        }
    }
    found
}

/// Reads one path, or one list of paths in braces, off the front of `rest`.
fn expand(rest: &mut &str, before: &str, found: &mut Vec<String>) {
    *rest = rest.trim_start();
    if let Some(list) = rest.strip_prefix('{') {
        *rest = list;
        loop {
            *rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if let Some(behind) = rest.strip_prefix('}') {
                *rest = behind;
                return;
            }
            if rest.is_empty() {
                return;
            }
            expand(rest, before, found);
            // ` as name` and whatever else belongs to the item.
            let end = rest.find([',', '}']).unwrap_or(rest.len());
            *rest = &rest[end..];
        }
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let path = format!("{before}{}", &rest[..end]);
    *rest = &rest[end..];
    match rest.strip_prefix("::") {
        Some(behind) if behind.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '{') => {
            *rest = behind;
            expand(rest, &format!("{path}::"), found);
        }
        _ => found.push(path),
    }
}

/// What one file does against the table, a sentence each.
fn mistakes(table: &Table, file: &Path, code: &str) -> Vec<String> {
    let path = module_of(file);
    let Some(row) = row_of(table, &path) else {
        return vec![format!(
            "{}: `{path}` is in no row: add one, with what it may use",
            file.display()
        )];
    };
    let may_use = &table[row];
    let is_allowed = |used: &str| match row_of(table, used) {
        _ if may_use.iter().any(|it| it == "*") => true,
        // A wing itself holds no code.
        None => false,
        Some(other) => other == row || may_use.iter().any(|it| it == other),
    };
    let used = uses(&path, code).into_iter().filter(|used| !is_allowed(used));
    used.map(|used| {
        format!(
            "{}: `{row}` may not use `{used}`. Move what both need below both, hand it over as an argument, or \
             add the row that `{used}` belongs to, if that makes no circle",
            file.display()
        )
    })
    .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn src() -> PathBuf {
    root().join("src")
}

fn table_of_this_project() -> Table {
    let text = fs::read_to_string(src().join("ARCHITECTURE.md")).expect("src/ARCHITECTURE.md");
    let table = table(&text);
    assert!(table.len() > 10, "the table was not found, or is not a table: {table:?}");
    table
}

/// Of a wing, a file that only names its modules.
fn holds_modules_alone(code: &str) -> bool {
    let lines = code.lines().filter(|line| !line.is_empty() && !line.starts_with("//!"));
    let mut lines = lines.peekable();
    lines.peek().is_some() && lines.all(|line| line.starts_with("pub mod "))
}

#[test]
fn every_module_uses_only_what_the_table_of_architecture_md_says() {
    let table = table_of_this_project();
    let (mut found, mut modules) = (Vec::new(), Vec::new());
    for path in sources(&src()) {
        let file = path.strip_prefix(src()).expect("below src");
        let code = fs::read_to_string(&path).expect("a readable file");
        let module = module_of(file);
        if module == "lib" || module == "main" || holds_modules_alone(&code) {
            continue;
        }
        found.extend(mistakes(&table, file, &code));
        modules.push(module);
    }
    for row in table.keys().filter(|row| !modules.contains(row)) {
        found.push(format!("there is a row for `{row}`, and no such module: remove the row"));
    }
    found.sort();
    found.dedup();
    assert!(found.is_empty(), "against src/ARCHITECTURE.md:\n{}", found.join("\n"));
}

#[test]
fn the_rows_of_the_table_form_no_circle() {
    if let Some(circle) = circle(&table_of_this_project()) {
        panic!("in the table of src/ARCHITECTURE.md each of these may use the next: {circle:?}");
    }
}

#[test]
fn the_source_folder_shows_the_path_of_an_event_in_few_entries() {
    let names = fs::read_dir(src()).expect("a readable folder").map(|entry| {
        entry.expect("a readable folder").path().with_extension("").display().to_string()
    });
    let names: std::collections::BTreeSet<_> =
        names.filter(|name| Path::new(name).with_extension("rs").exists()).collect();
    assert!(names.len() <= ENTRIES, "src/ has more than {ENTRIES} entries: {names:?}");
}

#[test]
fn only_kafka_names_the_client_library_only_the_disk_touches_files_and_three_files_are_not_safe() {
    for path in sources(&src()) {
        let file = path.strip_prefix(src()).expect("below src");
        let code = fs::read_to_string(&path).expect("a readable file");
        let code: Vec<_> = without_tests(&code)
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        let names = |word: &str| code.iter().any(|line| line.contains(word));
        let unsafe_files = ["kafka/login/hand_over.rs", "kafka/pause.rs", "runtime/heap.rs"];
        let may_be_unsafe = unsafe_files.iter().any(|it| file == Path::new(it));
        assert!(!names("unsafe") || may_be_unsafe, "{} is not safe", file.display());
        let module = module_of(file);
        let is_kafka = is_below(&module, "kafka");
        assert!(!names("rdkafka::") || is_kafka, "{} names rdkafka", file.display());
        assert!(
            !is_below(&module, "spool") || !names("fs::") || file == Path::new("spool/disk.rs"),
            "{} touches the file system past spool/disk.rs",
            file.display()
        );
    }
}

#[test]
fn a_list_of_uses_is_taken_apart() {
    let code = "use crate::{a::{self, B}, c as d};\npub use crate::e::F; // crate::no\n\
                fn f() -> crate::g::H<'_> {}\nuse other_crate::x;";
    assert_eq!(uses("m", code), ["a::self", "a::B", "c", "e::F", "g::H"]);
    let code = "use super::{a, b::c};\nfn f() -> super::super::C {}";
    assert_eq!(uses("m::n::o", code), ["m::n::a", "m::n::b::c", "m::C"]);
}

fn small_table() -> Table {
    table(
        "| module | may use |\n| --- | --- |\n| `a` | `b::c` |\n| `b` | `a` |\n| `b::c` | |\n| `d` | `*` |\n",
    )
}

#[test]
fn the_longest_row_is_the_module_of_a_path() {
    let table = small_table();
    assert_eq!(row_of(&table, "b::c::D"), Some("b::c"));
    assert_eq!(row_of(&table, "b::cd"), Some("b"));
    assert_eq!(row_of(&table, "e"), None);
}

#[test]
fn a_use_that_no_row_allows_is_a_mistake() {
    let table = small_table();
    let of = |file: &str, code: &str| mistakes(&table, Path::new(file), code).len();
    assert_eq!(of("a.rs", "use crate::b::c::D;"), 0);
    assert_eq!(of("a/x.rs", "use crate::{b::E, a::x};"), 1);
    assert_eq!(of("b/c.rs", "use crate::b::E;"), 1);
    assert_eq!(of("b/x.rs", "use crate::b::c::D;"), 1);
    assert_eq!(of("d.rs", "use crate::{a, b};"), 0);
    assert_eq!(of("d/x.rs", "use super::super::e;"), 0);
    assert_eq!(of("a/x.rs", "use super::super::b::E;"), 1);
    assert_eq!(of("e.rs", ""), 1);
}

#[test]
fn a_wing_stands_for_all_its_modules() {
    let table =
        table("| module | may use |\n| --- | --- |\n| `w::a` | |\n| `w::b` | |\n| `c` | `w` |\n");
    assert_eq!(table["c"], ["w::a", "w::b"]);
}

#[test]
fn a_circle_of_rows_is_found() {
    let mut table = small_table();
    assert_eq!(circle(&table), None);
    table.insert("b::c".into(), vec!["b".into()]);
    assert_eq!(circle(&table), Some(vec!["a", "b::c", "b"]));
    table.insert("b::c".into(), vec!["b::c".into()]);
    assert_eq!(circle(&table), Some(vec!["b::c"]));
}

/// Names that lengths of time have.
const LENGTHS: [&str; 12] = [
    "after", "age", "delay", "elapsed", "interval", "length", "lifetime", "longest", "pause",
    "timeout", "wait", "within",
];

#[test]
fn no_log_line_and_no_error_shows_a_length_of_time_in_the_language_of_the_code() {
    let mut found = Vec::new();
    for file in sources(Path::new("src")) {
        let code = fs::read_to_string(&file).expect("a readable file");
        for line in without_tests(&code).lines() {
            let is_debug = |name: &&str| {
                [format!("?{name},"), format!("?{name})"), format!("{{{name}:?}}")]
                    .iter()
                    .any(|shown| line.contains(shown))
            };
            // 125.003 s, and 2.0000001 in a field.
            if line.contains("as_secs_f32") || LENGTHS.iter().any(is_debug) {
                found.push(format!("{}: {}", file.display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "say it by `runtime::readable::length`:\n{}", found.join("\n"));
}
