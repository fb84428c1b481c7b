//! A daemon that says what it is told to.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

/// A daemon. Each request is answered by what the script says of its first line, and noted.
pub(crate) struct Daemon {
    asked: Arc<Mutex<Vec<String>>>,
    home: TempDir,
}

pub(crate) type Script = fn(&str) -> Option<String>;

impl Daemon {
    pub(crate) fn start(script: Script) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let listener = UnixListener::bind(home.path().join("socket")).expect("a socket");
        let noted = Arc::clone(&asked);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let noted = Arc::clone(&noted);
                std::thread::spawn(move || serve(connection, script, &noted));
            }
        });
        Self { asked, home }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home.path().join("socket")
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn serve(mut connection: UnixStream, script: Script, noted: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match connection.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(count) => request.extend_from_slice(&piece[..count]),
        }
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let answer =
        if line == "GET /version" {
            Some(script(&line).unwrap_or_else(|| {
                json(200, r#"{"ApiVersion":"1.41","MinAPIVersion":"1.12","Version":"20"}"#)
            }))
        } else {
            script(&line)
        };
    noted.lock().expect("no panic").push(line);
    match answer {
        Some(answer) => drop(connection.write_all(answer.as_bytes())),
        // It stalls until the other side gives up.
        None => while matches!(connection.read(&mut piece), Ok(count) if count > 0) {},
    }
}

/// An answer.
pub(crate) fn json(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
