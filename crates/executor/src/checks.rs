//! Checks and health checks, performed: a command, an HTTP request, a TCP connection.
//!
//! Commands run in a process group of their own, which is killed past the timeout; or, for tasks of groups, in the
//! task's container.

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use containerizer::launch_helper::{LaunchArgs, input};
use containerizer::{Program, has_other_root};
use http::{Call, Client};
use proto::mesos::v1::{self, CheckInfo, CheckStatusInfo, CommandInfo, HealthCheck, check_status_info};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;

use types::ContainerId;

use crate::agent::Agent;
use crate::command::variables;

/// How long the agent may take to clean up after a command that took too long.
const CLEAN_UP_MAX: Duration = Duration::from_secs(30);

/// How often a task is looked at that is on its way to its own root.
const ROOT_INTERVAL: Duration = Duration::from_millis(10);

/// Where the commands of checks run.
pub(crate) enum Place {
    /// As children of this process.
    Here,
    /// The same, but they see the files of the process that leads the task, which has a root of its own.
    InRootOf(u32),
    /// In that container, by the agent.
    Container(Agent, ContainerId),
}

/// Performs a check: what it found, or why it could not be made.
pub(crate) async fn check(check: &CheckInfo, place: &Place) -> Result<Box<CheckStatusInfo>, String> {
    use v1::check_info::Type;
    let mut status = CheckStatusInfo { r#type: check.r#type, ..Default::default() };
    let probe = async {
        match check.r#type() {
            Type::Command => {
                let command = check.command.as_ref().ok_or("the check has no command")?;
                let exit_code = Some(run(&command.command, place, check.timeout_seconds()).await?);
                status.command = Some(check_status_info::Command { exit_code });
            }
            Type::Http => {
                let http = check.http.as_ref().ok_or("the check has no http")?;
                let code = get("http", local(http.port, false)?, http.path()).await?;
                status.http = Some(check_status_info::Http { status_code: Some(code) });
            }
            Type::Tcp => {
                let tcp = check.tcp.as_ref().ok_or("the check has no tcp")?;
                let succeeded = Some(connects(local(tcp.port, false)?).await);
                status.tcp = Some(check_status_info::Tcp { succeeded });
            }
            Type::Unknown => return Err("the check's type is not known".to_owned()),
        }
        Ok(Box::new(status))
    };
    within(limit(check.timeout_seconds(), place), probe).await
}

/// Performs a health check: fine, or why not.
pub(crate) async fn health_check(check: &HealthCheck, place: &Place) -> Result<(), String> {
    use v1::health_check::Type;
    let probe = async {
        match check.r#type() {
            Type::Command => {
                let command = check.command.as_ref().ok_or("the health check has no command")?;
                match run(command, place, check.timeout_seconds()).await? {
                    0 => Ok(()),
                    code => Err(format!("Command returned: exited with status {code}")),
                }
            }
            Type::Http => {
                let http = check.http.as_ref().ok_or("the health check has no http")?;
                let ipv6 = http.protocol() == v1::network_info::Protocol::IPv6;
                let scheme = http.scheme.as_deref().unwrap_or("http");
                match get(scheme, local(http.port, ipv6)?, http.path()).await? {
                    200..400 => Ok(()),
                    code => Err(format!("Unexpected HTTP response code: {code}")),
                }
            }
            Type::Tcp => {
                let tcp = check.tcp.as_ref().ok_or("the health check has no tcp")?;
                let ipv6 = tcp.protocol() == v1::network_info::Protocol::IPv6;
                let connected = connects(local(tcp.port, ipv6)?).await;
                if connected { Ok(()) } else { Err("TCP connection failed".to_owned()) }
            }
            Type::Unknown => Err("the health check's type is not known".to_owned()),
        }
    };
    within(limit(check.timeout_seconds(), place), probe).await
}

