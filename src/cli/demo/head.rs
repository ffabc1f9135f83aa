//! The lines at the top of the terminal: the addresses, and the commands that send an event and read along. Each
//! command can be pasted, and each line fits 80 columns.

use std::{fs, io, net::SocketAddr, path::Path};

use super::{
    bridge,
    senders::Endpoints,
    view::{Line, Tone},
};
use crate::sender::generator::munchkin_id;

pub struct Head {
    addresses: Vec<String>,
    /// Words of the command; each stays on one line.
    curl: Vec<String>,
    kcat: Vec<String>,
}

impl Head {
    /// Writes the event into a file of `folder`: as a word of the command it would be longer than a line.
    pub fn write(
        folder: &Path,
        endpoints: &Endpoints,
        admin: SocketAddr,
        bootstrap: &str,
    ) -> io::Result<Self> {
        let file = folder.join("event");
        fs::write(&file, event())?;
        let addresses = vec![
            format!("  Marketo   {}", endpoints.marketo),
            format!("  Adobe I/O {}", endpoints.adobe),
            format!("  console   http://{admin}/"),
        ];
        let curl = vec![
            format!("curl -i {}", endpoints.marketo),
            format!("-H 'Authorization: Bearer {}'", bridge::TOKEN),
            "-H 'Content-Type: application/json'".into(),
            format!("-d @{}", file.display()),
        ];
        let kcat = vec![
            format!("kcat -b {bootstrap} -C"),
            format!("-t {}", topic()),
            "-o beginning".into(),
        ];
        Ok(Self { addresses, curl, kcat })
    }

    pub fn lines(&self, columns: usize) -> Vec<Line> {
        let addresses = self.addresses.iter().map(|line| (Tone::Plain, line.clone()));
        let commands = [&self.curl, &self.kcat].into_iter().flat_map(|it| wrapped(it, columns));
        addresses.chain(commands.map(|line| (Tone::Accent, line))).collect()
    }
}

/// Breaks a command into as few lines as hold its words, which a shell reads as one.
fn wrapped(words: &[String], columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() + " \\".len() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            Some(line) => {
                line.push_str(" \\");
                lines.push(format!("  {word}"));
            }
            None => lines.push(word.clone()),
        }
    }
    lines
}

/// Returns a delivery with one event of a type that the demo itself does not send.
pub fn event() -> String {
    format!(
        r#"{{"munchkinId":"{}","activities":[{{"marketoGUID":"sent-by-hand","leadId":4711,"activityTypeId":46,"activityType":"Interesting Moment","attributes":[]}}]}}"#,
        munchkin_id(0)
    )
}

/// Returns the topic with the most records.
pub fn topic() -> String {
    format!("{}lead-activity.visitwebpage", bridge::TOPIC_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_lines_of_eighty_columns_hold_it_and_every_command_is_whole() {
        let folder = tempfile::Builder::new().prefix("millrace-demo-").tempdir_in("/tmp").unwrap();
        let endpoints = Endpoints::of("127.0.0.1:45678".parse().unwrap());
        let admin = "127.0.0.1:45679".parse().unwrap();
        let head = Head::write(folder.path(), &endpoints, admin, "127.0.0.1:45680").unwrap();
        let lines: Vec<_> = head.lines(80).into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines.len(), 6, "{lines:#?}");
        assert!(lines.iter().all(|line| line.len() <= 80), "{lines:#?}");
        assert!(lines[3].ends_with(" \\") && lines[4].ends_with("/event"), "{lines:#?}");
        assert!(head.lines(300).len() == 5);
    }
}
