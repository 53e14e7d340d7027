//! [`Objects`] over S3.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    operation::{get_object::GetObjectOutput, head_object::HeadObjectError},
    primitives::ByteStream,
    types::{ChecksumAlgorithm, ChecksumMode, Delete, ObjectIdentifier, ServerSideEncryption},
};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use shiftwork_ports::{
    Changed, Condition, KmsEncryption, ListedObject, NewObject, ObjectHead, ObjectStream, Objects, OpenObject, Page,
    Result, Version,
};
use shiftwork_protocol::FailureKind;

use crate::failures::Call;

/// Maximum number of keys of one `DeleteObjects` (S3 API reference).
const DELETE_KEYS: usize = 1_000;

/// [`Objects`] for all buckets that the configuration's identity can access.
#[derive(Debug, Clone)]
pub struct S3Objects {
    client: Client,
}

impl S3Objects {
    /// Makes the adapter for S3 with this configuration.
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    async fn delete_some(&self, bucket: &str, keys: &[String]) -> Result<()> {
        let url = url(bucket, keys.first().map_or("", String::as_str));
        let call = Call::new("S3 DeleteObjects", &url);
        let objects: std::result::Result<Vec<_>, _> =
            keys.iter().map(|key| ObjectIdentifier::builder().key(key).build()).collect();
        let delete = objects.and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build());
        let delete = delete.map_err(|error| call.failure(FailureKind::Refused, error))?;
        let deleted = self.client.delete_objects().bucket(bucket).delete(delete).send().await;
        match deleted.map_err(|error| call.failed(error))?.errors().first() {
            None => Ok(()),
            Some(error) => {
                let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
                let kind = if code == "AccessDenied" { FailureKind::AccessDenied } else { FailureKind::Unavailable };
                Err(call.failure(kind, format_args!("{}: {code}: {message}", error.key().unwrap_or_default())))
            }
        }
    }
}

#[async_trait]
impl Objects for S3Objects {
    async fn open(&self, bucket: &str, key: &str, version: Option<&Version>) -> Result<Option<OpenObject>> {
        let get = self.client.get_object().bucket(bucket).key(key);
        let get = match version {
            None => get,
            Some(Version::Id(id)) => get.version_id(id),
            Some(Version::ETag(etag)) => get.if_match(quoted(etag)),
        };
        match get.send().await {
            Ok(object) => {
                let head = head_of(&object);
                let content = Content { bytes: object.body, url: url(bucket, key) };
                Ok(Some(OpenObject { head, content: Box::new(content) }))
            }
            Err(error) => match error.code() {
                // The SDK's model does not contain `NoSuchVersion`. S3 returns `MethodNotAllowed` for the version of a
                // delete marker, and
                // `PreconditionFailed` for another ETag.
                Some("NoSuchKey" | "NoSuchVersion" | "MethodNotAllowed" | "PreconditionFailed") => Ok(None),
                Some(_) | None => Err(Call::new("S3 GetObject", &url_of_version(bucket, key, version)).failed(error)),
            },
        }
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<Option<ObjectHead>> {
        let head = self.client.head_object().bucket(bucket).key(key).checksum_mode(ChecksumMode::Enabled).send().await;
        let head = match head {
            Ok(head) => head,
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => return Ok(None),
            Err(error) => return Err(Call::new("S3 HeadObject", &url(bucket, key)).failed(error)),
        };
        let checksums = [
            ("sha256", head.checksum_sha256()),
            ("sha1", head.checksum_sha1()),
            ("crc32", head.checksum_crc32()),
            ("crc32c", head.checksum_crc32_c()),
            ("crc64nvme", head.checksum_crc64_nvme()),
        ];
        Ok(Some(ObjectHead {
            size: size(head.content_length()),
            etag: unquoted(head.e_tag()),
            version: version_id(head.version_id()),
            user_metadata: head.metadata().into_iter().flatten().map(owned).collect(),
            encryption: encryption(head.server_side_encryption(), head.ssekms_key_id(), head.bucket_key_enabled()),
            checksums: checksums.into_iter().filter_map(|(kind, value)| Some((kind, value?.to_owned()))).collect(),
        }))
    }

    async fn tail(&self, bucket: &str, key: &str, bytes: u64) -> Result<Option<Vec<u8>>> {
        let url = url(bucket, key);
        let call = Call::new("S3 GetObject", &url);
        let get = self.client.get_object().bucket(bucket).key(key).range(format!("bytes=-{bytes}"));
        match get.send().await {
            Ok(object) => {
                let read = object.body.collect().await;
                Ok(Some(read.map_err(|error| call.failure(FailureKind::Unavailable, error))?.to_vec()))
            }
            Err(error) => match error.code() {
                Some("NoSuchKey") => Ok(None),
                // A range of an empty object is never valid.
                Some("InvalidRange") => Ok(Some(Vec::new())),
                Some(_) | None => Err(call.failed(error)),
            },
        }
    }

    async fn put(&self, bucket: &str, key: &str, object: NewObject, condition: &Condition) -> Result<Changed> {
        let NewObject { bytes, content_type, user_metadata, encryption, sha256 } = object;
        let metadata: HashMap<_, _> = user_metadata.into_iter().collect();
        let put = self
            .client
            .put_object()
            .bucket(bucket)
            .key(key)
            .set_content_type(content_type.map(Into::into))
            .set_checksum_algorithm(sha256.then_some(ChecksumAlgorithm::Sha256))
            .set_metadata((!metadata.is_empty()).then_some(metadata))
            .body(ByteStream::from(bytes));
        let put = match condition {
            Condition::Always => put,
            Condition::IfAbsent => put.if_none_match("*"),
            Condition::IfUnchanged(etag) => put.if_match(quoted(etag)),
        };
        let put = match encryption {
            Some(kms) => put
                .server_side_encryption(ServerSideEncryption::from(kms.algorithm.as_str()))
                .ssekms_key_id(kms.key)
                .bucket_key_enabled(kms.bucket_key),
            None => put,
        };
        match (put.send().await, condition) {
            (Ok(_), _) => Ok(Changed::Done),
            (Err(error), Condition::Always) => Err(Call::new("S3 PutObject", &url(bucket, key)).failed(error)),
            (Err(error), Condition::IfAbsent | Condition::IfUnchanged(_)) => {
                condition_failed(Call::new("S3 PutObject", &url(bucket, key)), error)
            }
        }
    }

    async fn delete(&self, bucket: &str, key: &str, etag: &str) -> Result<Changed> {
        match self.client.delete_object().bucket(bucket).key(key).if_match(quoted(etag)).send().await {
            Ok(_) => Ok(Changed::Done),
            Err(error) => condition_failed(Call::new("S3 DeleteObject", &url(bucket, key)), error),
        }
    }

    async fn delete_all(&self, bucket: &str, keys: &[String]) -> Result<()> {
        for keys in keys.chunks(DELETE_KEYS) {
            self.delete_some(bucket, keys).await?;
        }
        Ok(())
    }

    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page> {
        let list = self.client.list_objects_v2().bucket(bucket).prefix(prefix).set_start_after(after.map(Into::into));
        let page =
            list.send().await.map_err(|error| Call::new("S3 ListObjectsV2", &url(bucket, prefix)).failed(error))?;
        let listed = |object: aws_sdk_s3::types::Object| {
            let (bytes, etag) = (size(object.size), unquoted(object.e_tag()));
            Some(ListedObject { key: object.key?, bytes, etag })
        };
        let more = page.is_truncated() == Some(true);
        Ok(Page { objects: page.contents.unwrap_or_default().into_iter().filter_map(listed).collect(), more })
    }
}

/// The content of an object, read as a stream.
struct Content {
    bytes: ByteStream,
    url: String,
}

#[async_trait]
impl ObjectStream for Content {
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let next = self.bytes.try_next().await;
        let next =
            next.map_err(|error| Call::new("S3 GetObject", &self.url).failure(FailureKind::Unavailable, error))?;
        Ok(next.map(|bytes| bytes.to_vec()))
    }
}

