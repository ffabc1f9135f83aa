//! Rules on fields: in a tenth of the histories each event has a member that no reader may see, and the rule drops it,
//! masks it or signs it. What a record must have instead is told by a rule of its own. In some events no rule can be
//! applied: they become pointers to the quarantine, and so does what is no event at all.
//!
//! What is drawn for it comes from a random stream of its own, and the other histories stay what they are without it.

use fastrand::Rng;
use millrace::deliver::decode::{
    Fields,
    fields::{Action, Encoding, HmacKey, MASK, Rule, Target, TypePattern},
};

use crate::history::History;

/// What stands in each value that no reader may see.
const CANARY: &str = "canary-";
const KEY: [u8; 32] = [7; 32];

pub struct Ruled {
    random: Rng,
    action: Action,
    values: u64,
}

/// A member of an event, with what stands behind it.
pub struct Member {
    /// As the sender writes it.
    pub sent: String,
    /// As records have it. `None`: no rule can be applied to the event.
    pub ruled: Option<String>,
}

impl History {
    /// Not drawn, so that the other seeds go on meaning what they meant.
    pub fn with_fields(mut self, seed: u64) -> Self {
        if seed % 10 == 8 {
            self.is_ruled(Ruled::new(seed));
        }
        self
    }
}

impl Ruled {
    pub fn new(seed: u64) -> Self {
        let action = match seed / 10 % 3 {
            0 => Action::Drop,
            1 => Action::Mask,
            _ => Action::Hmac(HmacKey::new(&KEY).expect("a key"), Encoding::Hex),
        };
        Self { random: Rng::with_seed(seed ^ 6), action, values: 0 }
    }

    /// The rules: on the member, and on what a lead's attribute has changed to.
    pub fn fields(&self) -> Fields {
        let rule = |name: &str, types, action| Rule {
            name: name.to_owned(),
            target: Target::attribute(name).expect("a name"),
            sources: Vec::new(),
            types,
            action,
        };
        let changes = TypePattern::new("changedatavalue").expect("a pattern");
        Fields::new(vec![
            rule("New Value", vec![changes], Action::Mask),
            rule("secret", Vec::new(), self.action.clone()),
        ])
    }

    /// The member of one more event.
    pub fn member(&mut self) -> Member {
        self.values += 1;
        let value = format!("{CANARY}{}", self.values);
        if self.random.u8(..20) == 0 {
            // Attributes that are text: whether the field is in it cannot be told.
            return Member { sent: format!(r#""attributes":"secret {value}","#), ruled: None };
        }
        let is = |value: &str| format!(r#""secret":"{value}","#);
        let ruled = match self.action {
            Action::Drop => String::new(),
            Action::Mask => is(MASK),
            Action::Hmac(..) => is(&signed(&value)),
        };
        Member { sent: is(&value), ruled: Some(ruled) }
    }
}

/// As `openssl dgst -sha256 -hmac` prints it.
fn signed(text: &str) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &KEY);
    let tag = aws_lc_rs::hmac::sign(&key, text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Nothing that leaves has the value, wherever it stands.
#[track_caller]
pub fn is_clean(what: &str, bytes: &[u8]) {
    let found = memchr::memmem::find(bytes, CANARY.as_bytes());
    assert!(found.is_none(), "{what} has what a rule hides: {}", String::from_utf8_lossy(bytes));
}
