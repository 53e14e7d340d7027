use shiftwork_ports::fake::MemoryBucket;

use super::*;

const YAML: &str =
    "repositories: { handbook: { prefix: handbook/, target: kendra, sources: ['{document}.meta.json'] } }";

fn bucket(files: usize) -> MemoryBucket {
    let bucket = MemoryBucket::default();
    for number in 0..files {
        bucket.put(&format!("handbook/{number}.pdf"), "a document");
        bucket.put(&format!("handbook/{number}.pdf.meta.json"), r#"{"Attributes": {"_version": 1}}"#);
    }
    bucket.put("handbook/bad.pdf.meta.json", "{");
    bucket.put("handbook/good.pdf.metadata.json", "{}");
    bucket.put("handbook/large.pdf.meta.json", vec![b' '; 1024 * 1024 + 1]);
    bucket
}

fn fixer(bucket: &MemoryBucket) -> Fixer {
    let doc = shiftwork_config::read_file("metadata.yaml", YAML).unwrap();
    let (_, rules) = shiftwork_search_metadata::read(&doc).unwrap();
    Fixer { rules: Arc::new(rules), documents: bucket.bucket() }
}

async fn tally(fixer: &Fixer, after: Option<&str>, mode: Mode) -> Tally {
    let mut tally = Tally::default();
    walk(fixer, "handbook/", after.map(Into::into), mode, &mut |key, found| tally.count(key, found)).await.unwrap();
    tally
}

#[tokio::test]
async fn a_check_counts_and_a_fix_leaves_files_that_only_a_person_can_fix() {
    let bucket = bucket(40);
    let fixer = fixer(&bucket);
    let before = bucket.files();
    let found = tally(&fixer, None, Mode::Check).await;
    assert_eq!(bucket.files(), before);
    assert_eq!(found.outcome(Mode::Check), Outcome::Failed);
    crate::table::tests::holds(&found.table(Mode::Check));
    let table = found.table(Mode::Check).to_string();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.chars().any(char::is_numeric))
        .map(|line| line.trim().rsplitn(2, "  ").map(str::trim).collect())
        .collect();
    let wanted = [
        ("1", "valid"),
        ("40", "to fix or move"),
        ("40", "to move"),
        ("40", "text"),
        ("1", "to move to quarantine"),
        ("1", "failed"),
        ("40", "not metadata"),
    ];
    assert_eq!(rows, wanted.map(|(files, words)| vec![files, words]));
    let after_fix = tally(&fixer, None, Mode::Fix).await;
    assert_eq!(after_fix.outcome(Mode::Fix), Outcome::Failed);
    assert_eq!((after_fix.of("written"), after_fix.of("quarantined"), after_fix.of("failed")), (40, 1, 1));
    let sources: Vec<_> = bucket.files().into_keys().filter(|key| key.ends_with(".meta.json")).collect();
    assert_eq!(sources, ["handbook/large.pdf.meta.json"]);
    let again = tally(&fixer, None, Mode::Check).await;
    assert_eq!((again.of("valid"), again.of("written"), again.of("failed")), (41, 0, 1));
}

#[tokio::test]
async fn a_fix_continues_after_a_given_key() {
    let bucket = bucket(9);
    let fixer = fixer(&bucket);
    let rest = tally(&fixer, Some("handbook/5.pdf.meta.json"), Mode::Fix).await;
    assert_eq!(rest.of("written"), 3);
    assert_eq!(rest.last.as_deref(), Some("handbook/large.pdf.meta.json"));
    let first = tally(&fixer, None, Mode::Fix).await;
    assert_eq!(first.of("written"), 6);
}

#[test]
fn a_push_lists_its_changes() {
    let configuration = |yaml: &str| {
        let doc = shiftwork_config::read_file("metadata.yaml", yaml).unwrap();
        shiftwork_search_metadata::read(&doc).unwrap().0
    };
    let plain = |text: String| console::strip_ansi_codes(&text).into_owned();
    let (one, two) = (
        configuration(YAML),
        configuration("repositories: { handbook: { prefix: handbook/, target: bedrock }, new: { target: kendra } }"),
    );
    assert_eq!(plain(changes(None, &one)), "+ repository handbook\n");
    assert_eq!(plain(changes(Some(&one), &two)), "~ repository handbook\n+ repository new\n");
    assert_eq!(plain(changes(Some(&two), &one)), "~ repository handbook\n- repository new\n");
    assert_eq!(changes(Some(&one), &one), "");
}

