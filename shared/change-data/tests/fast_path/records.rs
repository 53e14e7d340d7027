//! Records of all kinds: typical events, values at the limits of the types, and damaged events.

use proptest::{prelude::*, sample::select};

/// Fields of the events: those of the contract's columns, followed by some without a column.
pub(crate) const FIELDS: [&str; 33] = [
    "id",
    "part",
    "small",
    "int",
    "text",
    "long",
    "code",
    "dec",
    "dec19",
    "whole",
    "unscaled",
    "deep",
    "real",
    "double",
    "flag",
    "day",
    "iso_day",
    "micros",
    "millis",
    "nanos",
    "count",
    "zoned",
    "local",
    "clock",
    "doc",
    "json",
    "json_text",
    "bytes",
    "bits",
    "new",
    "grün",
    "quote\\\"d",
    "before",
];

/// Index of the first of [`FIELDS`] without a column.
pub(crate) const UNKNOWN: usize = 29;

/// Numbers and literals, at and beyond the limits of the types, and some that are not valid JSON.
#[rustfmt::skip]
const SCALARS: [&str; 49] = [
    "null", "true", "false", "0", "-0", "7", "-1", "01", "-", "12345", "99999", "1.5", "1.", ".5", "0.0", "-0.00",
    "12.30", "0.005", "999999.99", "9999999", "1e3", "1E400", "-1e-400",
    "0.00000000000000000000000000000000000000000000000000000000000000000001",
    "340282350000000000000000000000000000000", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
    "123456789012345678", "1234567890123456789", "32767", "32768", "-32769", "2147483648", "1793491200000000",
    "1793491200123000", "1793491200123", "1793491200123456789", "1793491200123456000", "-1", "253402300800000000",
    "-62135596800000001", "20758", "2932896", "2932897", "86399999999", "nul", "True", "NaN",
];

/// Contents of strings, between the quotes.
#[rustfmt::skip]
const TEXTS: [&str; 66] = [
    "", "a", "plain words", "12.34", "12.340", "-0.5", "0.00", "123456.78", "1234567.8", "1.5e2", "007", "NaN",
    "comma, and more", "exactly 24 bytes of text", "one more than 24 bytes of", "ü, and a comma", "ünïcödé", "\\\"",
    "\\\\", "\\/", "\\n", "\\r\\n, \\\"x\\\"", "\\u00e9", "\\u0000", "\\ud83c\\udf81", "\\ud83c", "\\udf81", "\\N",
    "\\\\N", "\\u005cN", "\\x", "\\u12", "\n", "\u{7f}", "\u{feff}", "\\ufeff,", "\\ufeffa",
    "__debezium_unavailable_value", "__debezium\\u005funavailable_value", "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
    "5f5f646562657a69756d5f756e617661696c61626c655f76616c7565",
    "{\\\"__debezium_unavailable_value\\\":\\\"__debezium_unavailable_value\\\"}", "{\\\"a\\\": [1, 2]}", "{}", "{",
    "2026-11-21", "2026-11-21T10:00:00Z", "2026-02-29T10:00:00Z", "2024-02-29T23:59:59.120Z",
    "2026-11-21T10:00:00.123456789Z", "2026-11-21 10:00:00.100000", "2026-11-21T10:00:00+02:00",
    "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "AfQ=", "AA==", "/w==", "gA==", "f/////////8=", "gAAAAAAAAAA=",
    "AQAAAAAAAAAA", "AfR=", "A", "true", " ",
    "abcdefghijklmnopqrstuvwxyz0123456789, abcdefghijklmnopqrstuvwxyz0123456789",
];

/// Arrays and objects.
#[rustfmt::skip]
const NESTED: [&str; 13] = [
    "[]", "{}", "[1,\"a, b\",null,true]", "[1, 2]", "{\"a\":{\"b\":[{}]},\"c\":\"\\n\"}", "{\"a\":1,\"a\":2}", "[1,]",
    "[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]", "[\"__debezium_unavailable_value\"]", "{\"scale\":2,\"value\":\"AfQ=\"}",
    "[\"\\ud800\"]", "{\"a\":}", "[1}",
];

