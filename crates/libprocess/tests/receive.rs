//! Receiving through raw sockets, with HTTP on the same port.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Route, Router, Server};
use libprocess::{DecoderLimits, Inbox, Message, Mixed, Receiver, ReceiverLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const DEADLINE: Duration = Duration::from_secs(20);
const FROM: &str = "Libprocess-From: slave(1)@127.0.0.1:5051\r\n";

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("in time")
}

struct Daemon {
    address: SocketAddr,
    messages: mpsc::Receiver<Message>,
}

async fn start(same_ip: bool) -> Daemon {
    let (queue, messages) = mpsc::channel(16);
    let inbox = Arc::new(Inbox::new().process("master", queue).require_same_ip(same_ip));
    let router =
        Router::new("master").route(Route::get("master/health", |_: Request| async { Response::ok() }));
    let limits = ReceiverLimits {
        decoder: DecoderLimits { head_bytes_max: 4096, body_bytes_max: 1 << 20 },
        patience: Duration::from_millis(100),
    };
    let server = Server::new(Mixed::new(Arc::clone(&inbox), router)).first_look(Receiver::new(inbox, limits));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test's runtime.
    tokio::spawn(server.run(listener, std::future::pending()));
    Daemon { address, messages }
}

/// Sends `request` and reads until `count` whole answers have come, or the connection closes. Dates are left out.
async fn exchange(socket: &mut TcpStream, request: &[u8], count: usize) -> String {
    socket.write_all(request).await.unwrap();
    let mut bytes = Vec::with_capacity(4096);
    within(async {
        while answers(&bytes) < count {
            if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                break;
            }
        }
    })
    .await;
    let text = String::from_utf8(bytes).unwrap();
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: ")).collect()
}

fn answers(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = &text[..];
    let mut count = 0;
    while let Some(end) = rest.find("\r\n\r\n") {
        let length = rest[..end].lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let whole = end + 4 + length.map_or(0, |length| length.parse().unwrap());
        if rest.len() < whole {
            break;
        }
        rest = &rest[whole..];
        count += 1;
    }
    count
}

const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
const HEALTHY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const UNKNOWN: &str = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n\r\n404 Not Found.";

