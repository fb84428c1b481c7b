//! The flags of the master: the 71 of Apache Mesos, with their names, defaults and refusals. What each of them does
//! is the business of whoever reads the field; a flag that nothing reads yet is marked `pending()` and warns when
//! it is set.

use flags::{Bytes, Duration, Json, PathOrValue, Percent, Rate};
use std::collections::BTreeSet;
use std::path::PathBuf;

flags::flags! {
    /// What `mesos-master` is told at start.
    pub struct MasterFlags {
        "Network and identity" {
            /// Address to listen on; every address of the machine when unset. Not together with
            /// --ip_discovery_command.
            ip: Option<String>;
            /// Port to listen on.
            port: u16 = "5050";
            /// Address that agents, frameworks and people are told to reach this master at, where that is not the
            /// one it listens on.
            advertise_ip: Option<String>;
            /// Port that others are told, beside --advertise_ip. The master does not listen on it.
            advertise_port: Option<u16>;
            /// A program that prints the address to listen on. Not together with --ip.
            ip_discovery_command: Option<String> => pending();
            /// Name of this machine as others are told it. Looked up from the address when unset.
            hostname: Option<String>;
            /// Look up the machine's name from its address when --hostname is unset; otherwise the address serves as
            /// the name.
            hostname_lookup: bool = "true";
            /// A name for the cluster, for people to recognise it by.
            cluster: Option<String>;
            /// The fault domain this master is in, as JSON. All masters of a cluster share the region. For example:
            /// {"fault_domain": {"region": {"name": "eu"}, "zone": {"name": "eu-1"}}}
            domain: Option<Json>;
            /// Print the version and exit.
            version: bool = "false";
        }
        "Registry and election" {
            /// Directory for what the master must remember. Do not put it where files are cleaned up, such as /tmp.
            work_dir: Option<String>;
            /// What keeps the registry: replicated_log (with --zk a directory of ZooKeeper or etcd beside that of the
            /// election, else a file in --work_dir), in_memory (forgotten when the master stops) or local (the file also with
            /// --zk).
            registry: String = "replicated_log" => rule(known_registry);
            /// How many replicas of the replicated log of Apache Mesos must agree. Taken, and without meaning here:
            /// the servers of ZooKeeper or etcd agree among themselves.
            quorum: Option<u32>;
            /// Where masters elect their leader: zk://host1:port1,host2:port2/path or etcd://host1:port1,host2:port2/path,
            /// with user:password@ before the hosts if need be. A single master needs none. The value may be kept in a file.
            zk: Option<PathOrValue>;
            /// How long ZooKeeper or etcd waits for a silent master before the election moves on.
            zk_session_timeout: Duration = "10secs";
            /// Has been switched off in Mesos; only false is taken.
            registry_strict: bool = "false" => rule(never_strict);
            /// How long reading the registry in ZooKeeper or etcd may take.
            registry_fetch_timeout: Duration = "60secs";
            /// How long writing the registry in ZooKeeper or etcd may take. A master that cannot write ends.
            registry_store_timeout: Duration = "20secs";
            /// Set up the replicated log by itself when it is used for the first time.
            log_auto_initialize: bool = "true" => pending();
            /// How often agents that have long been gone are forgotten.
            registry_gc_interval: Duration = "15mins";
            /// How long an unreachable or gone agent is remembered.
            registry_max_agent_age: Duration = "2weeks";
            /// How many unreachable or gone agents are remembered at most.
            registry_max_agent_count: usize = "102400";
        }
        "Agents" {
            /// How long agents may take to register again, after they lost the master or it has changed, before they
            /// are marked unreachable. At least 10mins.
            agent_reregister_timeout: Duration = "10mins" => alias("slave_reregister_timeout").rule(reregister_timeout);
            /// The share of agents that may be given up at once after a change of leader. Above it the master stops
            /// instead, so that somebody looks.
            recovery_agent_removal_limit: Percent = "100%" => alias("recovery_slave_removal_limit");
            /// How fast silent agents are marked unreachable at most, such as 1/10mins.
            agent_removal_rate_limit: Option<Rate> => alias("slave_removal_rate_limit").pending();
            /// How long an agent may take to answer a ping. From 1secs to 15mins.
            agent_ping_timeout: Duration = "15secs" => alias("slave_ping_timeout").rule(ping_timeout);
            /// How many pings in a row an agent may miss before it is marked unreachable.
            max_agent_ping_timeouts: usize = "5" => alias("max_slave_ping_timeouts").rule(ping_timeouts);
        }
        "Allocation" {
            /// What decides who is offered what: hierarchical (shares or lots, see the sorters), or priority (see
            /// --role_priorities; among roles of one priority the same as hierarchical).
            allocator: String = "hierarchical";
            /// Strict priorities of roles, role=number divided by commas; roles without one have 0. With
            /// --allocator=priority a role comes before all its siblings of lower priority. Not a flag of Mesos.
            role_priorities: Option<String> => unlisted();
            /// The longest time between two rounds of allocation. Freed resources are offered without waiting for it.
            allocation_interval: Duration = "1secs";
            /// How roles are ordered: drf (least dominant share first) or random.
            role_sorter: String = "drf" => alias("user_sorter");
            /// How the frameworks of one role are ordered: drf or random.
            framework_sorter: String = "drf";
            /// The only roles frameworks may have, divided by commas. Deprecated in Mesos: any role is fine when unset.
            roles: Option<String>;
            /// Weights of roles, role=weight divided by commas. Deprecated in Mesos: set weights over HTTP.
            weights: Option<String>;
            /// A file with one agent's name per line: only these are offered. It is read again now and then.
            whitelist: Option<PathBuf>;
            /// How long a framework may hold an offer before it is taken back; for ever when unset.
            offer_timeout: Option<Duration> => rule(offer_timeout);
            /// How long a framework may want offers and get none before the log says so, with the reason; 0secs to
            /// be silent. Not a flag of Apache Mesos.
            offer_wait_warning: Duration = "1mins" => unlisted();
            /// The least that frameworks in a role are offered of one agent, role=quantities divided by commas, such as
            /// eng=cpus:8;mem:16384,ml=gpus:4. What is freed of an agent adds up for whose turn it is. Not a flag of
            /// Apache Mesos.
            min_offer_size: Option<String> => unlisted();
            /// How long an agent is kept for a framework that needs --min_offer_size of it, and then for nobody; 0secs
            /// to keep none. Not a flag of Apache Mesos.
            min_offer_hold: Duration = "1mins" => unlisted();
            /// The part of each agent, of what is neither reserved nor revocable there, that only roles of short tasks
            /// (--short_task_roles) are offered. Not a flag of Apache Mesos.
            short_task_share: Percent = "0%" => unlisted();
            /// Roles of short tasks and how long their tasks may run, role=duration divided by commas, such as
            /// quick=5mins,ci=1hrs. A task in one of them without a max_completion_time of at most that is refused. Not
            /// a flag of Apache Mesos.
            short_task_roles: Option<String> => unlisted();
            /// Take back what a framework holds beyond its guarantee (its part of the quota guarantee of its role, or
            /// else of its role's fair share) while another has less than its own and has been offered nothing for
            /// this long; off when unset. The holder is warned by an inverse offer. Not a flag of Apache Mesos.
            revocation_after: Option<Duration> => unlisted();
            /// How long a framework that was warned has before tasks of it are killed, the youngest revocable ones
            /// first. Not a flag of Apache Mesos.
            revocation_grace: Duration = "30secs" => unlisted();
            /// Also kill tasks on resources that are not revocable. Not a flag of Apache Mesos.
            revocation_any_task: bool = "false" => unlisted();
            /// After a change of leader, the share of known agents that must be back before anything is offered.
            allocator_agent_recovery_factor: f64 = "0.8" => rule(recovery_factor);
            /// After a change of leader, the longest wait for agents before anything is offered.
            allocator_recovery_timeout: Duration = "10mins";
            /// Names of resources that do not count as anyone's share, divided by commas (gpus, say).
            fair_sharing_excluded_resource_names: Option<BTreeSet<String>>;
            /// Offer agents with GPUs only to frameworks that have the GPU_RESOURCES capability.
            filter_gpu_resources: bool = "true";
            /// The least that is worth offering. Sets are divided by | and one of them is enough; in a set, quantities
            /// are divided by ; and all are needed.
            min_allocatable_resources: String = "cpus:0.01|mem:32";
            /// How many executors an agent may run. Only of use with the port mapping isolator.
            max_executors_per_agent: Option<usize> => alias("max_executors_per_slave").pending();
            /// Take only agents that say which fault domain they are in.
            require_agent_domain: bool = "false";
            /// Let frameworks run as root.
            root_submissions: bool = "true";
        }
        "Offer constraints" {
            /// The most memory that a regular expression in a framework's offer constraints may take.
            offer_constraints_re2_max_mem: Bytes = "4096B";
            /// The largest program that a regular expression in offer constraints may compile to.
            offer_constraints_re2_max_program_size: u32 = "100";
        }
        "Security" {
            /// Take only frameworks that authenticate (over the old protocol; see --authenticate_http_frameworks).
            authenticate_frameworks: bool = "false" => alias("authenticate").guards();
            /// Take only agents that authenticate.
            authenticate_agents: bool = "false" => alias("authenticate_slaves").guards();
            /// How long authentication over the old protocol may take.
            authentication_v0_timeout: Duration = "15secs" => pending();
            /// Refuse unauthenticated requests to HTTP endpoints that change something.
            authenticate_http_readwrite: bool = "false" => alias("authenticate_http").guards();
            /// Refuse unauthenticated requests to HTTP endpoints that only read.
            authenticate_http_readonly: bool = "false" => guards();
            /// Take only HTTP frameworks that authenticate.
            authenticate_http_frameworks: bool = "false" => guards();
            /// File with the principals and secrets that are known, as JSON:
            /// {"credentials": [{"principal": "..", "secret": ".."}]}
            credentials: Option<PathBuf> => pending();
            /// Who may do what, as JSON or the name of a file with it. Of use with the local authorizer only.
            acls: Option<Json> => guards();
            /// What authenticates agents and frameworks of the old protocol.
            authenticators: String = "crammd5" => pending();
            /// What decides who may do what.
            authorizers: String = "local" => pending();
            /// What authenticates HTTP requests.
            http_authenticators: String = "basic" => pending();
            /// What authenticates HTTP frameworks, with --authenticate_http_frameworks.
            http_framework_authenticators: Option<String> => pending();
            /// Paths that are answered by 403, as JSON: {"disabled_endpoints": {"paths": ["/files/browse"]}}
            firewall_rules: Option<Json> => guards();
            /// How many calls per second each principal's frameworks may make, as JSON:
            /// {"limits": [{"principal": "..", "qps": 5.5, "capacity": 100}]}
            rate_limits: Option<Json> => guards();
            /// Names of hooks to run in the master, divided by commas.
            hooks: Option<String> => pending();
        }
        "Plugins, history and web UI" {
            /// Modules to load, as JSON. Not together with --modules_dir.
            modules: Option<Json> => pending();
            /// Directory with files that name modules to load. Not together with --modules.
            modules_dir: Option<String> => pending();
            /// The module that takes part in the election, in place of --zk.
            master_contender: Option<String> => pending();
            /// The module that finds the leader, in place of --zk.
            master_detector: Option<String> => pending();
            /// Directory of the web UI's files.
            webui_dir: String = "/usr/share/mesos/webui" => pending();
            /// How many clients may watch the stream of operator events; the oldest goes when one more comes.
            max_operator_event_stream_subscribers: usize = "1000";
            /// How many completed frameworks are remembered.
            max_completed_frameworks: usize = "50";
            /// How many completed tasks of a framework are remembered.
            max_completed_tasks_per_framework: usize = "1000";
            /// How many unreachable tasks of a framework are remembered.
            max_unreachable_tasks_per_framework: usize = "1000";
            /// Publish metrics of each framework.
            publish_per_framework_metrics: bool = "true" => pending();
            /// Offer memory profiles over HTTP.
            memory_profiling: bool = "false" => pending();
        }
    }
}