/// Converts the error of a conditional request. A condition that is not met is not an error of the caller (S3 User
/// Guide, "Conditional requests"): S3 returns 412, or 404 if the object does not exist. It returns 409 to one of two
/// concurrent writers, which then has to read again.
fn condition_failed<E>(call: Call<'_>, error: SdkError<E, HttpResponse>) -> Result<Changed>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some("PreconditionFailed" | "NoSuchKey" | "NotFound" | "ConditionalRequestConflict") => {
            Ok(Changed::ConditionFailed)
        }
        Some(_) | None => Err(call.failed(error)),
    }
}

fn head_of(object: &GetObjectOutput) -> ObjectHead {
    ObjectHead {
        size: size(object.content_length()),
        etag: unquoted(object.e_tag()),
        version: version_id(object.version_id()),
        user_metadata: object.metadata().into_iter().flatten().map(owned).collect(),
        encryption: encryption(object.server_side_encryption(), object.ssekms_key_id(), object.bucket_key_enabled()),
        checksums: [].into(),
    }
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

fn size(bytes: Option<i64>) -> u64 {
    bytes.unwrap_or_default().try_into().unwrap_or_default()
}

/// S3 returns `null` for an object that was written before the bucket had versioning.
fn version_id(id: Option<&str>) -> Option<String> {
    id.filter(|id| *id != "null").map(Into::into)
}

fn encryption(by: Option<&ServerSideEncryption>, key: Option<&str>, bucket_key: Option<bool>) -> Option<KmsEncryption> {
    let algorithm = by.map(ServerSideEncryption::as_str).filter(|by| by.starts_with("aws:kms"))?;
    Some(KmsEncryption { algorithm: algorithm.into(), key: key?.into(), bucket_key: bucket_key == Some(true) })
}

/// Removes the quotes that S3's API, but not its events, puts around ETags.
fn unquoted(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

fn url(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{key}")
}

fn url_of_version(bucket: &str, key: &str, version: Option<&Version>) -> String {
    match version {
        None => url(bucket, key),
        Some(version) => format!("{} (version {})", url(bucket, key), version.as_str()),
    }
}
