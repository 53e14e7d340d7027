//! Tables of patterns and events with the behaviour of event-ruler, the matcher of AWS (<https://github.com/aws/event-ruler>, Apache-2.0),
//! as its README, `RulerTest` and `RuleCompilerTest` describe it.
//!
//! Differences: `cidr` is refused with a message, and so is `$or` with a value other than a list of at least two patterns, which
//! event-ruler reads as a field named `$or`. event-ruler joins names with dots, so that `{"a.b": [1]}` also matches `{"a": {"b": 1}}`; here a
//! name with a dot is one name, and matches as in `RulerTest` (`c.count`).

use serde_json::{Value, json};

use super::matches;

fn matched(pattern: &Value, event: &Value) -> bool {
    matches(pattern.as_object().unwrap(), event).unwrap_or_else(|problem| panic!("{pattern}: {problem}"))
}

fn holds(event: &Value, cases: &[(Value, bool)]) {
    for (pattern, expected) in cases {
        assert_eq!(matched(pattern, event), *expected, "{pattern} over {event}");
    }
}

#[test]
fn fields_of_every_kind() {
    // The image of RFC 8259, section 13.
    let event = json!({ "Image": {
        "Width": 800, "Height": 600, "Title": "View from 15th Floor",
        "Thumbnail": { "Url": "http://www.example.com/image/481989943", "Height": 125, "Width": 100 },
        "Animated": false, "IDs": [116, 943, 234, 38793],
    } });
    let image = |inside: Value| json!({ "Image": inside });
    holds(
        &event,
        &[
            (image(json!({ "Width": [800], "Thumbnail": { "Height": [125, 300] } })), true),
            (image(json!({ "Thumbnail": { "Url": [{ "prefix": "http" }] } })), true),
            (image(json!({ "Width": [{ "numeric": ["<", 1000] }], "Height": [{ "numeric": ["<=", 600] }] })), true),
            (image(json!({ "Title": [{ "anything-but": "View from 15th Flood" }], "Animated": [false] })), true),
            (image(json!({ "Thumbnail": { "Height": [{ "numeric": [">", 124, "<", 126] }] } })), true),
            (image(json!({ "Thumbnail": { "Width": [{ "numeric": [">=", 99.999, "<=", 100] }] } })), true),
            (image(json!({ "Width": [{ "numeric": ["<", 800] }] })), false),
            (image(json!({ "Height": [{ "numeric": ["<", 599] }] })), false),
            (image(json!({ "Title": [{ "anything-but": "View from 15th Floor" }] })), false),
            (image(json!({ "Thumbnail": { "Url": [{ "prefix": "https" }] } })), false),
            (image(json!({ "Thumbnail": { "Height": [{ "numeric": [">", 124, "<", 125] }] } })), false),
            (image(json!({ "Thumbnail": { "Width": [{ "numeric": [">=", 100.00001, "<=", 1001] }] } })), false),
            (image(json!({ "Animated": [true] })), false),
        ],
    );
}

#[test]
fn an_event_of_ec2() {
    let event = json!({
        "detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2", "time": "2017-10-02T16:24:49Z",
        "resources": ["arn:aws:ec2:us-east-1:012345679012:instance/i-000000aaaaaa00000"],
        "detail": { "c.count": 5, "d.count": 3, "x.limit": 301.8, "state": "running" },
    });
    let cases = [
        (
            json!({
                "detail-type": ["EC2 Instance State-change Notification"],
                "resources": ["arn:aws:ec2:us-east-1:012345679012:instance/i-000000aaaaaa00000"],
                "detail": { "state": ["initializing", "running"] },
            }),
            true,
        ),
        (
            json!({ "time": [{ "prefix": "2017-10-02" }], "detail": { "state": [{ "anything-but": "initializing" }] } }),
            true,
        ),
        (
            json!({ "detail": {
                "c.count": [{ "numeric": [">", 0, "<=", 5] }], "d.count": [{ "numeric": ["<", 10] }],
                "x.limit": [{ "numeric": ["=", 3.018e2] }],
            } }),
            true,
        ),
        (json!({ "detail": { "state": [{ "anything-but": { "prefix": "init" } }] } }), true),
        (json!({ "source": [{ "suffix": "ec2" }] }), true),
        (json!({ "source": [{ "equals-ignore-case": "AWS.EC2" }] }), true),
        (json!({ "source": [{ "exactly": "aws.ec2" }] }), true),
        (json!({ "source": [{ "exactly": "aws" }] }), false),
    ];
    holds(&event, &cases);
    // The same fields, not inside `detail`.
    let flat = json!({ "source": "aws.ec2", "detail.c.count": 5, "detail.d.count": 3, "detail.x.limit": 301.8 });
    holds(&flat, &[(cases[2].0.clone(), false)]);
}

