//! The naive rule of the share for short tasks: roles of long ones have together at most
//! the rest of an agent.

use allocator::KeptAgent;
use resources::{Name, Quantities, Resources, Scalar, Value};
use types::{AgentId, Role};

use crate::quota_rule::{is_open, open};
use crate::world::World;

fn cut(resources: &Resources, room: impl Fn(&Name) -> Scalar) -> Resources {
    let mut part = Resources::new();
    for resource in resources {
        match resource.as_scalar().filter(|_| is_open(resource)) {
            None => part.push(resource.clone()),
            Some(amount) => {
                let left = amount.min(room(resource.name()));
                part.push(resource.clone().with_value(Value::Scalar(left)));
            }
        }
    }
    part
}

impl World {
    fn is_long(&self, role: &Role) -> bool {
        let short = &self.options.short_tasks;
        short.permille > 0 && !short.roles.contains(role)
    }

    fn rest(&self, agent: &AgentId) -> Quantities {
        let rest = 1000 - i64::from(self.options.short_tasks.permille);
        let all = open(self.total(agent));
        let all: Vec<_> = all
            .iter()
            .map(|(name, amount)| (name, Scalar::from_milli(amount.milli() * rest / 1000)))
            .collect();
        all.into_iter().collect()
    }

    /// What of these a role may have, beside what is kept there for another.
    pub(crate) fn beside_short(
        &self,
        role: &Role,
        agent: &AgentId,
        kept: Option<&KeptAgent>,
        may: &Resources,
    ) -> Resources {
        if !self.is_long(role) {
            return may.clone();
        }
        let mut room = self.rest(agent);
        for out in self.out.iter().filter(|out| out.agent == *agent && self.is_long(&out.role)) {
            room -= &open(&out.resources.unallocated());
        }
        if let Some(kept) = kept.filter(|kept| self.is_long(&kept.role)) {
            room -= &open(&(&self.free(agent) - &self.left_by(kept, &self.free(agent))));
        }
        cut(may, |name| room.get(name))
    }

    /// What of all that an agent has a role may have at most.
    pub(crate) fn ever_beside_short(&self, role: &Role, agent: &AgentId, may: &Resources) -> Resources {
        let rest = self.rest(agent);
        if self.is_long(role) { cut(may, |name| rest.get(name)) } else { may.clone() }
    }
}
