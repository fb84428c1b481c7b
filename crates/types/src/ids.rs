//! One type per kind of id, so that no two can be mistaken for each other.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use proto::mesos::v1;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $(= $proto:ident)?;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id with this text.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The id's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        $(
            impl From<&v1::$proto> for $name {
                fn from(id: &v1::$proto) -> Self {
                    Self::new(id.value.as_str())
                }
            }

            impl From<v1::$proto> for $name {
                fn from(id: v1::$proto) -> Self {
                    Self::new(id.value)
                }
            }

            impl From<&$name> for v1::$proto {
                fn from(id: &$name) -> Self {
                    Self { value: id.as_str().to_owned() }
                }
            }

            impl From<$name> for v1::$proto {
                fn from(id: $name) -> Self {
                    Self::from(&id)
                }
            }
        )?
    )*};
}

ids! {
    /// A framework: `<master id>-NNNN`, given by the master that first saw it.
    FrameworkId = FrameworkId;
    /// An agent: `<master id>-SN`.
    AgentId = AgentId;
    /// An offer: `<master id>-ON`.
    OfferId = OfferId;
    /// A task; chosen by its framework and unique within it.
    TaskId = TaskId;
    /// An executor; chosen by its framework and unique within it on an agent.
    ExecutorId = ExecutorId;
    /// An operation, where a framework asked for feedback on it.
    OperationId = OperationId;
    /// A role such as `eng/backend`; `*` is the role of everyone.
    Role;
    /// The name under which a framework, agent or operator authenticated.
    Principal;
}

impl Role {
    /// The role of everyone, `*`.
    #[must_use]
    pub fn any() -> Self {
        Self::new("*")
    }

    /// Whether this is `*`.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.as_str() == "*"
    }

    /// Whether this role is `ancestor` itself or lies below it in the tree of roles.
    #[must_use]
    pub fn is_within(&self, ancestor: &Role) -> bool {
        self.as_str()
            .strip_prefix(ancestor.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// A container: its own value, and its parent's where it is nested.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId {
    /// This container's own value.
    pub value: Arc<str>,
    /// The container it is nested in.
    pub parent: Option<Arc<ContainerId>>,
}

impl ContainerId {
    /// A top-level container.
    pub fn root(value: impl Into<Arc<str>>) -> Self {
        Self { value: value.into(), parent: None }
    }
}

impl fmt::Display for ContainerId {
    /// The dotted path from the root, as Mesos prints it: `a.b.c`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = &self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(&self.value)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<&v1::ContainerId> for ContainerId {
    fn from(id: &v1::ContainerId) -> Self {
        Self {
            value: id.value.as_str().into(),
            parent: id.parent.as_deref().map(|parent| Arc::new(Self::from(parent))),
        }
    }
}

impl From<&ContainerId> for v1::ContainerId {
    fn from(id: &ContainerId) -> Self {
        Self {
            value: id.value.to_string(),
            parent: id.parent.as_deref().map(|parent| Box::new(Self::from(parent))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_nest() {
        let check = |role: &str, ancestor: &str| Role::from(role).is_within(&Role::from(ancestor));
        assert!(check("eng", "eng"));
        assert!(check("eng/backend", "eng"));
        assert!(!check("engine", "eng"));
        assert!(!check("eng", "eng/backend"));
    }

    #[test]
    fn container_ids_print_as_a_path() {
        let child = ContainerId { value: "b".into(), parent: Some(Arc::new(ContainerId::root("a"))) };
        assert_eq!(child.to_string(), "a.b");
        assert_eq!(ContainerId::from(&v1::ContainerId::from(&child)), child);
    }
}
