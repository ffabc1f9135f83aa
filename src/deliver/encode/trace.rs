//! The trace of a delivery: its kept W3C Trace Context, passed on unchanged. It is the
//! sender's, or that of the span which the delivery had here (`traces`).
//!
//! It belongs to the delivery, not to the event: an event with a trace of its own has it as the CloudEvents
//! attribute `traceparent`, which is the header `ce_traceparent`, and both may be there. An invalid
//! trace counts as none, and no trace is made up.

/// Limits of a `tracestate` in members and bytes: so much has to be passed on.
const MAX_STATE_MEMBERS: usize = 32;
const MAX_STATE_BYTES: usize = 512;

/// Length of `version-trace-parent-flags` in version 00.
const PARENT_LENGTH: usize = 55;
/// Limit for later versions, which may be longer.
const MAX_PARENT_LENGTH: usize = 256;

/// A valid trace, or empty; keeps its memory from one delivery to the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    parent: String,
    state: String,
}

impl Trace {
    /// Takes the trace from the kept headers of a delivery.
    pub fn read(&mut self, headers: &[(String, String)]) {
        self.parent.clear();
        self.state.clear();
        let value = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let Some(parent) = value("traceparent").filter(|parent| is_parent(parent)) else { return };
        self.parent.push_str(parent);
        // A state without a parent would mean nothing.
        if let Some(state) = value("tracestate").filter(|state| is_state(state)) {
            self.state.push_str(state);
        }
    }

    /// The headers of a record with this trace.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("traceparent", self.parent.as_str()), ("tracestate", self.state.as_str())]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
    }
}

fn is_parent(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < PARENT_LENGTH || bytes.len() > MAX_PARENT_LENGTH || !text.is_ascii() {
        return false;
    }
    let (known, more) = text.split_at(PARENT_LENGTH);
    let mut fields = known.split('-');
    let is_hex = |field: &str, length: usize| {
        field.len() == length
            && field.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let is_id = |field: Option<&str>, length: usize| {
        field.is_some_and(|field| is_hex(field, length) && field.bytes().any(|b| b != b'0'))
    };
    let Some(version) = fields.next().filter(|version| is_hex(version, 2)) else { return false };
    let ids = is_id(fields.next(), 32) && is_id(fields.next(), 16);
    let flags = fields.next().is_some_and(|flags| is_hex(flags, 2));
    // Later versions may have more fields behind those that are known.
    let end = match version {
        "ff" => false,
        "00" => more.is_empty(),
        _ => more.is_empty() || more.starts_with('-') && more.bytes().all(|b| b.is_ascii_graphic()),
    };
    ids && flags && end && fields.next().is_none()
}

fn is_state(text: &str) -> bool {
    let members = text.split(',').map(|member| member.trim_matches([' ', '\t']));
    let mut count = 0;
    for member in members.filter(|member| !member.is_empty()) {
        count += 1;
        let Some((key, value)) = member.split_once('=') else { return false };
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(&b);
        let first =
            key.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let value_is_legal = |b: u8| (b' '..=b'~').contains(&b) && b != b'=';
        if !first || key.len() > 256 || !key.bytes().all(legal) {
            return false;
        }
        if value.is_empty() || value.len() > 256 || !value.bytes().all(value_is_legal) {
            return false;
        }
    }
    (1..=MAX_STATE_MEMBERS).contains(&count) && text.len() <= MAX_STATE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(headers: &[(&str, &str)]) -> Vec<(&'static str, String)> {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mut trace = Trace::default();
        // Leftovers of the delivery before.
        trace.read(&[("traceparent".into(), PARENT.replace('7', "8"))]);
        trace.read(&headers);
        trace.headers().map(|(name, value)| (name, value.to_owned())).collect()
    }

    #[test]
    fn a_valid_trace_is_passed_on_as_it_came() {
        let parent = ("traceparent", PARENT.to_owned());
        assert_eq!(of(&[("traceparent", PARENT)]), std::slice::from_ref(&parent));
        for state in ["congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7, a@b=c d,", "0/x*-_=~"] {
            let passed = of(&[("tracestate", state), ("traceparent", PARENT)]);
            assert_eq!(passed, [parent.clone(), ("tracestate", state.to_owned())]);
        }
        let later = format!("cc{}-what-the-future", &PARENT[2..]);
        assert_eq!(of(&[("traceparent", &later)]), [("traceparent", later.clone())]);
    }

    #[test]
    fn without_a_valid_parent_there_is_nothing() {
        let with = |from: &str, to: &str| PARENT.replacen(from, to, 1);
        for bad in [
            String::new(),
            with("00-", "ff-"),
            with("00-", "0-"),
            with("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            with("b7ad6b7169203331", &"0".repeat(16)),
            with("0af", "0AF"),
            with("0af", "0ag"),
            with("-01", "_01"),
            format!("{PARENT}-more"),
            format!("{PARENT}, {PARENT}"),
            format!("{PARENT}é"),
            format!("cc{}more", &PARENT[2..]),
            format!("cc{}-{}", &PARENT[2..], "x".repeat(300)),
            format!("cc{}-a b", &PARENT[2..]),
        ] {
            assert_eq!(of(&[("traceparent", &bad), ("tracestate", "a=b")]), [], "{bad}");
        }
        assert_eq!(of(&[("tracestate", "a=b")]), []);
        assert_eq!(of(&[]), []);
    }

    #[test]
    fn a_state_that_is_not_valid_is_left_out_and_the_parent_stays() {
        let many: Vec<_> = (0..33).map(|n| format!("k{n}=v")).collect();
        let many = many.join(",");
        let long = format!("k={}", "v".repeat(257));
        let longer = ["k=v"; 200].join(", ");
        for bad in
            ["", ",", "novalue", "A=b", "-a=b", "a=", "a=b=c", "a=\u{7f}", &many, &long, &longer]
        {
            let passed = of(&[("traceparent", PARENT), ("tracestate", bad)]);
            assert_eq!(passed, [("traceparent", PARENT.to_owned())], "{bad}");
        }
    }
}
