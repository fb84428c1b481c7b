//! A fetcher with its own directories, and a web server that does as told.
#![expect(dead_code, clippy::unwrap_used, reason = "test code; every test file uses another part of it")]

use fetcher::{Config, FetchError, FetchRequest, Fetcher, Limits};
use proto::mesos::v1::command_info::Uri;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) struct World {
    pub directory: tempfile::TempDir,
    pub fetcher: Fetcher,
    pub sandbox: PathBuf,
    pub cancel: AtomicBool,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config {
            cache_dir: directory.path().join("cache"),
            cache_bytes_max: 1 << 20,
            stall_timeout: Duration::from_secs(20),
            frameworks_home: directory.path().display().to_string(),
            hadoop: None,
            limits: Limits::default(),
        };
        change(&mut config);
        let sandbox = directory.path().join("sandbox");
        std::fs::create_dir(&sandbox).unwrap();
        Self { fetcher: Fetcher::new(config).unwrap(), sandbox, directory, cancel: AtomicBool::new(false) }
    }

    pub(crate) fn fetch(&self, uris: &[Uri]) -> Result<(), FetchError> {
        let request = FetchRequest { container_id: "c1", uris, sandbox: &self.sandbox, user: None };
        self.fetcher.fetch(&request, &self.cancel)
    }

    /// Writes a file outside the sandbox; gives its path as a URI.
    pub(crate) fn source(&self, name: &str, contents: &[u8]) -> Uri {
        let path = self.directory.path().join(name);
        std::fs::write(&path, contents).unwrap();
        uri(&path.display().to_string())
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.sandbox.join(path)).unwrap_or_else(|error| format!("{path}: {error}"))
    }

    /// The names in the sandbox, but for the log.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.sandbox).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "stderr");
        names.sort();
        names
    }
}

pub(crate) fn uri(value: &str) -> Uri {
    Uri { value: value.to_owned(), ..Uri::default() }
}

/// What the server answers to a path: the head (without the empty line) and the body; a stall after the body if told.
#[derive(Clone)]
pub(crate) struct Answer {
    pub head: String,
    pub body: Vec<u8>,
    pub stall: bool,
}

impl Answer {
    pub(crate) fn ok(body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
        Self { head, body: body.to_vec(), stall: false }
    }

    pub(crate) fn status(line: &str) -> Self {
        let head = format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n");
        Self { head, body: Vec::new(), stall: false }
    }
}

/// A web server on the loopback, for as long as the process lives.
pub(crate) struct Server {
    address: String,
    pub gets: Arc<AtomicUsize>,
    stalled: Arc<Mutex<Vec<TcpStream>>>,
}

impl Server {
    pub(crate) fn new(answers: Vec<(&'static str, Answer)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let gets = Arc::new(AtomicUsize::new(0));
        let stalled = Arc::new(Mutex::new(Vec::new()));
        let server = Self { address, gets: gets.clone(), stalled: stalled.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answers, gets, stalled) = (answers.clone(), gets.clone(), stalled.clone());
                std::thread::spawn(move || answer(stream.unwrap(), &answers, &gets, &stalled));
            }
        });
        server
    }

    pub(crate) fn uri(&self, path: &str) -> Uri {
        uri(&format!("http://{}{path}", self.address))
    }
}

fn answer(
    stream: TcpStream,
    answers: &[(&str, Answer)],
    gets: &AtomicUsize,
    stalled: &Mutex<Vec<TcpStream>>,
) -> Option<()> {
    let mut lines = BufReader::new(&stream).lines();
    let request = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    let path = request.split(' ').nth(1)?;
    let answer = answers.iter().find(|(at, _)| *at == path).map(|(_, answer)| answer.clone());
    let answer = answer.unwrap_or_else(|| Answer::status("404 Not Found"));
    let mut out = &stream;
    write!(out, "{}\r\n", answer.head).ok()?;
    if request.starts_with("GET") {
        gets.fetch_add(1, Ordering::SeqCst);
        out.write_all(&answer.body).ok()?;
        if answer.stall {
            stalled.lock().unwrap().push(stream);
        }
    }
    Some(())
}
