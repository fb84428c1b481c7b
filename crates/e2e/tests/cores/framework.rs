//! A v1 framework: launches its tasks where it is offered room, acknowledges every
//! update, and asks now and then what became of the rest.

use std::collections::BTreeMap;

use proto::mesos::v1;
use proto::mesos::v1::scheduler::{Call, Event, call, event};

pub(crate) struct Framework {
    pub(crate) id: Option<v1::FrameworkId>,
    tasks_max: usize,
    /// The last state of each task; none until the first update.
    pub(crate) tasks: BTreeMap<String, Option<v1::TaskState>>,
}

impl Framework {
    pub(crate) fn new(tasks_max: usize) -> Self {
        Self { id: None, tasks_max, tasks: BTreeMap::new() }
    }

    pub(crate) fn subscribe() -> Call {
        let capability = |kind: v1::framework_info::capability::Type| v1::framework_info::Capability {
            r#type: Some(kind.into()),
        };
        let info = v1::FrameworkInfo {
            user: "u".to_owned(),
            name: "f".to_owned(),
            checkpoint: Some(true),
            failover_timeout: Some(1e6),
            roles: vec!["*".to_owned()],
            capabilities: vec![
                capability(v1::framework_info::capability::Type::MultiRole),
                capability(v1::framework_info::capability::Type::PartitionAware),
            ],
            ..Default::default()
        };
        Call {
            r#type: Some(call::Type::Subscribe.into()),
            subscribe: Some(call::Subscribe { framework_info: info, ..Default::default() }),
            ..Default::default()
        }
    }

    fn call(&self, kind: call::Type) -> Call {
        Call { framework_id: self.id.clone(), r#type: Some(kind.into()), ..Default::default() }
    }

    /// Asks for the state of every task that is not over.
    pub(crate) fn reconcile(&self) -> Call {
        let tasks = self.tasks.iter().filter(|(_, state)| !state.is_some_and(is_terminal));
        let tasks = tasks
            .map(|(id, _)| call::reconcile::Task {
                task_id: v1::TaskId { value: id.clone() },
                agent_id: None,
            })
            .collect();
        Call { reconcile: Some(call::Reconcile { tasks }), ..self.call(call::Type::Reconcile) }
    }

    pub(crate) fn on_event(&mut self, event: Event) -> Vec<Call> {
        match event.r#type() {
            event::Type::Subscribed => {
                self.id = Some(event.subscribed.unwrap().framework_id);
                Vec::new()
            }
            event::Type::Offers => {
                let offers = event.offers.unwrap().offers;
                offers.into_iter().map(|offer| self.on_offer(offer)).collect()
            }
            event::Type::Update => self.on_update(event.update.unwrap().status),
            _ => Vec::new(),
        }
    }

    /// Up to four tasks per offer.
    fn on_offer(&mut self, offer: v1::Offer) -> Call {
        let has = resources::Resources::from_checked_protos(&offer.resources);
        let amount = |scalar: Option<resources::Scalar>| scalar.map_or(0.0, resources::Scalar::as_f64);
        let (cpus, mem) = (amount(has.cpus()), amount(has.mem()));
        let mut tasks = Vec::new();
        let room =
            |count: usize| count < 4 && cpus > 0.1 * (count + 1) as f64 && mem > 32.0 * (count + 1) as f64;
        while room(tasks.len()) && self.tasks.len() < self.tasks_max {
            let id = format!("t{}", self.tasks.len());
            self.tasks.insert(id.clone(), None);
            let scalar = |name: &str, value: f64| v1::Resource {
                name: name.to_owned(),
                r#type: v1::value::Type::Scalar.into(),
                scalar: Some(v1::value::Scalar { value }),
                allocation_info: offer.allocation_info.clone(),
                ..Default::default()
            };
            tasks.push(v1::TaskInfo {
                name: id.clone(),
                task_id: v1::TaskId { value: id },
                agent_id: offer.agent_id.clone(),
                resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
                command: Some(v1::CommandInfo { value: Some("true".to_owned()), ..Default::default() }),
                ..Default::default()
            });
        }
        // Once it has launched everything it wants no more for the rest of the story.
        let all = self.tasks.len() == self.tasks_max;
        let refuse_seconds = Some(if all { 1e5 } else { 1.0 });
        let filters = Some(v1::Filters { refuse_seconds });
        let launch = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::Launch.into()),
            launch: Some(v1::offer::operation::Launch { task_infos: tasks }),
            ..Default::default()
        };
        let operations =
            if launch.launch.as_ref().unwrap().task_infos.is_empty() { Vec::new() } else { vec![launch] };
        Call {
            accept: Some(call::Accept { offer_ids: vec![offer.id], operations, filters }),
            ..self.call(call::Type::Accept)
        }
    }

    fn on_update(&mut self, status: v1::TaskStatus) -> Vec<Call> {
        let state = status.state();
        let known = self.tasks.get_mut(&status.task_id.value).unwrap();
        if !known.is_some_and(is_terminal) {
            *known = Some(state);
        }
        let (Some(uuid), Some(agent_id)) = (status.uuid, status.agent_id) else { return Vec::new() };
        let acknowledge = call::Acknowledge { agent_id, task_id: status.task_id, uuid };
        vec![Call { acknowledge: Some(acknowledge), ..self.call(call::Type::Acknowledge) }]
    }
}

pub(crate) fn is_terminal(state: v1::TaskState) -> bool {
    use v1::TaskState as S;
    matches!(
        state,
        S::TaskFinished
            | S::TaskFailed
            | S::TaskKilled
            | S::TaskLost
            | S::TaskError
            | S::TaskDropped
            | S::TaskGone
            | S::TaskGoneByOperator
    )
}
