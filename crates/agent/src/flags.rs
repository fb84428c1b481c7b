//! The flags of the agent: the 160 of Apache Mesos, with their names, defaults and refusals. What each of them does
//! is the business of whoever reads the field; a flag that nothing reads yet is marked `pending()` and warns when
//! it is set. Flags of optional parts of Mesos (port mapping, XFS, TLS) are `unlisted()`: a usual build of Mesos
//! does not show them in `/flags`.

use flags::{Bytes, Duration, Json, PathOrValue};
use std::path::PathBuf;

flags::flags! {
    /// What `mesos-agent` is told at start.
    pub struct AgentFlags {
        "Network and identity" {
            /// The master: host:port, or where it is elected as zk://host1:port1,host2:port2/path or
            /// etcd://host1:port1,host2:port2/path. The value may be kept in a file.
            master: Option<PathOrValue>;
            /// Address to listen on; every address of the machine when unset. Not together with
            /// --ip_discovery_command.
            ip: Option<String>;
            /// IPv6 address that containers on the host's network are known by. The agent does not listen on it.
            ip6: Option<String> => pending();
            /// Port to listen on.
            port: u16 = "5051";
            /// Address that others are told to reach this agent at, where that is not the one it listens on.
            advertise_ip: Option<String>;
            /// Port that others are told, beside --advertise_ip. The agent does not listen on it.
            advertise_port: Option<u16>;
            /// A program that prints the address to listen on. Not together with --ip.
            ip_discovery_command: Option<String> => pending();
            /// A program that prints the IPv6 address of this machine. Not together with --ip6.
            ip6_discovery_command: Option<String> => pending();
            /// Name of this machine as others are told it. Looked up from the address when unset.
            hostname: Option<String>;
            /// Look up the machine's name from its address when --hostname is unset; otherwise the address serves as
            /// the name.
            hostname_lookup: bool = "true";
            /// How long ZooKeeper waits for a silent client, and how long etcd may be silent until nobody leads.
            zk_session_timeout: Duration = "10secs";
            /// The fault domain this agent is in, as JSON, for example:
            /// {"fault_domain": {"region": {"name": "eu"}, "zone": {"name": "eu-1"}}}
            domain: Option<Json>;
            /// Print the version and exit.
            version: bool = "false";
        }
        "Resources" {
            /// What this agent has to offer, as name(role):value divided by semicolons, or as a JSON array. What is
            /// not named is taken from the machine.
            resources: Option<String>;
            /// The role of resources that name none; * is everyone's.
            default_role: String = "*";
            /// What this machine is like, as name:value divided by semicolons, for frameworks to look at.
            attributes: Option<String>;
            /// Directory with one JSON file per local resource provider.
            resource_provider_config_dir: Option<String> => pending();
            /// Directory with one JSON file per CSI plugin.
            csi_plugin_config_dir: Option<String> => pending();
            /// The module that knows disk profiles of storage resource providers.
            disk_profile_adaptor: Option<String> => pending();
            /// The capabilities this agent shall announce, as JSON; those that every agent must have included.
            agent_features: Option<Json> => pending();
            /// What may have changed in the configuration after a restart: equal (nothing) or additive (there may
            /// be more resources and attributes than before).
            reconfiguration_policy: String = "equal" => one_of(&["equal", "additive"]);
        }
        "Directories" {
            /// Directory of sandboxes and of what the agent must remember. Do not put it where files are cleaned up,
            /// such as /tmp.
            work_dir: String;
            /// Directory of what must outlive the agent but not a reboot. /var/run/mesos where that can be written,
            /// else a directory for temporary files.
            runtime_dir: Option<String>;
            /// Directory of the programs that the agent starts for tasks. The one this program is in when unset.
            launcher_dir: Option<String>;
            /// Where a container with an image of its own sees its sandbox.
            sandbox_directory: String = "/mnt/mesos/sandbox";
            /// Put before URIs of tasks that are relative paths.
            frameworks_home: String = "";
            /// Where Hadoop is, for URIs of its kind; else HADOOP_HOME or the search path tells.
            hadoop_home: Option<String>;
            /// Directory of the cache of fetched files. Emptied when the agent starts.
            fetcher_cache_dir: String = "/tmp/mesos/fetch";
        }
        "Fetching" {
            /// How much the cache of fetched files may hold.
            fetcher_cache_size: Bytes = "2GB";
            /// How long a download may bring nothing before it is given up.
            fetcher_stall_timeout: Duration = "1mins";
        }
        "Isolation and launching" {
            /// How tasks are kept apart, divided by commas.
            isolation: String = "posix/cpu,posix/mem";
            /// What starts processes: linux (namespaces and cgroups) or posix. linux where it can be used.
            launcher: Option<String>;
            /// What runs containers, in the order of trial, divided by commas: mesos, docker.
            containerizers: String = "mesos";
            /// Run tasks as the user that their framework names; otherwise as the user of the agent.
            switch_user: bool = "true";
            /// Where the cgroup file systems are mounted.
            cgroups_hierarchy: String = "/sys/fs/cgroup";
            /// Name of the cgroup above those of all containers.
            cgroups_root: String = "mesos";
            /// Hold tasks to their cpus even where some are free.
            cgroups_enable_cfs: bool = "false";
            /// Hold tasks to their memory with swap counted in.
            cgroups_limit_swap: bool = "false";
            /// Count processes and threads of containers.
            cgroups_cpu_enable_pids_and_tids_count: bool = "false";
            /// The 16-bit primary handle of the net_cls cgroup, as 0xAAAA.
            cgroups_net_cls_primary_handle: Option<String>;
            /// The range of secondary net_cls handles, as 0xAAAA,0xBBBB.
            cgroups_net_cls_secondary_handles: Option<String>;
            /// How long the removal of a cgroup may take.
            cgroups_destroy_timeout: Duration = "60secs";
            /// The cgroup subsystems to run the agent itself under, divided by commas.
            agent_subsystems: Option<String> => alias("slave_subsystems");
            /// Devices that containers may use beyond the usual ones, as JSON.
            allowed_devices: Option<Json>;
            /// Give revocable cpus a lower priority.
            revocable_cpu_low_priority: bool = "true";
            /// Work with systemd so that executors outlive the agent's unit.
            systemd_enable_support: bool = "true" => pending();
            /// Where systemd keeps its runtime files.
            systemd_runtime_directory: String = "/run/systemd/system" => pending();
        }
        "Security of containers" {
            /// Capabilities that tasks get unless they ask for others, as JSON.
            effective_capabilities: Option<Json> => alias("allowed_capabilities");
            /// Capabilities that tasks may get at most, as JSON.
            bounding_capabilities: Option<Json>;
            /// Size of /dev/shm for containers that have their own and do not say.
            default_container_shm_size: Option<Bytes>;
            /// Give every container an IPC namespace of its own.
            disallow_sharing_agent_ipc_namespace: bool = "false";
            /// Give every container a pid namespace of its own.
            disallow_sharing_agent_pid_namespace: bool = "false";
            /// Directory of seccomp profiles.
            seccomp_config_dir: Option<String>;
            /// The seccomp profile of containers that name none, relative to --seccomp_config_dir.
            seccomp_profile_name: Option<String>;
            /// The ids that users of containers have outside, with namespaces/user: 65536 for each container, within
            /// [FIRST-LAST]. An addition of mesos-rs.
            userns_range: Option<String> => unlisted();
            /// Directories, divided by colons, below which missing host paths of volumes are made.
            host_path_volume_force_creation: Option<String>;
            /// Group ids that shared volumes are given to, such as [10000-20000].
            volume_gid_range: Option<String>;
        }
        "GPUs and sampling" {
            /// The numbers of the Nvidia devices to offer, divided by commas.
            nvidia_gpu_devices: Option<Vec<u32>>;
            /// The perf events to sample for each container, divided by commas.
            perf_events: Option<String>;
            /// From the start of one sample to that of the next.
            perf_interval: Duration = "60secs";
            /// How long a sample takes; shorter than --perf_interval.
            perf_duration: Duration = "10secs";
        }
        "Images" {
            /// Kinds of images that are understood, divided by commas: DOCKER, APPC.
            image_providers: Option<String>;
            /// How a container's root is made from an image's layers: overlay or copy. The best that works when unset.
            image_provisioner_backend: Option<String>;
            /// When unused images are removed, as JSON. Only on request when unset.
            image_gc_config: Option<Json>;
            /// What to put before the name of an appc image to find it.
            appc_simple_discovery_uri_prefix: String = "http://" => pending();
            /// Directory of appc images.
            appc_store_dir: String = "/tmp/mesos/store/appc" => pending();
            /// Where Docker images come from: a registry, or a directory of archives.
            docker_registry: String = "https://registry-1.docker.io";
            /// Directory of Docker images.
            docker_store_dir: String = "/tmp/mesos/store/docker";
            /// Leave out what a Docker image says about its working directory, environment and command.
            docker_ignore_runtime: bool = "false";
        }
        "Docker" {
            /// The docker program. The daemon is asked without it.
            docker: String = "docker" => pending();
            /// How long a finished Docker container is kept.
            docker_remove_delay: Duration = "6hrs";
            /// Kill Docker containers that no agent knows. Not with several agents on one machine.
            docker_kill_orphans: bool = "true";
            /// The image that this agent itself runs from, if it runs in Docker: not supported, and refused.
            docker_mesos_image: Option<String>;
            /// The socket of the Docker daemon.
            docker_socket: String = "/var/run/docker.sock";
            /// Docker's configuration with registry passwords, as JSON or the name of a file.
            docker_config: Option<Json>;
            /// How long Docker waits between stopping and killing a container. Deprecated in Mesos: tasks have kill
            /// policies.
            docker_stop_timeout: Duration = "0secs";
            /// Where is noted which Docker volumes each container uses.
            docker_volume_checkpoint_dir: String = "/var/run/mesos/isolators/docker/volume";
            /// Give the mount point of a Docker volume to the container's user.
            docker_volume_chown: bool = "false";
            /// Name servers for containers, as JSON.
            default_container_dns: Option<Json>;
            /// The ContainerInfo of executors that have none, as JSON.
            default_container_info: Option<Json> => pending();
        }
        "Registration, executors and recovery" {
            /// The longest wait before the first try to register; each further one may be twice as long, up to a minute.
            registration_backoff_factor: Duration = "1secs" => rule(backoff_factor);
            /// By how much waits between authentications grow.
            authentication_backoff_factor: Duration = "1secs" => pending();
            /// The least time an authentication is given.
            authentication_timeout_min: Duration = "5secs" => pending();
            /// The most time an authentication is given.
            authentication_timeout_max: Duration = "1mins" => pending();
            /// How long an executor may take to register before it is killed.
            executor_registration_timeout: Duration = "1mins";
            /// How long executors may take to come back after a restart of the agent; 15secs at most.
            executor_reregistration_timeout: Duration = "2secs" => rule(executor_reregistration_timeout);
            /// How often executors of the old protocol are asked to come back.
            executor_reregistration_retry_interval: Option<Duration>;
            /// How long an executor may take to shut down, unless it says otherwise itself.
            executor_shutdown_grace_period: Duration = "5secs";
            /// How long executors wait for a restarted agent before they give up.
            recovery_timeout: Duration = "15mins";
            /// After a restart: reconnect (keep executors that still run) or cleanup (kill them and exit).
            recover: String = "reconnect" => rule(known_recovery);
            /// Stop when something of the former state cannot be read; otherwise recover what can be.
            strict: bool = "true";
            /// How often a sign of life is sent on lasting connections to the agent's API.
            http_heartbeat_interval: Duration = "30secs";
            /// Have the command executor use the HTTP API. Ours always does.
            http_command_executor: bool = "false" => pending();
            /// What executors find in their environment beside what the agent tells them, as a JSON object of strings.
            executor_environment_variables: Option<Json> => rule(only_strings);
        }
        "Garbage and disk" {
            /// How long sandboxes of ended executors are kept at most; the fuller the disk, the shorter.
            gc_delay: Duration = "1weeks";
            /// The share of the disk to keep free: sandboxes are kept for gc_delay * max(0, 1 - headroom - disk usage).
            gc_disk_headroom: f64 = "0.1" => rule(headroom);
            /// Collect the sandboxes of nested and standalone containers, too.
            gc_non_executor_container_sandboxes: bool = "false";
            /// How often the disk is looked at.
            disk_watch_interval: Duration = "1mins";
            /// How often the disk usage of containers is looked at.
            container_disk_watch_interval: Duration = "15secs";
            /// Kill containers that use more disk than they have.
            enforce_container_disk_quota: bool = "false";
            /// How many completed executors of a framework are remembered.
            max_completed_executors_per_framework: usize = "150";
            /// What takes what containers print. Files in the sandbox when unset. Files that rotate with
            /// org_apache_mesos_LogrotateContainerLogger, which is built in; its parameters are read from --modules.
            container_logger: Option<String>;
        }
        "XFS quotas" {
            /// Project ids for disk/xfs to give out.
            xfs_project_range: String = "[5000-10000]" => unlisted();
            /// Kill containers that exceed their quota.
            xfs_kill_containers: bool = "false" => unlisted();
            /// How much above the quota writing fails.
            xfs_quota_headroom: Bytes = "10MB" => unlisted();
        }
        "Container networks and ports" {
            /// Directories of CNI plugins, divided by colons.
            network_cni_plugins_dir: Option<String>;
            /// Directory of CNI network configurations.
            network_cni_config_dir: Option<String>;
            /// Keep what is known of CNI networks across reboots.
            network_cni_root_dir_persist: bool = "false";
            /// Count the traffic of containers in CNI networks.
            network_cni_metrics: bool = "true";
            /// How often containers are checked for ports that are not theirs.
            container_ports_watch_interval: Duration = "30secs" => unlisted();
            /// Let tasks listen on ports that the agent does not offer.
            check_agent_port_range_only: bool = "false" => unlisted();
            /// Kill containers that listen on ports that are not theirs.
            enforce_container_ports: bool = "false" => unlisted();
            /// The only ports that are checked, such as [0-35000].
            container_ports_isolated_range: Option<String>;
        }
        "Port mapping" {
            /// How many ephemeral ports a container gets; a power of two.
            ephemeral_ports_per_container: u16 = "1024" => unlisted().pending();
            /// The public network interface. Guessed when unset.
            eth0_name: Option<String> => pending();
            /// The loopback interface. Guessed when unset.
            lo_name: Option<String> => pending();
            /// What a container may send per second.
            egress_rate_limit_per_container: Option<Bytes> => pending();
            /// What a container may send per second for each whole cpu; auto divides the speed of the link.
            egress_rate_per_cpu: Option<String> => pending();
            /// The least a container may send per second.
            minimum_egress_rate_limit: Option<Bytes> => pending();
            /// The most a container may send per second.
            maximum_egress_rate_limit: Option<Bytes> => pending();
            /// The rate of bursts of sending.
            egress_ceil_limit: Option<Bytes> => pending();
            /// How much a burst may send.
            egress_burst: Option<Bytes> => pending();
            /// Keep what containers send in a flow for each.
            egress_unique_flow_per_container: bool = "false" => unlisted().pending();
            /// Where in the queueing hierarchy flows are told apart.
            egress_flow_classifier_parent: String = "root" => unlisted().pending();
            /// What a container may receive per second.
            ingress_rate_limit_per_container: Option<Bytes> => pending();
            /// What a container may receive per second for each whole cpu; auto divides the speed of the link.
            ingress_rate_per_cpu: Option<String> => pending();
            /// The least a container may receive per second.
            minimum_ingress_rate_limit: Option<Bytes> => pending();
            /// The most a container may receive per second.
            maximum_ingress_rate_limit: Option<Bytes> => pending();
            /// The rate of bursts of receiving.
            ingress_ceil_limit: Option<Bytes> => pending();
            /// How much a burst may receive.
            ingress_burst: Option<Bytes> => pending();
            /// Limit what containers receive that ran before there was a limit.
            ingress_isolate_existing_containers: bool = "true" => unlisted().pending();
            /// Speed of the link in bytes per second, where it cannot be found out.
            network_link_speed: Option<Bytes> => pending();
            /// Collect a summary of containers' sockets.
            network_enable_socket_statistics_summary: bool = "false" => unlisted().pending();
            /// Collect details of containers' sockets.
            network_enable_socket_statistics_details: bool = "false" => unlisted().pending();
            /// Collect containers' SNMP counters.
            network_enable_snmp_statistics: bool = "false" => unlisted().pending();
            /// Collect containers' transfer rates.
            network_enable_rate_statistics: bool = "false" => unlisted().pending();
            /// The span that rates are computed over.
            network_rate_statistics_window: Option<Duration> => pending();
            /// How often rates are sampled.
            network_rate_statistics_interval: Option<Duration> => pending();
        }
        "Security" {
            /// File with this agent's principal and secret for the master, as JSON:
            /// {"principal": "..", "secret": ".."}
            credential: Option<PathBuf> => pending();
            /// Who may do what, as JSON or the name of a file with it. Of use with the local authorizer only.
            acls: Option<Json> => guards();
            /// Paths that are answered by 403, as JSON: {"disabled_endpoints": {"paths": ["/files/browse"]}}
            firewall_rules: Option<Json> => guards();
            /// What authenticates this agent to the master.
            authenticatee: String = "crammd5" => pending();
            /// What decides who may do what.
            authorizer: String = "local" => pending();
            /// What authenticates HTTP requests.
            http_authenticators: Option<String> => pending();
            /// File with the principals and secrets that HTTP requests may carry, as JSON.
            http_credentials: Option<PathBuf> => pending();
            /// Refuse unauthenticated requests to HTTP endpoints that change something.
            authenticate_http_readwrite: bool = "false" => guards();
            /// Refuse unauthenticated requests to HTTP endpoints that only read.
            authenticate_http_readonly: bool = "false" => guards();
            /// Refuse unauthenticated executors.
            authenticate_http_executors: bool = "false" => unlisted().guards();
            /// File with the key that signs executors' tokens.
            jwt_secret_key: Option<PathBuf> => alias("executor_secret_key").guards();
            /// Let executors reach the agent over a Unix domain socket.
            http_executor_domain_sockets: bool = "false" => pending();
            /// Where that socket is, or systemd:NAME for one that systemd passes.
            domain_socket_location: Option<String> => rule(socket_path).pending();
            /// The module that looks up secrets.
            secret_resolver: Option<String> => pending();
        }
        "Oversubscription" {
            /// The module that says how much more can be offered.
            resource_estimator: Option<String> => pending();
            /// The module that says whom to stop when that was too much.
            qos_controller: Option<String> => pending();
            /// The shortest time between two such corrections.
            qos_correction_interval_min: Duration = "0secs" => pending();
            /// How often the estimate is sent to the master.
            oversubscribed_resources_interval: Duration = "15secs" => pending();
        }
        "Plugins" {
            /// Parameters of built-in modules, as JSON. Others cannot be loaded. Not together with --modules_dir.
            modules: Option<Json>;
            /// Directory with files as --modules has it. Not together with --modules.
            modules_dir: Option<String>;
            /// Names of hooks to run in the agent, divided by commas.
            hooks: Option<String> => pending();
            /// The module that finds the leader, in place of --master.
            master_detector: Option<String> => pending();
            /// Offer memory profiles over HTTP.
            memory_profiling: bool = "false" => pending();
        }
    }
}

