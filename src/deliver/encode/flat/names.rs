//! Names of fields that were made a moment ago: the same attributes come again and again, and each would be brought
//! into [snake case](snake) once more.

use super::name::snake;

const PLACES: usize = 256;

/// Longer names of senders are made each time.
const LONGEST: usize = 96;

/// Made names, of each place the last one: so much memory, whatever senders write.
#[derive(Debug)]
pub(super) struct Names(Box<[Made]>);

#[derive(Clone, Debug, Default)]
struct Made {
    written: String,
    name: String,
}

impl Default for Names {
    fn default() -> Self {
        Self(vec![Made::default(); PLACES].into())
    }
}

impl Names {
    /// Writes the field's name for the sender's name `written` behind what is in `out`.
    pub fn write(&mut self, written: &str, out: &mut String) {
        if written.len() > LONGEST || written.is_empty() {
            return snake(written, out);
        }
        let made = &mut self.0[place(written)];
        if made.written != written {
            made.written.clear();
            made.written.push_str(written);
            made.name.clear();
            snake(written, &mut made.name);
        }
        out.push_str(&made.name);
    }
}

fn place(name: &str) -> usize {
    let bytes = name.as_bytes();
    let ends = match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_be_bytes(*last),
        _ => bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    // The upper bits depend on all of the lower ones.
    let mixed = (ends ^ bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_is_the_one_that_is_made_each_time(written in prop::collection::vec(".{0,3}|[A-Za-z ]{5,120}", 1..20)) {
            let mut names = Names::default();
            for _ in 0..2 {
                for written in &written {
                    let (mut cached, mut made) = ("before".to_owned(), "before".to_owned());
                    names.write(written, &mut cached);
                    snake(written, &mut made);
                    prop_assert_eq!(cached, made);
                }
            }
        }
    }
}
