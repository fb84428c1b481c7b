//! The commands of scenarios about maintenance and draining.

#![expect(clippy::unwrap_used, reason = "a scenario that is wrong shall stop the test")]

use std::fmt::Write as _;

use master_core::OperatorCall;
use proto::json::{self, Json, Names};
use proto::mesos::v1;

use crate::world::World;

impl World {
    pub(crate) fn maintain(&mut self, name: &str, text: &str) {
        fn body<T: Json>(text: &str) -> T {
            json::from_slice(text.as_bytes()).unwrap()
        }
        let call = match name {
            "schedule" => OperatorCall::UpdateMaintenanceSchedule(body(text)),
            "down" => OperatorCall::StartMaintenance(body(text)),
            "up" => OperatorCall::StopMaintenance(body(text)),
            "drain" => OperatorCall::DrainAgent(body(text)),
            "deactivate" => OperatorCall::DeactivateAgent(body(text)),
            "reactivate" => OperatorCall::ReactivateAgent(body(text)),
            unknown => panic!("no operator call '{unknown}'"),
        };
        self.operator(call);
    }

    pub(crate) fn print_maintenance(&mut self) {
        let view = self.master.view();
        let mut out = String::new();
        writeln!(out, "schedule {}", json::to_string(&view.maintenance.schedule(), Names::V1)).unwrap();
        for machine in view.maintenance.machines.values() {
            writeln!(out, "machine {}", json::to_string(machine, Names::V1)).unwrap();
        }
        for agent in &view.agents {
            write!(out, "agent {} active={} deactivated={}", agent.id, agent.active, agent.deactivated)
                .unwrap();
            if let Some(info) = &agent.drain_info {
                write!(out, " {}", json::to_string(info, Names::V1)).unwrap();
            }
            if let Some(since) = agent.drain_started {
                write!(out, " since {}", since.as_secs_f64()).unwrap();
            }
            writeln!(out).unwrap();
        }
        for (agent, answers) in &*view.inverse_offer_answers {
            for answer in answers.values() {
                writeln!(out, "answer of {agent}: {}", answer_text(answer)).unwrap();
            }
        }
        self.write(&out);
    }
}

fn answer_text(answer: &v1::allocator::InverseOfferStatus) -> String {
    json::to_string(answer, Names::V1)
}
