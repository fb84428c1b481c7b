//! Puts what the benchmarks of allocation found into the tables of `docs/allocation.md`.
//!
//! A table stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`; what is around it is written by people.

use std::fmt::Write as _;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::root;

const DOC: &str = "docs/allocation.md";

/// Writes both tables anew, from the lines of JSON that the benchmarks printed.
pub(crate) fn update(lines: &[Value]) -> anyhow::Result<()> {
    let path = root().join(DOC);
    let doc = std::fs::read_to_string(&path).with_context(|| format!("{DOC} cannot be read"))?;
    let doc = replaced(&doc, "shapes", &shapes(lines))?;
    let doc = replaced(&doc, "laws", &laws(lines))?;
    std::fs::write(&path, doc).with_context(|| format!("{DOC} cannot be written"))
}

fn replaced(doc: &str, name: &str, table: &str) -> anyhow::Result<String> {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = doc.split_once(&begin).with_context(|| format!("no '{}' in {DOC}", begin.trim()))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("no '{end}' in {DOC}"))?;
    ensure!(
        table.lines().nth(2).is_some_and(|row| !row.is_empty()),
        "no figure for the table '{name}' of {DOC}"
    );
    Ok(format!("{before}{begin}{table}{end}{after}"))
}

/// Shape after shape beside Apache Mesos.
fn shapes(lines: &[Value]) -> String {
    let mut table =
        "| shape | agents x frameworks | CPU ms | Mesos ms | times less | goal |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for line in lines.iter().filter(|line| line["benchmark"] == "allocator") {
        let (agents, frameworks) = (number(&line["agents"]), number(&line["frameworks"]));
        let size = if line["agents"] == 1 {
            format!("{frameworks} roles")
        } else {
            format!("{agents} x {frameworks}")
        };
        let nothing = line["goal"].is_null() && !line["mesos_ms"].is_null();
        let times = if nothing { String::new() } else { number(&line["times_less"]) };
        let goal = if nothing { "0".to_owned() } else { number(&line["goal"]) };
        row(
            &mut table,
            &[
                text(&line["shape"]),
                &size,
                &number(&line["cpu_ms"]["median"]),
                &number(&line["mesos_ms"]),
                &times,
                &goal,
                if line["reached"] == false { "missed" } else { "" },
            ],
        );
    }
    table
}

/// Laws of growth, and times over the wire.
fn laws(lines: &[Value]) -> String {
    let mut table = String::new();
    for line in lines {
        let (agents, frameworks) = (number(&line["agents"]), number(&line["frameworks"]));
        match text(&line["benchmark"]) {
            "change" => row(
                &mut table,
                &[
                    "G1: a change at 50,000 agents against 1,000, 1,000 frameworks",
                    &format!("{}, slope {}", spread(&line["ratio"]), number(&line["slope"])),
                    &number(&line["goal"]),
                ],
            ),
            "full" => row(
                &mut table,
                &[
                    "G2: cold full allocation to 20,000 agents x 2,000 frameworks: slope in agents; in frameworks",
                    &format!("{}; {}", number(&line["slope_agents"]), number(&line["slope_frameworks"])),
                    &format!("{}; {}", number(&line["goal_agents"]), number(&line["goal_frameworks"])),
                ],
            ),
            "declines" => row(
                &mut table,
                &[
                    &format!("G3: a decline among 2,000 frameworks against 200, {agents} agents"),
                    &format!("{}, slope {}", spread(&line["ratio_2000_to_200"]), number(&line["slope"])),
                    &number(&line["goal"]),
                ],
            ),
            "expiry" => row(
                &mut table,
                &[
                    &format!(
                        "G3: {}, among {} filters against {}",
                        text(&line["what"]),
                        number(&line["filters"][1]),
                        number(&line["filters"][0])
                    ),
                    &spread(&line["ratio"]),
                    &number(&line["goal"]),
                ],
            ),
            "latency" => row(
                &mut table,
                &[
                    &format!("G4: freed to offered, {agents} agents, {frameworks} frameworks, p50; p99"),
                    &quantiles(&line["offered_us"]),
                    "5 ms; 20 ms",
                ],
            ),
            "churn" => row(
                &mut table,
                &[
                    &format!("G4: slots that tasks of one second use, {agents} agents"),
                    &format!("{:.1} %", line["used_milli"].as_f64().unwrap_or_default() / 10.0),
                    "98 %",
                ],
            ),
            "probe" => row(
                &mut table,
                &[
                    &format!("G5: a probe at {agents} agents, {frameworks} busy frameworks, p50; p99"),
                    &quantiles(&line["probed_us"]),
                    "p99 50 ms, and 1.5 times that at 1,000 agents",
                ],
            ),
            _ => {}
        }
    }
    let mut rows: Vec<_> = table.lines().collect();
    rows.sort_unstable();
    format!("| law | found | goal |\n|---|---|---|\n{}\n", rows.join("\n"))
}

