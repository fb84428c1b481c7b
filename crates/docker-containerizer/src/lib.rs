//! Runs containers by the Docker daemon.
//!
//! Of each container there is a process of ours, the [Docker executor](../executor/index.html) or, for an executor that
//! somebody put into a container, the process that stays beside that. It is all that the agent watches: it outlives the
//! agent, and its end is the container's end. Files are fetched and the image is pulled before it begins; what the daemon
//! still has of the container is ended after it.
//!
//! ```text
//! launch: FETCHING -> PULLING -> RUNNING -> DESTROYING -> one Notice; --docker_remove_delay later: removed
//! ```

mod amounts;
mod containerizer;
mod ending;
mod launch;
mod orphans;
mod pulls;
mod removal;
mod usage;

pub use crate::containerizer::{Config, DockerContainerizer, Launch};
pub use crate::pulls::Pulls;