#[tokio::test]
async fn a_check_names_documents_without_an_access_control_list() {
    let list = r#"{"metadataAttributes": {}, "accessControlList": [{"Name": "a@example.com", "Type": "USER", "Access": "ALLOW"}]}"#;
    let bucket = MemoryBucket::default();
    for number in 0..10 {
        bucket.put(&format!("handbook/{number}.pdf"), "a document");
        let metadata = if number < 8 { list } else { r#"{"metadataAttributes": {"dept": "x"}}"# };
        bucket.put(&format!("handbook/{number}.pdf.metadata.json"), metadata);
    }
    let checked = async |repository: &str, bucket: &MemoryBucket| {
        let yaml = format!("repositories: {{ handbook: {{ prefix: handbook/{repository} }} }}");
        let doc = shiftwork_config::read_file("metadata.yaml", &yaml).unwrap();
        let (_, rules) = shiftwork_search_metadata::read(&doc).unwrap();
        let mut found = tally(&Fixer { rules: Arc::new(rules), documents: bucket.bucket() }, None, Mode::Check).await;
        let without = found.take_without_entry();
        (without, found.outcome(Mode::Check), found.table(Mode::Check).to_string())
    };
    let (without, outcome, table) = checked("", &bucket).await;
    assert_eq!(without, ["handbook/8.pdf", "handbook/9.pdf"]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(table.contains("documents without an access control list"), "{table}");
    // The data source has no `aclEnabled`, or metadata has no list at all.
    let (without, outcome, _) = checked(", acl_enabled: false", &bucket).await;
    assert_eq!((without.len(), outcome), (0, Outcome::Done));
    let bucket = MemoryBucket::default();
    bucket.put("handbook/a.pdf", "a document");
    let (without, outcome, _) = checked("", &bucket).await;
    assert_eq!((without.len(), outcome), (0, Outcome::Done));
    assert_eq!(checked(", acl_enabled: true", &bucket).await.0, ["handbook/a.pdf"]);
}

#[tokio::test]
async fn a_check_names_stubs_and_fails() {
    let bucket = MemoryBucket::default();
    bucket.put("handbook/a.pdf", "a document");
    let metadata =
        r#"{"AccessControlList": [{"Name": "hr", "Type": "GROUP", "Access": "ALLOW"}], "Attributes": {"Tags": ["x"]}}"#;
    bucket.put("handbook/a.pdf.metadata.json", metadata);
    let fixer = fixer(&bucket);
    assert_eq!(tally(&fixer, None, Mode::Fix).await.outcome(Mode::Fix), Outcome::Failed);
    let found = tally(&fixer, None, Mode::Check).await;
    assert_eq!((found.of("stub"), found.outcome(Mode::Check)), (1, Outcome::Failed));
}

#[test]
fn keys_of_documents_without_a_list_are_held_up_to_a_limit() {
    let found = |has_entry, is_needed| {
        let access = Some(DocumentAccess { has_entry, is_needed });
        Found { result: Ok(vec![FixerOutcome::Foreign]), access }
    };
    let mut tally = Tally::default();
    for number in 0..HELD + 5 {
        tally.count(&format!("{number}.pdf"), &found(false, None));
        tally.count(&format!("{number}.txt"), &found(false, Some(false)));
    }
    assert_eq!((tally.take_without_entry().len(), tally.without_entry, tally.held.len()), (0, 0, HELD));
    assert_eq!(tally.outcome(Mode::Check), Outcome::Done);
    // A document with a list shows that the others need one.
    tally.count("list.pdf", &found(true, None));
    let named = tally.take_without_entry();
    assert_eq!((named.len(), named[0].as_str(), tally.without_entry, tally.unnamed), (HELD, "0.pdf", HELD + 5, 5));
    for is_needed in [None, Some(true)] {
        tally.count("z.pdf", &found(false, is_needed));
        assert_eq!(tally.take_without_entry(), ["z.pdf"]);
    }
    assert_eq!((tally.without_entry, tally.unnamed), (HELD + 7, 5));
    assert_eq!(tally.outcome(Mode::Check), Outcome::Failed);
}
