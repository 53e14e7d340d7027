//! Checks of objects in S3.

use std::{collections::BTreeMap, sync::Arc};

use shiftwork_protocol::{FailureKind, ScriptPin, name::sha256};

use super::{both, fresh, kind};
use crate::{
    Bucket, Changed, Condition, MAX_SMALL_OBJECT_BYTES, NewObject, ObjectHead, Objects, ScriptText, Version, scripts,
};

const OTHER_ETAG: &str = "00000000000000000000000000000000";

/// Checks [`Objects`] and [`Bucket`] below a new prefix. `versioned`: the bucket has versioning.
pub async fn objects(objects: Arc<dyn Objects>, bucket: &str, versioned: bool) {
    let here =
        Place { bucket: Bucket::new(objects.clone(), bucket), objects, prefix: format!("{}/", fresh("objects")) };
    an_object_is_what_was_put_last(&here).await;
    one_of_two_writers_is_first(&here).await;
    an_object_is_changed_only_as_it_was_read(&here).await;
    user_metadata_is_kept(&here, versioned).await;
    an_object_has_a_head_and_a_tail(&here).await;
    a_large_object_is_not_read_whole(&here).await;
    listings_are_in_order_and_whole(&here).await;
    keys_are_deleted_together(&here).await;
    an_object_is_opened_in_the_version_that_was_named(&here, versioned).await;
    a_script_is_read_in_the_version_that_was_pinned(&here, versioned).await;
}

/// The bucket and the prefix of the checks.
struct Place {
    objects: Arc<dyn Objects>,
    bucket: Bucket,
    prefix: String,
}

impl Place {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn content(&self, key: &str, version: &Version) -> Option<Vec<u8>> {
        let object = self.bucket.open(key, Some(version)).await.unwrap()?;
        Some(object.bytes().await.unwrap())
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        self.bucket.list(prefix).await.unwrap().into_iter().map(|object| object.key).collect()
    }
}

fn draft(text: &str) -> NewObject {
    let user_metadata = BTreeMap::from([("shiftwork-source".into(), "_meta/{document}.json".into())]);
    NewObject { user_metadata, ..NewObject::json(text.as_bytes().to_vec()) }
}

async fn an_object_is_what_was_put_last(here: &Place) {
    // The name has characters that URLs or XML must escape.
    let key = here.key("last/c d+e&f%2F<\u{e9}>.csv");
    assert_eq!(here.bucket.get(&key).await, Ok(None), "no object was written");
    assert_eq!(here.bucket.read(&key).await, Ok(None));
    assert_eq!(here.objects.head(here.bucket.name(), &key).await, Ok(None));
    assert_eq!(here.objects.tail(here.bucket.name(), &key, 4).await, Ok(None));
    for text in ["first", "second", ""] {
        here.bucket.put(&key, text.into()).await.unwrap();
        assert_eq!(here.bucket.get(&key).await, Ok(Some(text.into())));
    }
    here.bucket.delete(&[key]).await.unwrap();
}

async fn one_of_two_writers_is_first(here: &Place) {
    let key = here.key("once/a");
    let (one, other) =
        both(here.bucket.put_once(&key, b"one".to_vec()), here.bucket.put_once(&key, b"other".to_vec())).await;
    assert_eq!(one, other, "both calls return the stored content");
    assert_eq!(here.bucket.get(&key).await, Ok(Some(one.clone().unwrap())));
    assert_eq!(here.bucket.put_once(&key, b"third".to_vec()).await, one);
    assert_eq!(here.bucket.write(&key, draft("fourth"), &Condition::IfAbsent).await, Ok(Changed::ConditionFailed));
    here.bucket.delete(&[key]).await.unwrap();
}