#[test]
fn fields_of_a_list_match_within_one_element() {
    let event = json!({ "employees": [
        [
            { "firstName": "John", "lastName": "Doe", "ids": [1234, 1000, 9999] },
            { "firstName": "Anna", "lastName": "Smith" },
        ],
        [{ "firstName": "Peter", "lastName": "Jones", "ids": [] }],
    ] });
    let employees = |inside: Value| json!({ "employees": inside });
    holds(
        &event,
        &[
            (employees(json!({ "firstName": ["Anna"] })), true),
            (employees(json!({ "firstName": ["John"], "ids": [1000] })), true),
            (employees(json!({ "firstName": ["Anna"], "ids": [{ "exists": false }] })), true),
            (employees(json!({ "firstName": ["Alice"] })), false),
            (employees(json!({ "firstName": ["Anna"], "lastName": ["Jones"] })), false),
            (employees(json!({ "firstName": ["Alice"], "lastName": ["Bob"] })), false),
            (employees(json!({ "firstName": ["Anna"], "ids": [1000] })), false),
            (employees(json!({ "firstName": ["Anna"], "ids": [{ "exists": true }] })), false),
            (json!({ "a": ["b"] }), false),
            (json!({ "employees": ["b"] }), false),
        ],
    );
}

#[test]
fn whether_a_field_exists() {
    let pattern = |field: &str, exists: bool| json!({ field: [{ "exists": exists }] });
    holds(&json!({ "a": 1 }), &[(pattern("a", true), true), (pattern("a", false), false), (pattern("b", false), true)]);
    // `exists` tests leaf values only; an object is not a leaf value.
    let event = json!({ "detail": { "state": "running", "c-count": { "c1": 100 } } });
    let count = |exists: bool| json!({ "detail": { "c-count": [{ "exists": exists }] } });
    holds(&event, &[(count(false), true), (count(true), false)]);
}

#[test]
fn values_that_are_excluded() {
    let pattern = json!({
        "a": [{ "anything-but": ["dad0", "dad1", "dad2"] }], "b": [{ "anything-but": [111, 222, 333] }],
        "c": [{ "anything-but": "zdd" }], "d": [{ "anything-but": 444 }], "z": [{ "numeric": [">", 0, "<", 1] }],
        "w": [{ "anything-but": { "prefix": "zax" } }],
    });
    let event =
        |a: &str, b: Value, c: &str, d: u32, w: &str, z: f64| json!({ "a": a, "b": b, "c": c, "d": d, "w": w, "z": z });
    for (event, expected) in [
        (event("child1", json!("444"), "child1", 123, "xaz", 0.001), true),
        (event("dad789", json!(789), "zdd", 123, "xaz", 0.001), false),
        (event("dad789", json!(789), "child1", 123, "xaz", 1.01), false),
        (event("dad1", json!(345), "child1", 123, "xaz", 0.001), false),
        (event("abc", json!(111), "child1", 123, "xaz", 0.001), false),
        (event("abc", json!(0), "child1", 444, "xaz", 0.999_999), false),
        (event("child1", json!("444"), "child1", 123, "zaxonie", 0.001), false),
    ] {
        assert_eq!(matched(&pattern, &event), expected, "{event}");
    }
}

#[test]
fn texts_in_any_case_and_wildcards() {
    let pattern = json!({
        "a": [{ "equals-ignore-case": "aBc" }], "b": [{ "equals-ignore-case": "Def" }], "c": [{ "equals-ignore-case": "xyZ" }],
    });
    for (event, expected) in [
        (json!({ "a": "ABC", "b": "defx", "c": "xYz", "d": "rst" }), false),
        (json!({ "a": "ABC", "c": "xYz", "d": "rst" }), false),
        (json!({ "a": "ABC", "b": "xYz", "c": "def", "d": "rst" }), false),
        (json!({ "a": "ABC", "b": "def", "c": "xYz", "d": "rst" }), true),
    ] {
        assert_eq!(matched(&pattern, &event), expected, "{event}");
    }
    let pattern = json!({
        "a": [{ "wildcard": "*bc" }], "b": [{ "wildcard": "d*f" }], "c": [{ "wildcard": "xy*" }], "d": [{ "wildcard": "xy*" }],
    });
    for (event, expected) in [
        (json!({ "a": "abcbc", "b": "deeeefx", "c": "xy", "d": "xyzzz" }), false),
        (json!({ "a": "abcbc", "b": "deeeef", "d": "xyzzz" }), false),
        (json!({ "a": "abcbc", "b": "xy", "c": "deeeef", "d": "xyzzz" }), false),
        (json!({ "a": "abcbc", "b": "deeeef", "c": "xy", "d": "xyzzz" }), true),
    ] {
        assert_eq!(matched(&pattern, &event), expected, "{event}");
    }
}

#[test]
fn numbers_are_compared_as_numbers() {
    for (wanted, event, expected) in [
        (json!([123_456_789_012_u64]), json!(123_456_789_012_u64), true),
        (json!([300]), json!(300.0), true),
        (json!([3.0e2]), json!(300), true),
        (json!([300]), json!("300"), false),
        (json!([9_007_199_254_740_993_u64]), json!(9_007_199_254_740_992_u64), false),
        (json!([{ "anything-but": 300 }]), json!(300.0), false),
        (json!([{ "anything-but": [100, 300] }]), json!(3.0e2), false),
    ] {
        assert_eq!(matched(&json!({ "a": wanted }), &json!({ "a": event })), expected, "{wanted} {event}");
    }
}

