use proptest::prelude::*;

use super::{container_end, is_valid, string_end};

/// Texts near JSON: tokens in any order, long strings, escapes at any place of a block.
fn texts() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\n",
            "\"",
            "\\",
            "null",
            "true",
            "false",
            "1",
            "-0.5e+3",
            "01",
            "1.",
            "-",
            "\"a\"",
            "\"\\u00e9\"",
            "\"\\ud800\"",
            "\"\\u00g0\"",
            "\"\\x\"",
            "\"\t\"",
            "{\"a\":1}",
            "[1,2]",
            "ä",
        ])
        .prop_map(str::to_owned),
        "\"[a-z{}\\[\\],:]{0,80}\"",
    ];
    prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
}

/// JSON of a few levels, as text.
fn documents() -> impl Strategy<Value = String> {
    let string = prop::collection::vec(
        prop_oneof![
            "[a-z{}\\[\\]:, ]{1,40}",
            prop::sample::select(vec!["\\\\", "\\\"", "\\n", "\\u00e9", "\\\\\\\\", "ß"]).prop_map(str::to_owned)
        ],
        0..6,
    )
    .prop_map(|parts| format!("\"{}\"", parts.concat()));
    let leaf = prop_oneof![string.clone(), "-?[1-9][0-9]{0,20}(\\.[0-9]{1,3})?", Just("null".to_owned())];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let member = (string.clone(), inner.clone()).prop_map(|(key, value)| format!("{key}: {value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|all| format!("[{}]", all.join(" ,"))),
            prop::collection::vec(member, 0..5).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn a_text_is_valid_as_serde_json_says(text in prop_oneof![texts(), documents()]) {
        let elsewhere = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        prop_assert_eq!(is_valid(text.as_bytes()), elsewhere);
    }

    #[test]
    fn the_end_of_a_value_is_found(before in "[ ]{0,70}", text in documents(), behind in "[}\\]\" ]{0,70}") {
        let whole = format!("{before}{text}{behind}");
        let end = match text.as_bytes()[0] {
            b'"' => string_end(whole.as_bytes(), before.len() + 1).map(|(end, _)| end + 1),
            b'{' | b'[' => container_end(whole.as_bytes(), before.len()),
            _ => return Ok(()),
        };
        prop_assert_eq!(end, Some(before.len() + text.len()));
    }

    #[test]
    fn any_bytes_have_an_end_or_none(bytes in prop::collection::vec(prop::sample::select(b"{}[]\"\\ a".to_vec()), 0..200)) {
        for end in [container_end(&bytes, 0), string_end(&bytes, 0).map(|(end, _)| end)].into_iter().flatten() {
            prop_assert!(end <= bytes.len());
        }
    }
}
