//! The flags of the Docker executor: those of Apache Mesos's, which the agent sets, and three of ours.

use flags::{Duration, Json};

flags::flags! {
    /// What the Docker executor is told.
    pub(super) struct DockerFlags {
        "Container" {
            /// The name of the container to make.
            container: String;
            /// The docker program; the daemon is asked without it.
            docker: Option<String> => pending();
            /// The socket of the Docker daemon.
            docker_socket: String = "/var/run/docker.sock";
            /// The sandbox, which has the files that the container's output goes to.
            sandbox_directory: Option<String>;
            /// Where the container sees its sandbox.
            mapped_directory: Option<String>;
            /// How long Docker waits between stopping and killing a container. Deprecated: tasks have kill policies.
            stop_timeout: Option<Duration>;
            /// Directory of the programs of Mesos.
            launcher_dir: Option<String> => pending();
            /// Variables for the task, as a JSON object.
            task_environment: Option<Json>;
            /// Name servers for containers, as JSON.
            default_container_dns: Option<Json>;
            /// Hold the container to its cpus even where some are free.
            cgroups_enable_cfs: bool = "false";
            /// Persistent volumes of the task, as a JSON array of [source, path in the sandbox, read only].
            /// An addition of mesos-rs.
            persistent_volumes: Option<Json>;
            /// Run a container that was made already, and exit as it does. An addition of mesos-rs.
            run: bool = "false";
            /// That container has a terminal. An addition of mesos-rs.
            tty: bool = "false";
        }
    }
}
