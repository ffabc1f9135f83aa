//! The headers of a record, collected without taking memory.

/// A list of headers; it takes memory only for an event with unusually many.
#[derive(Debug, Default)]
pub(super) struct Headers<'b> {
    few: [(&'b str, &'b [u8]); 16],
    used: usize,
    many: Vec<(&'b str, &'b [u8])>,
}

impl<'b> Headers<'b> {
    pub(super) fn add(&mut self, name: &'b str, value: &'b str) {
        self.add_bytes(name, value.as_bytes());
    }

    pub(super) fn add_bytes(&mut self, name: &'b str, value: &'b [u8]) {
        let header = (name, value);
        if let Some(place) = self.few.get_mut(self.used) {
            *place = header;
            self.used += 1;
        } else {
            if self.many.is_empty() {
                self.many.extend_from_slice(&self.few);
            }
            self.many.push(header);
        }
    }

    pub(super) fn add_some(&mut self, name: &'b str, value: Option<&'b str>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    pub(super) fn as_slice(&self) -> &[(&'b str, &'b [u8])] {
        if self.many.is_empty() { &self.few[..self.used] } else { &self.many }
    }
}
