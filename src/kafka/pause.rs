//! Pauses partitions of a client of librdkafka's, and resumes them: calls of this program that have no safe wrapper.
//!
//! rdkafka pauses partitions of consumers alone; the library does it for producers as well.

use rdkafka::{
    bindings::{rd_kafka_pause_partitions, rd_kafka_resume_partitions},
    client::{Client, ClientContext},
    topic_partition_list::TopicPartitionList,
};

/// From now on nothing of these partitions is sent. One that the library does not know has nothing to send.
pub(super) fn pause<C: ClientContext>(client: &Client<C>, partitions: &TopicPartitionList) {
    #[allow(
        unsafe_code,
        reason = "librdkafka's function has no safe wrapper, see the module's head"
    )]
    // SAFETY: the client and the list are borrowed, so they are there for the whole call, and the function may be called
    // from any thread. It writes to each partition of the list what came of it, and no other thread has the list: a
    // `TopicPartitionList` is not shared between threads.
    unsafe {
        rd_kafka_pause_partitions(client.native_ptr(), partitions.ptr());
    }
}

/// From now on they are sent again. The threads that do it sleep, and are not woken by it.
pub(super) fn resume<C: ClientContext>(client: &Client<C>, partitions: &TopicPartitionList) {
    #[allow(
        unsafe_code,
        reason = "librdkafka's function has no safe wrapper, see the module's head"
    )]
    // SAFETY: as for `pause`.
    unsafe {
        rd_kafka_resume_partitions(client.native_ptr(), partitions.ptr());
    }
}
