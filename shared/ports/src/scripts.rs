//! Scripts, table contracts and feeds in the scripts bucket, which has versioning.

use std::collections::BTreeMap;

use shiftwork_protocol::{Failure, FailureKind, ScriptPin, name::sha256};

use crate::{Bucket, Result, Version};

/// A version of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptText {
    /// Key in the scripts bucket.
    pub key: String,
    /// Version id of the object.
    pub version_id: String,
    /// Content of the object.
    pub text: String,
}

/// Reads the newest version of a script; `None` if the key does not exist.
pub async fn newest(scripts: &Bucket, key: &str) -> Result<Option<ScriptText>> {
    let Some(object) = scripts.open(key, None).await? else { return Ok(None) };
    let Some(version_id) = object.head.version.clone() else {
        let message = format!(
            "{} has no version id, which a plan needs: enable versioning of the bucket and push the script again",
            scripts.url(key)
        );
        return Err(Failure::new(FailureKind::ScriptUnreadable, message));
    };
    let text = text(object.bytes().await?, &scripts.url(key))?;
    Ok(Some(ScriptText { key: key.into(), version_id, text }))
}

/// Lists the keys that begin with `prefix`, each with its ETag, which differs for each content.
pub async fn etags(scripts: &Bucket, prefix: &str) -> Result<BTreeMap<String, String>> {
    let listed = scripts.list(prefix).await?;
    Ok(listed.into_iter().map(|object| (object.key, object.etag)).collect())
}

/// Reads the version that a plan pinned.
///
/// # Errors
/// [`FailureKind::ScriptUnreadable`]: the version does not exist, or has another SHA-256.
pub async fn pinned(scripts: &Bucket, pin: &ScriptPin) -> Result<String> {
    let address = format!("{} (version {})", scripts.url(&pin.key), pin.version_id);
    let unreadable = |message: &str| Failure::new(FailureKind::ScriptUnreadable, format!("{address}: {message}"));
    let version = Version::Id(pin.version_id.clone());
    let Some(object) = scripts.open(&pin.key, Some(&version)).await? else {
        return Err(unreadable(
            "the version that the plan pinned does not exist: start a new run, or restart this run to use the newest version",
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
        let message = format!("{address} is not UTF-8 ({problem}); save it as UTF-8 and push it again");
        Failure::new(FailureKind::ScriptUnreadable, message)
    })
}
