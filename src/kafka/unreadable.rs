//! Batches of records that a consumer cannot read, or had better not: what they cost is bounded, and a reader finds out
//! where such a batch ends.
//!
//! A record of a few KB may be many MB once it is decompressed, and other programs write to a topic too. The library holds
//! all that one answer of a broker has, and limits each batch to `receive.message.max.bytes` once it is decompressed
//! (zstd). So an answer is small here: a broker always gives one whole batch, and little more. A batch that is beyond
//! the limit is fetched again and again, without an end and without a word which one it is.
//!
//! The library has no limit for gzip, lz4 and snappy: such a batch, of which a topic takes 1 MB, costs what it inflates
//! to, a few batches at a time.

use std::{
    fmt,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode as Code},
};

/// Bytes of one answer of a broker, where its first batch has no more.
const ANSWER_BYTES: &str = "16384";
/// Memory for records that were fetched ahead of their reader.
const FETCHED_KIB: &str = "4096";
/// Milliseconds until a partition whose records fill that memory is asked for more.
const FULL_MS: &str = "10";
/// The library takes no larger one.
const LARGEST_LIMIT: usize = 1 << 30;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(50);
/// Events of a consumer that are discarded at most before it looks at one place.
const MAX_STALE: usize = 10_000;
/// Offsets that are tried one by one before the steps double: no whole batch between two bad ones is overlooked until then.
const SINGLE_STEPS: u32 = 16;

/// Records that were passed by: those from `offset` on, before `next`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub next: i64,
    /// The largest batch that is read, in bytes.
    pub limit: usize,
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, offset, next, limit } = self;
        write!(f, "{topic} partition {partition} offset {offset}")?;
        if next - offset > 1 {
            write!(f, " to {}", next - 1)?;
        }
        write!(
            f,
            ": cannot be read, and is passed by: it cannot be decompressed, or is larger than {} MiB once it is",
            limit.div_ceil(1 << 20)
        )
    }
}

/// A place in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

/// Limits what the records of others cost a consumer: a batch has `most` bytes once it is decompressed.
pub(super) fn bound(native: &mut ClientConfig, most: usize) {
    native
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", FETCHED_KIB)
        .set("fetch.queue.backoff.ms", FULL_MS)
        .set("message.max.bytes", ANSWER_BYTES)
        .set("fetch.max.bytes", ANSWER_BYTES)
        .set("max.partition.fetch.bytes", ANSWER_BYTES)
        .set("receive.message.max.bytes", most.min(LARGEST_LIMIT).to_string());
}

/// Whether a batch of records is there that the library cannot take apart.
pub(super) fn is_unreadable(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        matches!(code, Code::BadCompression | Code::BadMessage | Code::NotImplemented)
    })
}

/// Finds those of `places` at which a batch stands that cannot be read, and the offset behind it. The consumer has another
/// assignment afterwards, or none.
pub(super) fn find<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    places: Vec<Place>,
) -> Result<Vec<(Place, i64)>, KafkaError> {
    consumer.unassign()?;
    // Complaints of an earlier connection are about no place.
    for _ in 0..MAX_STALE {
        if consumer.poll(Duration::ZERO).is_none() {
            break;
        }
    }
    let mut found = Vec::new();
    for place in places {
        let (_, end) = consumer.fetch_watermarks(&place.topic, place.partition, ANSWER_WITHIN)?;
        if place.offset < end && is_unreadable_at(consumer, &place, place.offset)? {
            let next = behind(consumer, &place, end)?;
            found.push((place, next));
        }
    }
    Ok(found)
}

/// Returns the first offset behind the batch at `place` from which on something can be read, or `end`.
fn behind<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    place: &Place,
    end: i64,
) -> Result<i64, KafkaError> {
    let is_bad =
        |offset| Ok::<_, KafkaError>(offset < end && is_unreadable_at(consumer, place, offset)?);
    let (mut bad, mut step, mut steps) = (place.offset, 1, 0);
    let mut good = loop {
        let next = end.min(bad + step);
        if !is_bad(next)? {
            break next;
        }
        (bad, steps) = (next, steps + 1);
        if steps >= SINGLE_STEPS {
            step *= 2;
        }
    };
    while good - bad > 1 {
        let middle = bad + (good - bad) / 2;
        match is_bad(middle)? {
            true => bad = middle,
            false => good = middle,
        }
    }
    Ok(good)
}

/// Whether the first thing that there is to be read from `offset` on cannot be read.
fn is_unreadable_at<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    place: &Place,
    offset: i64,
) -> Result<bool, KafkaError> {
    let mut only = TopicPartitionList::new();
    only.add_partition_offset(&place.topic, place.partition, Offset::Offset(offset))?;
    consumer.assign(&only)?;
    let until = Instant::now() + ANSWER_WITHIN;
    while Instant::now() < until {
        match consumer.poll(TICK) {
            Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => return Ok(false),
            Some(Err(error)) if is_unreadable(&error) => return Ok(true),
            Some(Err(_)) | None => {}
        }
    }
    Err(KafkaError::MessageConsumption(Code::OperationTimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_by_has_its_place_in_words() {
        let passed = |next| Passed {
            topic: "m.dead-letter".into(),
            partition: 2,
            offset: 7,
            next,
            limit: 8 << 20,
        };
        let why = ": cannot be read, and is passed by: it cannot be decompressed, or is larger than 8 MiB once it is";
        assert_eq!(passed(8).to_string(), format!("m.dead-letter partition 2 offset 7{why}"));
        assert_eq!(
            passed(12).to_string(),
            format!("m.dead-letter partition 2 offset 7 to 11{why}")
        );
    }
}
