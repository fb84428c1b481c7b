//! The variables that were written to the log: the last value of the registry. Pure.

use std::path::Path;

use proto::mesos::internal::Registry;
use proto::mesos::internal::state::Operation;
use proto::mesos::internal::state::operation::{Diff, Snapshot, Type};

use crate::actions::Log;
use crate::{Error, Found, svndiff};

/// The name of the registry's variable.
const REGISTRY: &str = "registry";

/// The registry as the log leaves it.
pub(crate) fn registry(log: &Log, path: &Path) -> Result<Found, Error> {
    let incomplete = |why: String| Error::Incomplete { path: path.to_owned(), why };
    let mut value: Option<(Vec<u8>, u64, bool)> = None;
    for entry in &log.entries {
        let Some(appended) = &entry.appended else { continue };
        let at = |why: String| incomplete(format!("has at position {} what {why}", entry.position));
        let operation: Operation = proto::wire::decode(appended.as_slice())
            .map_err(|error| at(format!("is no operation: {error}")))?;
        match (operation.r#type(), operation.snapshot, operation.diff, operation.expunge) {
            (Type::Snapshot, Some(Snapshot { entry: new }), _, _) => {
                if new.name == REGISTRY {
                    value = Some((new.value.to_vec(), entry.position, entry.agreed));
                }
            }
            (Type::Diff, _, Some(Diff { entry: new }), _) => {
                if new.name == REGISTRY {
                    let Some((old, _, _)) = &value else {
                        return Err(at("differs from what is not there".to_owned()));
                    };
                    let patched = svndiff::apply(old, &new.value).map_err(at)?;
                    value = Some((patched, entry.position, entry.agreed));
                }
            }
            (Type::Expunge, _, _, Some(gone)) => {
                if gone.name == REGISTRY {
                    value = None;
                }
            }
            (Type::Snapshot | Type::Diff | Type::Expunge, _, _, _) => {
                return Err(at("is an operation without its content".to_owned()));
            }
        }
    }
    let Some((value, position, agreed)) = value else {
        let why = "has no registry".to_owned();
        return Err(match log.hole {
            None => Error::Empty { path: path.to_owned(), why },
            Some(hole) => incomplete(format!("has no registry, and lacks position {hole}")),
        });
    };
    // What came after would be newer.
    if let Some(hole) = log.hole.filter(|hole| *hole > position) {
        return Err(incomplete(format!(
            "lacks position {hole}, which may have a newer registry than {position}"
        )));
    }
    let registry: Registry = proto::wire::decode(value.as_slice()).map_err(|error| {
        incomplete(format!("has at position {position} a registry that is none: {error}"))
    })?;
    Ok(Found { registry, position, agreed })
}
