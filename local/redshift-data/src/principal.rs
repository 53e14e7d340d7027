//! The caller of a request: the access key in the signature, and the IAM identity that it belongs to.

use std::collections::HashMap;
use std::sync::Mutex;

use serde::Deserialize;

use crate::error::ApiError;
use crate::http_client::HttpClient;

/// The IAM identity of a caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Principal {
    /// ARN as in the event of a statement: a user, or an assumed role with its session name.
    pub(crate) arn: String,
}

impl Principal {
    /// The owner of statements: the role of an assumed-role session, otherwise the identity itself.
    pub(crate) fn role(&self) -> &str {
        match self.arn.split_once(":assumed-role/") {
            Some((head, tail)) => match tail.split_once('/') {
                Some((role, _session)) => &self.arn[..head.len() + ":assumed-role/".len() + role.len()],
                None => &self.arn,
            },
            None => &self.arn,
        }
    }

    /// Name of the database user that Redshift derives from an IAM identity, e.g. `IAMR:etl`.
    pub(crate) fn database_user(&self) -> String {
        let name = |text: &str| text.rsplit('/').next().unwrap_or(text).to_owned();
        if self.arn.contains(":assumed-role/") {
            format!("IAMR:{}", name(self.role()))
        } else if self.arn.ends_with(":root") {
            "IAM:root".to_owned()
        } else {
            format!("IAM:{}", name(&self.arn))
        }
    }
}

/// The access key id in an `Authorization` header of signature version 4.
///
/// The signature is not verified: the access keys of the local stack protect nothing.
pub(crate) fn access_key(authorization: Option<&str>) -> Result<&str, ApiError> {
    let credential = authorization
        .filter(|header| header.starts_with("AWS4-HMAC-SHA256"))
        .and_then(|header| header.split("Credential=").nth(1))
        .and_then(|rest| rest.split('/').next())
        .filter(|key| !key.is_empty());
    credential.ok_or(ApiError::MissingAuthentication)
}

#[derive(Deserialize)]
struct Identity {
    arn: String,
}

/// Resolves access keys to principals; requests the configured URL once per key.
pub(crate) struct Principals {
    url: Option<String>,
    root_arn: String,
    http: HttpClient,
    known: Mutex<HashMap<String, Principal>>,
}

impl Principals {
    pub(crate) fn new(url: Option<String>, account: &str, http: HttpClient) -> Self {
        Self { url, root_arn: format!("arn:aws:iam::{account}:root"), http, known: Mutex::default() }
    }

    pub(crate) async fn of(&self, access_key: &str) -> Result<Principal, ApiError> {
        let Some(url) = &self.url else {
            return Ok(Principal { arn: self.root_arn.clone() });
        };
        if let Some(principal) = crate::lock(&self.known).get(access_key) {
            return Ok(principal.clone());
        }
        if !access_key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(ApiError::UnrecognizedClient);
        }
        let response = self.http.send("GET", &format!("{url}?access_key_id={access_key}"), String::new()).await;
        let (status, body) = response.map_err(|error| {
            ApiError::Internal(format!("cannot resolve access key {access_key} with {url}: {error:#}"))
        })?;
        if status != 200 {
            return Err(ApiError::UnrecognizedClient);
        }
        let identity: Identity = serde_json::from_slice(&body).map_err(|error| {
            ApiError::Internal(format!("{url} returned a response other than {{\"arn\": …}}: {error}"))
        })?;
        let principal = Principal { arn: identity.arn };
        crate::lock(&self.known).insert(access_key.to_owned(), principal.clone());
        Ok(principal)
    }
}

#[cfg(test)]
mod tests {
    use super::{Principal, access_key};

    #[test]
    fn sessions_of_a_role_have_the_same_owner() {
        let of = |arn: &str| Principal { arn: arn.to_owned() };
        let one = of("arn:aws:sts::000000000000:assumed-role/launcher/a");
        let two = of("arn:aws:sts::000000000000:assumed-role/launcher/b");
        assert_eq!(one.role(), two.role());
        assert_eq!(one.database_user(), "IAMR:launcher");
        assert_ne!(one.role(), of("arn:aws:sts::000000000000:assumed-role/launcher2/a").role());
        assert_eq!(of("arn:aws:iam::000000000000:user/ann").database_user(), "IAM:ann");
    }

    #[test]
    fn the_access_key_is_read_only_from_the_signature() {
        let header = "AWS4-HMAC-SHA256 Credential=AKIAX/20260101/us-east-1/redshift-data/aws4_request, SignedHeaders=a";
        assert_eq!(access_key(Some(header)).unwrap(), "AKIAX");
        assert!(access_key(None).is_err());
        assert!(access_key(Some("Bearer x")).is_err());
    }
}
