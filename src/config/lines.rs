//! The line of each key in the configuration file. The values come from figment, which keeps no
//! lines; the parser below it does.

use toml_edit::{ImDocument, TableLike};

use super::{layer::PROPERTY_MAPS, written::Lines};

/// Returns the lines of all keys and tables; names of properties in the spelling that they are known by.
pub(super) fn of(text: &str) -> Lines {
    let mut lines = Lines::new();
    if let Ok(document) = ImDocument::parse(text) {
        walk(text, document.as_table(), &mut Vec::new(), &mut lines);
    }
    lines
}

fn walk(text: &str, table: &dyn TableLike, path: &mut Vec<String>, lines: &mut Lines) {
    for (name, item) in table.iter() {
        path.push(name.to_owned());
        let span = table.key(name).and_then(|key| key.span()).or_else(|| item.span());
        if let Some(span) = span {
            let before = &text.as_bytes()[..span.start.min(text.len())];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            lines.entry(known_as(path)).or_insert(line);
        }
        if let Some(table) = item.as_table_like() {
            walk(text, table, path, lines);
        }
        path.pop();
    }
}

/// Returns the known spelling: `kafka.properties.security_protocol` is `kafka.properties."security.protocol"`.
fn known_as(path: &[String]) -> Vec<String> {
    let within =
        |map: &&&[&str]| path.len() > map.len() && path.iter().zip(**map).all(|(a, b)| a == b);
    let Some(map) = PROPERTY_MAPS.iter().find(within) else { return path.to_vec() };
    let (map, name) = path.split_at(map.len());
    let name = name.join(".").to_lowercase().replace('_', ".");
    map.iter().cloned().chain([name]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_key_has_its_line() {
        let text = "a = 1\n[b]\nc.d = 2 # x\n\n\"e\" = { f = 3 }\n[kafka.properties]\nsecurity_protocol = 4\n\
                    [kafka.properties.sasl]\nmechanism = \"\"\"\nx\"\"\"\nusername = 5\n";
        let lines = of(text);
        let line =
            |path: &str| lines.get(&path.split('/').map(String::from).collect::<Vec<_>>()).copied();
        assert_eq!(line("a"), Some(1));
        assert_eq!(line("b"), Some(2));
        assert_eq!(line("b/c/d"), Some(3));
        assert_eq!(line("b/e/f"), Some(5));
        assert_eq!(line("kafka/properties/security.protocol"), Some(7));
        assert_eq!(line("kafka/properties/sasl.mechanism"), Some(9));
        assert_eq!(line("kafka/properties/sasl.username"), Some(11));
        assert_eq!(line("z"), None);
    }
}
