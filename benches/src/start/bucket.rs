//! Responses of S3, with the minimum content that each function needs.

use bytes::Bytes;
use hyper::{Method, Uri};

/// Objects by the suffix of their key. All other keys are scripts.
const OBJECTS: [(&str, &str); 4] = [
    (
        "/contracts/orders.yaml",
        "contract: orders\n\
         source: { format: debezium, table: public.orders, server: shop }\n\
         target: { schema: shop, table: orders }\n\
         key: [id]\n\
         columns:\n\
         \x20 - { name: id, type: bigint }\n\
         \x20 - { name: status, type: varchar(10) }\n\
         promote: { kind: type1, deletes: hard }\n\
         workflow: bench\n",
    ),
    (
        "/feeds/orders.yaml",
        "feed: orders\n\
         bucket: landing\n\
         keys: orders/{region}/{day}/{name}.csv\n\
         format: csv\n\
         table: shop.orders\n",
    ),
    (
        "/metadata/repositories.json",
        r#"{"repositories":{"handbook":{"prefix":"handbook/","target":"kendra","sources":["{document}.meta.json"]}}}"#,
    ),
    (".meta.json", r#"{"Attributes":{"_version":1}}"#),
];

/// The response to an S3 request: media type and body.
pub(crate) fn respond(method: &Method, uri: &Uri) -> (&'static str, Bytes) {
    let query = uri.query().unwrap_or_default();
    if query.contains("list-type=2") {
        return ("application/xml", Bytes::from(listing(query)));
    }
    if *method != Method::GET {
        return ("application/xml", Bytes::new());
    }
    let object = OBJECTS.iter().find(|(key, _)| uri.path().ends_with(key));
    ("binary/octet-stream", Bytes::from_static(object.map_or("select 1", |(_, text)| text).as_bytes()))
}

/// A listing. The prefixes of contracts and feeds have one object each, all other prefixes are empty.
fn listing(query: &str) -> String {
    let key = ["contracts", "feeds"].into_iter().find(|prefix| query.contains(&format!("prefix={prefix}")));
    let contents = key.map_or_else(String::new, |prefix| {
        format!("<Contents><Key>{prefix}/orders.yaml</Key><ETag>\"a\"</ETag><Size>1</Size></Contents>")
    });
    format!(
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
    )
}
