//! Texts that are resources, and texts that are not.

use expect_test::{Expect, expect};

use super::*;

fn check(text: &str, printed: &Expect) {
    let got = match Resources::parse(text, "*") {
        Ok(resources) => resources.to_string(),
        Err(why) => format!("error: {why}"),
    };
    printed.assert_eq(&got);
}

#[test]
fn reads_the_text_form() {
    check("", &expect!["{}"]);
    check("cpus:0", &expect!["{}"]);
    check("cpus:8;mem(prod):16384", &expect!["cpus:8; mem(reservations: [(STATIC,prod)]):16384"]);
    check("ports:[31000-32000, 1-3,4-5]", &expect!["ports:[1-5, 31000-32000]"]);
    check("gear: {b, a} ; cpus (a/b) : .5", &expect!["gear:{b, a}; cpus(reservations: [(STATIC,a/b)]):0.5"]);
    check("cpus:1;cpus:1.1;;", &expect!["cpus:2.1"]);
    check("cpus(*):1", &expect!["cpus:1"]);
    check("cpus:1e3", &expect!["cpus:1000"]);
    check("c p us:2", &expect!["c p us:2"]);
    check("ports:[0-18446744073709551615]", &expect!["ports:[0-18446744073709551615]"]);
}

#[test]
fn refuses_bad_text_in_mesos_words() {
    check("cpus", &expect!["error: Bad value for resources, missing or extra ':' in cpus"]);
    check("cpus:1:2", &expect!["error: Bad value for resources, missing or extra ':' in cpus:1:2"]);
    check("cpus(a:1", &expect!["error: Bad value for resources, mismatched parentheses in cpus(a:1"]);
    check("cpus)a(:1", &expect!["error: Bad value for resources, mismatched parentheses in cpus)a(:1"]);
    check(
        "cpus: ",
        &expect!["error: Failed to parse resource cpus value   error Expecting non-empty string"],
    );
    check(
        "ports:[1-2",
        &expect!["error: Failed to parse resource ports value [1-2 error Mismatched brackets"],
    );
    check(
        "ports:[1-2,3]",
        &expect![[
            r#"error: Failed to parse resource ports value [1-2,3] error Expecting one or more "ranges""#
        ]],
    );
    check(
        "ports:[a-2]",
        &expect![
            "error: Failed to parse resource ports value [a-2] error Expecting non-negative integers in 'a'"
        ],
    );
    check(
        "ports:x[1-2]",
        &expect!["error: Failed to parse resource ports value x[1-2] error Unexpected '[' found"],
    );
    check(
        "gear:x{1}",
        &expect!["error: Failed to parse resource gear value x{1} error Unexpected '{' found"],
    );
    check("cpus:-1", &expect!["error: Bad type for resource cpus value -1 type TEXT"]);
    check("cpus:inf", &expect!["error: Bad type for resource cpus value inf type TEXT"]);
    check("cpus:nan", &expect!["error: Bad type for resource cpus value nan type TEXT"]);
    check("cpus:lots", &expect!["error: Bad type for resource cpus value lots type TEXT"]);
    check(
        "cpus:1e-310",
        &expect!["error: Failed to parse resource cpus value 1e-310 error Subnormal values not supported"],
    );
    check("cpus:1e300", &expect!["error: Invalid scalar resource: value <= 0"]);
    check("cpus:0.0001", &expect!["error: Invalid scalar resource: value <= 0"]);
    check("ports:[5-3]", &expect!["error: Invalid ranges resource: begin > end"]);
    check("gear:{a,a}", &expect!["error: Invalid set resource: duplicated elements"]);
    check("cpus(/x):1", &expect!["error: Role '/x' cannot start with a slash"]);
    check("(prod):1", &expect!["error: Empty resource name"]);
    check(
        "x:1;x:{a}",
        &expect!["error: Resources with the same name ('x') but different types are not allowed"],
    );
}

#[test]
fn reads_the_json_form() {
    check("[]", &expect!["{}"]);
    check(
        r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":4.5}},
            {"name":"mem","type":"SCALAR","scalar":{"value":64},"role":"prod"},
            {"name":"ports","type":"RANGES","ranges":{"range":[{"begin":3,"end":4},{"begin":1,"end":2}]}},
            {"name":"disk","type":"SCALAR","scalar":{"value":9},
             "reservations":[{"type":"STATIC","role":"a"}],
             "disk":{"source":{"type":"MOUNT","mount":{"root":"/mnt/d"}}}}]"#,
        &expect![
            "cpus:4.5; mem(reservations: [(STATIC,prod)]):64; ports:[1-4]; disk(reservations: [(STATIC,a)])[MOUNT:/mnt/d]:9"
        ],
    );
    check(
        r#"[{"name":"cpus","scalar":{"value":4}}]"#,
        &expect!["error: Some JSON resources were not formatted properly: Missing required fields: type"],
    );
    check(
        r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":-4}}]"#,
        &expect!["error: Invalid scalar resource: value <= 0"],
    );
    check(
        r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"revocable":{}}]"#,
        &expect![
            "error: Revocable resources cannot be specified at the command line; do not include a 'revocable' key in the resources JSON"
        ],
    );
    check(
        r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"reservations":[{"type":"DYNAMIC","role":"a"}]}]"#,
        &expect![
            "error: Dynamic reservations cannot be specified at the command line; do not include a reservation with DYNAMIC type in the resources JSON"
        ],
    );
    check("[{]", &expect!["error: Bad value for resources, missing or extra ':' in [{]"]);
    let given = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]"#;
    assert_eq!(
        Resources::parse(given, "prod").expect("parses").to_string(),
        "cpus(reservations: [(STATIC,prod)]):1"
    );
}

#[test]
fn the_default_role_reserves() {
    let resources = Resources::parse("cpus:1;mem(*):2", "prod").expect("parses");
    assert_eq!(resources.to_string(), "cpus(reservations: [(STATIC,prod)]):1; mem:2");
}

#[test]
fn quantities_are_scalars_only() {
    let check = |text: &str| match Quantities::parse(text) {
        Ok(quantities) => quantities.to_string(),
        Err(why) => why.to_string(),
    };
    for (text, printed) in [
        ("cpus:2; mem :1", "cpus:2; mem:1"),
        ("cpus:0", "{}"),
        ("cpus:1;cpus:2", "cpus:3"),
        ("cpus", "Failed to parse 'cpus': missing or extra ':'"),
        ("cpus:[1-2]", "Failed to parse '[1-2]' to quantity: only scalar values are allowed"),
        ("cpus:(", "Failed to parse '(' to quantity: Mismatched brackets"),
    ] {
        assert_eq!(check(text), printed);
    }
}