async fn an_object_is_changed_only_as_it_was_read(here: &Place) {
    let key = here.key("changed.json");
    let never = Condition::IfUnchanged(OTHER_ETAG.into());
    assert_eq!(here.bucket.write(&key, draft("0"), &never).await, Ok(Changed::ConditionFailed), "there is no object");
    assert_eq!(here.bucket.delete_unchanged(&key, OTHER_ETAG).await, Ok(Changed::ConditionFailed));
    assert_eq!(here.bucket.write(&key, draft("1"), &Condition::IfAbsent).await, Ok(Changed::Done));
    let first = here.bucket.read(&key).await.unwrap().unwrap().head;
    let unchanged = Condition::IfUnchanged(first.etag.clone());
    assert_eq!(here.bucket.write(&key, draft("2"), &unchanged).await, Ok(Changed::Done));
    assert_eq!(
        here.bucket.write(&key, draft("3"), &unchanged).await,
        Ok(Changed::ConditionFailed),
        "the object has changed"
    );
    assert_eq!(
        here.bucket.delete_unchanged(&key, &first.etag).await,
        Ok(Changed::ConditionFailed),
        "the object has changed"
    );
    let second = here.bucket.read(&key).await.unwrap().unwrap();
    assert_eq!(second.bytes, b"2");
    assert_eq!(here.bucket.delete_unchanged(&key, &second.head.etag).await, Ok(Changed::Done));
    let again = here.bucket.delete_unchanged(&key, &second.head.etag).await;
    assert_eq!(again, Ok(Changed::ConditionFailed), "the object was deleted");
    assert_eq!(here.bucket.read(&key).await, Ok(None));
    assert_eq!(
        here.bucket.write(&key, draft("4"), &Condition::IfAbsent).await,
        Ok(Changed::Done),
        "a deleted object can be written again"
    );
}

async fn user_metadata_is_kept(here: &Place, versioned: bool) {
    let key = here.key("Über uns+1 & 50%/a b.json");
    assert_eq!(here.bucket.write(&key, draft("1"), &Condition::IfAbsent).await, Ok(Changed::Done));
    let found = here.bucket.read(&key).await.unwrap().unwrap();
    assert_eq!((found.bytes.as_slice(), &found.head.user_metadata), (b"1".as_slice(), &draft("1").user_metadata));
    assert_eq!(found.head.version.is_some(), versioned);
}

async fn an_object_has_a_head_and_a_tail(here: &Place) {
    let (key, name) = (here.key("head"), here.bucket.name());
    here.bucket.put(&key, b"0123456789".to_vec()).await.unwrap();
    let head = here.objects.head(name, &key).await.unwrap().unwrap();
    let opened = here.bucket.open(&key, None).await.unwrap().unwrap().head;
    assert_eq!(ObjectHead { checksums: BTreeMap::new(), ..head.clone() }, opened);
    assert_eq!(head.size, 10);
    for (bytes, tail) in [(3, "789"), (10, "0123456789"), (11, "0123456789")] {
        assert_eq!(here.objects.tail(name, &key, bytes).await, Ok(Some(tail.into())));
    }
    here.bucket.put(&key, Vec::new()).await.unwrap();
    assert_eq!(here.objects.tail(name, &key, 3).await, Ok(Some(Vec::new())), "an empty object has an empty tail");
}

async fn a_large_object_is_not_read_whole(here: &Place) {
    let key = here.key("large.json");
    let most = usize::try_from(MAX_SMALL_OBJECT_BYTES).unwrap();
    here.bucket.put(&key, vec![b' '; most]).await.unwrap();
    assert_eq!(here.bucket.read(&key).await.unwrap().unwrap().bytes.len(), most);
    here.bucket.put(&key, vec![b' '; most + 1]).await.unwrap();
    assert_eq!(kind(here.bucket.read(&key).await), Some(FailureKind::InvalidRequest));
    assert_eq!(here.bucket.get(&key).await.unwrap().unwrap().len(), most + 1);
}

async fn listings_are_in_order_and_whole(here: &Place) {
    let folder = here.key("pages/");
    assert_eq!(here.bucket.list(&folder).await, Ok(Vec::new()));
    let wanted: Vec<_> = (0..7).map(|n| format!("{folder}{n} ü.json")).collect();
    for key in wanted.iter().rev() {
        here.bucket.put(key, b"x".to_vec()).await.unwrap();
    }
    assert_eq!(here.keys(&folder).await, wanted);
    assert_eq!(here.keys(&format!("{folder}6")).await, wanted[6..], "a prefix need not end with a slash");
    let rest = here.bucket.page(&folder, Some(&wanted[5])).await.unwrap();
    assert_eq!((rest.objects.len(), rest.more), (1, false));
    let listed = &rest.objects[0];
    let etag = here.bucket.read(&listed.key).await.unwrap().unwrap().head.etag;
    assert_eq!((listed.key.as_str(), listed.bytes, &listed.etag), (wanted[6].as_str(), 1, &etag));
    here.bucket.put(&wanted[6], b"y".to_vec()).await.unwrap();
    assert_ne!(here.bucket.list(&folder).await.unwrap()[6].etag, etag, "another content has another ETag");
}

