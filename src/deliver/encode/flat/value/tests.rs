use proptest::prelude::*;

use super::*;

fn read(kind: Kind, spelled: &str) -> Option<Value<'_>> {
    let memory = Box::leak(Box::default());
    Value::read(kind, Spelled::of(spelled), Around { memory, time: None })
}

#[test]
fn a_value_of_another_kind_is_no_value_of_the_field() {
    for (kind, spelled) in [
        (Kind::Integer, "1.5"),
        (Kind::Integer, "\"007\""),
        (Kind::Integer, "\"+5\""),
        (Kind::Integer, "1e3"),
        (Kind::Integer, "9223372036854775808"),
        (Kind::Integer, "true"),
        (Kind::Integer, "{}"),
        (Kind::Number, "\"1,5\""),
        (Kind::Number, "1e999"),
        (Kind::Number, "\"1 \""),
        (Kind::Number, "\"NaN\""),
        (Kind::Boolean, "2"),
        (Kind::Boolean, "\"yes\""),
        (Kind::DateTime, "\"2026-03-02 10:00:00\""),
        (Kind::DateTime, "1772445602"),
        (Kind::Date, "\"2026-02-30\""),
        (Kind::Date, "\"2026-03-02T10:00:00Z\""),
        (Kind::Date, "20260302"),
    ] {
        assert_eq!(read(kind, spelled), None, "{kind:?} {spelled}");
    }
}

#[test]
fn a_value_is_read_whether_it_stands_in_quotes_or_not() {
    for (kind, spelled, value) in [
        (Kind::Integer, "4711", Value::Number("4711")),
        (Kind::Integer, "\"-4711\"", Value::Number("-4711")),
        (Kind::Integer, "4711.00", Value::Number("4711")),
        (Kind::Number, "1.50", Value::Number("1.50")),
        (Kind::Number, "\"1.50e2\"", Value::Number("1.50e2")),
        (Kind::Boolean, "\"True\"", Value::Boolean(true)),
        (Kind::Boolean, "0", Value::Boolean(false)),
        (Kind::Date, "\"2026-03-02\"", Value::exact("2026-03-02")),
        (Kind::DateTime, "\"2026-03-02 10:00:00-5:00\"", Value::exact("2026-03-02T10:00:00-05:00")),
        (Kind::Text, "1.50", Value::exact("1.50")),
        (Kind::Text, "\"a\\n\"", Value::Text(Text::Escaped("a\\n"))),
        (Kind::Text, "[1, 2]", Value::Json("[1, 2]")),
        (Kind::Text, "\"\"", Value::exact("")),
        (Kind::Integer, "\"\"", Value::Null),
        (Kind::Boolean, "null", Value::Null),
    ] {
        assert_eq!(read(kind, spelled), Some(value), "{kind:?} {spelled}");
    }
}

#[test]
fn instants_are_whole_milliseconds_or_none() {
    let of = |text| Value::plain(text).unix_millis();
    assert_eq!(of("1970-01-01T01:00:00.001+01:00"), Some(1));
    assert_eq!(of("2026-03-02T10:00:00Z"), Some(1_772_445_600_000));
    assert_eq!(of("2026-03-02T10:00:00.0001Z"), None);
    assert_eq!(of("2026-02-29T10:00:00Z"), None);
    for (text, seconds) in [
        ("2000-02-29T23:59:59Z", 951_868_799),
        ("2100-03-01T00:00:00z", 4_107_542_400),
        ("1969-12-31T23:59:59Z", -1),
        ("0001-01-01T00:00:00Z", -62_135_596_800),
    ] {
        assert_eq!(of(text), Some(seconds * 1000), "{text}");
    }
    assert_eq!(Value::plain("1970-03-01").unix_days(), Some(59));
    assert_eq!(Value::plain("1969-12-31").unix_days(), Some(-1));
    assert_eq!(Value::plain("2026-03-02").unix_days(), Some(20514));
}

proptest! {
    #[test]
    fn a_time_in_whole_seconds_is_the_instant_that_it_is_elsewhere(seconds in -62_135_596_800_i64..253_402_214_400) {
        let instant = jiff::Timestamp::from_second(seconds).unwrap();
        let text = instant.to_string();
        prop_assert_eq!(Value::plain(&text).unix_millis(), Some(seconds * 1000), "{}", text);
    }

    #[test]
    fn the_digits_of_a_number_stay_as_they_are(whole in "-?(0|[1-9][0-9]{0,16})", fraction in "(\\.[0-9]{1,20})?", exponent in "([eE][+-]?[0-9]{1,2})?") {
        let number = format!("{whole}{fraction}{exponent}");
        let quoted = format!("\"{number}\"");
        prop_assert_eq!(read(Kind::Number, &number), Some(Value::Number(&number)));
        prop_assert_eq!(read(Kind::Number, &quoted), Some(Value::Number(&number)));
        let is_whole = exponent.is_empty() && fraction.trim_end_matches('0').len() < 2;
        prop_assert_eq!(read(Kind::Integer, &number), is_whole.then_some(Value::Number(&whole)));
    }

    #[test]
    fn no_text_is_changed(text in ".*") {
        let spelled = serde_json::to_string(&text).unwrap();
        let Some(Value::Text(read)) = read(Kind::Text, &spelled) else { panic!("no text") };
        let memory = Bump::new();
        prop_assert_eq!(read.plain(&memory).unwrap(), text);
    }
}
