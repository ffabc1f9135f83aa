//! A parser of server-sent events that arrive in pieces.

/// One complete event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub data: String,
}

/// Bytes of one event. The service sends less; a longer event ends the stream with an error.
const MAX_EVENT_BYTES: usize = 32 * 1024 * 1024;

/// Puts the pieces of a stream together.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Adds a piece, and passes each event that ends in it to `see`; an error where the stream is no stream of events.
    pub fn push(&mut self, piece: &[u8], see: &mut dyn FnMut(Event)) -> Result<(), String> {
        for byte in piece {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.line(String::from_utf8_lossy(&line).trim_end_matches('\r'), see);
            } else {
                self.line.push(*byte);
            }
            if self.line.len() + self.event.data.len() > MAX_EVENT_BYTES {
                return Err("the admin listener sends an event without an end".into());
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &str, see: &mut dyn FnMut(Event)) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                see(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // A comment keeps the connection open; ids are in the data.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_they_are_cut() {
        let text = ": hello\n\nevent: delivery\nid: 7\ndata: {\"number\":7}\n\ndata: a\r\ndata: b\r\n\r\nevent: half";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut seen = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                parser.push(piece, &mut |event| seen.push(event)).unwrap();
            }
            let event = |name: &str, data: &str| Event { name: name.into(), data: data.into() };
            assert_eq!(seen, [event("delivery", "{\"number\":7}"), event("", "a\nb")], "{size}");
        }
    }
}