#[test]
fn alternatives() {
    let alarm =
        json!({ "source": "aws.cloudwatch", "metricType": "MetricType", "namespace": "AWS/EC2", "spaceId": 1000 });
    let other = json!({ "source": "aws.cloudwatch", "metricType": "MetricType", "namespace": "AWS/EC2", "spaceId": 1 });
    let pattern = json!({
        "source": ["aws.cloudwatch"],
        "$or": [
            { "metricName": ["CPUUtilization", "ReadLatency"] },
            {
                "metricType": ["MetricType"], "namespace": ["AWS/EC2", "AWS/ES"],
                "$or": [{ "metricId": [1234] }, { "spaceId": [1000] }],
            },
            { "scope": ["Service"] },
        ],
    });
    assert!(matched(&pattern, &alarm) && !matched(&pattern, &other));
    let event = json!({
        "detail": { "info": { "state-count": { "count": 100 } }, "c-count": 1, "d-count": 8 },
        "news": { "newsProviders": "p1", "newCondition2": "news222" },
    });
    let pattern = json!({
        "detail": {
            "info": { "state-count": { "count": [100] } },
            "$or": [{ "c-count": [{ "numeric": [">", 5] }] }, { "d-count": [{ "numeric": ["<", 10] }] }],
        },
        "news": {
            "newsProviders": ["p1", "p2"],
            "$or": [{ "newCondition1": ["news111"] }, { "newCondition2": ["news222"] }],
        },
    });
    assert!(matched(&pattern, &event));
}

#[test]
fn patterns_that_are_not_valid() {
    let numeric = |expression: Value| json!({ "numeric": expression });
    for test in [
        json!({ "exactly": 33 }),
        json!({ "prefix": "child", "foo": [] }),
        json!({ "prefix": 3 }),
        json!({ "prefix": [1, 2] }),
        json!({ "suffix": "child", "foo": [] }),
        json!({ "suffix": 3 }),
        json!({ "foo": "child" }),
        json!({ "anything-but": "child", "foo": [] }),
        json!({ "anything-but": ["child0", 111, "child2"] }),
        json!({ "anything-but": { "foo": 3 } }),
        json!({ "anything-but": { "prefix": 27 } }),
        json!({ "anything-but": { "prefix": "" } }),
        json!({ "anything-but": { "prefix": "foo", "a": 1 } }),
        json!({ "anything-but": { "prefix": "foo" }, "x": 1 }),
        json!({ "anything-but": { "suffix": 27 } }),
        json!({ "anything-but": { "suffix": "" } }),
        json!({ "anything-but": { "equals-ignore-case": [1, 2, 3] } }),
        json!({ "equals-ignore-case": 5 }),
        json!({ "equals-ignore-case": ["abc"] }),
        json!({ "prefix": { "invalid-expression": ["abc"] } }),
        json!({ "prefix": { "equals-ignore-case": 5 } }),
        json!({ "prefix": { "equals-ignore-case": ["abc"] } }),
        json!({ "prefix": { "equals-ignore-case": "abc", "test": "def" } }),
        json!({ "prefix": { "equals-ignore-case": "abc" }, "test": "def" }),
        json!({ "suffix": { "equals-ignore-case": "abc", "test": "def" } }),
        json!({ "wildcard": 5 }),
        json!({ "wildcard": ["abc"] }),
        json!({ "exists": "badString" }),
        json!({ "exists": true, "extraKey": "extraValue" }),
        json!({ "cidr": "10.0.0.0/8" }),
        numeric(json!(["=", true])),
        numeric(json!(["<", "-4e-6"])),
        numeric(json!(["="])),
        numeric(json!(["<>", 1, ">", 0])),
        numeric(json!(["==", 1, ">", 0])),
        numeric(json!(["<", 1, ">", 0])),
        numeric(json!([">", 1, "<", 1])),
        numeric(json!([">", 30, "<", 1])),
        numeric(json!([">", 1, "<", 30, false])),
        numeric(json!(["=", 1, "<", 30])),
        numeric(json!([">", 1, ">=", 30])),
    ] {
        let pattern = json!({ "a": [test] });
        assert!(matches(pattern.as_object().unwrap(), &json!({})).is_err(), "{pattern}");
    }
    for pattern in [json!({ "a": 1 }), json!({ "a": [{ "x": 2 }] }), json!({ "foo": {} }), json!({ "foo": [] })] {
        assert!(matches(pattern.as_object().unwrap(), &json!({})).is_err(), "{pattern}");
    }
    for or in [json!([{ "numeric": 123 }, { "prefix": "abc" }]), json!({ "metricType": ["MetricType"] }), json!([{}])] {
        let pattern = json!({ "source": ["aws.cloudwatch"], "$or": or });
        assert!(matches(pattern.as_object().unwrap(), &json!({})).is_err(), "{pattern}");
    }
}
