//! `/explain`: why a framework is offered what it is, and who is next in a role.
//!
//! Not an endpoint of Apache Mesos, which has no such answer.

use std::collections::BTreeMap;

use allocator::{AgentClass, Finding, Holder, Standing};
use machine::Instant;
use master_core::{Answer, FrameworkAnswer, Pending, RoleAnswer};
use proto::json::Writer;
use resources::Quantities;
use types::FrameworkId;

/// Prints an answer, given at `now`.
pub(crate) fn document(w: &mut Writer, answer: &Answer, now: Instant) {
    w.object(|w| match answer {
        Answer::Framework(answer) => framework(w, answer, now),
        Answer::Role { report, pending } => {
            w.field_str("role", report.role.as_str());
            w.field_f64("weight", report.weight.as_f64());
            w.field_f64("share", report.share.as_f64());
            w.field_object("allocated", |w| amounts(w, &report.allocated));
            w.field_i64("framework_count", count(report.framework_count));
            w.field_array("frameworks", |w| {
                for one in &report.frameworks {
                    w.object(|w| {
                        standing(w, one, now);
                        unanswered(w, &one.framework, pending);
                    });
                }
            });
        }
    });
}

fn framework(w: &mut Writer, answer: &FrameworkAnswer, now: Instant) {
    w.field_str("framework", answer.id.as_str());
    unanswered(w, &answer.id, &answer.pending);
    w.field_array("roles", |w| {
        for RoleAnswer { explanation, sentences } in &answer.roles {
            w.object(|w| {
                w.field_str("role", explanation.role.as_str());
                w.field_array("because", |w| sentences.iter().for_each(|sentence| w.string(sentence)));
                w.field_object("standing", |w| standing(w, &explanation.standing, now));
                w.field_i64("agents_held", count(explanation.holds));
                w.field_i64("agents_examined", count(explanation.examined.0));
                w.field_i64("agents", count(explanation.examined.1));
                w.field_array("classes", |w| {
                    explanation.classes.iter().for_each(|one| class(w, one, &answer.pending, now));
                });
            });
        }
    });
}

fn standing(w: &mut Writer, standing: &Standing, now: Instant) {
    w.field_str("framework", standing.framework.as_str());
    w.field_str("role", standing.role.as_str());
    w.field_f64("share", standing.share.as_f64());
    w.field_object("allocated", |w| amounts(w, &standing.allocated));
    w.field_i64("offers_made", i64::try_from(standing.grants).unwrap_or(i64::MAX));
    if let Some(granted) = standing.granted {
        w.field_f64("seconds_since_offer", now.since(granted).as_secs_f64());
    }
    w.field_bool("wants_offers", standing.place.is_some());
    if let Some(place) = standing.place {
        w.field_i64("place", count(place));
        w.field_array("before", |w| {
            for (framework, role) in &standing.before {
                w.object(|w| {
                    w.field_str("framework", framework.as_str());
                    w.field_str("role", role.as_str());
                });
            }
        });
    }
}

fn class(w: &mut Writer, class: &AgentClass, pending: &BTreeMap<FrameworkId, Pending>, now: Instant) {
    w.object(|w| {
        w.field_object("total", |w| amounts(w, &class.total));
        w.field_i64("agents", count(class.agents));
        w.field_array("findings", |w| {
            class.findings.iter().for_each(|one| finding(w, one, pending, now));
        });
    });
}

fn finding(w: &mut Writer, finding: &Finding, pending: &BTreeMap<FrameworkId, Pending>, now: Instant) {
    w.object(|w| {
        w.field_str("reason", finding.obstacle.name());
        w.field_str("text", finding.obstacle.text());
        w.field_i64("agents", count(finding.agents));
        w.field_str("example", finding.example.as_str());
        w.field_object("free", |w| amounts(w, &finding.free));
        if let Some(until) = finding.until {
            w.field_f64("seconds_left", until.since(now).as_secs_f64());
        }
        w.field_array("reserved_for", |w| {
            finding.reserved_for.iter().for_each(|role| w.string(role.as_str()));
        });
        w.field_array("kept_for", |w| {
            for (framework, role) in &finding.kept_for {
                w.object(|w| {
                    w.field_str("framework", framework.as_str());
                    w.field_str("role", role.as_str());
                });
            }
        });
        w.field_array("holders", |w| {
            for Holder { framework, role, agents, amounts: held } in &finding.holders {
                w.object(|w| {
                    w.field_str("framework", framework.as_str());
                    w.field_str("role", role.as_str());
                    w.field_i64("agents", count(*agents));
                    w.field_object("amounts", |w| amounts(w, held));
                    unanswered(w, framework, pending);
                });
            }
        });
    });
}

/// The framework's name, and the offers it sits on.
fn unanswered(w: &mut Writer, id: &FrameworkId, pending: &BTreeMap<FrameworkId, Pending>) {
    let Some(Pending { name, offers, oldest }) = pending.get(id) else { return };
    w.field_str("name", name);
    w.field_i64("offers_unanswered", count(*offers));
    if let Some(oldest) = oldest {
        w.field_f64("oldest_offer_seconds", oldest.as_secs_f64());
    }
}

fn amounts(w: &mut Writer, amounts: &Quantities) {
    for (name, amount) in amounts.iter() {
        w.field_f64(name.as_str(), amount.as_f64());
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
