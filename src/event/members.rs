//! The members of an event's data, as decoding met them: for encoders that look at each of them, and would otherwise
//! read the same bytes a second time.
//!
//! They are pieces of the body, and they are handed over only where all of them can be: data that is one JSON object,
//! names without escapes, and `attributes` of the form that lead activities have. An event without them is read from its
//! value, to the same result.

/// The members of a JSON object that is an event's value, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members<'a> {
    pub members: &'a [Member<'a>],
    /// The elements of the one member that is called `attributes` and is an array.
    pub attributes: &'a [Attribute<'a>],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Without its quotes.
    pub name: &'a str,
    pub value: Spelled<'a>,
}

/// An element of `attributes`: an object with these members alone, each at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// A text without escapes.
    pub name: &'a str,
    /// The text, or what is there instead of one, as it is spelled.
    pub data_type: Option<&'a str>,
    pub value: Option<Spelled<'a>>,
}

/// A value of JSON, as it is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spelled<'a> {
    text: &'a str,
    form: Form,
}

/// The meaning of the text of a [`Spelled`] value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The text of a string, which stands between its quotes without escapes.
    Text,
    /// The characters between the quotes of a string, with its escapes.
    Escaped,
    /// A value that is no string, as it is spelled.
    Other,
}

impl<'a> Spelled<'a> {
    /// The value `json`, without white space around it.
    pub fn of(json: &'a str) -> Self {
        let form = match json.as_bytes() {
            [b'"', inner @ .., b'"'] if memchr::memchr(b'\\', inner).is_none() => Form::Text,
            [b'"', .., b'"'] => Form::Escaped,
            _ => Form::Other,
        };
        Self::of_form(json, form)
    }

    /// The value `json`, whose form is known.
    pub fn of_form(json: &'a str, form: Form) -> Self {
        let text = match form {
            Form::Text | Form::Escaped => &json[1..json.len() - 1],
            Form::Other => json,
        };
        Self { text, form }
    }

    /// The string that says `text`, in which JSON escapes nothing.
    pub fn of_text(text: &'a str) -> Self {
        Self { text, form: Form::Text }
    }

    /// The value `json`, which is no string.
    pub const fn other(json: &'a str) -> Self {
        Self { text: json, form: Form::Other }
    }

    pub fn text(self) -> &'a str {
        self.text
    }

    pub fn form(self) -> Form {
        self.form
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_stands_between_its_quotes_or_itself() {
        for (json, text, form) in [
            (r#""a b""#, "a b", Form::Text),
            (r#""""#, "", Form::Text),
            (r#""a\"""#, r#"a\""#, Form::Escaped),
            ("1.50", "1.50", Form::Other),
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#, Form::Other),
            ("null", "null", Form::Other),
        ] {
            let spelled = Spelled::of(json);
            assert_eq!((spelled.text(), spelled.form()), (text, form), "{json}");
        }
    }
}
