//! The table has the comparison operators of the EventBridge user guide in its order.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{matches, pick};

fn matched(pattern: &Value, event: &Value) -> bool {
    matches(pattern.as_object().unwrap(), event).unwrap_or_else(|problem| panic!("{pattern}: {problem}"))
}

#[test]
fn operators_match_as_eventbridge_says() {
    let cases = [
        // exact: strings, numbers, null, the empty string
        (json!({"a": ["x"]}), json!({"a": "x", "b": 1}), true),
        (json!({"a": ["x"]}), json!({"a": "X"}), false),
        (json!({"a": ["x", "y"]}), json!({"a": "y"}), true),
        (json!({"a": [1]}), json!({"a": 1}), true),
        (json!({"a": [1]}), json!({"a": "1"}), false),
        (json!({"a": [null]}), json!({"a": null}), true),
        (json!({"a": [null]}), json!({}), false),
        (json!({"a": [""]}), json!({"a": ""}), true),
        (json!({"a": [true]}), json!({"a": true}), true),
        // every field must match
        (json!({"a": ["x"], "b": ["y"]}), json!({"a": "x", "b": "y"}), true),
        (json!({"a": ["x"], "b": ["y"]}), json!({"a": "x"}), false),
        // a list in the event: one element must match
        (json!({"a": ["x"]}), json!({"a": ["w", "x"]}), true),
        (json!({"a": ["x"]}), json!({"a": []}), false),
        // objects in a list: all fields must match within the same object
        (json!({"a": {"b": ["1"], "c": ["2"]}}), json!({"a": [{"b": "1", "c": "9"}, {"b": "8", "c": "2"}]}), false),
        (json!({"a": {"b": ["1"], "c": ["2"]}}), json!({"a": [{"b": "8"}, {"b": "1", "c": "2"}]}), true),
        // prefix, suffix
        (json!({"a": [{"prefix": "eu-"}]}), json!({"a": "eu-central-1"}), true),
        (json!({"a": [{"prefix": "eu-"}]}), json!({"a": "us-east-1"}), false),
        (json!({"a": [{"prefix": {"equals-ignore-case": "EventB"}}]}), json!({"a": "eventbridge"}), true),
        (json!({"a": [{"suffix": ".png"}]}), json!({"a": "cat.png"}), true),
        (json!({"a": [{"suffix": ".png"}]}), json!({"a": "cat.PNG"}), false),
        (json!({"a": [{"suffix": {"equals-ignore-case": ".png"}}]}), json!({"a": "cat.PNG"}), true),
        (json!({"a": [{"prefix": "1"}]}), json!({"a": 12}), false),
        // equals-ignore-case
        (json!({"a": [{"equals-ignore-case": "alice"}]}), json!({"a": "ALICE"}), true),
        (json!({"a": [{"equals-ignore-case": "alice"}]}), json!({"a": "bob"}), false),
        // wildcard
        (json!({"a": [{"wildcard": "dir/*.png"}]}), json!({"a": "dir/x/y.png"}), true),
        (json!({"a": [{"wildcard": "dir/*.png"}]}), json!({"a": "dir/x.jpg"}), false),
        (json!({"a": [{"wildcard": "*a*b*"}]}), json!({"a": "xxaxxb"}), true),
        (json!({"a": [{"wildcard": r"a\*b"}]}), json!({"a": "a*b"}), true),
        (json!({"a": [{"wildcard": r"a\*b"}]}), json!({"a": "axb"}), false),
        (json!({"a": [{"wildcard": ""}]}), json!({"a": ""}), true),
        // anything-but: value, list, operator
        (json!({"a": [{"anything-but": "x"}]}), json!({"a": "y"}), true),
        (json!({"a": [{"anything-but": "x"}]}), json!({"a": "x"}), false),
        (json!({"a": [{"anything-but": "x"}]}), json!({}), false),
        (json!({"a": [{"anything-but": ["x", "y"]}]}), json!({"a": "z"}), true),
        (json!({"a": [{"anything-but": [1, 2]}]}), json!({"a": 2}), false),
        (json!({"a": [{"anything-but": {"prefix": "init"}}]}), json!({"a": "initial"}), false),
        (json!({"a": [{"anything-but": {"prefix": ["init", "error"]}}]}), json!({"a": "ended"}), true),
        (json!({"a": [{"anything-but": {"suffix": ".txt"}}]}), json!({"a": "a.txt"}), false),
        (json!({"a": [{"anything-but": {"equals-ignore-case": ["A", "B"]}}]}), json!({"a": "b"}), false),
        (json!({"a": [{"anything-but": {"wildcard": "*/lib/*"}}]}), json!({"a": "x/lib/y"}), false),
        // numeric
        (json!({"a": [{"numeric": [">", 0, "<=", 5]}]}), json!({"a": 5}), true),
        (json!({"a": [{"numeric": [">", 0, "<=", 5]}]}), json!({"a": 0}), false),
        (json!({"a": [{"numeric": ["=", 300]}]}), json!({"a": 300.0}), true),
        (json!({"a": [{"numeric": ["<", 10]}]}), json!({"a": "3"}), false),
        // exists: leaves only
        (json!({"a": {"b": [{"exists": true}]}}), json!({"a": {"b": null}}), true),
        (json!({"a": {"b": [{"exists": true}]}}), json!({"a": {}}), false),
        (json!({"a": {"b": [{"exists": false}]}}), json!({"a": {}}), true),
        (json!({"a": {"b": [{"exists": false}]}}), json!({}), true),
        (json!({"a": {"b": [{"exists": false}]}}), json!({"a": {"b": 1}}), false),
        // several operators in a list: any of them
        (json!({"a": [{"prefix": "x"}, {"anything-but": "b"}]}), json!({"a": "c"}), true),
        // $or
        (json!({"$or": [{"a": [1]}, {"b": [2]}]}), json!({"b": 2}), true),
        (json!({"$or": [{"a": [1]}, {"b": [2]}]}), json!({"b": 3}), false),
        (json!({"c": ["x"], "$or": [{"a": [1]}, {"b": [2]}]}), json!({"a": 1}), false),
        (json!({"d": {"$or": [{"a": [1]}, {"b": [{"exists": false}]}]}}), json!({"d": {"a": 2}}), true),
    ];
    for (pattern, event, expected) in cases {
        assert_eq!(matched(&pattern, &event), expected, "{pattern} over {event}");
    }
}

