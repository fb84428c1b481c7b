//! `mesos explain`: why a framework gets no offers, and who is next in a role.

use std::fmt::Write as _;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::tool::{Cluster, print};

#[derive(Subcommand)]
pub(crate) enum ExplainVerb {
    /// Why a framework is offered what it is, in each of its roles
    Framework {
        /// The framework's id, as 'mesos framework list' shows it
        id: String,
        #[command(flatten)]
        how: How,
    },
    /// What a role has, who competes in it, and who is next
    Role {
        /// The role's name
        name: String,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Args)]
pub(crate) struct How {
    #[command(flatten)]
    cluster: Cluster,
    /// The whole answer, as JSON
    #[arg(long)]
    json: bool,
}

/// Asks, and prints the answer.
pub(crate) async fn explain(verb: ExplainVerb) -> anyhow::Result<()> {
    let (how, question, render): (_, _, fn(&Value) -> String) = match &verb {
        ExplainVerb::Framework { id, how } => (how, format!("framework={}", escape(id)), framework),
        ExplainVerb::Role { name, how } => (how, format!("role={}", escape(name)), role),
    };
    let document = how.cluster.operator().document(&format!("/master/explain?{question}")).await?;
    if how.json {
        return print(&format!("{}\n", String::from_utf8_lossy(&document)));
    }
    let answer: Value =
        serde_json::from_slice(&document).context("the master's answer is not the JSON it should be")?;
    print(&render(&answer))
}

fn framework(answer: &Value) -> String {
    let mut text = format!("Framework {} ({})\n", word(answer, "framework"), word(answer, "name"));
    text += &unanswered(answer).map_or_else(String::new, |line| format!("It has {line}.\n"));
    for role in list(answer, "roles") {
        _ = writeln!(text, "\nIn role '{}':", word(role, "role"));
        let standing = &role["standing"];
        let turn = match standing["place"].as_u64() {
            None => "it wants no offers".to_owned(),
            Some(0) => "it is next".to_owned(),
            Some(place) => format!("it comes after {place} others{}", before(standing)),
        };
        _ = writeln!(text, "  Turn: {turn}.");
        _ = writeln!(text, "  Holds or is offered: {}.", holds(standing));
        let of = match (role["agents_examined"].as_u64(), role["agents"].as_u64()) {
            (Some(some), Some(all)) if some < all => format!(" ({some} of {all} agents were examined)"),
            _ => String::new(),
        };
        _ = writeln!(text, "  Not offered more{of}:");
        for sentence in list(role, "because") {
            _ = writeln!(text, "  - {}", sentence.as_str().unwrap_or_default());
        }
    }
    text
}

fn role(answer: &Value) -> String {
    let mut text = format!(
        "Role '{}': weight {}, share {}, holds or is offered {}\n",
        word(answer, "role"),
        answer["weight"],
        percent(&answer["share"]),
        amounts(&answer["allocated"]),
    );
    for one in list(answer, "frameworks") {
        let turn = match one["place"].as_u64() {
            None => "wants no offers".to_owned(),
            Some(0) => "is next".to_owned(),
            Some(place) => format!("after {place} others"),
        };
        _ = write!(
            text,
            "  {} ({}) in '{}': {turn}",
            word(one, "framework"),
            word(one, "name"),
            word(one, "role")
        );
        _ = write!(text, "; {}", holds(one));
        text += &unanswered(one).map_or_else(String::new, |line| format!("; {line}"));
        text.push('\n');
    }
    let listed = list(answer, "frameworks").len() as u64;
    if let Some(all) = answer["framework_count"].as_u64().filter(|all| *all > listed) {
        _ = writeln!(text, "  ... and {} more", all - listed);
    }
    text
}

fn before(standing: &Value) -> String {
    let names: Vec<_> = list(standing, "before").iter().map(|one| word(one, "framework")).collect();
    if names.is_empty() { String::new() } else { format!(", first {}", names.join(", ")) }
}

fn holds(standing: &Value) -> String {
    let last = standing["seconds_since_offer"].as_f64();
    let last = last.map_or("never offered anything".to_owned(), |ago| {
        format!("last given something {ago:.0} s ago, {} times in all", standing["offers_made"])
    });
    format!("{} (share {}), {last}", amounts(&standing["allocated"]), percent(&standing["share"]))
}

fn unanswered(of: &Value) -> Option<String> {
    let offers = of["offers_unanswered"].as_u64().filter(|offers| *offers > 0)?;
    let oldest = of["oldest_offer_seconds"].as_f64().unwrap_or_default();
    Some(format!("{offers} offers that it has not answered, the oldest for {oldest:.0} s"))
}

fn amounts(amounts: &Value) -> String {
    let all: Vec<_> =
        amounts.as_object().into_iter().flatten().map(|(name, amount)| format!("{name}:{amount}")).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join("; ") }
}

fn percent(share: &Value) -> String {
    format!("{:.1} %", share.as_f64().unwrap_or_default() * 100.0)
}

fn word<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or("?")
}

fn list<'a>(of: &'a Value, key: &str) -> &'a [Value] {
    of[key].as_array().map_or(&[], Vec::as_slice)
}

/// The text as a value in a query.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped() {
        assert_eq!(escape("eng/back end&x=*"), "eng%2Fback%20end%26x%3D%2A");
    }

    #[test]
    fn an_answer_reads_as_text() {
        let answer = serde_json::json!({
            "framework": "m-0001", "name": "poor", "offers_unanswered": 0,
            "roles": [{
                "role": "dev", "agents": 3, "agents_examined": 3,
                "because": ["in role 'dev' for 3 of 3 agents because all of the agent is in use or offered"],
                "standing": {"allocated": {}, "share": 0.0, "offers_made": 0, "place": 1,
                    "before": [{"framework": "m-0000", "role": "dev"}]},
            }],
        });
        expect_test::expect![[r#"
            Framework m-0001 (poor)

            In role 'dev':
              Turn: it comes after 1 others, first m-0000.
              Holds or is offered: nothing (share 0.0 %), never offered anything.
              Not offered more:
              - in role 'dev' for 3 of 3 agents because all of the agent is in use or offered
        "#]]
        .assert_eq(&framework(&answer));
    }
}
