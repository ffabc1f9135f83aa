//! A flat event in Avro's binary form: unions of null and one type, in the order of the schema, and at the end the
//! others as text. A time with a fraction finer than `timestamp-millis` holds is in the others, and so is text that is
//! no Unicode. Only numbers are rounded, to a `double`, as nearly every reader of JSON does.
//!
//! `apache-avro` is not used: it builds a tree of owned values for each record (a `String` for each name and text),
//! resolves it against the schema and then writes it, and brings 26 crates (`decisions/0027-schema-registry.md`). This
//! module writes six forms, and Python's fastavro reads them back in `tests/registry`.

use super::{
    Flat, Kind, Value,
    connect::{Held, held},
    json,
};

/// Appends a flat event to `out`, as the record of [`super::schema::avro`]; `scratch` is for the others.
pub fn write(flat: &Flat<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    let mut writer = Writer(out);
    let mut misfits = json::Misfits::new();
    for (place, (column, value)) in flat.listed().enumerate() {
        let held = value.and_then(|value| {
            let held = held(column, value, flat.memory());
            if held.is_none() {
                misfits.push(place);
            }
            held.map(|held| (held, value))
        });
        match (held, column.is_required) {
            // A required column is the event's own, and always has a value.
            (None | Some((Held::Null, _)), true) => writer.string(""),
            (None | Some((Held::Null, _)), false) => writer.null(),
            (Some((held, value)), is_required) => {
                if !is_required {
                    writer.not_null();
                }
                match held {
                    Held::Moment(number) => writer.long(number),
                    Held::Text(text) => writer.string(text),
                    Held::Null | Held::Same => writer.value(column.kind, value),
                }
            }
        }
    }
    scratch.clear();
    match json::others(flat, &misfits, scratch) {
        false => writer.null(),
        true => {
            writer.not_null();
            writer.string(std::str::from_utf8(scratch).expect("JSON is made of text"));
        }
    }
}

/// Appends values in Avro's binary form.
struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    /// Writes null, the first type of a union.
    fn null(&mut self) {
        self.0.push(0);
    }

    /// Announces a value of a union's second type.
    fn not_null(&mut self) {
        self.0.push(2);
    }

    fn boolean(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    /// Writes an `int` or `long`: zigzag, seven bits a byte, the lowest first.
    fn long(&mut self, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    fn double(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes a value that is no text, of a column of `kind`.
    fn value(&mut self, kind: Kind, value: Value<'_>) {
        match (kind, value) {
            (Kind::Integer, Value::Number(digits)) => self.long(digits.parse().unwrap_or_default()),
            (Kind::Integer, Value::Id(id)) => self.long(id),
            (Kind::Number, Value::Number(digits)) => {
                self.double(digits.parse().unwrap_or_default())
            }
            (_, Value::Boolean(value)) => self.boolean(value),
            (_, Value::Number(text) | Value::Json(text)) => self.string(text),
            (_, Value::Id(id)) => self.string(&id.to_string()),
            (_, Value::Text(_) | Value::Null) => self.string(""),
        }
    }

    fn string(&mut self, text: &str) {
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
        for (value, bytes) in
            [(0, "00"), (-1, "01"), (1, "02"), (-2, "03"), (63, "7e"), (-64, "7f"), (64, "8001")]
        {
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
        assert_eq!(written(|it| it.null()), [0]);
        assert_eq!(
            written(|it| {
                it.not_null();
                it.boolean(true)
            }),
            [2, 1]
        );
    }
}
