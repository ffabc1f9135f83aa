//! The recipients of events that come by other ways than the webhook: a replay, a backfill.

use std::collections::HashSet;

use crate::{config::SourceConfig, source::SourceKind};

/// Returns the client ids that an event of `source` may name; `None` where events name no recipient. Events in
/// the journal may name the credential that reads it.
pub(crate) fn client_ids(source: &SourceConfig) -> Option<HashSet<String>> {
    if source.kind != SourceKind::AdobeIo {
        return None;
    }
    let webhook = source.auth.adobe.iter().flat_map(|adobe| adobe.client_ids.iter().cloned());
    let journal = source.journal.iter().map(|journal| journal.client_id.clone());
    Some(webhook.chain(journal).collect())
}
