//! An identity provider, as tests/front plays it.

#[path = "../front/oauth/provider.rs"]
#[allow(dead_code, reason = "shared with tests/front")]
pub mod provider;
#[path = "../front/oauth/signer.rs"]
#[allow(dead_code, reason = "shared with tests/front")]
pub mod signer;

pub const AUDIENCE: &str = "millrace-of-the-tests";
pub const CLIENT: &str = "marketo-of-the-tests";
