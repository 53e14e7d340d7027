//! Events in an envelope with their schema, as Kafka Connect's `JsonConverter` writes it, and in unusual forms.

use proptest::{prelude::*, sample::select};

use crate::records::{FIELDS, UNKNOWN};

/// The form of a record with a schema and a payload.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Envelope {
    SchemaFirst,
    SchemaLast,
    /// `schemas.enable` with a source that does not have a schema.
    SchemaNull,
    /// No envelope.
    Bare,
    Spaced,
    SchemaTwice,
    OtherSchemaBehind,
    PayloadTwice,
    OneMore,
    WithoutSchema,
    CutShort,
}

impl Envelope {
    /// Mostly forms that sources write.
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            12 => Just(Self::SchemaFirst),
            3 => Just(Self::SchemaLast),
            2 => select(vec![Self::SchemaNull, Self::Bare]),
            2 => select(vec![
                Self::Spaced, Self::SchemaTwice, Self::OtherSchemaBehind, Self::PayloadTwice, Self::OneMore, Self::WithoutSchema,
                Self::CutShort,
            ]),
        ]
    }
}

/// A record with a payload and a schema.
pub(crate) fn enveloped(payload: &[u8], schema: &str, envelope: Envelope) -> Vec<u8> {
    let (before, behind) = match envelope {
        Envelope::SchemaFirst => (format!(r#"{{"schema":{schema},"payload":"#), "}".to_owned()),
        Envelope::SchemaLast => (r#"{"payload":"#.to_owned(), format!(r#","schema":{schema}}}"#)),
        Envelope::SchemaNull => (r#"{"schema":null,"payload":"#.to_owned(), "}".to_owned()),
        Envelope::Bare => (String::new(), String::new()),
        Envelope::Spaced => (format!(r#"{{ "schema": {schema}, "payload": "#), " }".to_owned()),
        Envelope::SchemaTwice => (format!(r#"{{"schema":{{}},"schema":{schema},"payload":"#), "}".to_owned()),
        Envelope::OtherSchemaBehind => (format!(r#"{{"schema":{schema},"payload":"#), r#","schema":{}}"#.to_owned()),
        Envelope::PayloadTwice => (format!(r#"{{"schema":{schema},"payload":1,"payload":"#), "}".to_owned()),
        Envelope::OneMore => (format!(r#"{{"schema":{schema},"payload":"#), r#","headers":[]}"#.to_owned()),
        Envelope::WithoutSchema => (r#"{"payload":"#.to_owned(), "}".to_owned()),
        Envelope::CutShort => (format!(r#"{{"schema":{schema},"payload":"#), String::new()),
    };
    [before.as_bytes(), payload, behind.as_bytes()].concat()
}

/// Types, as a schema writes them.
#[rustfmt::skip]
const LOGICAL: [&str; 29] = [
    r#""type":"string""#, r#""type":"int64""#, r#""type":"double""#, r#""type":"boolean""#, r#""type":"bytes""#,
    r#""type":"int64","name":"io.debezium.time.MicroTimestamp","version":1"#,
    r#""type":"int64","name":"io.debezium.time.Timestamp""#,
    r#""type":"int64","name":"io.debezium.time.NanoTimestamp""#,
    r#""type":"int64","name":"org.apache.kafka.connect.data.Timestamp""#,
    r#""type":"int32","name":"io.debezium.time.Date""#,
    r#""type":"int64","name":"io.debezium.time.MicroTime""#,
    r#""type":"int64","name":"io.debezium.time.MicroDuration""#,
    r#""type":"string","name":"io.debezium.time.ZonedTimestamp""#,
    r#""type":"string","name":"io.debezium.time.ZonedTime""#,
    r#""type":"string","name":"io.debezium.data.Enum","parameters":{"allowed":"a,b"}"#,
    r#""type":"string","name":"io.debezium.data.Json""#,
    r#""type":"bytes","name":"io.debezium.data.Bits","parameters":{"length":"12"}"#,
    r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"8"}"#,
    r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"0"}"#,
    r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"-3"}"#,
    r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"18"}"#,
    r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"19"}"#,
    r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal""#,
    r#""type":"struct","name":"io.debezium.data.VariableScaleDecimal""#,
    r#""type":"struct","name":"io.debezium.data.geometry.Geometry""#,
    r#""type":"array","items":{"type":"bytes"}"#,
    r#""type":"map","values":{"type":"int64","name":"io.debezium.time.MicroTimestamp"}"#,
    r#""type":"struct","fields":[{"type":"bytes","field":"a"}]"#,
    r#""type":7,"name":null"#,
];

pub(crate) fn logical() -> impl Strategy<Value = &'static str> {
    select(LOGICAL.as_slice())
}

/// The part of an event's schema that is read, for these fields.
pub(crate) fn of_fields(fields: &[(&str, &str)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, logical)| format!(r#"{{{logical},"field":"{name}"}}"#)).collect();
    let image = format!(r#""type":"struct","fields":[{}],"optional":true"#, fields.join(","));
    format!(
        r#"{{"type":"struct","fields":[{{{image},"field":"before"}},{{{image},"field":"after"}}],"name":"shop.Envelope"}}"#
    )
}

/// A schema of all or some fields, whose types mostly differ from the values; or one without any fields.
pub(crate) fn schema() -> impl Strategy<Value = String> {
    let of_fields = |logical: Vec<Option<&'static str>>| {
        let fields: Vec<_> =
            FIELDS.iter().zip(logical).filter_map(|(field, logical)| Some((*field, logical?))).collect();
        of_fields(&fields)
    };
    prop_oneof![
        8 => prop::collection::vec(prop::option::of(logical()), UNKNOWN + 1).prop_map(of_fields),
        1 => select(vec!["{}", "[]", "\"text\"", "1", "null", "{\"fields\":[]}", "{\"fields\":7,\"fields\":null}", "{\"a\":"])
            .prop_map(str::to_owned),
    ]
}
