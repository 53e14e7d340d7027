//! Scripts, contracts and feeds in the scripts bucket, which keeps versions.

use std::collections::BTreeMap;

use shiftwork_protocol::{Failure, FailureKind, ScriptPin, name::sha256};

use crate::{Bucket, Result, Version};

/// A script in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptText {
    /// Key in the scripts bucket.
    pub key: String,
    /// Version id in S3.
    pub version_id: String,
    /// The text.
    pub text: String,
}

/// The newest version of a script; `None` when there is no such key.
pub async fn newest(scripts: &Bucket, key: &str) -> Result<Option<ScriptText>> {
    let Some(object) = scripts.open(key, None).await? else { return Ok(None) };
    let Some(version_id) = object.head.version.clone() else {
        let words = format!(
            "{} has no version, so a plan cannot pin it; turn on versioning of the bucket and push the script again",
            scripts.url(key)
        );
        return Err(Failure::new(FailureKind::ScriptUnreadable, words));
    };
    let text = text(object.bytes().await?, &scripts.url(key))?;
    Ok(Some(ScriptText { key: key.into(), version_id, text }))
}

/// The keys that begin with `prefix`, with the ETag of their newest version: another ETag, another text.
pub async fn etags(scripts: &Bucket, prefix: &str) -> Result<BTreeMap<String, String>> {
    let listed = scripts.list(prefix).await?;
    Ok(listed.into_iter().map(|object| (object.key, object.etag)).collect())
}

/// The text that a plan pinned. [`FailureKind::ScriptUnreadable`] when the version is gone or has another SHA-256.
pub async fn pinned(scripts: &Bucket, pin: &ScriptPin) -> Result<String> {
    let address = format!("{} (version {})", scripts.url(&pin.key), pin.version_id);
    let unreadable = |words: &str| Failure::new(FailureKind::ScriptUnreadable, format!("{address}: {words}"));
    let version = Version::Id(pin.version_id.clone());
    let Some(object) = scripts.open(&pin.key, Some(&version)).await? else {
        return Err(unreadable(
            "the version that the plan pinned is gone; start a new run, or restart this one to use the newest version",
        ));
    };
    let bytes = object.bytes().await?;
    let found = sha256(&bytes);
    if found != pin.sha256 {
        return Err(unreadable(&format!("its SHA-256 is {found}, but the plan pinned {}", pin.sha256)));
    }
    text(bytes, &address)
}

fn text(bytes: Vec<u8>, address: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let problem = error.utf8_error();
        let words = format!("{address} is not UTF-8 ({problem}); save it as UTF-8 and push it again");
        Failure::new(FailureKind::ScriptUnreadable, words)
    })
}