/// S3 lists and deletes at most 1,000 keys at once.
async fn keys_are_deleted_together(here: &Place) {
    let folder = here.key("many/");
    let keys: Vec<_> = (0..1_050).map(|n| format!("{folder}{n:04}")).collect();
    for key in &keys {
        here.bucket.put(key, Vec::new()).await.unwrap();
    }
    assert_eq!(here.keys(&folder).await, keys);
    here.bucket.delete(&[]).await.unwrap();
    here.bucket.delete(&[keys[0].clone(), format!("{folder}never there")]).await.unwrap();
    assert_eq!(here.keys(&folder).await, keys[1..]);
    here.bucket.delete(&keys).await.unwrap();
    assert_eq!(here.bucket.list(&folder).await, Ok(Vec::new()));
}

async fn an_object_is_opened_in_the_version_that_was_named(here: &Place, versioned: bool) {
    let key = here.key("versions/a b+ü");
    let mut heads = Vec::new();
    for text in ["first", "second"] {
        here.bucket.put(&key, text.into()).await.unwrap();
        heads.push(here.bucket.open(&key, None).await.unwrap().unwrap().head);
    }
    let etag = |n: usize| Version::ETag(heads[n].etag.clone());
    assert_eq!(here.content(&key, &etag(0)).await, None, "the key has another object");
    assert_eq!(here.content(&key, &etag(1)).await, Some(b"second".to_vec()));
    here.bucket.delete(std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(here.content(&key, &etag(1)).await, None, "the object was deleted");
    assert_eq!(here.content(&key, &Version::Id("no-such-version".into())).await, None);
    if versioned {
        for (head, text) in heads.iter().zip(["first", "second"]) {
            let id = Version::Id(head.version.clone().unwrap());
            assert_eq!(here.content(&key, &id).await, Some(text.into()), "earlier versions are still readable");
        }
    }
}

async fn a_script_is_read_in_the_version_that_was_pinned(here: &Place, versioned: bool) {
    let (key, bucket) = (here.key("scripts/a.sql"), &here.bucket);
    assert_eq!(scripts::newest(bucket, &key).await, Ok(None));
    bucket.put(&key, "SELECT 1".into()).await.unwrap();
    if !versioned {
        assert_eq!(kind(scripts::newest(bucket, &key).await), Some(FailureKind::ScriptUnreadable), "it has no version");
        return;
    }
    let mut pins = Vec::new();
    for text in ["SELECT 1", "SELECT 2"] {
        bucket.put(&key, text.into()).await.unwrap();
        let ScriptText { key, version_id, text: found } = scripts::newest(bucket, &key).await.unwrap().unwrap();
        assert_eq!(found, text);
        pins.push((ScriptPin { key, version_id, sha256: sha256(text), statements: 1 }, text));
    }
    assert_eq!(scripts::etags(bucket, &key).await.unwrap().into_keys().collect::<Vec<_>>(), std::slice::from_ref(&key));
    for (pin, text) in &pins {
        assert_eq!(scripts::pinned(bucket, pin).await.as_deref(), Ok(*text));
    }
    let gone = ScriptPin { version_id: "no-such-version".into(), ..pins[0].0.clone() };
    assert_eq!(kind(scripts::pinned(bucket, &gone).await), Some(FailureKind::ScriptUnreadable));
    let other = ScriptPin { version_id: pins[1].0.version_id.clone(), ..pins[0].0.clone() };
    assert_eq!(
        kind(scripts::pinned(bucket, &other).await),
        Some(FailureKind::ScriptUnreadable),
        "it has another SHA-256"
    );
    bucket.put(&key, vec![0xff]).await.unwrap();
    assert_eq!(kind(scripts::newest(bucket, &key).await), Some(FailureKind::ScriptUnreadable), "it is not UTF-8");
}
