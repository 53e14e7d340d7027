//! The objects of a real endpoint, tested with the same suite as those in memory.
//!
//! `AWS_ENDPOINT_URL` names the endpoint (`. target/local/env`, after `make up`). Without it the test
//! fails.
#![allow(clippy::unwrap_used, reason = "a call that fails here fails the test")]

mod endpoint;

use std::sync::Arc;

use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, VersioningConfiguration,
};
use shiftwork_aws::objects::S3Objects;
use shiftwork_ports::{Bucket, Changed, Condition, KmsEncryption, NewObject, conformance};

#[tokio::test]
async fn objects_over_s3_conform() {
    let config = endpoint::config("AWS_ENDPOINT_URL");
    let client = aws_sdk_s3::Client::new(&config);
    let objects = Arc::new(S3Objects::new(&config));
    for versioned in [false, true] {
        let bucket = format!("conformance-objects-{}-{versioned}", std::process::id());
        let place = BucketLocationConstraint::from("eu-central-1");
        let place = CreateBucketConfiguration::builder().location_constraint(place).build();
        client.create_bucket().bucket(&bucket).create_bucket_configuration(place).send().await.unwrap();
        if versioned {
            let status = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            client.put_bucket_versioning().bucket(&bucket).versioning_configuration(status).send().await.unwrap();
        }
        conformance::objects(objects.clone(), &bucket, versioned).await;
    }
}

#[tokio::test]
async fn the_headers_of_an_object_have_its_kms_key() {
    let config = endpoint::config("AWS_ENDPOINT_URL");
    let client = aws_sdk_s3::Client::new(&config);
    let name = format!("conformance-kms-{}", std::process::id());
    let place = BucketLocationConstraint::from("eu-central-1");
    let place = CreateBucketConfiguration::builder().location_constraint(place).build();
    client.create_bucket().bucket(&name).create_bucket_configuration(place).send().await.unwrap();
    let bucket = Bucket::new(Arc::new(S3Objects::new(&config)), name);
    let kms = KmsEncryption {
        algorithm: "aws:kms".into(),
        key: "arn:aws:kms:eu-central-1:000000000000:key/11111111-2222-3333-4444-555555555555".into(),
        bucket_key: false,
    };
    let object = NewObject { encryption: Some(kms.clone()), ..NewObject::json(b"{}".to_vec()) };
    assert_eq!(bucket.write("kms.json", object, &Condition::IfAbsent).await, Ok(Changed::Done));
    assert_eq!(bucket.read("kms.json").await.unwrap().unwrap().head.encryption, Some(kms));
}
