//! A container as Mesos describes it, in the words of the Engine API.

use std::collections::BTreeMap;

use launch_plan::{Amounts, Limit};
use proto::mesos::internal::ContainerDnsInfo;
use proto::mesos::internal::container_dns_info::docker_info::{Dns, NetworkMode};
use proto::mesos::v1::container_info::docker_info::Network;
use proto::mesos::v1::container_info::{DockerInfo, docker_info::PortMapping};
use proto::mesos::v1::{CommandInfo, ContainerInfo, Resource, value};
use serde_json::{Map, Value, json};

use crate::image::with_tag;
use crate::{parameters, volumes};

/// What a cpu is worth in shares. COMPAT(mesos): the same.
const SHARES_PER_CPU: u64 = 1024;

const SHARES_MIN: u64 = 2;

/// Of the daemon's default period of 100 ms, what a cpu is worth, in microseconds.
const QUOTA_US_PER_CPU: u64 = 100_000;

const QUOTA_US_MIN: u64 = 1_000;

/// The least memory that a container has.
const MEMORY_BYTES_MIN: u64 = 32 << 20;

/// A directory of the machine that a container sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where it is.
    pub source: String,
    /// Where it is seen; a relative path lies in the sandbox.
    pub target: String,
    /// Whether nothing may be written.
    pub read_only: bool,
}

/// A container to be.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its name with the daemon.
    pub name: &'a str,
    /// What it is.
    pub container: &'a ContainerInfo,
    /// What runs in it.
    pub command: &'a CommandInfo,
    /// Variables beside those of the command, which have the last word.
    pub environment: &'a [(String, String)],
    /// Its sandbox on the machine.
    pub sandbox: &'a str,
    /// The same in the container.
    pub mapped: &'a str,
    /// What it may use.
    pub resources: &'a [Resource],
    /// What bounds it above that.
    pub limits: &'a BTreeMap<String, value::Scalar>,
    /// Whether cpus are a bound even where some are free.
    pub enable_cfs: bool,
    /// More of the machine's directories to see.
    pub binds: &'a [Bind],
    /// Name servers by network.
    pub dns: Option<&'a ContainerDnsInfo>,
    /// All memory of the machine.
    pub machine_memory_bytes: u64,
}

/// A container in the words of the Engine API.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    pub(crate) config: Map<String, Value>,
    pub(crate) host: Map<String, Value>,
    /// Of the network it joins, if that is one that somebody made.
    pub(crate) endpoint: Map<String, Value>,
    pub(crate) platform: Option<String>,
}

impl Body {
    /// The description of a container. Returns why it cannot be described.
    pub fn of(request: &Request<'_>) -> Result<Self, String> {
        let Some(docker) = &request.container.docker else {
            return Err("No docker info found in container info".to_owned());
        };
        let mut body = Self::default();
        body.config("Image", with_tag(&docker.image).into());
        body.config("AttachStdout", true.into());
        body.config("AttachStderr", true.into());
        body.set_command(request.command)?;
        body.host("Privileged", docker.privileged().into());
        body.host.extend(amounts(&Amounts::of(request.resources, request.limits), request));
        if let Some(driver) = volumes::add(&mut body, request)? {
            body.host("VolumeDriver", driver.into());
        }
        let given_network = parameters::network(&docker.parameters);
        let network = network(docker, request.container)?;
        body.set_name(request.container, &network)?;
        for mapping in &docker.port_mappings {
            body.publish(mapping, &network, request.resources)?;
        }
        let network = given_network.unwrap_or(network);
        let has_dns = parameters::apply(&mut body, &docker.parameters)?;
        if !has_dns && let Some(dns) = dns(request.dns, docker.network(), &network) {
            body.set_dns(dns);
        }
        body.host("NetworkMode", network.into());
        // ORDER: what a parameter sets comes behind what Mesos sets, as on a command line.
        let given = body.config.remove("Env");
        let own = environment(request).into_iter().map(|(name, value)| format!("{name}={value}").into());
        let mut variables: Vec<Value> = own.collect();
        variables.extend(given.as_ref().and_then(Value::as_array).into_iter().flatten().cloned());
        body.config("Env", variables.into());
        Ok(body)
    }

    /// Whether it has a terminal, whose output is one stream.
    #[must_use]
    pub fn has_terminal(&self) -> bool {
        self.config.get("Tty").and_then(Value::as_bool).unwrap_or_default()
    }

    /// What is posted.
    pub(crate) fn to_json(&self) -> Value {
        let mut document = self.config.clone();
        document.insert("HostConfig".to_owned(), Value::Object(self.host.clone()));
        if !self.endpoint.is_empty() {
            let network = self.host.get("NetworkMode").and_then(Value::as_str).unwrap_or_default();
            let endpoints = json!({"EndpointsConfig": {network: self.endpoint}});
            document.insert("NetworkingConfig".to_owned(), endpoints);
        }
        Value::Object(document)
    }

