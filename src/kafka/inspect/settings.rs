//! The settings of topics, as the cluster has them.

use std::{collections::HashMap, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    config::RDKafkaLogLevel,
    error::RDKafkaErrorCode as Code,
};

use crate::{
    config,
    kafka::{errors, login::Given, properties, quiet::Quiet},
};

/// A topic's settings in effect, under Kafka's own names.
pub type Settings = HashMap<String, String>;

/// The reason why a topic's settings are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoSettings {
    /// The broker that was asked does not know the topic.
    NotThereYet,
    Because(String),
}

/// Returns the settings of each of `names`.
pub fn settings(
    kafka: &config::Kafka,
    names: &[String],
    patience: Duration,
) -> HashMap<String, Result<Settings, NoSettings>> {
    let because = |why: &str| Err(NoSettings::Because(why.to_owned()));
    let all = |why: &str| names.iter().map(|name| (name.clone(), because(why))).collect();
    if names.is_empty() {
        return HashMap::new();
    }
    let mut native = properties::client(kafka);
    native.set_log_level(RDKafkaLogLevel::Emerg);
    let admin: AdminClient<Quiet> = match native.create_with_context(Quiet) {
        Ok(admin) => admin,
        Err(error) => return all(&properties::describe(&error)),
    };
    if let Err(problem) = Given::to_client_of(kafka).first(admin.inner()) {
        return all(&problem);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => return all(&error.to_string()),
    };
    let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let options = AdminOptions::new().request_timeout(Some(patience));
    let described = match runtime.block_on(admin.describe_configs(&resources, &options)) {
        Ok(described) => described,
        Err(error) => return all(&properties::describe(&error)),
    };
    let read = |described: Result<rdkafka::admin::ConfigResource, Code>| match described {
        Ok(resource) => {
            let entries = resource.entries.into_iter();
            Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
        }
        Err(Code::TopicAuthorizationFailed) => because("the principal needs DescribeConfigs on it"),
        Err(code) if errors::is_missing_topic(code) => Err(NoSettings::NotThereYet),
        Err(code) => because(&code.to_string()),
    };
    names.iter().cloned().zip(described.into_iter().map(read)).collect()
}