fn row(table: &mut String, cells: &[&str]) {
    // A verdict without a column of its own stands in the last.
    let cells = match cells {
        [shown @ .., goal, verdict] if shown.len() == 5 => {
            shown.iter().map(|cell| (*cell).to_owned()).chain([format!("{goal} {verdict}")]).collect()
        }
        all => all.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>(),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(table, "| {} |", cells.iter().map(|cell| cell.trim()).collect::<Vec<_>>().join(" | "));
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn spread(spread: &Value) -> String {
    format!("{} ({} to {})", number(&spread["median"]), number(&spread["min"]), number(&spread["max"]))
}

fn quantiles(us: &Value) -> String {
    let ms = |name: &str| format!("{:.1} ms", us[name].as_f64().unwrap_or_default() / 1000.0);
    format!("{}; {}", ms("p50"), ms("p99"))
}

/// A number with as many digits as say something, and commas; nothing where there is none.
fn number(value: &Value) -> String {
    let Some(number) = value.as_f64() else { return String::new() };
    // What a benchmark rounded to nothing is not nothing.
    let whole = if number >= 1.0 && number.fract() == 0.0 || number >= 100.0 {
        format!("{number:.0}")
    } else if number >= 10.0 {
        return format!("{number:.1}");
    } else if number >= 1.0 {
        return format!("{number:.2}").trim_end_matches('0').trim_end_matches('.').to_owned();
    } else if number >= 0.001 {
        return format!("{number:.3}").trim_end_matches('0').to_owned();
    } else {
        return "under 0.001".to_owned();
    };
    let digits = whole.len();
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (digits - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, shown) in [
            (json!(0.0004), "under 0.001"),
            (json!(0.0), "under 0.001"),
            (json!(0.07), "0.07"),
            (json!(1.2344), "1.23"),
            (json!(1.9987), "2"),
            (json!(16.04), "16.0"),
            (json!(233.4), "233"),
            (json!(42_600.0), "42,600"),
            (json!(4_000_000), "4,000,000"),
            (json!(null), ""),
        ] {
            assert_eq!(number(&value), shown);
        }
    }

    #[test]
    fn a_table_takes_the_place_of_the_old_one() {
        let doc = "a\n<!-- shapes: begin -->\nold\n<!-- shapes: end -->\nb\n";
        let line = json!({
            "benchmark": "allocator", "shape": "one offer", "agents": 1000, "frameworks": 50,
            "cpu_ms": {"median": 3.1}, "mesos_ms": 33.0, "times_less": 10.6, "goal": 50.0, "reached": false,
        });
        let table = shapes(&[line]);
        let new = replaced(doc, "shapes", &table).expect("there is a place for it");
        assert!(new.starts_with("a\n<!-- shapes: begin -->\n| shape |"), "{new}");
        assert!(
            new.contains(
                "| one offer | 1,000 x 50 | 3.1 | 33 | 10.6 | 50 missed |\n<!-- shapes: end -->\nb\n"
            )
        );
        assert!(replaced("no place", "shapes", &table).is_err());
        assert!(replaced(doc, "shapes", &shapes(&[])).is_err());
    }

    #[test]
    fn the_document_has_places_for_both() {
        let doc = std::fs::read_to_string(root().join(DOC)).expect("it is there");
        let table = "| a |\n|---|\n| 1 |\n";
        replaced(&doc, "shapes", table).and_then(|doc| replaced(&doc, "laws", table)).expect("both places");
    }
}