    pub(crate) fn config(&mut self, name: &str, value: Value) {
        self.config.insert(name.to_owned(), value);
    }

    pub(crate) fn host(&mut self, name: &str, value: Value) {
        self.host.insert(name.to_owned(), value);
    }

    pub(crate) fn config_list(&mut self, name: &str, value: Value) {
        push(&mut self.config, name, value);
    }

    pub(crate) fn host_list(&mut self, name: &str, value: Value) {
        push(&mut self.host, name, value);
    }

    fn set_command(&mut self, command: &CommandInfo) -> Result<(), String> {
        if command.shell() {
            let Some(value) = &command.value else {
                return Err("Shell specified but no command value provided".to_owned());
            };
            // The image's entry point is not what somebody wants who asks for a shell.
            self.config("Entrypoint", json!(["/bin/sh"]));
            self.config("Cmd", json!(["-c", value]));
            return Ok(());
        }
        let words: Vec<&String> = command.value.iter().chain(&command.arguments).collect();
        // Without any the image says what to run.
        if !words.is_empty() {
            self.config("Cmd", json!(words));
        }
        Ok(())
    }

    fn set_name(&mut self, container: &ContainerInfo, network: &str) -> Result<(), String> {
        let Some(hostname) = &container.hostname else { return Ok(()) };
        if network == "host" {
            return Err("Unable to set hostname with host network mode".to_owned());
        }
        self.config("Hostname", hostname.as_str().into());
        Ok(())
    }

    fn publish(
        &mut self,
        mapping: &PortMapping,
        network: &str,
        resources: &[Resource],
    ) -> Result<(), String> {
        if network == "host" || network == "none" {
            return Err("Port mappings are only supported for bridge and user-defined networks".to_owned());
        }
        let ranges = |resource: &Resource| resource.ranges.clone().unwrap_or_default().range;
        let ranges: Vec<_> = resources.iter().filter(|it| it.name == "ports").flat_map(ranges).collect();
        if ranges.is_empty() {
            return Err("Port mappings require port resources".to_owned());
        }
        let port = u64::from(mapping.host_port);
        if !ranges.iter().any(|range| (range.begin..=range.end).contains(&port)) {
            return Err(format!("Port [{port}] not included in resources"));
        }
        let protocol = mapping.protocol.as_deref().unwrap_or("tcp").to_ascii_lowercase();
        self.publish_port(&format!("{}/{protocol}", mapping.container_port), "", &port.to_string());
        Ok(())
    }

    /// A port of the container, such as `80/tcp`, as one of the machine.
    pub(crate) fn publish_port(&mut self, port: &str, host_ip: &str, host_port: &str) {
        self.expose(port);
        let bindings = self.host.entry("PortBindings").or_insert_with(|| json!({}));
        if let Some(bindings) = bindings.as_object_mut() {
            push(bindings, port, json!({"HostIp": host_ip, "HostPort": host_port}));
        }
    }

    pub(crate) fn expose(&mut self, port: &str) {
        let exposed = self.config.entry("ExposedPorts").or_insert_with(|| json!({}));
        if let Some(exposed) = exposed.as_object_mut() {
            exposed.insert(port.to_owned(), json!({}));
        }
    }

    fn set_dns(&mut self, dns: &Dns) {
        let lists = [("Dns", &dns.nameservers), ("DnsSearch", &dns.search), ("DnsOptions", &dns.options)];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            self.host(name, json!(list));
        }
    }
}

/// The amounts of a container that runs, as it is told of them: its memory is made no less than `memory_before`.
#[must_use]
pub fn update(
    resources: &[Resource],
    limits: &BTreeMap<String, value::Scalar>,
    enable_cfs: bool,
    memory_before: Option<u64>,
) -> (Value, Option<u64>) {
    let mut amounts = of(&Amounts::of(resources, limits), enable_cfs);
    let memory = amounts.get("Memory").and_then(Value::as_u64);
    // COMPAT(mesos): a container that uses more than its new bound would die of it.
    let memory = memory.filter(|memory| memory_before.is_none_or(|before| *memory > before));
    match memory {
        // The daemon's own default, which it refuses to be left behind by the memory.
        Some(memory) => amounts.insert("MemorySwap".to_owned(), memory.saturating_mul(2).into()),
        None => amounts.remove("Memory"),
    };
    (Value::Object(amounts), memory.or(memory_before))
}

