//! Access of a client: its session and its permissions.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Access {
    pub needs_token: bool,
    pub signed_in: bool,
    pub may_change: bool,
    pub has_tokens: bool,
    pub bodies: bool,
    pub console: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Session {
    pub access: Access,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Problem {
    pub error: String,
    pub text: String,
}
