//! The prefixes of the deployment's buckets: what the roles of the template may do with them, and the page about them.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::Value;
use shiftwork_protocol::keys::{Access, Bucket, PREFIXES, Prefix};

use crate::{Findings, policy::grants};

/// A role, an action, and a prefix of a bucket: `TriggerRole may s3:GetObject ScriptsBucket/feeds/`.
type Grant = (String, String, String);

/// Every difference between what [`PREFIXES`] says that a role does with a prefix and what the template allows.
pub fn differences(template: &Value) -> Findings {
    let (used, allowed) = (used(), allowed(template));
    let line = |(role, action, prefix): &Grant| format!("{role} {action} {prefix}");
    let missing = used.difference(&allowed).map(|grant| {
        format!("{}: protocol::keys::PREFIXES has it, and infra/template.yaml does not allow it", line(grant))
    });
    let unused = allowed.difference(&used).map(|grant| {
        format!("{}: infra/template.yaml allows it, and protocol::keys::PREFIXES does not have it", line(grant))
    });
    missing.chain(unused).collect()
}

fn used() -> BTreeSet<Grant> {
    let mut used = BTreeSet::new();
    for Prefix { bucket, prefix, access, .. } in PREFIXES {
        for (function, actions) in access {
            for action in *actions {
                let place = format!("{}/{prefix}", bucket.logical_id());
                used.insert((role(function), action.action().to_owned(), place));
            }
        }
    }
    used
}

fn allowed(template: &Value) -> BTreeSet<Grant> {
    let mut allowed = BTreeSet::new();
    for (role, statements) in grants(template) {
        for statement in statements.into_iter().filter(|statement| statement["Effect"] == "Allow") {
            for action in texts(&statement["Action"]).filter(|action| is_of_objects(action)) {
                for place in places(&statement["Resource"]) {
                    allowed.insert((role.to_owned(), action.to_owned(), place));
                }
            }
        }
    }
    allowed
}

/// Listing a bucket is an action on the bucket.
fn is_of_objects(action: &str) -> bool {
    action.starts_with("s3:") && action != "s3:ListBucket"
}

/// `job-launcher` is the function of `JobLauncherRole`.
fn role(function: &str) -> String {
    let mut role = String::new();
    for word in function.split('-') {
        role.extend(word.chars().take(1).map(|first| first.to_ascii_uppercase()));
        role.extend(word.chars().skip(1));
    }
    role + "Role"
}

/// The prefixes of a resource that are in one of the buckets: `ScriptsBucket/feeds/` of `${ScriptsBucket.Arn}/feeds/*`.
fn places(resource: &Value) -> Vec<String> {
    let all = match resource {
        Value::Array(all) => all.iter().collect(),
        one => vec![one],
    };
    let place = |resource: &Value| {
        let text = resource["Fn::Sub"].as_str()?;
        [Bucket::Scripts, Bucket::Staging].into_iter().find_map(|bucket| {
            let path = text.strip_prefix(&format!("${{{}.Arn}}", bucket.logical_id()))?;
            Some(format!("{}{}", bucket.logical_id(), path.strip_suffix('*').unwrap_or(path)))
        })
    };
    all.into_iter().filter_map(place).collect()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let many = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    value.as_str().into_iter().chain(many)
}

/// `docs/object-keys.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# Object keys\n\n\
         A deployment keeps these objects in S3. This page is made from `shared/protocol/src/keys.rs`, and a test holds that table against\n\
         the roles of `infra/template.yaml`. To make the page again:\n\
         `UPDATE_DOCS=1 cargo test -p shiftwork-infra-checks --test keys`.\n",
    );
    for (bucket, about) in [
        (
            Bucket::Scripts,
            "`shiftwork push` writes this bucket, under the identity of its caller. The bucket keeps versions: a run reads the versions that its plan pinned.",
        ),
        (Bucket::Staging, "Functions keep their objects in this bucket between invocations."),
    ] {
        let _ = write!(
            page,
            "\n## {}\n\n{about}\n\n| key | content | role: access |\n| --- | --- | --- |\n",
            bucket.logical_id()
        );
        for Prefix { key, content, access, .. } in PREFIXES.iter().filter(|prefix| prefix.bucket == bucket) {
            let keys: Vec<_> = key.split(", ").map(|key| format!("`{key}`")).collect();
            let access: Vec<_> =
                access.iter().map(|(function, actions)| format!("{function}: {}", words(actions))).collect();
            let _ = writeln!(page, "| {} | {content} | {} |", keys.join("<br>"), access.join("<br>"));
        }
    }
    page.push_str(
        "\n## Buckets of others\n\n\
         - Landing buckets (`LandingBucketNames`): file-intake, job-launcher and the warehouse read the files of feeds, under the\n  \
         keys that the feeds name. Nothing is written there.\n\
         - Buckets of change files (`ChangeFileArns`): cdc-loader reads files of change events. Nothing is written there.\n\
         - The documents bucket (`DocumentsBucketName`): metadata-fixer reads, writes and deletes metadata of documents, where the\n  \
         repositories of `metadata.yaml` say, and keeps what it could not fix and originals under `quarantine` and `originals`\n  \
         of that file.\n",
    );
    page
}

fn words(actions: &[Access]) -> String {
    let words: Vec<_> = actions
        .iter()
        .map(|action| match action {
            Access::Get => "read",
            Access::GetVersion => "read a version",
            Access::Put => "write",
            Access::Delete => "delete",
        })
        .collect();
    words.join(", ")
}
