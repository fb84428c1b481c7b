//! `/containers`, `/monitor/statistics` and GET_CONTAINERS: what runs here and what it uses.

use agent_core::{ExecutorPhase, ExecutorView, FrameworkView, NestedView, View};
use http::{Query, Response};
use proto::json::{Names, Writer};
use proto::mesos::v1::agent::response::{GetContainers, get_containers};
use proto::mesos::v1::{ContainerStatus, ResourceStatistics};
use types::ContainerId;

use crate::composing::Containerizer;

/// One container with what the containerizer knows of it.
#[derive(Debug)]
pub(crate) struct Container<'a> {
    framework: &'a FrameworkView,
    executor: &'a ExecutorView,
    status: Option<ContainerStatus>,
    statistics: Option<ResourceStatistics>,
}

/// Which containers a query asks for.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    container: Option<String>,
    framework: Option<String>,
    executor: Option<String>,
}

impl Selection {
    /// Reads the query of `/containers`.
    pub(crate) fn parse(query: &Query) -> Result<Self, Response> {
        let get = |name: &str| query.get(name).map(str::to_owned);
        let selection = Self {
            container: get("container_id"),
            framework: get("framework_id"),
            executor: get("executor_id"),
        };
        let Self { container, framework, executor } = &selection;
        let mixed = container.is_some() && (framework.is_some() || executor.is_some());
        if mixed || (executor.is_some() && framework.is_none() && container.is_none()) {
            return Err(Response::bad_request(
                "Supported query parameters are container_id only, framework_id only, or executor_id and \
                 framework_id only",
            ));
        }
        Ok(selection)
    }

    fn takes(&self, framework: &FrameworkView, executor: &ExecutorView) -> bool {
        let wanted = |asked: &Option<String>, id: &str| asked.as_ref().is_none_or(|asked| asked == id);
        wanted(&self.container, &executor.container.value)
            && wanted(&self.framework, framework.id.as_str())
            && wanted(&self.executor, executor.id.as_str())
    }
}

/// Looks at the selected containers. Reads `/proc`, so it belongs on a thread that may block.
pub(crate) fn look<'a>(
    view: &'a View,
    containerizer: &Containerizer,
    selection: &Selection,
) -> Vec<Container<'a>> {
    let mut found = Vec::new();
    for framework in &view.frameworks {
        let live = framework.executors.iter().filter(|it| it.phase != ExecutorPhase::Terminated);
        for executor in live.filter(|it| selection.takes(framework, it)) {
            found.push(Container {
                framework,
                executor,
                status: containerizer.status(&executor.container),
                statistics: containerizer.usage(&executor.container),
            });
        }
    }
    found
}

/// The document of `/containers`.
pub(crate) fn document(w: &mut Writer, containers: &[Container<'_>]) {
    w.array(|w| {
        for container in containers {
            w.object(|w| {
                w.field_str("container_id", &container.executor.container.value);
                names(w, container);
                if let Some(statistics) = &container.statistics {
                    w.field_message("statistics", statistics, Names::V0);
                }
                if let Some(status) = &container.status {
                    w.field_message("status", status, Names::V0);
                }
            });
        }
    });
}

/// The document of `/monitor/statistics`: only what could be measured.
pub(crate) fn statistics(w: &mut Writer, containers: &[Container<'_>]) {
    w.array(|w| {
        for container in containers {
            let Some(statistics) = &container.statistics else { continue };
            w.object(|w| {
                names(w, container);
                w.field_message("statistics", statistics, Names::V0);
            });
        }
    });
}

fn names(w: &mut Writer, container: &Container<'_>) {
    let info = &container.executor.info;
    w.field_str("executor_id", container.executor.id.as_str());
    w.field_str("executor_name", info.name());
    w.field_str("framework_id", container.framework.id.as_str());
    w.field_str("source", info.source());
}

/// The document of `/containerizer/debug`: what the containerizer has not finished yet.
pub(crate) fn launching(w: &mut Writer, launching: &[ContainerId]) {
    w.object(|w| {
        w.field_array("pending", |w| {
            for container in launching {
                w.object(|w| {
                    w.field_str("operation", "launch");
                    w.field_object("args", |w| w.field_str("containerId", &container.to_string()));
                });
            }
        });
    });
}

/// The answer to GET_CONTAINERS.
pub(crate) fn message(containers: Vec<Container<'_>>) -> GetContainers {
    let one = |container: Container<'_>| get_containers::Container {
        framework_id: Some((&container.framework.id).into()),
        executor_id: Some((&container.executor.id).into()),
        executor_name: Some(container.executor.info.name().to_owned()),
        container_id: (&container.executor.container).into(),
        container_status: container.status,
        resource_statistics: container.statistics,
    };
    GetContainers { containers: containers.into_iter().map(one).collect() }
}

/// The containers that were asked for by name and run: those in others, and those that stand alone. Reads `/proc`, so
/// it belongs on a thread that may block.
pub(crate) fn by_name(
    view: &View,
    containerizer: &Containerizer,
    nested: bool,
    standalone: bool,
) -> Vec<get_containers::Container> {
    let shown = |it: &&NestedView| if it.container.parent.is_some() { nested } else { standalone };
    let one = |it: &NestedView| get_containers::Container {
        framework_id: it.executor.as_ref().map(|(framework, _)| framework.into()),
        executor_id: it.executor.as_ref().map(|(_, executor)| executor.into()),
        executor_name: None,
        container_id: (&it.container).into(),
        container_status: containerizer.status(&it.container),
        resource_statistics: containerizer.usage(&it.container),
    };
    view.nested.iter().filter(shown).map(one).collect()
}