fn amounts(amounts: &Amounts, request: &Request<'_>) -> Map<String, Value> {
    let mut map = of(amounts, request.enable_cfs);
    let bursts = match (amounts.memory_limit, amounts.memory_bytes) {
        (Some(Limit::Infinite), Some(_)) => true,
        (Some(Limit::Milli(_)), Some(requested)) => {
            amounts.memory_bound_bytes().is_some_and(|bound| requested < bound)
        }
        (Some(_), None) | (None, _) => false,
    };
    if bursts && let Some(adjustment) = oom_score_adj(amounts, request.machine_memory_bytes) {
        map.insert("OomScoreAdj".to_owned(), adjustment.into());
    }
    map
}

/// The more of the machine's memory a container requested, the later it is killed when that runs out.
fn oom_score_adj(amounts: &Amounts, machine_bytes: u64) -> Option<u64> {
    let used = amounts.memory_bytes?.saturating_mul(1000).checked_div(machine_bytes)?;
    Some(1000_u64.saturating_sub(used))
}

fn of(amounts: &Amounts, enable_cfs: bool) -> Map<String, Value> {
    let mut map = Map::new();
    let mut set = |name: &str, value: u64| map.insert(name.to_owned(), value.into());
    if let Some(milli) = amounts.cpus_milli {
        set("CpuShares", (milli.saturating_mul(SHARES_PER_CPU) / 1000).max(SHARES_MIN));
    }
    let quota = match amounts.cpus_limit {
        Some(Limit::Infinite) => None,
        Some(Limit::Milli(milli)) => Some(milli),
        None => amounts.cpus_milli.filter(|_| enable_cfs),
    };
    if let Some(milli) = quota {
        set("CpuQuota", (milli.saturating_mul(QUOTA_US_PER_CPU) / 1000).max(QUOTA_US_MIN));
    }
    if amounts.memory_limit.is_some()
        && let Some(requested) = amounts.memory_bytes
    {
        set("MemoryReservation", requested.max(MEMORY_BYTES_MIN));
    }
    if let Some(bound) = amounts.memory_bound_bytes() {
        set("Memory", bound.max(MEMORY_BYTES_MIN));
    }
    map
}

/// The network that Mesos names.
fn network(docker: &DockerInfo, container: &ContainerInfo) -> Result<String, String> {
    match docker.network() {
        Network::Host => Ok("host".to_owned()),
        Network::Bridge => Ok("bridge".to_owned()),
        Network::None => Ok("none".to_owned()),
        Network::User => match container.network_infos.as_slice() {
            [] => Err("No network info found in container info".to_owned()),
            [info] => info.name.clone().ok_or_else(|| "No network name found in network info".to_owned()),
            _ => Err("Only a single network can be defined in Docker run".to_owned()),
        },
    }
}

/// The name servers that the operator wants for containers of a network.
fn dns<'a>(all: Option<&'a ContainerDnsInfo>, kind: Network, network: &str) -> Option<&'a Dns> {
    let all = &all?.docker;
    // COMPAT(mesos): of several for the same network the last one counts.
    let of = |mode: NetworkMode, name: Option<&str>| {
        let fits = |it: &&'a proto::mesos::internal::container_dns_info::DockerInfo| {
            it.network_mode() == mode && (mode == NetworkMode::Bridge || it.network_name.as_deref() == name)
        };
        all.iter().rev().find(fits).map(|it| &it.dns)
    };
    match kind {
        Network::Bridge => of(NetworkMode::Bridge, None),
        Network::User => of(NetworkMode::User, Some(network)).or_else(|| of(NetworkMode::User, None)),
        Network::Host | Network::None => None,
    }
}

/// All variables, in the order of their names.
fn environment(request: &Request<'_>) -> BTreeMap<String, String> {
    let given = request.command.environment.iter().flat_map(|environment| &environment.variables);
    // A secret that nobody resolved is left out.
    let given = given.filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?)));
    let mut all: BTreeMap<String, String> = given.collect();
    all.extend(request.environment.iter().cloned());
    all.insert("MESOS_SANDBOX".to_owned(), request.mapped.to_owned());
    all.insert("MESOS_CONTAINER_NAME".to_owned(), request.name.to_owned());
    let allocation = request.resources.iter().find_map(|resource| resource.allocation_info.as_ref());
    if let Some(role) = allocation.and_then(|allocation| allocation.role.clone()) {
        all.insert("MESOS_ALLOCATION_ROLE".to_owned(), role);
    }
    all
}

pub(crate) fn push(map: &mut Map<String, Value>, name: &str, value: Value) {
    if let Some(list) = map.entry(name).or_insert_with(|| json!([])).as_array_mut() {
        list.push(value);
    }
}

#[cfg(test)]
mod tests;
