//! The flags of `mesos execute`: those of Apache Mesos, and three of ours.

use flags::{Duration, Json};

flags::flags! {
    /// What `mesos execute` is told.
    pub(crate) struct ExecuteFlags {
        "Cluster" {
            /// The master, as host:port, or where it is elected, as zk://host1:port1,host2:port2/path or
            /// etcd://host1:port1,host2:port2/path.
            master: Option<String>;
            /// Bring a cluster of one master and one agent, and end it with the task. An addition of mesos-rs.
            local: bool = "false";
            /// The role that the resources come from.
            role: String = "*";
            /// The principal to authenticate as.
            principal: Option<String> => pending();
            /// The principal's secret.
            secret: Option<String> => pending();
            /// In which form to speak with the master.
            content_type: String = "protobuf" => one_of(&["protobuf", "json"]);
        }
        "Task" {
            /// A name for the task; its id when unset.
            name: Option<String>;
            /// The command to run.
            command: Option<String>;
            /// Whether a shell runs the command; without, it is the path of a program.
            shell: bool = "true";
            /// Environment of the command, as a JSON object of names and values.
            env: Option<Json>;
            /// What the command needs.
            resources: String = "cpus:1;mem:128";
            /// Files to fetch into the task's directory first, separated by commas: paths, file:, http: or https:
            /// URLs. Archives are extracted. An addition of mesos-rs.
            uris: Option<String>;
            /// A whole TaskInfo as JSON, or file:///path to one, in place of --name, --command, --env and --resources.
            task: Option<String>;
            /// A whole TaskGroupInfo as JSON, or file:///path to one: tasks that share one fate, in the default executor.
            task_group: Option<String>;
            /// Kill the task when it has run for so long.
            kill_after: Option<Duration>;
            /// Keep the task over a restart of its agent.
            checkpoint: bool = "false";
            /// Show the task's output while it runs. An addition of mesos-rs.
            follow: bool = "true";
            /// Give the task a terminal.
            tty: bool = "false";
        }
        "Container" {
            /// Which containerizer runs the task.
            containerizer: String = "mesos" => one_of(&["mesos", "docker"]);
            /// A Docker image to run the task in.
            docker_image: Option<String>;
            /// An appc image to run the task in.
            appc_image: Option<String>;
            /// Networks to join, separated by commas.
            networks: Option<String>;
            /// Volumes, as a JSON array.
            volumes: Option<Json>;
            /// Capabilities in effect, as JSON.
            effective_capabilities: Option<Json>;
            /// Capabilities that may ever be in effect, as JSON.
            bounding_capabilities: Option<Json>;
            /// Resource limits of the command, as JSON.
            rlimits: Option<Json>;
        }
        "Framework" {
            /// More capabilities to register with, separated by commas.
            framework_capabilities: Option<String>;
            /// Understand the states of a partitioned cluster.
            partition_aware: bool = "true";
        }
        "Hadoop" {
            /// The hadoop program, for --package.
            hadoop: String = "hadoop" => pending();
            /// The NameNode, for --package.
            hdfs: String = "localhost:9000" => pending();
            /// A package to upload into HDFS and fetch from there.
            package: Option<String> => pending();
            /// Replace a package that is there already.
            overwrite: bool = "false" => pending();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_mesos() {
        let flags = ExecuteFlags::default();
        assert_eq!(flags.resources, "cpus:1;mem:128");
        assert!(flags.shell && flags.partition_aware);
    }
}
