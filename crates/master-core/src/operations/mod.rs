//! ACCEPT: using offers for operations. One file per operation.
//!
//! The offers end first. Each operation then takes what it needs out of what they
//! held, in order, and may use what those before it made; what is left goes back to
//! the allocator: what was offered as declined, what was made with no filter.

mod apply;
mod create;
mod create_disk;
mod destroy;
mod destroy_disk;
mod feedback;
mod grow_volume;
mod launch;
mod launch_group;
mod reconcile;
mod record;
mod reserve;
mod shrink_volume;
mod unreserve;

use std::sync::Arc;

use allocator::Refusal;
use proto::mesos::v1;
use proto::mesos::v1::offer::{Operation, operation};
use proto::mesos::v1::scheduler::call::Accept;
use proto::mesos::v1::task_status::Reason;
use proto::mesos::v1::{TaskInfo, TaskState};
use resources::{Resources, resources_of};
use types::{AgentId, FrameworkId, Role};

use crate::Master;
use crate::calls::refusal;
use crate::connection::Say;
use crate::offers::End;
use crate::step::Step;
use crate::tasks::Verdict;
use crate::validation;

pub(crate) use apply::{tell_checkpointed, versioned};
pub(crate) use record::{Named, name_of};

/// The offers of one ACCEPT, and what is left of them.
pub(crate) struct Basket {
    pub(crate) framework: FrameworkId,
    pub(crate) agent: AgentId,
    pub(crate) role: Role,
    pub(crate) left: Resources,
    /// Volumes of another size and what they gave back: for later offers, not for the
    /// operations after (as observed of Mesos).
    pub(crate) resized: Resources,
    /// The shared volumes that tasks may use, whatever the tasks before took: each copy
    /// in the offers serves any number of tasks.
    pub(crate) shared: Resources,
    /// Whether anything was made of the offered.
    pub(crate) converted: bool,
}

impl Master {
    pub(crate) fn accept(&mut self, framework: &FrameworkId, body: Accept, step: &mut Step<'_>) {
        for operation in &body.operations {
            match &operation.launch {
                Some(launch) if launch.task_infos.is_empty() => self.counters().messages_decline_offers += 1,
                Some(_) => self.counters().messages_launch_tasks += 1,
                None => {}
            }
        }
        if let Err(why) = validation::offers(&body.offer_ids, framework, &self.offers) {
            return self.refuse_accept(framework, body, &why, step);
        }
        let Some(mut basket) = self.take_offers(framework, &body.offer_ids) else { return };
        let taken = basket.left.clone();
        let filter = refusal(body.filters);
        if let Some(framework) = self.frameworks.get_mut(framework.as_str()) {
            framework.counters_mut().offers_accepted += body.offer_ids.len() as u64;
        }
        for operation in body.operations {
            self.perform(operation, &mut basket, step);
        }
        self.return_rest(&basket, &taken, filter, step);
    }

    /// Ends the offers, which all are of one agent and role, and gathers what they held.
    fn take_offers(&mut self, framework: &FrameworkId, ids: &[v1::OfferId]) -> Option<Basket> {
        let mut basket: Option<Basket> = None;
        for id in ids {
            let Some(offer) = self.take_offer(&id.value) else { continue };
            match &mut basket {
                Some(basket) => basket.left += &offer.resources,
                None => {
                    basket = Some(Basket {
                        framework: framework.clone(),
                        agent: offer.agent.clone(),
                        role: offer.role.clone(),
                        left: Arc::unwrap_or_clone(offer).resources,
                        resized: Resources::new(),
                        shared: Resources::new(),
                        converted: false,
                    });
                }
            }
        }
        if let Some(basket) = &mut basket {
            basket.shared = basket.left.shared();
        }
        basket
    }

    fn perform(&mut self, mut operation: Operation, basket: &mut Basket, step: &mut Step<'_>) {
        let kind = operation.r#type();
        if let Err(why) = well_formed(&mut operation) {
            return self.refuse_operation(&basket.framework, operation, Blame::Resources(&why), step);
        }
        if operation.id.is_some() && !self.may_be_named(&operation, basket, step) {
            return;
        }
        allocate(resources_of(&mut operation), &basket.role);
        match kind {
            operation::Type::Launch => self.launch(operation, basket, step),
            operation::Type::LaunchGroup => self.launch_group(operation, basket, step),
            operation::Type::Reserve => self.reserve(operation, basket, step),
            operation::Type::Unreserve => self.unreserve(operation, basket, step),
            operation::Type::Create => self.create(operation, basket, step),
            operation::Type::Destroy => self.destroy(operation, basket, step),
            operation::Type::GrowVolume => self.accept_grow_volume(operation, basket, step),
            operation::Type::ShrinkVolume => self.accept_shrink_volume(operation, basket, step),
            operation::Type::CreateDisk => self.create_disk(operation, basket, step),
            operation::Type::DestroyDisk => self.destroy_disk(operation, basket, step),
            operation::Type::Unknown => {}
        }
    }