/// How long a check may take as a whole. Zero seconds mean no limit.
fn limit(seconds: f64, place: &Place) -> Option<Duration> {
    let limit = Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero());
    match place {
        Place::Here | Place::InRootOf(_) => limit,
        // A command in a container is ended in time there, and then cleaned up.
        Place::Container(..) => limit.map(|limit| limit + CLEAN_UP_MAX),
    }
}

async fn within<T>(
    limit: Option<Duration>,
    probe: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, probe)
            .await
            .unwrap_or_else(|_| Err(format!("timed out after {} s", limit.as_secs_f64()))),
        None => probe.await,
    }
}

fn local(port: u32, ipv6: bool) -> Result<SocketAddr, String> {
    let port = u16::try_from(port).map_err(|_| format!("{port} is not a port"))?;
    let ip = if ipv6 { IpAddr::V6(Ipv6Addr::LOCALHOST) } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
    Ok(SocketAddr::new(ip, port))
}

async fn connects(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}

/// The status code of a GET.
async fn get(scheme: &str, address: SocketAddr, path: &str) -> Result<u32, String> {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    match scheme {
        "http" => {
            let answer = Client::new(address.to_string()).call(Call::get(path)).await;
            answer.map(|answer| answer.status.as_u16().into()).map_err(|error| error.in_full())
        }
        "https" => {
            let get = tokio::task::spawn_blocking(move || get_tls(&format!("https://{address}{path}")));
            get.await.map_err(|error| error.to_string())?
        }
        other => Err(format!("the scheme '{other}' is not http or https")),
    }
}

/// COMPAT(mesos): the certificate is not verified; a task's own seldom names 127.0.0.1.
fn get_tls(url: &str) -> Result<u32, String> {
    let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build();
    let answer = ureq::Agent::new_with_config(config).get(url).call();
    answer.map(|answer| answer.status().as_u16().into()).map_err(|error| error.to_string())
}

/// The exit code of a command.
async fn run(info: &CommandInfo, place: &Place, seconds: f64) -> Result<i32, String> {
    match place {
        Place::Here => {
            run_child(plain(Program::of(info).map_err(|error| error.to_string())?, info), None).await
        }
        Place::InRootOf(task) => {
            until_rooted(*task).await?;
            let program = Program::of(info).map_err(|error| error.to_string())?;
            let (command, input) = among_mounts_of(*task, program, info)?;
            run_child(command, Some(input)).await
        }
        Place::Container(agent, container) => {
            let limit = Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero());
            let number = RandomState::new().hash_one(std::time::Instant::now());
            let status = agent.run_in(container, format!("check-{number:016x}"), info, limit).await?;
            match ExitStatus::from_raw(status) {
                status if status.code().is_some() => Ok(status.code().unwrap_or_default()),
                status => Err(format!("the command ended by {status}")),
            }
        }
    }
}

/// Runs a command to its end, with that as its input. Its exit code.
async fn run_child(mut command: Command, input: Option<Vec<u8>>) -> Result<i32, String> {
    let failed = |error: io::Error| format!("Failed to create subprocess: {error}");
    let mut child = command.spawn().map_err(failed)?;
    let _group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        // A helper that died already shows in its exit status.
        let _ = stdin.write_all(&input).await;
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    status.code().ok_or_else(|| format!("the command ended by {status}"))
}

fn plain(program: Program, info: &CommandInfo) -> Command {
    let mut command = Command::new(program.path);
    if let Some((name, arguments)) = program.argv.split_first() {
        command.arg0(name).args(arguments);
    }
    command.envs(variables(info)).stdin(Stdio::null()).process_group(0);
    command
}

/// Waits until the task's process has gone to its own root: a check that is due before that would see the machine's
/// files. The check's own timeout bounds it.
async fn until_rooted(task: u32) -> Result<(), String> {
    while !has_other_root(task) {
        if std::fs::read_link(format!("/proc/{task}/exe")).is_err() {
            return Err("Failed to enter the mount namespace of the task: it has no process".to_owned());
        }
        tokio::time::sleep(ROOT_INTERVAL).await;
    }
    Ok(())
}