/// The JSON of a value: mostly typical, sometimes at the limit of a type, and sometimes not valid JSON.
pub(crate) fn value() -> impl Strategy<Value = String> {
    let [scalars, texts, nested] = [SCALARS.as_slice(), &TEXTS, &NESTED].map(select);
    prop_oneof![
        4 => scalars.prop_map(str::to_owned),
        5 => texts.prop_map(|text| format!("\"{text}\"")),
        1 => nested.prop_map(str::to_owned),
        1 => "(?s:.{0,40})".prop_map(|text| serde_json::to_string(&text).unwrap()),
        1 => (any::<i64>(), 0..4_u32).prop_map(|(number, digits)| (number / 10_i64.pow(digits * 4)).to_string()),
    ]
}

/// An image of a row. Most of them have the same fields in the same order.
fn image() -> impl Strategy<Value = String> {
    let usual = prop::collection::vec(value(), FIELDS.len());
    let mask = prop_oneof![6 => Just(u64::MAX), 2 => any::<u64>()];
    let order = prop_oneof![8 => Just(0_usize), 1 => 1..FIELDS.len()];
    (
        usual,
        mask,
        order,
        select(vec!["1", "2", "2", "null", "\"x\"", "10000000000000000000"]),
        select(vec!["\"a\"", "\"a\"", "\"a\"", "null", "\"longer than 8\""]),
        prop::option::weighted(0.05, 0..FIELDS.len()),
    )
        .prop_map(|(values, mask, order, id, part, twice)| {
            let mut members: Vec<_> = FIELDS
                .iter()
                .zip(&values)
                .enumerate()
                .filter(|(index, _)| mask >> index & 1 == 1 && (*index < 30 || mask != u64::MAX))
                .map(|(index, (field, value))| match index {
                    0 => format!("\"id\":{id}"),
                    1 => format!("\"part\":{part}"),
                    _ => format!("\"{field}\":{value}"),
                })
                .collect();
            let length = members.len();
            members.rotate_left(if length == 0 { 0 } else { order % length });
            if let Some(member) = twice.and_then(|index| members.get(index)).cloned() {
                members.push(member);
            }
            format!("{{{}}}", members.join(","))
        })
}

fn source() -> impl Strategy<Value = String> {
    let postgresql = select(vec![
        r#""connector":"postgresql","name":"shop","ts_ms":1793491229274,"snapshot":"false","db":"shop","sequence":"[\"36284380628\",\"36284380684\"]","ts_us":1793491229274810,"ts_ns":1793491229274810000,"schema":"public","table":"orders","txId":7,"lsn":36284380684,"xmin":null"#,
        r#""connector":"postgresql","name":"shop","ts_ms":1793491229274,"db":"shop","sequence":"[null,\"36284380684\"]","schema":"public","table":"orders","lsn":36284380684"#,
        r#""connector":"postgresql","name":"shop","ts_ms":0,"db":"shop","sequence":"[\"99999999999999999999\",\"1\"]","schema":"public","table":"orders","lsn":1"#,
        r#""connector":"postgresql","name":"shop","ts_ms":1793491229274,"db":"shop","schema":"public","table":"orders","lsn":-0"#,
        r#""connector":"postgresql","name":"shop","ts_ns":1793491229274810999,"db":"shop","schema":"public","table":"orders","lsn":"77""#,
        r#""connector":"postgresql","name":"shop","ts_us":"1793491229274810","db":"shop","schema":"public","table":"orders","lsn":77"#,
        r#""connector":"postgresql","name":"shop","ts_ms":null,"ts_ns":-123456789012345678,"schema":"public","table":"orders","lsn":77"#,
        r#""connector":"postgresql","name":"shop","ts_ms":1793491229274,"schema":"public","table":"customers","lsn":77"#,
        r#""connector":"mysql","name":"shop","ts_ms":1793491229000,"db":"public","table":"orders","file":"mysql-bin.000003","pos":154,"row":0"#,
        r#""connector":"spanner","name":"shop","ts_ms":1793491229000,"db":"public","schema":null,"table":"orders""#,
        r#""connector":"mongodb","name":"shop","ts_ms":1793491229000,"db":"public","collection":"orders","ord":1"#,
        r#""connector":"postgresql","ts_ms":1793491229000"#,
    ]);
    (postgresql, prop::option::weighted(0.1, value())).prop_map(|(members, extra)| match extra {
        Some(extra) => format!("{{\"version\":{extra},{members}}}"),
        None => format!("{{\"version\":\"3.3.1.Final\",{members}}}"),
    })
}

