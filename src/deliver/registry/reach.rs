//! The question of `millrace check --connect` to the registry: is it there, does it let this service in, and does it
//! speak Confluent's API. No schema is registered or looked up.

use http::StatusCode;

use super::ask::{Asker, quoted};
use crate::{
    config::SchemaRegistry,
    deliver::schema::Format,
    runtime::fetch::{Answer, ShownUrl},
};

/// The path of the schema languages: a short list in every registry, while that of the subjects has no bound.
const TYPES_PATH: &str = "schemas/types";

/// Asks once, and returns one line for an operator; an error where the operator has to act.
pub fn reach(config: &SchemaRegistry) -> Result<String, String> {
    let asker = Asker::new(config).map_err(|problem| format!("schema registry: {problem}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let answer = runtime.block_on(asker.get(TYPES_PATH));
    // A look-up of a host's name may hang.
    runtime.shutdown_background();
    match answer {
        Ok(answer) => meaning(config, &answer),
        Err(error) => Err(format!(
            "the schema registry does not answer: {error}; check kafka.schema_registry.url, the network, and \
             kafka.schema_registry.ca_file. Topics whose schema has no id wait until it answers"
        )),
    }
}

fn meaning(config: &SchemaRegistry, answer: &Answer) -> Result<String, String> {
    let place = ShownUrl::of(&config.url);
    let code = answer.status.as_u16();
    let said = quoted(&answer.body);
    let says = format!("the schema registry at {place} answers {code}{said}");
    match answer.status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(format!(
                "{says}; check kafka.schema_registry.username and password, token or certificate_file, and what they \
                 may do"
            ));
        }
        StatusCode::NOT_FOUND => {
            return Err(format!(
                "{says}; kafka.schema_registry.url needs the path of Confluent's API, which `/subjects` is below: \
                 Apicurio Registry has it at /apis/ccompat/v7"
            ));
        }
        status if status.is_redirection() => {
            return Err(format!(
                "{says}, and redirects are not followed; set kafka.schema_registry.url to the address that it \
                 redirects to"
            ));
        }
        _ => {
            return Err(format!("{says}; look into its log, or check kafka.schema_registry.url"));
        }
    }
    let Ok(types) = serde_json::from_slice::<Vec<String>>(&answer.body) else {
        return Err(format!(
            "{says}, but not as Confluent's API does; check that `/subjects` is below kafka.schema_registry.url \
             (Apicurio Registry: /apis/ccompat/v7)"
        ));
    };
    let wanted = match config.format {
        Format::JsonSchema => "JSON",
        Format::Avro => "AVRO",
    };
    if !types.iter().any(|known| known == wanted) {
        let format = config.format.as_str();
        return Err(format!(
            "the schema registry at {place} takes no schemas of the type {wanted}, which \
             kafka.schema_registry.format = \"{format}\" needs; choose another format"
        ));
    }
    Ok(format!("schema registry {place} answers, and takes schemas of the type {wanted}"))
}
