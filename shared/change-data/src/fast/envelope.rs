//! What stands around an event: nothing, or the envelope of Kafka Connect's `JsonConverter`, which brings the schema along.
//!
//! The schema is some kilobytes of text, the same in every record until the table changes. So it is not read, but compared with the one
//! before: between the same bytes, a payload means what the full decoder has found that it means there.

/// The bytes around a payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    before: Box<[u8]>,
    behind: Box<[u8]>,
}

impl Envelope {
    /// The envelope of a record whose schema has this text; none where the record is none of two members without white space
    /// between them. `JsonConverter` writes `schema` first; what went through a store of JSON documents has it last.
    ///
    /// A payload that is one whole value makes a record of it in which nothing else is `schema` or `payload`.
    pub(super) fn of(record: &[u8], schema: Option<&str>) -> Option<Self> {
        let schema = schema.unwrap_or("null");
        let forms = [
            (format!(r#"{{"schema":{schema},"payload":"#), "}".to_owned()),
            (r#"{"payload":"#.to_owned(), format!(r#","schema":{schema}}}"#)),
        ];
        forms
            .into_iter()
            .map(|(before, behind)| Self { before: before.into_bytes().into(), behind: behind.into_bytes().into() })
            .find(|envelope| envelope.payload(record).is_some())
    }

    /// The payload of a record in this very envelope.
    #[inline]
    pub(super) fn payload<'r>(&self, record: &'r [u8]) -> Option<&'r [u8]> {
        record.strip_prefix(&*self.before)?.strip_suffix(&*self.behind)
    }
}

#[cfg(test)]
mod tests {
    use super::Envelope;

    #[test]
    fn an_envelope_is_known_again_by_its_bytes() {
        let payload = |learned: &str, schema, record: &'static str| {
            let envelope = Envelope::of(learned.as_bytes(), schema)?;
            Some(envelope.payload(record.as_bytes()).map(|payload| String::from_utf8_lossy(payload).into_owned()))
        };
        let schema = r#"{"type":"struct"}"#;
        let (first, last) =
            (r#"{"schema":{"type":"struct"},"payload":{"a":1}}"#, r#"{"payload":{"a":1},"schema":{"type":"struct"}}"#);
        for record in [first, last] {
            assert_eq!(payload(record, Some(schema), record), Some(Some(r#"{"a":1}"#.to_owned())));
        }
        assert_eq!(payload(first, Some(schema), last), Some(None));
        assert_eq!(payload(first, Some(schema), r#"{"schema":{"type":"string"},"payload":{"a":1}}"#), Some(None));
        let without = r#"{"schema":null,"payload":{}}"#;
        assert_eq!(payload(without, None, without), Some(Some("{}".to_owned())));
        for record in [r#"{"a":1}"#, r#"{"schema": {"type":"struct"}, "payload": {"a":1}}"#, r#"{"payload":{}}"#] {
            assert_eq!(payload(record, Some(schema), record), None, "{record}");
        }
    }
}
