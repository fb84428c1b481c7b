//! `mesos-cni-port-mapper`: a CNI plugin that leads ports of the machine to a container. Another plugin, which the
//! configuration names as its `delegate`, joins the network; this one adds rules to a chain of iptables, each with the
//! container's id, by which they are found again.
//!
//! ```text
//! ADD: delegate ADD -> its address -> a DNAT rule for each port
//! DEL: the rules of this container -> delegate DEL
//! ```

mod request;
mod rules;

use std::io::{Read as _, Write as _};
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Value, json};

use crate::networks::Joined;
use crate::port_mapper::request::{Request, Verb};

/// COMPAT(mesos): the version that its errors name.
const CNI_VERSION: &str = "0.3.0";

/// What an error of a plugin is about, in the numbers of Mesos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Read = 100,
    Arguments = 101,
    Delegate = 102,
    PortMap = 103,
    Command = 104,
}

/// Why the plugin failed.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    code: Code,
    message: String,
}

/// Does what the environment and the standard input ask for. A result, or an error, is printed as JSON.
pub fn main() -> ExitCode {
    let (words, code) = match run() {
        Ok(result) => (result, ExitCode::SUCCESS),
        Err(Failure { code, message }) => {
            let error = json!({"cniVersion": CNI_VERSION, "code": code as u32, "msg": message});
            (error.to_string().into_bytes(), ExitCode::FAILURE)
        }
    };
    // Nobody who does not listen can be told so.
    let _ = std::io::stdout().write_all(&words);
    code
}

fn run() -> Result<Vec<u8>, Failure> {
    let mut config = Vec::new();
    std::io::stdin()
        .read_to_end(&mut config)
        .map_err(|error| Failure { code: Code::Read, message: error.to_string() })?;
    let request = Request::parse(&config, |name| std::env::var(name).ok())?;
    match request.verb {
        Verb::Add => add(&request),
        Verb::Del => delete(&request).map(|()| Vec::new()),
    }
}

fn add(request: &Request) -> Result<Vec<u8>, Failure> {
    let failed = |code: Code, message: String| Failure { code, message };
    let plugin = request.delegate_program.display();
    let result = delegate(request)?;
    let joined = Joined::parse(&result).map_err(|why| {
        failed(
            Code::Delegate,
            format!("Failed to parse the output of the delegate CNI plugin '{plugin}': {why}"),
        )
    })?;
    let Some(address) = joined.address() else {
        let message = format!("Delegate CNI plugin '{plugin}' did not return an IPv4 address");
        return Err(failed(Code::Delegate, message));
    };
    if !request.mappings.is_empty() {
        make_chain(&request.chain)?;
    }
    for mapping in &request.mappings {
        for rule in rules::of(request, mapping, address) {
            let there = iptables("-C", &rule).is_ok();
            if !there {
                iptables("-A", &rule).map_err(|why| {
                    failed(Code::PortMap, format!("Failed to add DNAT rule '{}': {why}", rule.join(" ")))
                })?;
            }
        }
    }
    Ok(result)
}

/// Makes the chain, and leads to it what is for an address of this machine.
fn make_chain(chain: &str) -> Result<(), Failure> {
    let failed = |why: String| Failure {
        code: Code::PortMap,
        message: format!("Failed to make the chain '{chain}': {why}"),
    };
    let named = [chain.to_owned()];
    if iptables("-S", &named).is_ok() {
        return Ok(());
    }
    // Another one may make it at the same moment.
    if let Err(why) = iptables("-N", &named)
        && iptables("-S", &named).is_err()
    {
        return Err(failed(why));
    }
    for jump in rules::jumps(chain) {
        if iptables("-C", &jump).is_err() {
            iptables("-A", &jump).map_err(failed)?;
        }
    }
    Ok(())
}

// ORDER: the rules before the delegate, which frees the address: its next owner must not get what is not for it.
fn delete(request: &Request) -> Result<(), Failure> {
    // COMPAT(mesos): the chain stays for the operator to delete; another container may be using it at this moment.
    let listed = iptables("-S", std::slice::from_ref(&request.chain)).unwrap_or_default();
    for rule in rules::of_container(&listed, &request.container) {
        iptables("-D", &rule).map_err(|why| Failure {
            code: Code::PortMap,
            message: format!("Unable to remove iptables DNAT rules: '{}': {why}", rule.join(" ")),
        })?;
    }
    delegate(request).map(drop)
}

/// Runs the delegate with this plugin's own environment. Returns what it printed.
fn delegate(request: &Request) -> Result<Vec<u8>, Failure> {
    let program = request.delegate_program.display();
    let verb = request.verb.name();
    let failed = |why: String| Failure {
        code: Code::Delegate,
        message: format!("Could not execute the delegate plugin '{program}' for {verb} command: {why}"),
    };
    let mut command = Command::new(&request.delegate_program);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not want to know says why in its status.
        let _ = stdin.write_all(Value::Object(request.delegate.clone()).to_string().as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        return Err(failed(format!("Could not attach/detach container: {}: {said}", output.status)));
    }
    Ok(output.stdout)
}

/// Runs one command on a rule of the NAT table, once nobody else changes it.
fn iptables(command: &str, rule: &[String]) -> Result<String, String> {
    let output = Command::new("iptables")
        .args(["-w", "-t", "nat", command])
        .args(rule)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("Failed to execute 'iptables': {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
