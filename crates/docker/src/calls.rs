//! What the daemon is asked for, a call each.

use std::time::Duration;

use http_types::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Call, Client, QUICK, SLOW};
use crate::error::Error;
use crate::inspected::{Inspected, NAME_PREFIX};
use crate::options::Body;

/// How long a pull may bring nothing.
const PULL_STALL: Duration = Duration::from_secs(600);

/// A container in a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Waited {
    status_code: i64,
}

/// A command in a container.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Executed {
    exit_code: Option<i64>,
    #[serde(default)]
    pid: u32,
}

impl Client {
    /// The names of all containers that Mesos made, running or not.
    pub async fn containers(&self) -> Result<Vec<String>, Error> {
        let filters = json!({ "name": [NAME_PREFIX] }).to_string();
        let path = format!("/containers/json?all=1&filters={}", escape(&filters));
        let listed: Vec<Listed> = self.ask(Call::get(path).patient(Some(SLOW))).await?;
        let names = listed.into_iter().flat_map(|listed| listed.names);
        let names = names.map(|name| name.trim_start_matches('/').to_owned());
        // The daemon finds the word anywhere in a name, and shows links of other containers as names.
        Ok(names.filter(|name| name.starts_with(NAME_PREFIX) && !name.contains('/')).collect())
    }

    /// What there is to know of a container.
    pub async fn inspect(&self, container: &str) -> Result<Inspected, Error> {
        let path = format!("/containers/{}/json", escape(container));
        let document: Value = self.ask(Call::get(path)).await?;
        Inspected::read(document)
    }

    /// Makes a container that does not run yet. Returns its id, and the daemon's warnings.
    pub async fn create(&self, name: &str, body: &Body) -> Result<String, Error> {
        let mut path = format!("/containers/create?name={}", escape(name));
        if let Some(platform) = &body.platform {
            path += &format!("&platform={}", escape(platform));
        }
        let made: Made = self.ask(Call::post(path).json(&body.to_json())).await?;
        Ok(made.id)
    }

    /// Starts a container.
    pub async fn start(&self, container: &str) -> Result<(), Error> {
        self.order(Call::post(format!("/containers/{}/start", escape(container)))).await
    }

    /// Waits for the end of a container, however long that takes. Returns its exit status.
    pub async fn wait(&self, container: &str) -> Result<i64, Error> {
        let path = format!("/containers/{}/wait?condition=not-running", escape(container));
        let opened = self.open(Call::post(path).patient(None)).await?;
        // The head comes at once, the body with the end.
        let waited: Waited = opened.json(Duration::MAX).await?;
        Ok(waited.status_code)
    }

    /// Sends a signal to a container's first process. One that does not run is left alone.
    pub async fn kill(&self, container: &str, signal: &str) -> Result<(), Error> {
        let path = format!("/containers/{}/kill?signal={}", escape(container), escape(signal));
        match self.order(Call::post(path).patient(Some(QUICK))).await {
            // 409: it does not run. An older daemon says it with 500.
            Err(Error::Refused { status: 409 | 404, .. }) => Ok(()),
            Err(Error::Refused { status: 500, message }) if message.contains("is not running") => Ok(()),
            outcome => outcome,
        }
    }

    /// Ends a container: asks it to, and kills it when it takes longer than `grace`. One that is not there has ended.
    pub async fn stop(&self, container: &str, grace: Duration) -> Result<(), Error> {
        let path = format!("/containers/{}/stop?t={}", escape(container), grace.as_secs());
        let call = Call::post(path).patient(Some(SLOW.saturating_add(grace)));
        match self.order(call).await {
            Err(error) if error.is_not_found() => Ok(()),
            outcome => outcome,
        }
    }

    /// Removes a container and its anonymous volumes, killing it if it runs. One that is not there is removed.
    pub async fn remove(&self, container: &str) -> Result<(), Error> {
        let call = Call::delete(format!("/containers/{}?force=1&v=1", escape(container)));
        match self.order(call).await {
            // 409: its removal is under way.
            Err(Error::Refused { status: 404 | 409, .. }) => Ok(()),
            outcome => outcome,
        }
    }

