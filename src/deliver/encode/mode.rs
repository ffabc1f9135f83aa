//! Where a record has an event's attributes.

/// The place of an event's attributes in its record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// In its headers: the value is the data alone.
    #[default]
    Binary,
    /// In its value, as JSON, together with the data.
    Structured,
}

impl Mode {
    pub const ALL: [Self; 2] = [Self::Binary, Self::Structured];

    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Structured => "structured",
        }
    }
}
