//! Hands a token to a client of librdkafka: a call of this program that has no safe wrapper.
//!
//! rdkafka hands a token over only in its own callback: without extensions, and not to clients of the admin
//! API.

use std::{ffi::CString, os::raw::c_char, ptr, time::UNIX_EPOCH};

use rdkafka::{
    bindings::rd_kafka_oauthbearer_set_token,
    client::{Client, ClientContext},
    error::RDKafkaErrorCode as Code,
};

use super::Token;

/// The token's owner in the library's own log; brokers do not see it.
const PRINCIPAL: &str = "millrace";
/// Size of the buffer for the library's error, which is cut there.
const ERROR_BUFFER_BYTES: usize = 512;

/// Lets `client` authenticate with `token` from now on.
pub(super) fn hand_over<C: ClientContext>(client: &Client<C>, token: &Token) -> Result<(), String> {
    let zero = |_| "the token has a zero byte in it".to_owned();
    let text = CString::new(token.text.expose()).map_err(zero)?;
    let principal = CString::new(PRINCIPAL).map_err(zero)?;
    let flat = token.extensions.iter().flat_map(|(name, value)| [name, value]);
    let texts: Vec<CString> =
        flat.map(|text| CString::new(text.as_str())).collect::<Result<_, _>>().map_err(zero)?;
    let mut extensions: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
    let ends = token.ends.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let ends = i64::try_from(ends).unwrap_or(i64::MAX);
    let mut said = [0 as c_char; ERROR_BUFFER_BYTES];
    #[allow(
        unsafe_code,
        reason = "librdkafka's function has no safe wrapper, see the module's head"
    )]
    // SAFETY: the client is borrowed, so it is there for the whole call, and the function may be called from any
    // thread. Texts end with a zero byte, and they and the array outlive the call, which copies them; none is
    // written to. The size passed for `said` is its length.
    let code = unsafe {
        rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            text.as_ptr(),
            ends,
            principal.as_ptr(),
            if extensions.is_empty() { ptr::null_mut() } else { extensions.as_mut_ptr() },
            extensions.len(),
            said.as_mut_ptr(),
            said.len(),
        )
    };
    match Code::from(code) {
        Code::NoError => Ok(()),
        // The library's text is left out: it may quote the token.
        code => Err(format!("the Kafka client does not take the token: {code}")),
    }
}