#[test]
fn an_s3_event_matches_its_pattern() {
    let event = json!({
        "source": "aws.s3", "detail-type": "Object Created",
        "detail": {"bucket": {"name": "landing"}, "object": {"key": "orders/2026-03-01.csv", "size": 12}}
    });
    let pattern = json!({
        "source": ["aws.s3"], "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": ["landing"]}, "object": {"key": [{"prefix": "orders/"}], "size": [{"numeric": [">", 0]}]}}
    });
    assert!(matched(&pattern, &event));
    assert_eq!(pick(&event, "$.detail.object.key"), Some(&json!("orders/2026-03-01.csv")));
    assert_eq!(pick(&event, "$[\"detail-type\"]"), Some(&json!("Object Created")));
    assert_eq!(pick(&event, "$.detail-type"), Some(&json!("Object Created")));
    for nowhere in ["$", "", "detail", "$.detail.object.nothing", "$.detail.", "$..detail", "$.detail[0", "$.source.x"]
    {
        assert_eq!(pick(&event, nowhere), None, "{nowhere}");
    }
    assert_eq!(pick(&json!({"resources": ["a", "b"]}), "$.resources[1]"), Some(&json!("b")));
}

#[test]
fn problems_of_a_pattern_are_reported_with_their_path() {
    let problem = |pattern: Value| matches(pattern.as_object().unwrap(), &json!({})).unwrap_err().to_string();
    insta::assert_snapshot!(
        [
            json!({}),
            json!({"source": "aws.s3"}),
            json!({"source": []}),
            json!({"source": [["aws.s3"]]}),
            json!({"detail": {"size": [{"numeric": [">"]}]}}),
            json!({"detail": {"size": [{"numeric": ["~", 3]}]}}),
            json!({"detail": {"ip": [{"cidr": "10.0.0.0/8"}]}}),
            json!({"detail-type": [{"prefx": "Object"}]}),
            json!({"detail-type": [{"matches": "Object"}]}),
            json!({"detail-type": [{"prefix": "a", "suffix": "b"}]}),
            json!({"detail-type": [{"prefix": 3}]}),
            json!({"detail-type": [{"wildcard": "a**b"}]}),
            json!({"detail-type": [{"wildcard": "a\\b"}]}),
            json!({"detail-type": [{"anything-but": []}]}),
            json!({"detail-type": [{"exists": "yes"}]}),
            json!({"$or": [{"a": [1]}]}),
            json!({"$or": [{"a": [1]}, 2]}),
        ]
        .map(problem)
        .join("\n")
    );
}