fn event() -> impl Strategy<Value = Vec<u8>> {
    let images = prop_oneof![
        3 => (Just("null".to_owned()), image()),
        4 => (image(), image()),
        2 => (image(), Just("null".to_owned())),
        1 => (value(), value()),
    ];
    let op = prop_oneof![8 => select(vec!["c", "u", "d", "r"]), 1 => select(vec!["t", "m", "x", "", "\\u0063", "1\",\"op\":\"c"])];
    let rest = select(vec![
        r#""ts_ms":1793491229454,"ts_us":1793491229454810"#,
        r#""ts_ms":1793491229454,"transaction":null"#,
        r#""transaction":{"id":"1:2","total_order":1,"data_collection_order":1},"ts_ms":1"#,
        r#""ts_ms":1,"payload":null"#,
        r#""ts_ms":1,"schema":{}"#,
        r#""ts_ms":1,"ddl":"DROP""#,
    ]);
    (images, source(), op, prop_oneof![6 => Just(0), 1 => 0..6_usize], rest).prop_map(
        |((before, after), source, op, rest, others)| {
            let tail = [r#""ts_ms":1793491229454,"ts_us":1793491229454810"#, others][usize::from(rest > 0)];
            format!(r#"{{"before":{before},"after":{after},"source":{source},"op":"{op}",{tail}}}"#).into_bytes()
        },
    )
}

/// An event that was damaged as by a faulty producer, an incomplete transfer or an attacker.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let piece = select(vec![
        "\"", "\\", ",", "}", "{", "[", " ", "\n", "\0", "\u{fffd}", "\\u0000", ":null", "e9", "-", "0", "\\N", "\"\"",
    ]);
    (event(), any::<prop::sample::Index>(), any::<u8>(), piece, any::<u8>()).prop_map(
        |(mut bytes, at, how, piece, byte)| {
            let at = at.index(bytes.len());
            match how % 9 {
                0 => bytes.truncate(at),
                1 => bytes[at] = byte,
                2 => bytes.insert(at, byte),
                3 => {
                    bytes.splice(at..at, piece.bytes());
                }
                4 => {
                    bytes.remove(at);
                }
                5 => bytes.extend_from_slice(piece.as_bytes()),
                6 => bytes.splice(..0, piece.bytes()).for_each(drop),
                7 => {
                    let quote = bytes[at..].iter().position(|byte| *byte == b'"').map_or(at, |quote| at + quote);
                    bytes[quote] = byte % 0x20;
                }
                _ => {
                    let end = (at + usize::from(byte)).min(bytes.len());
                    bytes.drain(at..end);
                }
            }
            bytes
        },
    )
}

pub(crate) fn record() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => event().boxed(),
        6 => mutated().boxed(),
        1 => prop::collection::vec(any::<u8>(), 0..60),
        1 => select(vec!["", "null", "{}", "[]", " ", "{\"ts_ms\":1}", "{\"payload\":null,\"schema\":{}}"]).prop_map(|text| text.as_bytes().to_vec()),
    ]
}