impl AgentFlags {
    /// Fills in the defaults that depend on the machine. `var_run_writable`: whether files can be made in /var/run;
    /// `program_dir`: the directory this program is in; `launcher`: the best one that works here.
    pub fn fill_in(&mut self, var_run_writable: bool, program_dir: &str, launcher: &str) {
        let runtime_dir = if var_run_writable { "/var/run/mesos" } else { "/tmp/mesos/runtime" };
        self.runtime_dir.get_or_insert_with(|| runtime_dir.to_owned());
        self.launcher_dir.get_or_insert_with(|| program_dir.to_owned());
        self.launcher.get_or_insert_with(|| launcher.to_owned());
    }
}

/// The duration in `text`; the flag's type has already refused everything else.
fn duration(text: &str) -> Duration {
    text.parse().unwrap_or_default()
}

fn backoff_factor(text: &str) -> Result<(), String> {
    if duration(text) > Duration::from_secs(60) {
        return Err(format!(
            "Invalid value '{text}' for --registration_backoff_factor: Must be less than 1mins"
        ));
    }
    Ok(())
}

fn executor_reregistration_timeout(text: &str) -> Result<(), String> {
    if duration(text) > Duration::from_secs(15) {
        return Err("Expected `--executor_reregistration_timeout` to be not more than 15secs".into());
    }
    Ok(())
}

