//! The picture in `src/ARCHITECTURE.md` and the code are the same: no module uses another that its
//! row of the table doesn't name.
//!
//! The table is the one whose head begins `| module | may use |`; both columns hold names of the
//! top-level modules of `src/`, in backquotes. `*` is every module. What a row names may be a path
//! (`spool::position`): then only what is below it may be used. A module that stands in no row is a
//! mistake, and so is a row for a module that isn't there.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

mod shares;

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
    table
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

/// The top-level module that a file below `src` belongs to.
fn module_of(file: &Path) -> String {
    let first = file.iter().next().expect("a file has a name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// Every path behind a `crate::` in the code without its tests, as `module::name…`; a list in
/// braces is taken apart.
fn uses(code: &str) -> Vec<String> {
    let code: String = without_tests(code)
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // `some_crate::` and `$crate::` are not ours.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        expand(&mut &code[at + "crate::".len()..], "", &mut found);
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

fn is_allowed(used: &str, module: &str, may_use: &[String]) -> bool {
    let is_within = |path: &str| {
        used == path || used.strip_prefix(path).is_some_and(|rest| rest.starts_with("::"))
    };
    is_within(module) || may_use.iter().any(|path| path == "*" || is_within(path))
}

#[test]
fn every_module_uses_only_what_the_table_of_architecture_md_says() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let text = fs::read_to_string(src.join("ARCHITECTURE.md")).expect("src/ARCHITECTURE.md");
    let table = table(&text);
    assert!(table.len() > 10, "the table was not found, or is not a table: {table:?}");
    let mut mistakes = Vec::new();
    let mut modules = Vec::new();
    for path in sources(&src) {
        let file = path.strip_prefix(&src).expect("below src");
        let module = module_of(file);
        if module == "lib" || module == "main" {
            continue;
        }
        modules.push(module.clone());
        let Some(may_use) = table.get(&module) else {
            mistakes.push(format!("`{module}` is in no row ({})", file.display()));
            continue;
        };
        for used in uses(&fs::read_to_string(&path).expect("a readable file")) {
            if !is_allowed(&used, &module, may_use) {
                mistakes.push(format!("{}: `{module}` may not use `{used}`", file.display()));
            }
        }
    }
    for module in table.keys() {
        if !modules.contains(module) {
            mistakes.push(format!("there is a row for `{module}`, and no such module"));
        }
    }
    mistakes.sort();
    mistakes.dedup();
    assert!(mistakes.is_empty(), "against src/ARCHITECTURE.md:\n{}", mistakes.join("\n"));
}

#[test]
fn only_kafka_names_the_client_library_and_only_the_disk_touches_files() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&src) {
        let file = path.strip_prefix(&src).expect("below src");
        let code = fs::read_to_string(&path).expect("a readable file");
        let code: Vec<_> = without_tests(&code)
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        let names = |word: &str| code.iter().any(|line| line.contains(word));
        let module = module_of(file);
        assert!(!names("rdkafka::") || module == "kafka", "{} names rdkafka", file.display());
        assert!(
            module != "spool" || !names("fs::") || file == Path::new("spool/disk.rs"),
            "{} touches the file system past spool/disk.rs",
            file.display()
        );
    }
}

#[test]
fn a_list_of_uses_is_taken_apart() {
    let code = "use crate::{a::{self, B}, c as d};\npub use crate::e::F; // crate::no\n\
                fn f() -> crate::g::H<'_> {}\nuse other_crate::x;";
    assert_eq!(uses(code), ["a::self", "a::B", "c", "e::F", "g::H"]);
}
