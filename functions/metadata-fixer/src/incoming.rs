//! What S3 says of new files, on whichever way it came: EventBridge, a queue, a topic with a queue behind it.

use std::collections::BTreeSet;

use serde_json::Value;
use shiftwork_protocol::{Failure, FailureKind};

/// A topic may have a topic's message in it; nobody sends more layers than this.
const LAYERS: usize = 3;

/// The keys of new files of one bucket that a message speaks of, each once. A message may say nothing of interest: S3's test
/// when notifications are switched on, a file that was deleted.
///
/// # Errors
/// The message is no event of S3, or is about another bucket: trying again changes nothing, so it ends in the dead-letter
/// queue.
pub(crate) fn keys(message: &str, bucket: &str) -> Result<BTreeSet<String>, Failure> {
    let mut event: Value = serde_json::from_str(message).map_err(|error| unreadable(&format!("no JSON: {error}")))?;
    for _ in 0..LAYERS {
        if let Some(detail_type) = event["detail-type"].as_str() {
            let key = one(&event["detail"], bucket, &event["detail"]["object"]["key"])?;
            return Ok((detail_type == "Object Created").then_some(key).into_iter().collect());
        }
        if event["Event"] == "s3:TestEvent" {
            return Ok(BTreeSet::new());
        }
        if let Some(records) = event["Records"].as_array() {
            return records.iter().filter_map(|record| of_record(record, bucket)).collect();
        }
        // SNS puts the notification as text into an envelope of its own.
        let Some(inner) = event["Message"].as_str() else { break };
        event =
            serde_json::from_str(inner).map_err(|error| unreadable(&format!("no JSON inside of SNS's: {error}")))?;
    }
    Err(unreadable("neither EventBridge's event of S3, nor S3's own notification"))
}

fn of_record(record: &Value, bucket: &str) -> Option<Result<String, Failure>> {
    let name = record["eventName"].as_str().unwrap_or_default();
    if record["eventSource"] != "aws:s3" {
        return Some(Err(unreadable("a record that is not S3's")));
    }
    if !name.starts_with("ObjectCreated:") {
        return None;
    }
    let key = record["s3"]["object"]["key"].as_str().and_then(decoded);
    Some(match key {
        Some(key) => one(&record["s3"], bucket, &Value::from(key)),
        None => Err(unreadable("the key of a record does not read")),
    })
}

fn one(about: &Value, bucket: &str, key: &Value) -> Result<String, Failure> {
    let found = about["bucket"]["name"].as_str().unwrap_or_default();
    if found != bucket {
        return Err(unreadable(&format!(
            "it is about bucket `{found}`, and this function looks after `{bucket}`: send it to the deployment of that bucket"
        )));
    }
    key.as_str().map(Into::into).ok_or_else(|| unreadable("it names no key"))
}

/// S3's notifications write keys as forms do: `+` is a space, `%` begins a byte (S3 User Guide, "Event message structure").
fn decoded(key: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit =
                    |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(rest.next())? << 4 | digit(rest.next())?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn unreadable(words: &str) -> Failure {
    Failure::new(FailureKind::InvalidRequest, format!("the event cannot be read: {words}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BUCKET: &str = "amzn-s3-demo-documents";

    fn sample(name: &str) -> String {
        let path = format!("{}/../../events/metadata-fixer/{name}.json", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    }

    /// The body of the first message of a queue.
    fn body(name: &str) -> String {
        let event: Value = serde_json::from_str(&sample(name)).unwrap();
        event["Records"][0]["body"].as_str().unwrap().to_owned()
    }

    #[test]
    fn every_way_of_an_event_names_its_key() {
        let wanted = BTreeSet::from(["handbook/Über uns/faq+1.pdf.meta.json".to_owned()]);
        assert_eq!(keys(&sample("eventbridge"), BUCKET), Ok(wanted.clone()));
        for name in ["sqs-eventbridge", "sqs-s3", "sqs-sns-s3", "sqs-sns-raw"] {
            assert_eq!(keys(&body(name), BUCKET), Ok(wanted.clone()), "{name}");
        }
    }

    #[test]
    fn what_says_nothing_is_no_mistake() {
        assert_eq!(keys(&body("sqs-s3-test"), BUCKET), Ok(BTreeSet::new()));
        let deleted = json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectRemoved:Delete",
            "s3": { "bucket": { "name": BUCKET }, "object": { "key": "a" } } }] });
        assert_eq!(keys(&deleted.to_string(), BUCKET), Ok(BTreeSet::new()));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (message, words) in [
            ("{", "no JSON"),
            ("{}", "neither EventBridge's"),
            ("[1]", "neither EventBridge's"),
            (r#"{"Message": "x"}"#, "inside of SNS's"),
            (r#"{"detail-type": "Object Created", "detail": {"bucket": {"name": "other"}}}"#, "bucket `other`"),
            (r#"{"Records": [{"eventSource": "aws:sqs"}]}"#, "not S3's"),
        ] {
            let failure = keys(message, BUCKET).unwrap_err();
            assert_eq!(failure.kind, FailureKind::InvalidRequest);
            assert!(failure.message.contains(words), "{message}: {failure}");
        }
        assert_eq!(decoded("100%"), None);
        assert_eq!(decoded("%zz"), None);
        assert_eq!(decoded("%C3%9Cber+%2B"), Some("Über +".into()));
    }
}