fn known_recovery(text: &str) -> Result<(), String> {
    match text {
        "reconnect" | "cleanup" => Ok(()),
        _ => Err(format!(
            "Unknown option for 'recover' flag {text}. Please run the agent with '--help' to see the valid options"
        )),
    }
}

fn headroom(text: &str) -> Result<(), String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(()),
        _ => Err(format!("Invalid value '{text}' for --gc_disk_headroom. Must be between 0.0 and 1.0")),
    }
}

fn only_strings(text: &str) -> Result<(), String> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Object(variables)) if variables.values().all(serde_json::Value::is_string) => {
            Ok(())
        }
        _ => Err("`executor_environment_variables` must only contain string values".into()),
    }
}

fn socket_path(text: &str) -> Result<(), String> {
    // The kernel's limit for the path of a socket, its end included.
    if text.len() >= 108 {
        return Err("Domain socket location cannot be longer than 108 characters.".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::AgentFlags;
    use flags::{FlagSet, LoggingFlags, document};

    /// The `/flags` of a C++ agent that was given the flags below.
    const DOCUMENT: &str = "\
appc_simple_discovery_uri_prefix=http://
appc_store_dir=/tmp/mesos/store/appc
attributes=rack:r1
authenticate_http_readonly=false
authenticate_http_readwrite=false
authenticatee=crammd5
authentication_backoff_factor=1secs
authentication_timeout_max=1mins
authentication_timeout_min=5secs
authorizer=local
cgroups_cpu_enable_pids_and_tids_count=false
cgroups_destroy_timeout=1mins
cgroups_enable_cfs=false
cgroups_hierarchy=/sys/fs/cgroup
cgroups_limit_swap=false
cgroups_root=mesos
container_disk_watch_interval=15secs
containerizers=mesos
default_role=*
disallow_sharing_agent_ipc_namespace=false
disallow_sharing_agent_pid_namespace=false
disk_watch_interval=1mins
docker=docker
docker_ignore_runtime=false
docker_kill_orphans=true
docker_registry=https://registry-1.docker.io
docker_remove_delay=6hrs
docker_socket=/var/run/docker.sock
docker_stop_timeout=0ns
docker_store_dir=/tmp/mesos/store/docker
docker_volume_checkpoint_dir=/var/run/mesos/isolators/docker/volume
docker_volume_chown=false
enforce_container_disk_quota=false
executor_registration_timeout=1mins
executor_reregistration_timeout=2secs
executor_shutdown_grace_period=5secs
fetcher_cache_dir=/tmp/mesos/fetch
fetcher_cache_size=2GB
fetcher_stall_timeout=1mins
frameworks_home=
gc_delay=1weeks
gc_disk_headroom=0.1
gc_non_executor_container_sandboxes=false
help=false
hostname=agent1.example
hostname_lookup=false
http_command_executor=false
http_executor_domain_sockets=false
http_heartbeat_interval=30secs
initialize_driver_logging=true
ip=127.0.0.1
isolation=posix/cpu,posix/mem
launcher=posix
launcher_dir=/usr/libexec/mesos
logbufsecs=0
logging_level=INFO
master=127.0.0.1:34089
max_completed_executors_per_framework=150
memory_profiling=false
network_cni_metrics=true
network_cni_root_dir_persist=false
oversubscribed_resources_interval=15secs
perf_duration=10secs
perf_interval=1mins
port=5051
qos_correction_interval_min=0ns
quiet=false
reconfiguration_policy=equal
recover=reconnect
recovery_timeout=15mins
registration_backoff_factor=1secs
resources=cpus:4
revocable_cpu_low_priority=true
runtime_dir=/var/run/mesos
sandbox_directory=/mnt/mesos/sandbox
strict=true
switch_user=true
systemd_enable_support=false
systemd_runtime_directory=/run/systemd/system
version=false
work_dir=/w
zk_session_timeout=10secs";

    #[test]
    fn has_the_flags_of_mesos_with_its_defaults() {
        let mut flags = AgentFlags::default();
        // One is our own.
        assert_eq!(flags.specs().len(), 161);
        let given = [
            ("attributes", "rack:r1"),
            ("hostname", "agent1.example"),
            ("hostname_lookup", "false"),
            ("ip", "127.0.0.1"),
            ("master", "127.0.0.1:34089"),
            ("resources", "cpus:4"),
            ("work_dir", "/w"),
            ("systemd_enable_support", "false"),
        ];
        for (name, value) in given {
            flags.set(name, value, None).unwrap();
        }
        flags.fill_in(true, "/usr/libexec/mesos", "posix");
        let document = document(&[&flags, &LoggingFlags::default()]);
        let text: Vec<String> = document.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(text.join("\n"), DOCUMENT);
    }
}
