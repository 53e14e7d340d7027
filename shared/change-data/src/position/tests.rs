//! Tests of the positions of events.

use super::{Log, Place, SourcePosition, connector_of, of_debezium, of_flattened};
use crate::{
    json::validated,
    transport::{Offset, Partition},
};

fn log(source: &str) -> Log<'_> {
    Log::read(validated(source.as_bytes()).unwrap())
}

/// The position of an event of a partition of Kafka, at offset 1.
fn rendered(position: &SourcePosition) -> String {
    position.render(0, &Partition::kafka("t", 0), &Offset::number(1))
}

fn place(connector: &str, source: &str) -> String {
    let log = log(source);
    let place = of_debezium(connector, &log, 7_000).unwrap();
    rendered(&place.position(["c".into()].into_iter().chain(log.identifying(connector))))
}

#[test]
fn a_change_that_commits_after_a_snapshot_is_later_than_the_snapshot() {
    let snapshot = place("postgresql", r#"{"lsn":5000,"sequence":"[null,\"5000\"]"}"#);
    let change = place("postgresql", r#"{"lsn":4990,"sequence":"[\"5010\",\"4990\"]"}"#);
    assert!(snapshot < change);
    let snapshot = place("sqlserver", r#"{"change_lsn":null,"commit_lsn":"00000027:00000758:0005"}"#);
    let change = place(
        "sqlserver",
        r#"{"change_lsn":"00000027:00000750:0002","commit_lsn":"00000027:00000759:0001","event_serial_no":"2"}"#,
    );
    assert!(snapshot < change);
    let snapshot = place("oracle", r#"{"scn":"1000","commit_scn":null}"#);
    let change = place("oracle", r#"{"scn":"990","commit_scn":"1010","rs_id":" 0x000b.00012.0010 ","ssn":0}"#);
    assert!(snapshot < change);
}

/// An event without a commit is marked: a load may move it behind a row of the snapshot.
#[test]
fn a_commit_that_is_not_known_is_not_a_commit_at_the_same_place() {
    let at = |sequence: &str| place("postgresql", &format!(r#"{{"lsn":100,"sequence":"{sequence}"}}"#));
    let (unknown, known) = (at(r#"[null,\"100\"]"#), at(r#"[\"100\",\"100\"]"#));
    assert_eq!(unknown, "00000000000000000100/00000000000000000100/");
    assert_eq!(known, "00000000000000000100/00000000000000000100");
    assert_eq!(place("postgresql", r#"{"lsn":100}"#), unknown);
    assert!(unknown < place("postgresql", r#"{"lsn":101,"sequence":"[\"100\",\"101\"]"}"#));
}

#[test]
fn the_next_file_of_a_log_is_later() {
    let at = |file: &str, pos: u32| place("mysql", &format!(r#"{{"file":"{file}","pos":{pos},"row":0,"ts_ms":0}}"#));
    assert!(at("mysql-bin.000009", 9_999_999) < at("mysql-bin.000010", 4));
    assert!(at("mysql-bin.999999", 4) < at("mysql-bin.1000000", 4));
}

#[test]
fn a_higher_generation_is_later() {
    let (partition, offset) = (Partition::kafka("t", 0), Offset::number(1));
    let old = SourcePosition::Log("99999999999999999999".into()).render(0, &partition, &offset);
    let new = SourcePosition::Log("00000000000000000001".into());
    assert!(old < new.render(1, &partition, &offset));
    assert!(new.render(9, &partition, &offset) < new.render(10, &partition, &offset));
}

#[test]
fn an_unknown_connector_is_ordered_by_time_and_transport() {
    let digest = "2e4c5da8e0de4d4e".len();
    let text = place("spanner", "{}");
    assert_eq!(text[..text.len() - digest], *"00000000000000000007/kafka/t/0/00000000000000000001#");
    let long = Partition::s3("bucket", &"k".repeat(600), "v");
    let longest = Place::Shared(format!("{:020}/{:020}/{:032}/{:010}", u64::MAX, u64::MAX, 0, u32::MAX));
    assert!(longest.position([""; 0]).render(u16::MAX, &long, &Offset::number(1)).len() <= 512);
}

/// Events at one place have the order of the transport, and a digest that an event keeps when it is sent again.
#[test]
fn changes_that_share_a_place_differ_by_their_digest() {
    let at = |offset: u64, parts: &[&str]| {
        let place = of_debezium("mongodb", &log(r#"{"ts_ms":5,"ord":1}"#), 7).unwrap();
        place.position(parts.iter().copied()).render(0, &Partition::kafka("t", 0), &Offset::number(offset))
    };
    let (one, two, again) = (at(1, &["c", "{}"]), at(2, &["u", "{}"]), at(3, &["c", "{}"]));
    assert!(one < two && two < again);
    let digest = |text: &str| text[text.len() - 17..].to_owned();
    assert!(digest(&one).starts_with('#') && digest(&one) == digest(&again) && digest(&one) != digest(&two));
    assert_ne!(digest(&at(1, &["a", "b"])), digest(&at(1, &["ab", ""])));
}

/// A connector of another version adds members, and leaves none of those out by which a change is identified.
#[test]
fn an_upgrade_of_the_connector_changes_no_position() {
    let events = [
        ("postgresql", r#""ts_ms":1700000000123,"lsn":100,"sequence":"[\"90\",\"100\"]""#),
        ("mysql", r#""ts_ms":1700000000123,"file":"b.000003","pos":4,"row":1"#),
        ("sqlserver", r#""ts_ms":1700000000123,"commit_lsn":"0a:1:1","change_lsn":"0a:1:2","event_serial_no":1"#),
        ("oracle", r#""ts_ms":1700000000123,"scn":"990","commit_scn":"1010","txId":"a","lcr_position":"0000"#),
        ("mongodb", r#""ts_ms":1700000000000,"ord":3"#),
        ("vitess", r#""ts_ms":1700000000123,"shard":"-80","vgtid":"[{\"shard\":\"-80\",\"gtid\":\"MySQL56/x:1-5\"}]""#),
        ("spanner", r#""ts_ms":1700000000123,"sequence":"1","server_transaction_id":"t","mod_number":0"#),
        ("cockroachdb", r#""ts_ms":1700000000123,"ts_hlc":"1700000000.1""#),
        ("yashandb", r#""ts_ms":1700000000123"#),
        ("TiCDC", r#""ts_ms":1700000000123,"commit_ts":445"#),
        ("of_a_later_version", r#""ts_ms":1700000000123"#),
    ];
    let added = r#""version":"3.4.0.Final","snapshot":"false","ts_us":1700000000123456,"ts_ns":1700000000123456789,"a_new_member":7,
        "low_watermark":1,"read_at_timestamp":2,"partition_token":"p","lsid":"s","txnNumber":4"#;
    for (connector, members) in events {
        let members = if connector == "oracle" { format!("{members}\"") } else { members.to_owned() };
        let (old, new) = (format!("{{{members}}}"), format!("{{{added},{members}}}"));
        assert_eq!(place(connector, &old), place(connector, &new), "{connector}");
        let reader = of_debezium(connector, &log(&new), 1_700_000_000_123_456).unwrap();
        let older = of_debezium(connector, &log(&old), 1_700_000_000_123_000).unwrap();
        assert_eq!(reader, older, "{connector}: the precise time is not part of the place");
    }
}

#[test]
fn changes_at_one_place_are_told_apart_by_the_members_of_their_connector() {
    let pairs = [
        (
            "oracle",
            r#"{"scn":"9","commit_scn":"10","lcr_position":"01"}"#,
            r#"{"scn":"9","commit_scn":"10","lcr_position":"02"}"#,
        ),
        ("oracle", r#"{"scn":"9","commit_scn":"10","txId":"a"}"#, r#"{"scn":"9","commit_scn":"10","txId":"b"}"#),
        ("spanner", r#"{"ts_ms":5,"server_transaction_id":"a"}"#, r#"{"ts_ms":5,"server_transaction_id":"b"}"#),
        ("spanner", r#"{"ts_ms":5,"sequence":"1"}"#, r#"{"ts_ms":5,"sequence":"2"}"#),
        ("spanner", r#"{"ts_ms":5,"mod_number":0}"#, r#"{"ts_ms":5,"mod_number":1}"#),
        ("cockroachdb", r#"{"ts_ms":5,"ts_hlc":"5.1"}"#, r#"{"ts_ms":5,"ts_hlc":"5.2"}"#),
        ("TiCDC", r#"{"ts_ms":5,"commit_ts":1}"#, r#"{"ts_ms":5,"commit_ts":2}"#),
        ("vitess", r#"{"ts_ms":5,"shard":"-80"}"#, r#"{"ts_ms":5,"shard":"80-"}"#),
    ];
    for (connector, one, other) in pairs {
        assert_ne!(place(connector, one), place(connector, other), "{connector}: {one}");
    }
}

/// The entries of other shards change between two deliveries of an event, because those shards go on.
#[test]
fn only_the_transaction_of_the_shard_identifies_a_change_of_vitess() {
    let at = |vgtid: &str| {
        place("vitess", &format!(r#"{{"ts_ms":5,"shard":"-80","vgtid":{}}}"#, serde_json::Value::from(vgtid)))
    };
    let first = at(r#"[{"keyspace":"k","shard":"-80","gtid":"x:1-5"},{"keyspace":"k","shard":"80-","gtid":"y:1-7"}]"#);
    let again = at(
        r#"[{"keyspace":"k","shard":"80-","gtid":"y:1-9"},{"keyspace":"k","shard":"-80","gtid":"x:1-5","table_p_ks":[]}]"#,
    );
    let next = at(r#"[{"keyspace":"k","shard":"-80","gtid":"x:1-6"},{"keyspace":"k","shard":"80-","gtid":"y:1-7"}]"#);
    assert!(first == again && first != next);
    assert_ne!(at("not JSON"), at("and not JSON"));
}

/// A place that several changes share begins with 20 characters, which need not be the whole place.
#[test]
fn equal_changes_at_two_places_are_two_changes() {
    let digest_at = |scn: u32| {
        let log = format!(r#"{{"scn":"{scn}","commit_scn":"1010"}}"#);
        rendered(&of_debezium("oracle", &self::log(&log), 7).unwrap().position(["u"]))[98..].to_owned()
    };
    assert_ne!(digest_at(1), digest_at(2));
}

#[test]
fn a_flattened_event_has_the_place_of_its_members() {
    let of = |source: &str| {
        let log = log(source);
        of_flattened(connector_of(&log), &log, 5_000).unwrap()
    };
    let unique = |text: &str| Place::Unique(text.into());
    assert_eq!(of(r#"{"lsn":100}"#), unique("00000000000000000100/00000000000000000100/"));
    assert_eq!(of(r#"{"lsn":100,"sequence":"[\"90\",\"100\"]"}"#), unique("00000000000000000090/00000000000000000100"));
    assert_eq!(of(r#"{"file":"b.000003","pos":4,"row":1}"#), unique("0000000003/00000000000000000004/0000000001"));
    assert!(matches!(of(r#"{"file":"b.000003","pos":4}"#), Place::Shared(_)), "without the row of the event");
    assert!(matches!(of(r#"{"commit_lsn":"0a:1:1","change_lsn":null}"#), Place::Unique(_)), "a row of a snapshot");
    assert!(matches!(of(r#"{"scn":"9","commit_scn":null,"rs_id":""}"#), Place::Unique(_)), "a row of a snapshot");
    assert!(matches!(of(r#"{"scn":"9","commit_scn":"10"}"#), Place::Shared(_)));
    assert!(matches!(of(r#"{"ts_ms":4,"ord":1}"#), Place::Shared(_)));
    // Members that do not order all changes of a row.
    for part in [r#"{"file":"b.1"}"#, r#"{"commit_lsn":"0a:1:1"}"#, r#"{"scn":"9"}"#, r#"{"ts_ms":5}"#, "{}"] {
        assert_eq!(of(part), Place::Delivered { millis: 5 }, "{part}");
    }
}

#[test]
fn a_place_that_is_not_valid_is_refused() {
    let log = log(r#"{"lsn":"x"}"#);
    assert!(of_flattened("postgresql", &log, 5_000).unwrap_err().to_string().contains("postgresql log"));
}

#[test]
fn an_event_without_a_place_has_the_order_of_its_partition() {
    let position = Place::Delivered { millis: 5 }.position(["u"]);
    let at = |partition: &Partition| position.render(0, partition, &Offset::number(1));
    for log in [Partition::kafka("t", 0), Partition::kinesis("s", "shardId-000000000000")] {
        assert!(at(&log).starts_with(&format!("00000000000000000000/{log}/")), "{log}");
    }
    // Files have no order among them.
    assert!(at(&Partition::s3("b", "k", "v")).starts_with("00000000000000000005/s3/b/k@v/"));
    let digest = |millis| rendered(&Place::Delivered { millis }.position(["u"])).split_off(50);
    assert_ne!(digest(5), digest(6), "the time tells a change from an equal change at another time");
}

/// Without the redo record, as with XStream, a transaction can change a row twice at one system change number.
#[test]
fn oracle_without_a_redo_record_shares_its_place() {
    let of = |source: &str| of_debezium("oracle", &log(source), 7).unwrap();
    assert!(matches!(of(r#"{"scn":"990","commit_scn":"1010"}"#), Place::Shared(_)));
    assert!(matches!(of(r#"{"scn":"990","commit_scn":"1010","rs_id":"0x1.2"}"#), Place::Unique(_)));
    assert!(matches!(of(r#"{"scn":"990"}"#), Place::Unique(_)), "a row of a snapshot");
}

#[test]
fn an_event_without_a_position_is_incomplete() {
    assert!(of_debezium("postgresql", &log(r#"{"ts_ms":1}"#), 1).unwrap_err().to_string().contains("postgresql log"));
}