/// A launch helper that enters the mounts of the task, and the helper's input.
fn among_mounts_of(task: u32, program: Program, info: &CommandInfo) -> Result<(Command, Vec<u8>), String> {
    let begins = std::fs::read_link(format!("/proc/{task}/cwd")).unwrap_or_else(|_| "/".into());
    let mut launch = LaunchArgs {
        around: Some(task),
        directory: begins.into_os_string(),
        program: program.path,
        argv: program.argv,
        ..LaunchArgs::default()
    };
    launch.process.enter_mounts = true;
    let launcher = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(launcher);
    command.args(["containerizer", "launch"]).args(launch.to_command_line());
    // It begins a session of its own, and so a group.
    command.stdin(Stdio::piped()).kill_on_drop(true);
    let given = variables(info).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let inherited = std::env::vars().filter(|(name, _)| name != "PATH");
    let environment: BTreeMap<String, String> = inherited.chain(given).collect();
    let environment: Vec<_> = environment.into_iter().collect();
    let input = input(&environment).ok_or("A variable of the check's environment cannot be set")?;
    Ok((command, input))
}

/// Kills a check's whole group when the check is over, in time or not.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // The group is empty when the check ended well.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn shell(value: &str) -> CommandInfo {
        CommandInfo { value: Some(value.to_owned()), ..Default::default() }
    }

    fn command_check(value: &str) -> HealthCheck {
        HealthCheck {
            r#type: Some(v1::health_check::Type::Command.into()),
            command: Some(shell(value)),
            timeout_seconds: Some(1.0),
            ..Default::default()
        }
    }

    #[tokio::test]
    async fn commands() {
        assert_eq!(health_check(&command_check("true"), &Place::Here).await, Ok(()));
        assert_eq!(
            health_check(&command_check("exit 7"), &Place::Here).await,
            Err("Command returned: exited with status 7".to_owned())
        );
        assert_eq!(
            health_check(&command_check("sleep 60"), &Place::Here).await,
            Err("timed out after 1 s".to_owned())
        );
        let info = CheckInfo {
            r#type: Some(v1::check_info::Type::Command.into()),
            command: Some(v1::check_info::Command { command: shell("exit 7") }),
            ..Default::default()
        };
        let status = check(&info, &Place::Here).await.expect("a result");
        assert_eq!(status.command.and_then(|c| c.exit_code), Some(7));
    }

    #[tokio::test]
    async fn http_and_tcp() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = u32::from(listener.local_addr().expect("an address").port());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = stream;
                let mut head = [0; 1024];
                let read = stream.read(&mut head).unwrap_or(0);
                let code = if head[..read].starts_with(b"GET /ok ") { "200 OK" } else { "404 Not Found" };
                let _ = write!(stream, "HTTP/1.1 {code}\r\nContent-Length: 0\r\n\r\n");
            }
        });
        let http = |path: &str| HealthCheck {
            r#type: Some(v1::health_check::Type::Http.into()),
            http: Some(v1::health_check::HttpCheckInfo {
                port,
                path: Some(path.to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(health_check(&http("/ok"), &Place::Here).await, Ok(()));
        assert_eq!(
            health_check(&http("nothing"), &Place::Here).await,
            Err("Unexpected HTTP response code: 404".to_owned())
        );
        let tcp = |port| HealthCheck {
            r#type: Some(v1::health_check::Type::Tcp.into()),
            tcp: Some(v1::health_check::TcpCheckInfo { port, ..Default::default() }),
            ..Default::default()
        };
        assert_eq!(health_check(&tcp(port), &Place::Here).await, Ok(()));
        assert_eq!(health_check(&tcp(1), &Place::Here).await, Err("TCP connection failed".to_owned()));
        assert_eq!(health_check(&tcp(70_000), &Place::Here).await, Err("70000 is not a port".to_owned()));
    }
}