/// Fields with values that fit, so that only the form of an event can keep it from the fast path.
const FITTING: [(&str, [&str; 4]); 8] = [
    ("id", ["1", "1", "1", "2"]),
    ("part", ["\"a\"", "\"a\"", "\"a\"", "\"b\""]),
    ("int", ["7", "70", "-7", "null"]),
    ("text", ["\"a\"", "\"a, b\"", "\"a\\nb\"", "\"\""]),
    ("dec", ["1.5", "\"1.50\"", "15", "null"]),
    ("micros", ["1793491200000000", "1793491200000001", "0", "null"]),
    ("flag", ["true", "false", "true", "null"]),
    ("new", ["1", "\"x\"", "null", "[1]"]),
];

/// Two images that are mostly equal, with keys that are missing, repeated or in another order.
fn images() -> impl Strategy<Value = (String, String)> {
    let image = |values: &[usize], keys: &[usize]| {
        let member = |key: &usize| format!("\"{}\":{}", FITTING[*key].0, FITTING[*key].1[values[*key]]);
        format!("{{{}}}", keys.iter().map(member).collect::<Vec<_>>().join(","))
    };
    let values = || prop::collection::vec(prop_oneof![3 => Just(0_usize), 2 => 1..4_usize], FITTING.len());
    let change = (0..FITTING.len(), 0..4_usize);
    let keys = prop_oneof![
        6 => Just((0..FITTING.len()).collect::<Vec<_>>()),
        2 => prop::sample::subsequence((0..FITTING.len()).collect::<Vec<_>>(), 2..FITTING.len()),
        1 => prop::collection::vec(0..FITTING.len(), 1..10),
    ];
    (values(), prop::collection::vec(change, 0..3), keys.clone(), prop::option::weighted(0.3, keys)).prop_map(
        move |(values, changes, keys, others)| {
            let mut changed = values.clone();
            for (key, value) in changes {
                changed[key] = value;
            }
            (image(&values, &keys), image(&changed, &others.unwrap_or_else(|| keys.clone())))
        },
    )
}

/// Events that are common except for one or two properties.
pub(crate) fn fitting() -> impl Strategy<Value = Vec<u8>> {
    let times = select(vec![
        r#""ts_us":1793491229274810"#,
        r#""ts_us":1793491229274811"#,
        r#""ts_us":0"#,
        r#""ts_us":-5"#,
        r#""ts_ns":1793491229274810999"#,
        r#""ts_ns":9223372036854775807"#,
        r#""ts_ns":9223372036854775808"#,
        r#""ts_ms":1793491229274"#,
        r#""ts_ms":-1"#,
    ]);
    let places = select(vec![
        r#""lsn":42,"sequence":"[\"41\",\"42\"]""#,
        r#""lsn":421,"sequence":"[\"41\",\"421\"]""#,
        r#""lsn":43,"sequence":null"#,
        r#""lsn":1.5,"sequence":"[]""#,
    ]);
    let rest = prop_oneof![8 => Just(""), 1 => select(vec![",\"payload\":null", ",\"schema\":{}", ",\"eventName\":\"x\",\"dynamodb\":{}", ",\"op\":\"d\""])];
    let server = select(vec!["shop", "shop", "shop", "shopping"]);
    (images(), select(vec!["c", "u", "u", "u", "d", "r"]), times, places, (rest, server), prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>())))
        .prop_map(|((before, after), op, time, place, (rest, server), broken)| {
            let source = format!(r#"{{"connector":"postgresql","name":"{server}","db":"shop","schema":"public","table":"orders",{time},{place}}}"#);
            let (before, after) = match op {
                "c" | "r" => ("null", after.as_str()),
                "d" => (before.as_str(), "null"),
                _ => (before.as_str(), after.as_str()),
            };
            let mut event = format!(r#"{{"before":{before},"after":{after},"source":{source},"op":"{op}","ts_ms":1{rest}}}"#).into_bytes();
            if let Some((at, byte)) = broken {
                let at = at.index(event.len());
                event[at] = byte & 0x7f;
            }
            event
        })
}
