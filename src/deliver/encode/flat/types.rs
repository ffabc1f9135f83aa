//! Descriptions of activity types, as `GET /rest/v1/activities/types.json` of Marketo's API returns them.

use serde::Deserialize;

use super::value::Kind;

/// A type of activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityType {
    pub id: i64,
    pub name: String,
    /// In the order of the description.
    pub attributes: Vec<AttributeType>,
}

/// An attribute of all activities of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeType {
    pub name: String,
    /// The name by which custom activities also name it.
    pub api_name: Option<String>,
    pub kind: Kind,
}

/// The reason why a text is no description of types.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypesError {
    #[error("is not JSON of the form that Marketo answers with: {0}")]
    NotTypes(String),
    #[error("is an answer that says no: {0}")]
    SaysNo(String),
    #[error("describes activity type {0} twice")]
    Twice(i64),
    #[error(
        "describes more than {MAX_TYPES} types, or more than {MAX_ATTRIBUTES} attributes of one"
    )]
    TooMany,
}

/// Limits: Marketo has fewer than 200 types and at most 100 custom ones of at most 50 attributes.
const MAX_TYPES: usize = 5000;
const MAX_ATTRIBUTES: usize = 500;

#[derive(Deserialize)]
struct Answer {
    success: bool,
    #[serde(default)]
    result: Vec<Described>,
    #[serde(default)]
    errors: Vec<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Described {
    id: i64,
    name: String,
    #[serde(default)]
    attributes: Vec<DescribedAttribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribedAttribute {
    name: String,
    api_name: Option<String>,
    data_type: String,
}

/// Reads an answer of `GET /rest/v1/activities/types.json`.
pub fn read(text: &str) -> Result<Vec<ActivityType>, TypesError> {
    let answer: Answer =
        serde_json::from_str(text).map_err(|error| TypesError::NotTypes(error.to_string()))?;
    if !answer.success {
        let messages: Vec<_> = answer.errors.into_iter().map(|error| error.message).collect();
        return Err(TypesError::SaysNo(messages.join("; ").chars().take(200).collect()));
    }
    let is_large = |described: &Described| described.attributes.len() > MAX_ATTRIBUTES;
    if answer.result.len() > MAX_TYPES || answer.result.iter().any(is_large) {
        return Err(TypesError::TooMany);
    }
    let mut types = Vec::with_capacity(answer.result.len());
    for Described { id, name, attributes } in answer.result {
        if types.iter().any(|known: &ActivityType| known.id == id) {
            return Err(TypesError::Twice(id));
        }
        let attribute = |described: DescribedAttribute| AttributeType {
            kind: Kind::of_data_type(&described.data_type),
            name: described.name,
            api_name: described.api_name,
        };
        types.push(ActivityType {
            id,
            name,
            attributes: attributes.into_iter().map(attribute).collect(),
        });
    }
    Ok(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_marketo_is_read() {
        let text = r#"{"requestId":"6e78#148ad3b76f1","success":true,"result":[
            {"id":2,"name":"Fill Out Form","description":"x","primaryAttribute":{"name":"Webform ID","dataType":"integer"},
             "attributes":[{"name":"Client IP Address","dataType":"string"},{"name":"Webpage ID","dataType":"integer"}]},
            {"id":100001,"apiName":"attendedWebinar_c","name":"Attended Webinar",
             "attributes":[{"apiName":"minutes","name":"Minutes there","dataType":"integer"}]},
            {"id":7,"name":"Email Delivered"}]}"#;
        let types = read(text).unwrap();
        let of = |name: &str, api_name: Option<&str>, kind| AttributeType {
            name: name.into(),
            api_name: api_name.map(Into::into),
            kind,
        };
        assert_eq!(types.iter().map(|it| it.id).collect::<Vec<_>>(), [2, 100_001, 7]);
        assert_eq!(types[0].attributes[1], of("Webpage ID", None, Kind::Integer));
        assert_eq!(types[1].attributes, [of("Minutes there", Some("minutes"), Kind::Integer)]);
        assert_eq!(types[2].attributes, []);
    }

    #[test]
    fn what_is_no_answer_says_why() {
        let no = r#"{"success":false,"errors":[{"code":"601","message":"Access token invalid"}]}"#;
        assert_eq!(read(no), Err(TypesError::SaysNo("Access token invalid".into())));
        let twice = r#"{"success":true,"result":[{"id":2,"name":"a"},{"id":2,"name":"b"}]}"#;
        assert_eq!(read(twice), Err(TypesError::Twice(2)));
        for text in ["", "[]", r#"{"success":true,"result":[{"id":"2","name":"a"}]}"#] {
            assert!(matches!(read(text), Err(TypesError::NotTypes(_))), "{text}");
        }
    }
}
