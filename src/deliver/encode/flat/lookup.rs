//! Names that stand ready, each with what belongs to it.
//!
//! A table by the length, the first and the last character of a name: it is asked for each field of each event, and its
//! names are the catalogue's, so that a sender has no say in how they are spread.

const PLACES: usize = 256;

/// Values by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lookup<T> {
    /// For each place one more than where its first entry stands; 0 where there is none.
    heads: [u32; PLACES],
    entries: Vec<Entry<T>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry<T> {
    name: Box<str>,
    value: T,
    /// The next one of the same place, as a head says it.
    next: u32,
}

impl<T> Default for Lookup<T> {
    fn default() -> Self {
        Self { heads: [0; PLACES], entries: Vec::new() }
    }
}

fn place(name: &str) -> usize {
    let bytes = name.as_bytes();
    let (first, last) = (bytes.first().copied(), bytes.last().copied());
    let mixed = usize::from(first.unwrap_or(0)) * 7
        + usize::from(last.unwrap_or(0)) * 31
        + bytes.len() * 67;
    mixed % PLACES
}

impl<T> Lookup<T> {
    /// Adds a name. The first of several that are the same is the one that is found.
    pub fn add(&mut self, name: &str, value: T) {
        if self.get(name).is_some() {
            return;
        }
        let head = &mut self.heads[place(name)];
        let next = std::mem::replace(head, self.entries.len() as u32 + 1);
        self.entries.push(Entry { name: name.into(), value, next });
    }

    pub fn get(&self, name: &str) -> Option<&T> {
        let mut at = self.heads[place(name)];
        while let Some(entry) = self.entries.get((at as usize).wrapping_sub(1)) {
            if *entry.name == *name {
                return Some(&entry.value);
            }
            at = entry.next;
        }
        None
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|entry| &mut entry.value)
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        let mut at = self.heads[place(name)] as usize;
        while at > 0 {
            if *self.entries[at - 1].name == *name {
                return Some(&mut self.entries[at - 1].value);
            }
            at = self.entries[at - 1].next as usize;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_own_value_and_the_first_of_two_counts() {
        let mut lookup = Lookup::default();
        let names: Vec<_> = (0..1000).map(|n| format!("a{}b", n * 7919)).collect();
        for (value, name) in names.iter().enumerate() {
            lookup.add(name, value);
            lookup.add(name, usize::MAX);
        }
        for (value, name) in names.iter().enumerate() {
            assert_eq!(lookup.get(name), Some(&value));
            assert_eq!(lookup.get(&name[1..]), None);
        }
        assert_eq!(lookup.get(""), None);
    }
}
