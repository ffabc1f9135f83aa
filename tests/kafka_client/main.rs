//! The Kafka client against librdkafka's in-process cluster.
//!
//! - `order`: nothing lost, nothing twice, in order, whatever the cluster answers
//! - `outage`: the cluster goes and comes back
//! - `renewal`: purged and renewed producers; one outcome for every record
//! - `failures`: what is refused, what may pass
//! - `records`: what a record looks like to a consumer, and which partition it is on
//! - `topics`: the directory of topics
//! - `watched`: what metrics show of a producer
//! - `asking`: the probe and the reader

mod asking;
mod failures;
mod order;
mod outage;
mod records;
mod renewal;
mod rig;
mod topics;
mod watched;
