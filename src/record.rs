//! A record: exactly what one Kafka message carries, before any client library sees it.

/// Borrowed parts of one Kafka record. The value is null only in a tombstone on the topic of lead states: on a
/// compacted topic null deletes. Without a key, the key is null rather than empty: all records with an empty key
/// would share one partition, and a compacted topic would keep the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub topic: &'a str,
    pub key: Option<&'a [u8]>,
    /// `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Names and values in the order in which they are written.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Milliseconds since 1970; `None` is the time at which the client takes the record.
    pub timestamp: Option<i64>,
}

impl Record<'_> {
    /// Returns the bytes of key, value and headers together, which the limits on records and queues count.
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(n, v)| n.len() + v.len()).sum();
        let of = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        of(self.key) + of(self.value) + headers
    }
}