/// The duration in `text`; the flag's type has already refused everything else.
fn duration(text: &str) -> Duration {
    text.parse().unwrap_or_default()
}

fn recovery_factor(text: &str) -> Result<(), String> {
    match text.parse::<f64>() {
        Ok(factor) if (0.0..=1.0).contains(&factor) => Ok(()),
        _ => Err(format!("Invalid value '{text}' for --allocator_agent_recovery_factor: Must be in [0, 1]")),
    }
}

fn known_registry(registry: &str) -> Result<(), String> {
    match registry {
        "replicated_log" | "in_memory" | "local" => Ok(()),
        _ => Err(format!("'{registry}' is not a supported option for registry persistence")),
    }
}

fn never_strict(strict: &str) -> Result<(), String> {
    match strict {
        "false" | "0" => Ok(()),
        _ => Err("Support for '--registry_strict' has been disabled and will be removed in a future version of Mesos"
            .into()),
    }
}

fn reregister_timeout(text: &str) -> Result<(), String> {
    if duration(text) < Duration::from_secs(600) {
        return Err(format!(
            "Invalid value '{text}' for --agent_reregister_timeout: Must be at least 10mins"
        ));
    }
    Ok(())
}

fn ping_timeout(text: &str) -> Result<(), String> {
    let allowed = Duration::from_secs(1)..=Duration::from_secs(900);
    if !allowed.contains(&duration(text)) {
        return Err("Expected `--agent_ping_timeout` to be between 1secs and 15mins".into());
    }
    Ok(())
}