    /// Gives back what no operation used: what was offered as declined, what was made of
    /// it for anybody's next offer.
    fn return_rest(&mut self, basket: &Basket, taken: &Resources, filter: Refusal, step: &mut Step<'_>) {
        let (now, framework, agent) = (step.now.mono, &basket.framework, &basket.agent);
        if !basket.converted {
            return self.allocator.recover(now, framework, agent, &basket.left, Some(filter));
        }
        let rest = &basket.left + &basket.resized;
        let made = &rest - taken;
        let declined = &rest - &made;
        self.allocator.recover(now, framework, agent, &made, None);
        self.allocator.recover(now, framework, agent, &declined, Some(filter));
    }

    /// An ACCEPT with offers that are not there any more, or not for this: the offers
    /// that are there end, and each operation is answered.
    fn refuse_accept(&mut self, id: &FrameworkId, body: Accept, why: &str, step: &mut Step<'_>) {
        for offer in &body.offer_ids {
            // COMPAT(mesos): Mesos ends offers of other frameworks here, too; a framework
            // cannot do that to another one here.
            if self.offers.get(&offer.value).is_some_and(|o| o.framework == *id) {
                self.end_offer(&offer.value, End::Discarded, None, step);
            }
        }
        for operation in body.operations {
            self.refuse_operation(id, operation, Blame::Offers(why), step);
        }
    }

    /// Says that an operation is not done: TASK updates for launches, an operation's
    /// state for others whose framework asked for it.
    pub(crate) fn refuse_operation(
        &mut self,
        id: &FrameworkId,
        operation: Operation,
        blame: Blame<'_>,
        step: &mut Step<'_>,
    ) {
        let kind = operation.r#type();
        let group = kind == operation::Type::LaunchGroup;
        match kind {
            operation::Type::Launch | operation::Type::LaunchGroup => {
                let launched = operation.launch.map(|launch| launch.task_infos).unwrap_or_default();
                let grouped = operation.launch_group.map(|launch| launch.task_group.tasks);
                for task in launched.into_iter().chain(grouped.unwrap_or_default()) {
                    let partition_aware = self
                        .frameworks
                        .get(id.as_str())
                        .is_some_and(|framework| framework.capabilities.partition_aware);
                    self.refuse_task(id, &task, blame.verdict(group, partition_aware), step);
                }
            }
            operation::Type::Reserve
            | operation::Type::Unreserve
            | operation::Type::Create
            | operation::Type::Destroy
            | operation::Type::GrowVolume
            | operation::Type::ShrinkVolume
            | operation::Type::CreateDisk
            | operation::Type::DestroyDisk => {
                self.counters().operation_state(kind, v1::OperationState::OperationError);
                let Some(operation_id) = operation.id else { return };
                let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
                let status = v1::OperationStatus {
                    operation_id: Some(operation_id),
                    state: v1::OperationState::OperationError.into(),
                    message: Some(blame.text()),
                    ..v1::OperationStatus::default()
                };
                framework.tell(Say::Operation(Box::new(status)), step.fx);
            }
            operation::Type::Unknown => {}
        }
    }

    /// Says that a task is not launched.
    pub(crate) fn refuse_task(
        &mut self,
        id: &FrameworkId,
        task: &TaskInfo,
        verdict: Verdict,
        step: &mut Step<'_>,
    ) {
        let (state, reason) = (verdict.state, verdict.reason);
        self.counters().task_state(state, v1::task_status::Source::Master, Some(reason));
        let update = verdict.update(id, Some(task.agent_id.clone()), task.task_id.clone(), step);
        self.forward(id.as_str(), update, None, step);
    }
}

/// Checks the resources of an operation, and brings them into the form used inside.
fn well_formed(operation: &mut Operation) -> Result<(), String> {
    validation::operation_resources(operation)?;
    if operation.reserve.as_ref().is_some_and(|reserve| !reserve.source.is_empty()) {
        return Err("Reservation updates are not yet implemented for the scheduler API.".to_owned());
    }
    Ok(())
}

/// Marks resources as allocated to the role of their offers, where the framework left
/// that out.
fn allocate<'a>(resources: impl IntoIterator<Item = &'a mut v1::Resource>, role: &Role) {
    for resource in resources {
        resource
            .allocation_info
            .get_or_insert_with(|| v1::resource::AllocationInfo { role: Some(role.as_str().to_owned()) });
    }
}

/// What is wrong with an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Blame<'a> {
    /// Its offers.
    Offers(&'a str),
    /// The resources it names.
    Resources(&'a str),
    /// Itself; the text goes out as it is.
    Task(&'a str),
}

impl Blame<'_> {
    fn text(self) -> String {
        match self {
            Self::Offers(why) => format!("Operation attempted with invalid offers: {why}"),
            Self::Resources(why) => format!("Operation attempted with invalid resources: {why}"),
            Self::Task(why) => why.to_owned(),
        }
    }

    fn verdict(self, group: bool, partition_aware: bool) -> Verdict {
        let invalid = if group { Reason::TaskGroupInvalid } else { Reason::TaskInvalid };
        match self {
            Self::Offers(why) => {
                let state = if partition_aware { TaskState::TaskDropped } else { TaskState::TaskLost };
                let message = format!("Task launched with invalid offers: {why}");
                Verdict::new(state, Reason::InvalidOffers, message)
            }
            Self::Resources(why) | Self::Task(why) => Verdict::new(TaskState::TaskError, invalid, why),
        }
    }
}
