//! Files that two may want to write at once.

use std::collections::BTreeMap;

use shiftwork_protocol::FailureKind;

use super::fresh;
use crate::documents::{Changed, Documents, Draft, MOST_BYTES, Only};

/// Every check of [`Documents`], under a prefix of its own.
pub async fn documents(documents: &dyn Documents) {
    let prefix = format!("{}/", fresh("documents"));
    a_file_is_written_once_and_read_back(documents, &prefix).await;
    only_what_was_read_is_changed(documents, &prefix).await;
    one_of_two_writers_is_first(documents, &prefix).await;
    keys_come_in_order_and_in_pages(documents, &prefix).await;
    what_is_no_metadata_is_not_read(documents, &prefix).await;
}

fn draft(text: &str) -> Draft {
    let marks = BTreeMap::from([("shiftwork-source".into(), "_meta/{document}.json".into())]);
    Draft { bytes: text.as_bytes().to_vec(), marks, encryption: None }
}

async fn a_file_is_written_once_and_read_back(documents: &dyn Documents, prefix: &str) {
    let key = format!("{prefix}Über uns+1 & 50%/a b.json");
    assert_eq!(documents.read(&key).await, Ok(None), "nothing was written");
    assert_eq!(documents.write(&key, &draft("1"), &Only::IfAbsent).await, Ok(Changed::Done));
    assert_eq!(documents.write(&key, &draft("2"), &Only::IfAbsent).await, Ok(Changed::Lost));
    let found = documents.read(&key).await.unwrap().unwrap();
    assert_eq!((found.bytes.as_slice(), &found.marks), (b"1".as_slice(), &draft("1").marks));
}

async fn only_what_was_read_is_changed(documents: &dyn Documents, prefix: &str) {
    let key = format!("{prefix}changed.json");
    let never = Only::IfUnchanged("00000000000000000000000000000000".into());
    assert_eq!(documents.write(&key, &draft("0"), &never).await, Ok(Changed::Lost), "there is nothing to change");
    assert_eq!(documents.delete(&key, "00000000000000000000000000000000").await, Ok(Changed::Lost));
    documents.write(&key, &draft("1"), &Only::IfAbsent).await.unwrap();
    let first = documents.read(&key).await.unwrap().unwrap();
    let unchanged = Only::IfUnchanged(first.etag.clone());
    assert_eq!(documents.write(&key, &draft("2"), &unchanged).await, Ok(Changed::Done));
    assert_eq!(documents.write(&key, &draft("3"), &unchanged).await, Ok(Changed::Lost), "it was read before");
    assert_eq!(documents.delete(&key, &first.etag).await, Ok(Changed::Lost), "it is another one by now");
    let second = documents.read(&key).await.unwrap().unwrap();
    assert_eq!(second.bytes, b"2");
    assert_eq!(documents.delete(&key, &second.etag).await, Ok(Changed::Done));
    assert_eq!(documents.delete(&key, &second.etag).await, Ok(Changed::Lost), "again: it is gone");
    assert_eq!(documents.read(&key).await, Ok(None));
    assert_eq!(documents.write(&key, &draft("4"), &Only::IfAbsent).await, Ok(Changed::Done), "and may come again");
}

async fn one_of_two_writers_is_first(documents: &dyn Documents, prefix: &str) {
    let key = format!("{prefix}raced.json");
    let (one, two) = (draft("one"), draft("two"));
    let one = documents.write(&key, &one, &Only::IfAbsent).await.unwrap();
    let two = documents.write(&key, &two, &Only::IfAbsent).await.unwrap();
    assert_eq!((one, two), (Changed::Done, Changed::Lost));
}

async fn keys_come_in_order_and_in_pages(documents: &dyn Documents, prefix: &str) {
    let folder = format!("{prefix}pages/");
    let wanted: Vec<_> = (0..7).map(|n| format!("{folder}{n} ü.json")).collect();
    for key in wanted.iter().rev() {
        documents.write(key, &draft("x"), &Only::IfAbsent).await.unwrap();
    }
    let mut found = Vec::new();
    loop {
        let page = documents.list(&folder, found.last().map(String::as_str)).await.unwrap();
        found.extend(page.keys);
        if !page.more {
            break;
        }
    }
    assert_eq!(found, wanted);
    let rest = documents.list(&folder, Some(&wanted[5])).await.unwrap();
    assert_eq!((rest.keys.as_slice(), rest.more), (&wanted[6..], false));
}

async fn what_is_no_metadata_is_not_read(documents: &dyn Documents, prefix: &str) {
    let key = format!("{prefix}large.json");
    let large = Draft { bytes: vec![b' '; usize::try_from(MOST_BYTES).unwrap() + 1], ..draft("") };
    documents.write(&key, &large, &Only::IfAbsent).await.unwrap();
    assert_eq!(documents.read(&key).await.unwrap_err().kind, FailureKind::InvalidRequest);
}
