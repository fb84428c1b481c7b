//! A registry that does what a test tells it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a client asked for.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What it gets.
pub(crate) enum Reply {
    Full(u16, Vec<(String, String)>, Vec<u8>),
    /// The announced length, and what comes of it before the connection breaks.
    Cut(u16, Vec<(String, String)>, usize, Vec<u8>),
    /// The announced length, and what comes of it before nothing comes any more.
    Stall(usize, Vec<u8>),
}

impl Reply {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Full(200, Vec::new(), body.into())
    }

    pub(crate) fn status(status: u16, body: &str) -> Self {
        Self::Full(status, Vec::new(), body.as_bytes().to_vec())
    }
}

/// The server; it goes when the test does.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                // The client may be gone at any time.
                std::thread::spawn(move || serve(&stream.unwrap(), &*answer, &log).ok());
            }
        });
        Self { port, asked }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    stream: &TcpStream,
    answer: &(impl Fn(&Request) -> Reply + ?Sized),
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim().split_once(": ") {
                Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
                None => break,
            }
        }
        log.lock().unwrap().push(path.clone());
        let (status, headers, length, body, end) = match answer(&Request { path, headers }) {
            Reply::Full(status, headers, body) => (status, headers, body.len(), body, None),
            Reply::Cut(status, headers, length, body) => (status, headers, length, body, Some(false)),
            Reply::Stall(length, body) => (200, Vec::new(), length, body, Some(true)),
        };
        let mut head = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {length}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut out = stream;
        out.write_all(format!("{head}\r\n").as_bytes())?;
        out.write_all(&body)?;
        match end {
            None => {}
            Some(false) => return stream.shutdown(std::net::Shutdown::Both),
            // Until the client has had enough.
            Some(true) => return reader.read(&mut [0]).map(drop),
        }
    }
}