/// Random nested objects of strings, numbers and null.
fn events() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof!["[a-c]{0,3}".prop_map(Value::from), (0..4_i64).prop_map(Value::from), Just(Value::Null)];
    let tree = leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::btree_map("[a-c]", inner, 1..4)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    });
    prop::collection::btree_map("[a-c]", tree, 1..4).prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// The pattern that requires every value of an event.
fn exact_pattern(event: &Value) -> Value {
    match event {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), exact_pattern(value))).collect(),
        leaf => json!([leaf]),
    }
}

proptest! {
    #[test]
    fn an_event_matches_its_exact_pattern(event in events()) {
        prop_assert!(matched(&exact_pattern(&event), &event));
    }

    #[test]
    fn additional_fields_of_an_event_are_ignored(event in events()) {
        let mut more = event.clone();
        more["zzz"] = json!({"deep": [1, 2]});
        prop_assert!(matched(&exact_pattern(&event), &more));
    }

    #[test]
    fn string_operators_agree_with_the_standard_library(text in "[ab*.]{0,8}", part in "[ab.]{0,3}") {
        let holds = |test: Value| matched(&json!({"a": [test]}), &json!({"a": text}));
        prop_assert_eq!(holds(json!({"prefix": part})), text.starts_with(&part));
        prop_assert_eq!(holds(json!({"suffix": part})), text.ends_with(&part));
        prop_assert_eq!(holds(json!({"wildcard": format!("{part}*")})), text.starts_with(&part));
        prop_assert_eq!(holds(json!({"wildcard": format!("*{part}")})), text.ends_with(&part));
        if !part.is_empty() {
            prop_assert_eq!(holds(json!({"wildcard": format!("*{part}*")})), text.contains(&part));
            prop_assert_eq!(holds(json!({"anything-but": {"prefix": part}})), !text.starts_with(&part));
        }
        prop_assert_eq!(holds(json!({"anything-but": part})), text != part);
    }

    #[test]
    fn exists_true_and_exists_false_are_opposites(event in events(), key in "[a-d]") {
        let holds = |wanted: bool| matched(&json!({&key: [{"exists": wanted}]}), &event);
        prop_assert_ne!(holds(true), holds(false));
    }

    #[test]
    fn an_or_matches_if_one_of_its_branches_does(event in events(), a in events(), b in events()) {
        let (a, b) = (exact_pattern(&a), exact_pattern(&b));
        prop_assert_eq!(matched(&json!({"$or": [a, b]}), &event), matched(&a, &event) || matched(&b, &event));
    }

    #[test]
    fn no_path_causes_a_panic(
path in ".{0,20}") {
        pick(&json!({"a": [1]}), &path);
    }
}
