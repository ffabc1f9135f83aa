//! `millrace --version --verbose`: the exact parts of this build, for a report of a fault.

use crate::kafka;

/// Whether `arguments` ask for more than the version number.
pub(super) fn is_verbose(arguments: &[std::ffi::OsString]) -> bool {
    let arguments = arguments.iter().filter_map(|argument| argument.to_str());
    let is_short = |text: &str| {
        text.strip_prefix('-').is_some_and(|letters| {
            letters.contains('v') && letters.chars().all(|letter| "vV".contains(letter))
        })
    };
    arguments.into_iter().any(|argument| argument == "--verbose" || is_short(argument))
}

pub(super) fn verbose() -> String {
    let openssl = match env!("BUILD_OPENSSL") {
        "" => "unknown",
        version => version,
    };
    let from = match cfg!(feature = "openssl-vendored") {
        true => "built in",
        false => "the system's; this is the version that it was built against",
    };
    let features = match cfg!(feature = "openssl-vendored") {
        true => "openssl-vendored",
        false => "none",
    };
    format!(
        "millrace {}\ncommit: {}\nlibrdkafka: {}\nOpenSSL: {openssl} ({from}; for connections to Kafka)\n\
         features: {features}\ntarget: {}\nbuild: {}\n",
        env!("CARGO_PKG_VERSION"),
        env!("BUILD_COMMIT"),
        kafka::library_version(),
        env!("BUILD_TARGET"),
        env!("BUILD_PROFILE"),
    )
}