fn ping_timeouts(text: &str) -> Result<(), String> {
    if text.parse() == Ok(0) {
        return Err("Expected `--max_agent_ping_timeouts` to be at least 1".into());
    }
    Ok(())
}

fn offer_timeout(text: &str) -> Result<(), String> {
    if duration(text) == Duration::default() {
        return Err(format!("Invalid value '{text}' for --offer_timeout: Must be greater than zero"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::MasterFlags;
    use flags::{FlagSet, LoggingFlags, document};

    /// The `/flags` of a C++ master that was given cluster, ip and work_dir.
    const DOCUMENT: &str = "\
agent_ping_timeout=15secs
agent_reregister_timeout=10mins
allocation_interval=1secs
allocator=hierarchical
allocator_agent_recovery_factor=0.8
allocator_recovery_timeout=10mins
authenticate_agents=false
authenticate_frameworks=false
authenticate_http_frameworks=false
authenticate_http_readonly=false
authenticate_http_readwrite=false
authentication_v0_timeout=15secs
authenticators=crammd5
authorizers=local
cluster=reference
filter_gpu_resources=true
framework_sorter=drf
help=false
hostname_lookup=true
http_authenticators=basic
initialize_driver_logging=true
ip=127.0.0.1
log_auto_initialize=true
logbufsecs=0
logging_level=INFO
max_agent_ping_timeouts=5
max_completed_frameworks=50
max_completed_tasks_per_framework=1000
max_operator_event_stream_subscribers=1000
max_unreachable_tasks_per_framework=1000
memory_profiling=false
min_allocatable_resources=cpus:0.01|mem:32
offer_constraints_re2_max_mem=4KB
offer_constraints_re2_max_program_size=100
port=5050
publish_per_framework_metrics=true
quiet=false
recovery_agent_removal_limit=100%
registry=replicated_log
registry_fetch_timeout=1mins
registry_gc_interval=15mins
registry_max_agent_age=2weeks
registry_max_agent_count=102400
registry_store_timeout=20secs
registry_strict=false
require_agent_domain=false
role_sorter=drf
root_submissions=true
version=false
webui_dir=/usr/share/mesos/webui
work_dir=/w
zk_session_timeout=10secs";

    #[test]
    fn has_the_flags_of_mesos_with_its_defaults() {
        let mut flags = MasterFlags::default();
        // Those of ours are not listed among those of Mesos.
        assert_eq!(flags.specs().iter().filter(|spec| !spec.unlisted).count(), 71);
        for (name, value) in [("cluster", "reference"), ("ip", "127.0.0.1"), ("work_dir", "/w")] {
            flags.set(name, value, None).unwrap();
        }
        let document = document(&[&flags, &LoggingFlags::default()]);
        let text: Vec<String> = document.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(text.join("\n"), DOCUMENT);
    }
}
