//! `--networks`: the networks that what is executed shall be in.

use proto::mesos::v1::{ContainerInfo, NetworkInfo, TaskInfo, container_info};

/// A container in these networks, whose names are divided by commas. None where there is no name.
pub(crate) fn container(networks: Option<&str>) -> Option<ContainerInfo> {
    let names = networks.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
    let network = |name: &str| NetworkInfo { name: Some(name.to_owned()), ..NetworkInfo::default() };
    let network_infos: Vec<NetworkInfo> = names.map(network).collect();
    (!network_infos.is_empty()).then(|| ContainerInfo {
        r#type: container_info::Type::Mesos.into(),
        network_infos,
        ..ContainerInfo::default()
    })
}

/// Puts the container of a task in the networks, too.
pub(crate) fn join(task: &mut TaskInfo, networks: Option<&str>) {
    let Some(wanted) = container(networks) else { return };
    match &mut task.container {
        // A container of Docker names its network already.
        Some(own) => {
            let has = |network: &NetworkInfo| own.network_infos.iter().any(|own| own.name == network.name);
            let missing: Vec<_> = wanted.network_infos.into_iter().filter(|network| !has(network)).collect();
            own.network_infos.extend(missing);
        }
        None => task.container = Some(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_networks() {
        let mut task = TaskInfo::default();
        join(&mut task, None);
        join(&mut task, Some(" , "));
        assert_eq!(task.container, None);
        join(&mut task, Some("a, b"));
        join(&mut task, Some("b,c"));
        let infos = task.container.expect("a container").network_infos;
        assert_eq!(infos.iter().map(NetworkInfo::name).collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
