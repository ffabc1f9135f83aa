//! Avro's binary form of a record, as far as flat values need it: unions of null and one type, in the order of the
//! schema.
//!
//! `apache-avro` is not used: it builds a tree of owned values for each record (a `String` for each name and text),
//! resolves it against the schema and then writes it, and brings sixteen crates. What is written here is six forms, and
//! Python's fastavro reads them back in `tests/registry`.

/// Writes values one behind the other.
pub(super) struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    /// A null of a union that begins with null.
    pub fn null(&mut self) {
        self.0.push(0);
    }

    /// What follows is a value of a union's second type.
    pub fn not_null(&mut self) {
        self.0.push(2);
    }

    pub fn boolean(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    /// `int` and `long`: zigzag, seven bits a byte, the lowest first.
    pub fn long(&mut self, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    pub fn double(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn string(&mut self, text: &str) {
        self.long(text.len() as i64);
        self.0.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut Writer(&mut bytes));
        bytes
    }

    #[test]
    fn numbers_are_written_as_the_specification_has_them() {
        for (value, bytes) in [(0, "00"), (-1, "01"), (1, "02"), (-2, "03"), (63, "7e"), (-64, "7f"), (64, "8001")] {
            let hex: String =
                written(|it| it.long(value)).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, bytes, "{value}");
        }
        assert_eq!(written(|it| it.long(i64::MAX)).len(), 10);
        assert_eq!(written(|it| it.long(i64::MIN)).len(), 10);
        assert_eq!(written(|it| it.double(1.0)), 1.0_f64.to_le_bytes());
    }

    #[test]
    fn a_text_has_its_length_in_bytes_before_it() {
        assert_eq!(written(|it| it.string("foo")), [6, b'f', b'o', b'o']);
        assert_eq!(written(|it| it.string("ü")), [4, 0xc3, 0xbc]);
    }

    #[test]
    fn a_union_says_first_which_of_its_types_comes() {
        assert_eq!(written(Writer::null), [0]);
        assert_eq!(written(|it| { it.not_null(); it.boolean(true) }), [2, 1]);
    }
}
