//! The envelope of Kafka Connect's `JsonConverter`, which contains the schema of the event.
//!
//! The schema is a text of several kilobytes that is the same in every record until the table changes. So it is not parsed, but compared
//! with the one of the event before. If the bytes are the same, the payload has the schema that the full decoder has read.

/// The bytes around a payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    before: Box<[u8]>,
    behind: Box<[u8]>,
}

impl Envelope {
    /// The envelope of a record whose schema has this text. `None` if the record has other members, or white space between its members.
    /// `JsonConverter` writes `schema` first; a record that was stored as a JSON document may have it last.
    ///
    /// If the payload is one complete value, the record has no other member `schema` or `payload`.
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

    /// The payload of a record, if its envelope has the same bytes.
    #[inline]
    pub(super) fn payload<'r>(&self, record: &'r [u8]) -> Option<&'r [u8]> {
        record.strip_prefix(&*self.before)?.strip_suffix(&*self.behind)
    }
}

#[cfg(test)]
mod tests {
    use super::Envelope;

    #[test]
    fn an_envelope_is_recognized_by_its_bytes() {
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
