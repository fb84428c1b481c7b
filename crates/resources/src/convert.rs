//! Between resources and the messages that carry them.

use proto::mesos::v1;

use crate::validate::{self, Invalid};
use crate::{Format, Range, Ranges, Reservation, Resource, Resources, Scalar, Set, Value, format};

impl Resource {
    /// The resource of a message in any of the formats, checked by the rules of
    /// [`validate::resource`].
    pub fn from_proto(message: &v1::Resource) -> Result<Self, Invalid> {
        validate::resource(message)?;
        if !format::needs_upgrade(message) {
            return Self::from_upgraded(message);
        }
        let mut upgraded = message.clone();
        format::upgrade(&mut upgraded);
        Self::from_upgraded(&upgraded)
    }

    fn from_upgraded(message: &v1::Resource) -> Result<Self, Invalid> {
        let mut resource = Self::new(message.name.as_str(), value(message)?).with_allocation(
            message.allocation_info.as_ref().and_then(|a| a.role.as_deref()).map(Into::into),
        );
        if !message.reservations.is_empty() {
            let stack = message.reservations.iter().map(Reservation::from_proto).collect::<Option<_>>();
            let unknown = || Invalid::new("Unsupported 'Resource.ReservationInfo.Type'");
            resource = resource.with_reservations(stack.ok_or_else(unknown)?);
        }
        if let Some(disk) = &message.disk {
            resource = resource.with_disk(Some(disk.clone()));
        }
        if message.revocable.is_some() {
            resource = resource.with_revocable(true);
        }
        if message.shared.is_some() {
            resource = resource.with_shared(true);
        }
        if let Some(provider) = &message.provider_id {
            resource = resource.with_provider_id(Some(provider.value.clone()));
        }
        Ok(resource)
    }

    /// The message, in the post-reservation-refinement format. Copies of a shared
    /// resource are not told.
    #[must_use]
    pub fn to_proto(&self) -> v1::Resource {
        let mut message = v1::Resource {
            name: self.name().as_str().to_owned(),
            allocation_info: self
                .allocation_role()
                .map(|role| v1::resource::AllocationInfo { role: Some(role.as_str().to_owned()) }),
            disk: self.disk().cloned(),
            revocable: self.is_revocable().then_some(v1::resource::RevocableInfo {}),
            shared: self.is_shared().then_some(v1::resource::SharedInfo {}),
            provider_id: self.provider_id().map(|id| v1::ResourceProviderId { value: id.to_owned() }),
            reservations: self.reservations().iter().map(Reservation::to_proto).collect(),
            ..Default::default()
        };
        match self.value() {
            Value::Scalar(scalar) => {
                message.set_type(v1::value::Type::Scalar);
                message.scalar = Some(v1::value::Scalar { value: scalar.as_f64() });
            }
            Value::Ranges(ranges) => {
                message.set_type(v1::value::Type::Ranges);
                let range = ranges.as_slice().iter();
                let range = range.map(|r| v1::value::Range { begin: r.begin, end: r.end }).collect();
                message.ranges = Some(v1::value::Ranges { range });
            }
            Value::Set(set) => {
                message.set_type(v1::value::Type::Set);
                message.set = Some(v1::value::Set { item: set.iter().map(str::to_owned).collect() });
            }
        }
        message
    }
}

impl Resources {
    /// The resources of messages in any of the formats. The first bad one is named
    /// in the error, in Mesos's words.
    pub fn from_protos(messages: &[v1::Resource]) -> Result<Self, Invalid> {
        let mut all = Self::new();
        for message in messages {
            all.push(Resource::from_proto(message).map_err(|why| why.of(message))?);
        }
        Ok(all)
    }

    /// The resources of messages that were checked before: bad ones vanish, as in
    /// Mesos's own constructor.
    #[must_use]
    pub fn from_checked_protos(messages: &[v1::Resource]) -> Self {
        messages.iter().filter_map(|message| Resource::from_proto(message).ok()).collect()
    }

    /// The messages, in the post-reservation-refinement format. A shared resource
    /// comes once, whatever its copies.
    #[must_use]
    pub fn to_protos(&self) -> Vec<v1::Resource> {
        self.iter().map(Resource::to_proto).collect()
    }

    /// The messages in one of the formats. Fails for refined reservations that are
    /// asked for in the pre-refinement format.
    pub fn to_protos_in(&self, format: Format) -> Result<Vec<v1::Resource>, Invalid> {
        let mut messages = self.to_protos();
        for message in &mut messages {
            format::convert(message, format)?;
        }
        Ok(messages)
    }
}

fn value(message: &v1::Resource) -> Result<Value, Invalid> {
    match message.r#type() {
        v1::value::Type::Scalar => {
            let value = message.scalar.as_ref().map_or(0.0, |scalar| scalar.value);
            let scalar = Scalar::from_f64(value);
            Ok(Value::Scalar(scalar.ok_or_else(|| Invalid::new("Invalid scalar resource: value <= 0"))?))
        }
        v1::value::Type::Ranges => {
            let ranges = message.ranges.iter().flat_map(|ranges| &ranges.range);
            Ok(Value::Ranges(Ranges::new(ranges.map(|r| Range { begin: r.begin, end: r.end }))))
        }
        v1::value::Type::Set => {
            let words = message.set.iter().flat_map(|set| &set.item);
            Ok(Value::Set(Set::new(words.map(String::as_str))))
        }
        v1::value::Type::Text => Err(Invalid::new("Unsupported resource type")),
    }
}
