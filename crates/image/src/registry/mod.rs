//! Images from a registry: version 2 of Docker's protocol, which is that of the Open Container Initiative.
//!
//! Whatever comes is checked by its digest, also what was asked for by a tag: the manifest has the digests of the rest.

mod blob;
mod challenge;
mod endpoint;
mod passwords;
mod retry;

pub(crate) use endpoint::Endpoint;
pub(crate) use passwords::Passwords;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use fetcher::Web;
use serde_json::Value;
use ureq::Agent;
use ureq::http::header::{ACCEPT, AUTHORIZATION, RANGE, WWW_AUTHENTICATE};

use self::blob::{Answer, download};
use self::challenge::Challenge;
use self::retry::{Failure, Retries};
use crate::config::{self, CONFIG_BYTES_MAX};
use crate::digest::Digest;
use crate::limits::Limits;
use crate::manifest::{self, ACCEPTED, Descriptor, Document, MANIFEST_BYTES_MAX};
use crate::reference::Reference;
use crate::source::{Layer, Opened, Recipe, Source, layers};

/// The most bytes of an answer that has a token or says what went wrong.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// How deep an index may be in another.
const INDEX_DEPTH_MAX: usize = 4;

/// An image of a registry.
pub(crate) struct Registry<'a> {
    web: &'a Web,
    limits: &'a Limits,
    endpoint: Endpoint,
    repository: String,
    reference: &'a Reference,
    /// The password, in base 64.
    password: Option<String>,
    /// What to send with requests, once the registry has asked for it. A lock, since layers come at the same time.
    authorization: Mutex<Option<String>>,
}

impl<'a> Registry<'a> {
    pub(crate) fn new(
        web: &'a Web,
        limits: &'a Limits,
        usual: &Endpoint,
        reference: &'a Reference,
        passwords: &Passwords,
    ) -> Self {
        let (endpoint, repository) = Endpoint::of(reference, usual);
        let password = passwords.of(&endpoint).map(str::to_owned);
        Self { web, limits, endpoint, repository, reference, password, authorization: Mutex::default() }
    }

    fn url(&self, kind: &str, which: &str) -> String {
        format!("{}/v2/{}/{kind}/{which}", self.endpoint, self.repository)
    }

    /// Asks once, or twice if the registry wants to know who asks.
    fn ask(&self, agent: &Agent, what: &Asked<'_>, from: u64) -> Result<Answer, Failure> {
        let sent = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut answer = self.send(agent, what, from, sent.as_deref())?;
        if answer.status().as_u16() == 401
            && let Some(authorization) = self.authorize(agent, &answer, sent.as_deref())?
        {
            *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(authorization.clone());
            answer = self.send(agent, what, from, Some(&authorization))?;
        }
        let status = answer.status();
        match status.as_u16() {
            200 => Ok(answer),
            206 if from > 0 => Ok(answer),
            code => {
                let reason = format!("'{code} {}'", status.canonical_reason().unwrap_or("?"));
                let said = said(answer);
                let why = format!(
                    "Unexpected HTTP response {reason} when trying to {} {}{said}",
                    what.verb, what.url
                );
                // A proxy that cannot reach the registry, or a registry that has too much to do.
                Err(if code >= 500 || code == 429 { Failure::Passing(why) } else { Failure::Final(why) })
            }
        }
    }

    fn send(
        &self,
        agent: &Agent,
        what: &Asked<'_>,
        from: u64,
        authorization: Option<&str>,
    ) -> Result<Answer, Failure> {
        let mut request = agent.get(&what.url);
        if what.is_manifest {
            request = request.header(ACCEPT, ACCEPTED.join(", "));
        }
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.call().map_err(|error| match Failure::of(&error) {
            Failure::Passing(why) => Failure::Passing(format!("'{}': {why}", what.url)),
            Failure::Final(why) => Failure::Final(format!("Failed to {} {}: {why}", what.verb, what.url)),
            Failure::Stalled => Failure::Stalled,
        })
    }