    /// Gives a container other amounts.
    pub async fn update(&self, container: &str, amounts: &Value) -> Result<(), Error> {
        let path = format!("/containers/{}/update", escape(container));
        self.order(Call::post(path).json(amounts)).await
    }

    /// Whether there is such an image.
    pub async fn has_image(&self, image: &str) -> Result<bool, Error> {
        match self.order(Call::get(format!("/images/{}/json", escape_path(image)))).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Brings an image from its registry. Dropping the future ends the pull. `auth` is what the header
    /// `X-Registry-Auth` shall say.
    pub async fn pull(&self, image: &str, auth: Option<String>) -> Result<(), Error> {
        let mut call = Call::post(format!("/images/create?fromImage={}", escape(image)));
        if let Some(auth) = auth {
            call = call.header("X-Registry-Auth", auth);
        }
        let opened = self.open(call.patient(Some(PULL_STALL))).await?;
        // Progress, a line each. An error is the last of them.
        let mut refused = None;
        let mut note = |line: &[u8]| {
            let document = serde_json::from_slice::<Value>(line).unwrap_or_default();
            refused = document["error"].as_str().map(str::to_owned).or(refused.take());
        };
        opened.lines(PULL_STALL, &mut note).await?;
        match refused {
            Some(message) => Err(Error::Refused { status: 200, message }),
            None => Ok(()),
        }
    }

    /// Runs a command in a container; what it prints goes to `output`. Returns its exit status.
    pub async fn exec(
        &self,
        container: &str,
        argv: &[String],
        environment: &[String],
        mut output: impl FnMut(&[u8]),
    ) -> Result<i64, Error> {
        let body = json!({ "AttachStdout": true, "AttachStderr": true, "Cmd": argv, "Env": environment });
        let path = format!("/containers/{}/exec", escape(container));
        let made: Made = self.ask(Call::post(path).json(&body)).await?;
        let killer = KillOnDrop { client: self.clone(), id: made.id.clone(), armed: true };
        let start = json!({ "Detach": false, "Tty": false });
        let call = Call::post(format!("/exec/{}/start", made.id)).json(&start).patient(None);
        self.open(call).await?.read(&mut output).await?;
        let executed: Executed = self.ask(Call::get(format!("/exec/{}/json", made.id))).await?;
        killer.disarm();
        let what = || format!("{} /exec/{}/json", Method::GET, made.id);
        executed
            .exit_code
            .ok_or_else(|| Error::Unreadable { what: what(), why: "it has not ended".to_owned() })
    }

    /// The process of a command in a container, in the daemon's own numbers.
    async fn process_of(&self, id: &str) -> Option<u32> {
        let executed: Executed = self.ask(Call::get(format!("/exec/{id}/json"))).await.ok()?;
        (executed.exit_code.is_none() && executed.pid != 0).then_some(executed.pid)
    }
}

/// Kills a command that nobody waits for any more: the daemon has no call for that.
struct KillOnDrop {
    client: Client,
    id: String,
    armed: bool,
}

impl KillOnDrop {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let (true, Ok(runtime)) = (self.armed, tokio::runtime::Handle::try_current()) else { return };
        let (client, id) = (self.client.clone(), std::mem::take(&mut self.id));
        drop(runtime.spawn(async move {
            if let Some(pid) = client.process_of(&id).await {
                let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
                // One that ended meanwhile needs no signal.
                let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            }
        }));
    }
}

/// A part of a path or a query, with all that has a meaning there escaped.
pub(crate) fn escape(text: &str) -> String {
    escape_but(text, b"")
}

/// The same with slashes left alone.
fn escape_path(text: &str) -> String {
    escape_but(text, b"/")
}

fn escape_but(text: &str, but: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) || but.contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped += &format!("%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_a_path_is_escaped() {
        assert_eq!(escape("a/b?c=d e"), "a%2Fb%3Fc%3Dd%20e");
        assert_eq!(escape_path("localhost:5000/a/b:1@x"), "localhost:5000/a/b:1%40x");
    }
}
