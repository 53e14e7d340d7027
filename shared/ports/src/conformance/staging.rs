//! The staging bucket.

use super::{both, fresh};
use crate::Staging;

/// Checks [`Staging`] under a prefix of its own.
pub async fn staging(staging: &dyn Staging) {
    let prefix = format!("{}/", fresh("staging"));
    let key = |name: &str| format!("{prefix}{name}");
    assert_eq!(staging.get(&key("a")).await, Ok(None), "nothing was put");
    assert_eq!(staging.list(&prefix).await, Ok(vec![]));

    staging.put(&key("a"), b"first".to_vec()).await.unwrap();
    staging.put(&key("a"), b"second".to_vec()).await.unwrap();
    assert_eq!(staging.get(&key("a")).await, Ok(Some(b"second".to_vec())), "the last one put lies there");

    assert_eq!(staging.put_once(&key("a"), b"third".to_vec()).await, Ok(b"second".to_vec()), "it lies there already");
    let (one, other) =
        both(staging.put_once(&key("b"), b"one".to_vec()), staging.put_once(&key("b"), b"other".to_vec())).await;
    assert_eq!(one, other, "two who put the same key once agree on what lies there");
    assert_eq!(staging.get(&key("b")).await, Ok(Some(one.unwrap())));

    // A name with everything that must survive URLs and XML.
    let odd = key("c d+e&f%2F<\u{e9}>.csv");
    staging.put(&odd, vec![0; 3]).await.unwrap();
    let listed = staging.list(&prefix).await.unwrap();
    let sizes: Vec<_> = listed.iter().map(|object| (object.key.clone(), object.bytes)).collect();
    assert_eq!(sizes[0], (key("a"), 6));
    assert_eq!(sizes[2], (odd.clone(), 3));
    assert_eq!(sizes.len(), 3);
    assert_eq!(staging.list(&key("a")).await.unwrap().len(), 1, "a prefix need not end at a slash");

    staging.delete(&[]).await.unwrap();
    staging.delete(&[odd, key("a"), key("never there")]).await.unwrap();
    assert_eq!(staging.list(&prefix).await.unwrap().len(), 1);
    staging.delete(&[key("a"), key("b")]).await.unwrap();
    assert_eq!(staging.list(&prefix).await, Ok(vec![]));

    // More than one call of S3 lists or deletes.
    let many: Vec<_> = (0..1_050).map(|n| key(&format!("many/{n:04}"))).collect();
    for key in &many {
        staging.put(key, Vec::new()).await.unwrap();
    }
    let listed = staging.list(&key("many/")).await.unwrap();
    assert_eq!(listed.into_iter().map(|object| object.key).collect::<Vec<_>>(), many);
    staging.delete(&many).await.unwrap();
    assert_eq!(staging.list(&prefix).await, Ok(vec![]));
}
