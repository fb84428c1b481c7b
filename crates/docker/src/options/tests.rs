//! What Mesos says of a container, and the same in the words of the Engine API.

use proto::mesos::v1::{Parameter, Volume, volume};

use super::*;

fn docker(change: impl FnOnce(&mut ContainerInfo, &mut DockerInfo)) -> ContainerInfo {
    let mut container = ContainerInfo::default();
    let mut docker = DockerInfo { image: "busybox".to_owned(), ..DockerInfo::default() };
    change(&mut container, &mut docker);
    container.docker = Some(docker);
    container
}

fn resources() -> Vec<Resource> {
    let scalar = |name: &str, value: f64| Resource {
        name: name.to_owned(),
        scalar: Some(value::Scalar { value }),
        ..Resource::default()
    };
    let ports = Resource {
        name: "ports".to_owned(),
        ranges: Some(value::Ranges { range: vec![value::Range { begin: 31000, end: 31001 }] }),
        ..Resource::default()
    };
    vec![scalar("cpus", 0.5), scalar("mem", 64.0), ports]
}

fn body(container: &ContainerInfo, limits: &[(&str, f64)]) -> Result<Value, String> {
    let command = CommandInfo { value: Some("true".to_owned()), ..CommandInfo::default() };
    let limits = limits.iter().map(|(name, value)| ((*name).to_owned(), value::Scalar { value: *value }));
    let body = Body::of(&Request {
        name: "mesos-1",
        container,
        command: &command,
        environment: &[("A".to_owned(), "b".to_owned())],
        sandbox: "/w/a:b",
        mapped: "/mnt/mesos/sandbox",
        resources: &resources(),
        limits: &limits.collect(),
        enable_cfs: false,
        binds: &[],
        dns: None,
        machine_memory_bytes: 128 << 20,
    });
    body.map(|body| body.to_json())
}

#[test]
fn a_plain_container() {
    let made = body(&docker(|_, _| {}), &[]).unwrap();
    assert_eq!(
        made,
        json!({
            "Image": "busybox:latest",
            "AttachStdout": true,
            "AttachStderr": true,
            "Entrypoint": ["/bin/sh"],
            "Cmd": ["-c", "true"],
            "Env": ["A=b", "MESOS_CONTAINER_NAME=mesos-1", "MESOS_SANDBOX=/mnt/mesos/sandbox"],
            "HostConfig": {
                "Privileged": false,
                "CpuShares": 512,
                "Memory": 64 << 20,
                "NetworkMode": "host",
                "Mounts": [{
                    "Type": "bind", "Source": "/w/a:b", "Target": "/mnt/mesos/sandbox", "ReadOnly": false,
                }],
            },
        })
    );
}

#[test]
fn limits_are_above_requests() {
    let host = |limits: &[(&str, f64)]| body(&docker(|_, _| {}), limits).unwrap()["HostConfig"].clone();
    let finite = host(&[("cpus", 2.0), ("mem", 96.0)]);
    assert_eq!(finite["CpuQuota"], 200_000);
    assert_eq!((&finite["Memory"], &finite["MemoryReservation"]), (&json!(96 << 20), &json!(64 << 20)));
    assert_eq!(finite["OomScoreAdj"], 500);
    let infinite = host(&[("cpus", f64::INFINITY), ("mem", f64::INFINITY)]);
    assert_eq!((&infinite["CpuQuota"], &infinite["Memory"]), (&Value::Null, &Value::Null));
    assert_eq!(infinite["OomScoreAdj"], 500);
}

#[test]
fn ports_must_be_offered_and_can_be_reached() {
    let mapping = |host_port: u32, network: Network| {
        let mapping = PortMapping { host_port, container_port: 80, protocol: Some("TCP".to_owned()) };
        body(
            &docker(|_, docker| {
                docker.port_mappings = vec![mapping];
                docker.network = Some(network.into());
            }),
            &[],
        )
    };
    let made = mapping(31001, Network::Bridge).unwrap();
    assert_eq!(made["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"], "31001");
    assert_eq!(made["ExposedPorts"], json!({"80/tcp": {}}));
    let refused = |outcome: Result<Value, String>, why: &str| assert_eq!(outcome.unwrap_err(), why);
    refused(mapping(80, Network::Bridge), "Port [80] not included in resources");
    refused(
        mapping(31000, Network::Host),
        "Port mappings are only supported for bridge and user-defined networks",
    );
}

#[test]
fn volumes_are_binds() {
    let volume = |host: Option<&str>, container: &str| Volume {
        host_path: host.map(str::to_owned),
        container_path: container.to_owned(),
        mode: volume::Mode::Ro.into(),
        ..Volume::default()
    };
    let made = |volume: Volume| {
        body(&docker(|container, _| container.volumes = vec![volume]), &[])
            .map(|made| made["HostConfig"]["Binds"][0].clone())
    };
    assert_eq!(made(volume(Some("/etc"), "data")).unwrap(), "/etc:/mnt/mesos/sandbox/data:ro");
    assert_eq!(made(volume(Some("own"), "/data")).unwrap(), "/w/a:b/own:/data:ro");
    assert_eq!(
        made(volume(Some("own"), "data")).unwrap_err(),
        "Both host_path 'own' and container_path 'data' of a volume are relative"
    );
    assert_eq!(made(volume(None, "data")).unwrap_err(), "Host path or volume source is required");
    let mut named = volume(None, "/data");
    named.source = Some(volume::Source {
        r#type: Some(volume::source::Type::DockerVolume.into()),
        docker_volume: Some(volume::source::DockerVolume {
            name: "v".to_owned(),
            driver: Some("local".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    });
    let made = body(&docker(|container, _| container.volumes = vec![named]), &[]).unwrap();
    assert_eq!(made["HostConfig"]["Binds"][0], "v:/data:ro");
    assert_eq!(made["HostConfig"]["VolumeDriver"], "local");
}

#[test]
fn a_parameter_has_the_last_word() {
    let parameter = |key: &str, value: &str| Parameter { key: key.to_owned(), value: value.to_owned() };
    let made = docker(|_, docker| {
        docker.parameters =
            vec![parameter("memory", "1g"), parameter("net", "mine"), parameter("ip", "10.0.0.9")];
    });
    let made = body(&made, &[]).unwrap();
    assert_eq!(made["HostConfig"]["Memory"], 1_u64 << 30);
    assert_eq!(made["HostConfig"]["NetworkMode"], "mine");
    assert_eq!(made["NetworkingConfig"]["EndpointsConfig"]["mine"]["IPAMConfig"]["IPv4Address"], "10.0.0.9");
}

#[test]
fn memory_is_never_taken_back() {
    let limits = BTreeMap::new();
    let (first, now) = update(&resources(), &limits, false, None);
    assert_eq!((first["Memory"].as_u64(), now), (Some(64 << 20), Some(64 << 20)));
    assert_eq!(first["MemorySwap"], 128_u64 << 20);
    let (second, now) = update(&resources(), &limits, true, Some(96 << 20));
    assert_eq!((second.get("Memory"), now), (None, Some(96 << 20)));
    assert_eq!(second["CpuQuota"], 50_000);
}
