//! A record: exactly what one Kafka message carries, before any client library sees it.

/// Borrowed parts of one Kafka record. The value is never null: on a compacted topic null deletes. The
/// key is null rather than empty where there is none: an empty key is one that all such records share,
/// on one partition, and of which a compacted topic keeps the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub topic: &'a str,
    pub key: Option<&'a [u8]>,
    pub value: &'a [u8],
    /// Names and values in the order in which they are written.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Milliseconds since 1970; without one it is the time at which the client takes the record.
    pub timestamp: Option<i64>,
}

impl Record<'_> {
    /// Bytes of key, value and headers together: what the limits on records and queues count.
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(n, v)| n.len() + v.len()).sum();
        self.key.map_or(0, <[u8]>::len) + self.value.len() + headers
    }
}