#[tokio::test]
async fn messages_and_http_share_a_connection() {
    let mut daemon = start(false).await;
    let mut socket = TcpStream::connect(daemon.address).await.unwrap();
    let chunked = format!(
        "POST /master/mesos.internal.A HTTP/1.1\r\n{FROM}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    );
    let plain = format!("POST /master/mesos.internal.B HTTP/1.1\r\n{FROM}Content-Length: 2\r\n\r\nxy");
    let health = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    let sent = format!("{chunked}{plain}{health}");
    assert_eq!(exchange(&mut socket, sent.as_bytes(), 3).await, format!("{ACCEPTED}{ACCEPTED}{HEALTHY}"));
    // From now on the connection is HTTP's, which knows messages too.
    assert_eq!(exchange(&mut socket, chunked.as_bytes(), 1).await, ACCEPTED);
    for (name, body) in [("A", "abc"), ("B", "xy"), ("A", "abc")] {
        let message = within(daemon.messages.recv()).await.unwrap();
        assert_eq!(message.name, format!("mesos.internal.{name}"));
        assert_eq!((&*message.to, &message.body[..]), ("master", body.as_bytes()));
        assert_eq!(message.from.to_string(), "slave(1)@127.0.0.1:5051");
    }
}

#[tokio::test]
async fn old_peers_are_understood() {
    let mut daemon = start(false).await;
    let mut socket = TcpStream::connect(daemon.address).await.unwrap();
    let request = "POST /master/mesos.internal.A HTTP/1.0\r\nUser-Agent: libprocess/s(1)@127.0.0.1:9\r\n\
                   Connection: Keep-Alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n";
    for _ in 0..2 {
        assert_eq!(exchange(&mut socket, request.as_bytes(), 1).await, ACCEPTED);
        assert_eq!(within(daemon.messages.recv()).await.unwrap().body, "z");
    }
    // Without keep-alive the answer ends the connection.
    let request = format!("POST /master/mesos.internal.A HTTP/1.0\r\n{FROM}\r\n");
    let answer = exchange(&mut socket, request.as_bytes(), 2).await;
    assert_eq!(answer, "HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

#[tokio::test]
async fn what_cannot_be_delivered_is_refused() {
    let mut daemon = start(true).await;
    let mut socket = TcpStream::connect(daemon.address).await.unwrap();
    let request = format!("POST /nobody/mesos.internal.A HTTP/1.1\r\n{FROM}\r\n");
    assert_eq!(exchange(&mut socket, request.as_bytes(), 1).await, UNKNOWN);
    let request = "POST /master/mesos.internal.A HTTP/1.1\r\nLibprocess-From: nonsense\r\n\r\n";
    let answer = exchange(&mut socket, request.as_bytes(), 1).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.ends_with("Failed to determine sender from request headers"), "{answer}");
    let request = "POST /master/mesos.internal.A HTTP/1.1\r\nLibprocess-From: a@127.0.0.2:1\r\n\r\n";
    let answer = exchange(&mut socket, request.as_bytes(), 1).await;
    assert!(answer.contains("Message from a@127.0.0.2:1 was sent from IP 127.0.0.1"), "{answer}");
    // None of this hurt the connection.
    let request = format!("POST /master/mesos.internal.A HTTP/1.1\r\n{FROM}\r\n");
    assert_eq!(exchange(&mut socket, request.as_bytes(), 1).await, ACCEPTED);
    drop(daemon.messages.recv().await);
}

#[tokio::test]
async fn hostile_peers_are_dropped() {
    let daemon = start(false).await;
    let message = format!("POST /master/x HTTP/1.1\r\n{FROM}");
    for (request, status) in [
        (format!("{message}Content-Length: 1048577\r\n\r\n"), "413 "),
        (format!("{message}Transfer-Encoding: chunked\r\n\r\n100001\r\n"), "413 "),
        (format!("{message}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), "400 "),
        (format!("{message}Content-Length: many\r\n\r\n"), "400 "),
        (format!("{message}Long: {}\r\n\r\n", "a".repeat(300_000)), "431 "),
        (format!("{message}{}\r\n", "A: b\r\n".repeat(200)), "431 "),
        ("\0\u{1}\u{2} nonsense\r\n\r\n".to_owned(), "400 "),
        // Silence in the middle of a message.
        (format!("{message}Content-Length: 10\r\n\r\nhal"), ""),
    ] {
        let mut socket = TcpStream::connect(daemon.address).await.unwrap();
        let answer = exchange(&mut socket, request.as_bytes(), usize::MAX).await;
        let expected = if status.is_empty() { String::new() } else { format!("HTTP/1.1 {status}") };
        assert!(answer.starts_with(&expected), "{request:.100} -> {answer}");
        assert_eq!(answer.is_empty(), expected.is_empty(), "{request:.100} -> {answer}");
    }
}

#[tokio::test]
async fn a_full_process_holds_its_senders_back() {
    let mut daemon = start(false).await;
    let mut socket = TcpStream::connect(daemon.address).await.unwrap();
    let mut sent = String::new();
    for number in 0..500 {
        sent.push_str(&format!("POST /master/{number} HTTP/1.1\r\n{FROM}\r\n"));
    }
    socket.write_all(sent.as_bytes()).await.unwrap();
    for number in 0..500 {
        assert_eq!(within(daemon.messages.recv()).await.unwrap().name, number.to_string());
    }
    assert_eq!(exchange(&mut socket, b"", 500).await, ACCEPTED.repeat(500));
    // A process that has ended is as good as none.
    drop(daemon.messages);
    let request = format!("POST /master/mesos.internal.A HTTP/1.1\r\n{FROM}\r\n");
    assert_eq!(exchange(&mut socket, request.as_bytes(), 1).await, UNKNOWN);
}

#[tokio::test]
async fn large_messages_arrive_whole() {
    let mut daemon = start(false).await;
    let mut socket = TcpStream::connect(daemon.address).await.unwrap();
    let body: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let mut sent = Vec::new();
    let from = "slave(1)@127.0.0.1:5051".parse().unwrap();
    let to = format!("master@{}", daemon.address).parse().unwrap();
    libprocess::encode_message(&mut sent, &from, &to, "mesos.internal.A", &body);
    assert_eq!(exchange(&mut socket, &sent, 1).await, ACCEPTED);
    assert_eq!(within(daemon.messages.recv()).await.unwrap().body, body);
}
