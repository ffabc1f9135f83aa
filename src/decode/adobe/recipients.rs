//! Whom a body is meant for, for a caller that has to know it before the body is kept.

use std::borrow::Cow;

use super::layer::{Element, elements, is_observability};
use crate::decode::{Undecodable, json};

/// Whom one event is meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressed<'a> {
    /// Every client id that the event names as its recipient, in either spelling and in any place
    /// of its envelope, each once, at most a few. Empty when there is none; two or more when they
    /// disagree. What is neither text nor a number is as it is spelled in JSON: nobody's id.
    pub recipients: Vec<Cow<'a, str>>,
    /// Whether it is of the observability stream, whose events may name no recipient.
    pub is_observability: bool,
}

/// Whom each event of a body is meant for, in the order in which they stand in it.
///
/// One pass, at most [`MAX_EVENTS`](crate::decode::MAX_EVENTS) events. An error is the one that
/// [`decode`](crate::decode::decode) has for this body: no event of it will ever reach a topic, as
/// none of an element that is no object; those are passed over.
pub fn recipients(body: &[u8]) -> Result<Vec<Addressed<'_>>, Undecodable> {
    Ok(elements(json::text(body)?)?.into_iter().filter_map(addressed).collect())
}

fn addressed<'a>(element: Element<'a>) -> Option<Addressed<'a>> {
    let outermost = element.layer?;
    let is_observability = is_observability(&outermost);
    Some(Addressed { recipients: outermost.recipients.into_vec(), is_observability })
}
