//! Reads the keys of new objects from events of S3.

use std::collections::BTreeSet;

use shiftwork_protocol::{
    Failure, FailureKind,
    s3_event::{self, ObjectChange},
};

/// The keys of the new objects in a message, without duplicates, and the failure of the first record that is not valid or is
/// about another bucket. Such a record does not affect the others.
///
/// # Errors
/// [`FailureKind::InvalidRequest`] if the message is not an event of S3. Such a message, and a message with such a record, fails
/// again in every attempt, and SQS moves it to the dead-letter queue.
pub(crate) fn keys(message: &str, bucket: &str) -> Result<(BTreeSet<String>, Result<(), Failure>), Failure> {
    let events = s3_event::read(&s3_event::message(message)?)?;
    let events = events.ok_or_else(|| {
        unreadable("the message is not an event of S3, neither from EventBridge nor from a notification of the bucket")
    })?;
    let mut unreadable_record = events.all_readable();
    let mut keys = BTreeSet::new();
    for event in events.readable {
        if event.bucket != bucket {
            let failure = unreadable(format!(
                "the event is about bucket `{}`, but this function processes bucket `{bucket}`: send the event to the \
                 deployment for its bucket",
                event.bucket
            ));
            unreadable_record = unreadable_record.and(Err(failure));
            continue;
        }
        match event.change {
            ObjectChange::Created { .. } => keys.insert(event.key),
            ObjectChange::Deleted { .. } => false,
        };
    }
    Ok((keys, unreadable_record))
}

fn unreadable(words: impl Into<String>) -> Failure {
    Failure::new(FailureKind::InvalidRequest, words)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const BUCKET: &str = "amzn-s3-demo-documents";

    fn sample(name: &str) -> String {
        let path = format!("{}/../../events/metadata-fixer/{name}.json", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    }

    /// The body of the first message in an event of SQS.
    fn body(name: &str) -> String {
        let event: Value = serde_json::from_str(&sample(name)).unwrap();
        event["Records"][0]["body"].as_str().unwrap().to_owned()
    }

    fn record(event_name: &str, key: &str) -> Value {
        json!({ "eventSource": "aws:s3", "eventName": event_name, "eventTime": "2026-03-01T02:00:00Z",
            "s3": { "bucket": { "name": BUCKET }, "object": { "key": key } } })
    }

    #[test]
    fn every_form_of_an_event_has_its_key() {
        let wanted = BTreeSet::from(["handbook/Über uns/faq+1.pdf.meta.json".to_owned()]);
        assert_eq!(keys(&sample("eventbridge"), BUCKET), Ok((wanted.clone(), Ok(()))));
        for name in ["sqs-eventbridge", "sqs-s3", "sqs-sns-s3", "sqs-sns-raw"] {
            assert_eq!(keys(&body(name), BUCKET), Ok((wanted.clone(), Ok(()))), "{name}");
        }
    }

    #[test]
    fn only_new_objects_have_keys() {
        let records = [
            ("ObjectCreated:Put", "a"),
            ("s3:ObjectCreated:Put", "b"),
            ("ObjectRemoved:Delete", "c"),
            ("ObjectCreated:Copy", "a"),
        ];
        let event = json!({ "Records": records.map(|(name, key)| record(name, key)) });
        assert_eq!(keys(&event.to_string(), BUCKET), Ok((BTreeSet::from(["a".to_owned(), "b".to_owned()]), Ok(()))));
        assert_eq!(keys(&body("sqs-s3-test"), BUCKET), Ok((BTreeSet::new(), Ok(()))));
    }

    #[test]
    fn a_record_that_is_not_valid_does_not_affect_the_others() {
        let event = json!({ "Records": [{ "eventSource": "aws:ses" }, record("ObjectCreated:Put", "a")] });
        let (keys, unreadable) = keys(&event.to_string(), BUCKET).unwrap();
        assert_eq!(keys, BTreeSet::from(["a".to_owned()]));
        assert!(unreadable.unwrap_err().message.contains("record 0"));
    }

    #[test]
    fn an_invalid_message_is_an_error_with_the_reason() {
        let other = json!({ "source": "aws.s3", "detail-type": "Object Created", "time": "2026-03-01T02:00:00Z",
            "detail": { "bucket": { "name": "other" }, "object": { "key": "a" } } });
        for (message, words) in [
            ("{", "not JSON"),
            ("{}", "not an event of S3"),
            (&other.to_string(), "bucket `other`"),
            (r#"{"Records": [{"eventSource": "aws:sqs"}]}"#, "not an event of S3"),
        ] {
            let failure = keys(message, BUCKET).and_then(|(_, unreadable)| unreadable).unwrap_err();
            assert_eq!(failure.kind, FailureKind::InvalidRequest);
            assert!(failure.message.contains(words), "{message}: {failure}");
        }
    }
}
