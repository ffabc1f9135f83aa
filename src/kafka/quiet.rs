//! The context of a client whose events have no reader: another client reports the cluster's troubles, or the command
//! that asks says them itself. Without it rdkafka logs each error of the library, ten and more a second while no broker
//! answers.

use rdkafka::{
    ClientContext, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError,
};

pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Quiet {}
