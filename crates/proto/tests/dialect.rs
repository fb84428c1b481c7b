//! The JSON dialect case by case: what is taken, what is refused and in which words,
//! and how numbers and strings look.

use proto::json::{self, Json, Names, Writer};
use proto::mesos::v1::scheduler::Call;
use proto::mesos::v1::{self, Offer, Resource, TaskInfo, TaskStatus};

fn refused<T: Json + std::fmt::Debug>(text: &str) -> String {
    json::from_slice::<T>(text.as_bytes()).expect_err("refused").to_string()
}

/// Reads a text and prints it again.
fn again<T: Json>(text: &str) -> String {
    let message = json::from_slice::<T>(text.as_bytes());
    json::to_string(&message.unwrap_or_else(|error| panic!("{text}: {error}")), Names::V1)
}

#[test]
fn syntax_errors_quote_the_rest_of_the_line() {
    let cases = [
        // recorded/bad-json.json
        ("{\"type\":", "syntax error at line 1 near: "),
        ("", "syntax error at line 1 near: "),
        ("  ", "syntax error at line 1 near: "),
        ("nul", "syntax error at line 1 near: "),
        ("nulx y", "syntax error at line 1 near: x y"),
        ("x", "syntax error at line 1 near: x"),
        ("{a}", "syntax error at line 1 near: a}"),
        ("{\"a\" 1}", "syntax error at line 1 near: 1}"),
        ("{\n\"a\": 1,\n}\nz", "syntax error at line 3 near: }"),
        ("[1 2]", "syntax error at line 1 near: 2]"),
        ("[1,]", "syntax error at line 1 near: ]"),
        ("\"a\nb\"", "syntax error at line 1 near: "),
        ("\"\\x\"", "syntax error at line 1 near: \""),
        ("\"\\ud800\"", "syntax error at line 1 near: \""),
        ("\"\\udc00\"", "syntax error at line 1 near: \""),
        ("1.2.3", "syntax error at line 1 near: "),
        ("-", "syntax error at line 1 near: "),
        ("1e999", "Value out of range"),
        ("{} x", "Parsed JSON included non-whitespace trailing characters:  x"),
        ("{}{}", "Parsed JSON included non-whitespace trailing characters: {}"),
    ];
    for (text, expected) in cases {
        let error = json::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text:?}");
        let body = error.body_message("Call");
        assert_eq!(body, format!("Failed to parse body into JSON: {expected}"));
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(json::parse(nested(200).as_bytes()).is_ok());
    let error = json::parse(nested(201).as_bytes()).unwrap_err().to_string();
    assert_eq!(error, format!("syntax error at line 1 near: {}", "]".repeat(201)));
    assert!(json::parse("[".repeat(1_000_000).as_bytes()).is_err());
    // Deeper than a message may nest, though not deeper than JSON may.
    let parents = format!("{}{}", r#"{"value":"a","parent":"#.repeat(150), r#"{"value":"a"}"#);
    let text = format!("{parents}{}", "}".repeat(150));
    assert!(refused::<v1::ContainerId>(&text).contains("recursion limit"));
}

#[test]
fn strings_and_numbers_are_read() {
    let value =
        json::parse(br#"{"a":"\u00e9\ud83d\ude00\/\b","b":[1,-2,1.0,1e2,01,9223372036854775808],"a":"z"}"#);
    let value = value.unwrap();
    assert_eq!(value.get("a").unwrap().as_str(), Some("z"), "the last of equal keys counts");
    assert_eq!(
        format!("{:?}", value.get("b").unwrap()),
        "Array([Int(1), Int(-2), Float(1.0), Float(100.0), Int(1), Float(9.223372036854776e18)])"
    );
    let value = json::parse(br#""\u00e9\ud83d\ude00\/\b\u0000""#).unwrap();
    assert_eq!(value.as_str(), Some("é😀/\u{8}\0"));
    let value = json::parse(b"\"\xff\"").unwrap();
    assert_eq!(value.as_str(), Some("\u{fffd}"));
}

#[test]
fn clients_are_met_half_way() {
    // npm: null for whatever is unset, repeated fields too.
    assert_eq!(
        again::<Call>(r#"{"type":"REVIVE","framework_id":null,"accept":null,"revive":{"roles":null}}"#),
        r#"{"type":"REVIVE","revive":{}}"#
    );
    // A single value where a list is expected.
    assert_eq!(again::<Call>(r#"{"revive":{"roles":"a"}}"#), r#"{"revive":{"roles":["a"]}}"#);
    // Numbers as strings, strings of truth, whole doubles for integers.
    assert_eq!(
        again::<Resource>(
            r#"{"name":"p","type":"RANGES","scalar":{"value":"1.5"},"ranges":{"range":[{"begin":"1","end":2.0}]}}"#
        ),
        r#"{"name":"p","type":"RANGES","scalar":{"value":1.5},"ranges":{"range":[{"begin":1,"end":2}]}}"#
    );
    assert_eq!(
        again::<v1::Parameter>(r#"{"key":"k","value":"v","new":{"x":[1]}}"#),
        r#"{"key":"k","value":"v"}"#
    );
    assert_eq!(again::<v1::Value>(r#"{"type":"TEXT","text":null}"#), r#"{"type":"TEXT"}"#);
    // Either base64 alphabet, line breaks, no padding.
    let data = |text: &str| {
        let text = format!(r#"{{"task_id":{{"value":"t"}},"state":"TASK_LOST","data":"{text}"}}"#);
        json::from_slice::<TaskStatus>(text.as_bytes()).map(|status| status.data.unwrap())
    };
    assert_eq!(data("+/+/").unwrap(), data("-_-_").unwrap());
    assert_eq!(&data("aG\\ns=").unwrap()[..], b"hk");
    assert_eq!(&data("aGk").unwrap()[..], b"hi");
    assert_eq!(
        data("a*").unwrap_err().to_string(),
        "Failed to base64 decode bytes field 'data': Invalid character '*'"
    );
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let field = |json: &str| format!("Not expecting a JSON {json}");
    assert_eq!(refused::<Call>("[]"), "Expecting a JSON object");
    assert_eq!(refused::<Call>(r#"{"accept":[]}"#), field("array for field 'accept'"));
    assert_eq!(refused::<Call>(r#"{"accept":"x"}"#), field("string for field 'accept'"));
    assert_eq!(refused::<Call>(r#"{"accept":1}"#), field("number for field 'accept'"));
    assert_eq!(refused::<Call>(r#"{"accept":true}"#), field("boolean for field 'accept'"));
    assert_eq!(refused::<Call>(r#"{"type":{}}"#), field("object for field 'type'"));
    assert_eq!(
        refused::<v1::value::Scalar>(r#"{"value":"x"}"#),
        "Failed to parse 'x' as a JSON number for field 'value': syntax error at line 1 near: x"
    );
    assert_eq!(
        refused::<v1::value::Scalar>(r#"{"value":"true"}"#),
        "Failed to parse 'true' as a JSON number for field 'value': Unexpected JSON type parsed"
    );
    assert_eq!(
        refused::<TaskStatus>(r#"{"task_id":{"value":"t"},"state":"TASK_NEW"}"#),
        "Failed to find enum for 'TASK_NEW'"
    );
    assert_eq!(
        refused::<Offer>(r#"{"id":{},"resources":[{"name":"a"}],"hostname":"h"}"#),
        "Missing required fields: framework_id, agent_id, id.value, resources[0].type"
    );
    assert_eq!(
        refused::<TaskInfo>(r#"{"name":"n","task_id":{"value":"t"},"slave_id":{"value":"a"}}"#),
        "Missing required fields: agent_id"
    );
}

#[test]
fn unknown_names_of_optional_enums_are_dropped() {
    let call: Call = json::from_slice(br#"{"type":"NEW"}"#).unwrap();
    assert_eq!(call, Call::default());
    let error = proto::unions::scheduler(&call).unwrap_err();
    assert_eq!(error.to_string(), "Expecting 'type' to be present");
    // A number without a name came over the wire: it is not printed.
    let call = Call { r#type: Some(99), ..Call::default() };
    assert_eq!(json::to_string(&call, Names::V1), "{}");
    assert!(proto::unions::scheduler(&call).is_err());
}

#[test]
fn v0_documents() {
    let text = br#"{"name":"n","task_id":{"value":"t"},"slave_id":{"value":"a"},"agent_id":{"value":"b"}}"#;
    let task: TaskInfo = json::from_slice_v0(text).unwrap();
    assert_eq!(task.agent_id.value, "a");
    let text = br#"{"task_id":{"value":"t"},"state":"TASK_LOST","source":"SOURCE_SLAVE","reason":"REASON_SLAVE_REMOVED"}"#;
    let status: TaskStatus = json::from_slice_v0(text).unwrap();
    let v1 = json::to_string(&status, Names::V1);
    assert!(v1.ends_with(r#""source":"SOURCE_AGENT","reason":"REASON_AGENT_REMOVED"}"#), "{v1}");
    let list: Vec<Resource> = json::list_from_slice(br#"[{"name":"a","type":"SCALAR"}]"#, Names::V0).unwrap();
    assert_eq!(list.len(), 1);
    let error = json::list_from_slice::<Resource>(b"{}", Names::V0).unwrap_err();
    assert_eq!(error.to_string(), "Expecting a JSON array");
}

#[test]
fn doubles_look_like_those_of_mesos() {
    let cases = [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (15.0, "15.0"),
        (0.1, "0.1"),
        (-2.5, "-2.5"),
        (0.001, "0.001"),
        (0.0001, "0.0001"),
        (0.000001, "0.000001"),
        (0.0000001, "1e-7"),
        (1.25e-9, "1.25e-9"),
        (123_456.789, "123456.789"),
        (1_795_179_693.687_25, "1795179693.68725"),
        (999_999_999_999.999, "999999999999.999"),
        (9_007_199_254_740_993.0, "9007199254740992.0"),
        (1e20, "100000000000000000000.0"),
        (1e21, "1e21"),
        (1.5e300, "1.5e300"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1.0 / 3.0, "0.3333333333333333"),
        (f64::INFINITY, "\"Infinity\""),
        (f64::NEG_INFINITY, "\"-Infinity\""),
        (f64::NAN, "\"NaN\""),
    ];
    for (number, expected) in cases {
        let mut out = Writer::new();
        out.f64(number);
        assert_eq!(out.into_string(), expected);
    }
}

#[test]
fn documents_by_hand() {
    let mut out = Writer::new();
    out.object(|w| {
        w.field_str("a\"\\\n\u{1}\u{7f}é", "/");
        w.field_array("list", |w| {
            w.i64(-1);
            w.array(|_| {});
            w.object(|w| w.field_bool("x", true));
            w.null();
        });
        w.field_object("empty", |_| {});
        w.field_u64("u", u64::MAX);
        w.field_f64("f", 1.0);
        w.field_message("m", &v1::AgentId { value: "s".to_owned() }, Names::V0);
        w.key("raw");
        w.raw("[1,2]");
        w.key("bytes");
        w.base64(b"hi");
    });
    assert_eq!(
        out.into_string(),
        "{\"a\\\"\\\\\\n\\u0001\u{7f}é\":\"/\",\"list\":[-1,[],{\"x\":true},null],\"empty\":{},\
         \"u\":18446744073709551615,\"f\":1.0,\"m\":{\"value\":\"s\"},\"raw\":[1,2],\"bytes\":\"aGk=\"}"
    );
}

#[test]
fn agents_show_their_checkpoint_only_in_reads() {
    let info = v1::AgentInfo { hostname: "h".to_owned(), checkpoint: Some(true), ..Default::default() };
    assert_eq!(json::to_string(&info, Names::V1), r#"{"hostname":"h","port":5051}"#);
    let with = r#"{"hostname":"h","checkpoint":true,"port":5051}"#;
    assert_eq!(json::to_string(&info, Names::V1Internal), with);
    assert_eq!(json::to_string(&info, Names::V0), with);
    assert_eq!(json::from_slice::<v1::AgentInfo>(with.as_bytes()).unwrap().checkpoint, None);
}