    /// What to send so that the registry gives the answer; none if there is nothing else to send.
    fn authorize(
        &self,
        agent: &Agent,
        answer: &Answer,
        sent: Option<&str>,
    ) -> Result<Option<String>, Failure> {
        let header = answer.headers().get(WWW_AUTHENTICATE).and_then(|header| header.to_str().ok());
        let Some(header) = header else {
            let url = &self.endpoint;
            return Err(Failure::Final(format!("Got unexpected empty WWW-Authenticate header from {url}")));
        };
        match Challenge::parse(header) {
            None => {
                Err(Failure::Final(format!("Got unsupported auth-scheme: '{header}' from {}", self.endpoint)))
            }
            Some(Challenge::Basic) => {
                let basic = self.password.as_ref().map(|password| format!("Basic {password}"));
                Ok(basic.filter(|basic| sent != Some(basic)))
            }
            Some(Challenge::Bearer { realm, service, scope }) => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.repository));
                let url = Challenge::token_url(&realm, service.as_deref(), &scope);
                self.token(agent, &url).map(|token| Some(format!("Bearer {token}")))
            }
        }
    }

    /// Asks another server for a token.
    fn token(&self, agent: &Agent, url: &str) -> Result<String, Failure> {
        let mut request = agent.get(url);
        if let Some(password) = &self.password {
            if self.endpoint.is_https() && !url.starts_with("https://") {
                return Err(Failure::Final(format!(
                    "The registry {} wants the password to be sent to '{url}', where others could read it",
                    self.endpoint
                )));
            }
            request = request.header(AUTHORIZATION, format!("Basic {password}"));
        }
        let answer = request.call().map_err(|error| match Failure::of(&error) {
            Failure::Final(why) => Failure::Final(format!("Failed to get a token from '{url}': {why}")),
            other => other,
        })?;
        let status = answer.status();
        if status.as_u16() != 200 {
            let reason = format!("'{} {}'", status.as_u16(), status.canonical_reason().unwrap_or("?"));
            return Err(Failure::Final(format!(
                "Unexpected HTTP response {reason} when trying to GET '{url}'"
            )));
        }
        let bytes = body(answer, ANSWER_BYTES_MAX)?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::Final(format!("The answer of '{url}' is not JSON: {error}")))?;
        let token = value.get("token").or_else(|| value.get("access_token")).and_then(Value::as_str);
        token
            .map(str::to_owned)
            .ok_or_else(|| Failure::Final(format!("The answer of '{url}' has no 'token'")))
    }

    /// Asks for something small, and again if that may help.
    fn small(
        &self,
        agent: &Agent,
        what: &Asked<'_>,
        bytes_max: u64,
        cancel: &AtomicBool,
    ) -> Result<Vec<u8>, String> {
        let mut retries = Retries::new(self.web.stall(), cancel);
        loop {
            match self.ask(agent, what, 0).and_then(|answer| body(answer, bytes_max)) {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => retries.after(failure, false)?,
            }
        }
    }

    fn manifest(&self, agent: &Agent, which: &str, cancel: &AtomicBool) -> Result<Document, String> {
        let what = Asked { verb: "get the manifest", url: self.url("manifests", which), is_manifest: true };
        let bytes = self.small(agent, &what, MANIFEST_BYTES_MAX, cancel)?;
        if let Ok(digest) = which.parse::<Digest>() {
            check(&bytes, digest, "manifest")?;
        }
        manifest::parse(&bytes).map_err(|why| format!("{why}, from {}", what.url))
    }

    fn small_blob(&self, agent: &Agent, blob: Descriptor, cancel: &AtomicBool) -> Result<Vec<u8>, String> {
        let digest = blob.digest;
        let what = Asked::blob(self.url("blobs", &digest.to_string()));
        let bytes = self.small(agent, &what, CONFIG_BYTES_MAX, cancel)?;
        check(&bytes, digest, "blob")?;
        Ok(bytes)
    }

    fn find(&self, agent: &Agent, cancel: &AtomicBool) -> Result<Recipe, String> {
        let mut which = self.reference.wanted().to_owned();
        for _ in 0..INDEX_DEPTH_MAX {
            match self.manifest(agent, &which, cancel)? {
                Document::Index(choices) => {
                    which = manifest::choose(&choices, std::env::consts::ARCH)?.digest.to_string();
                }
                Document::Manifest(manifest) => {
                    let config = self.small_blob(agent, manifest.config, cancel)?;
                    let packed = manifest.layers.iter().map(|layer| (layer.digest, layer.size)).collect();
                    let layers = layers(packed, &config::parse(&config)?.plain)?;
                    return Ok(Recipe { config, layers });
                }
                Document::Old(old) => {
                    let packed = old.layers.iter().map(|digest| (*digest, None)).collect();
                    return Ok(Recipe { config: old.config.into_bytes(), layers: layers(packed, &[])? });
                }
            }
        }
        Err("There are too many indexes in each other".to_owned())
    }
}

/// Something to ask a registry for.
struct Asked<'a> {
    /// What that is called in a complaint.
    verb: &'a str,
    url: String,
    is_manifest: bool,
}

impl Asked<'_> {
    fn blob(url: String) -> Self {
        Self { verb: "download the blob", url, is_manifest: false }
    }
}

impl Source for Registry<'_> {
    fn recipe(&self, cancel: &AtomicBool) -> Result<Recipe, String> {
        self.web.with_agent(cancel, |agent| self.find(agent, cancel))
    }

    fn open(&self, layer: &Layer, scratch: &Path, cancel: &AtomicBool) -> Result<Opened<'_>, String> {
        let failed = |error: std::io::Error| format!("Failed to write '{}': {error}", scratch.display());
        let mut file =
            File::options().read(true).write(true).create_new(true).open(scratch).map_err(failed)?;
        let what = Asked::blob(self.url("blobs", &layer.place));
        let bytes_max = self.limits.download_bytes_max;
        let size = self.web.with_agent(cancel, |agent| {
            let get = |from| self.ask(agent, &what, from);
            download(layer.id, layer.size, bytes_max, &file, Retries::new(self.web.stall(), cancel), &get)
        })?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        Ok(Opened { size, bytes: Box::new(BufReader::new(file)) })
    }
}

fn check(bytes: &[u8], digest: Digest, what: &str) -> Result<(), String> {
    let is = Digest::of(bytes);
    if is == digest { Ok(()) } else { Err(format!("The {what} '{digest}' has the digest {is}")) }
}

/// All of a small answer.
fn body(answer: Answer, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let reader = answer.into_body().into_reader();
    reader.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| Failure::of_body(&error))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::Final(format!(
            "The registry sends more than the {bytes_max} bytes that are allowed"
        )));
    }
    Ok(bytes)
}

/// What a registry says of its refusal, if it does.
fn said(answer: Answer) -> String {
    let bytes = body(answer, ANSWER_BYTES_MAX).unwrap_or_default();
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let message = value.pointer("/errors/0/message").and_then(Value::as_str);
    message.map_or_else(String::new, |message| format!(": {}", message.chars().take(200).collect::<String>()))
}
