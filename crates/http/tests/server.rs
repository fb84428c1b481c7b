//! The server through raw sockets: the very bytes, and what becomes of peers that misbehave.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{
    Body, Call, Client, ClientError, Gone, Handler, Limits, Method, Request, Response, Route, Router, Server,
    StatusCode, StreamSender, stream,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(20);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("in time")
}

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(mut self) {
        drop(self.stop.take());
        within(self.task).await.unwrap();
    }
}

async fn start(server: Server<impl Handler>) -> Running {
    let listener = http::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(server.run(listener, async {
        let _ = stopped.await;
    }));
    Running { address, stop: Some(stop), task }
}

fn routes() -> Router {
    Router::new("master")
        .route(Route::get("master/health", |_| async { Response::ok() }))
        .route(Route::get("master/state", |request: Request| async move {
            Response::ok_jsonp("{\"a\":1}", request.query.get("jsonp"))
        }))
        .route(Route::get("master/large", |_| async { Response::ok_json(vec![b'x'; 5000]) }))
        .route(Route::get("master/small", |_| async { Response::ok_json(vec![b'x'; 1023]) }))
        .route(Route::get("master/panics", |request: Request| async move {
            assert!(request.query.get("really").is_none(), "as the test wants it");
            Response::ok()
        }))
        .route(Route::post("master/api/v1/scheduler", |_| async { Response::accepted() }))
        .route(Route::post("master/echo", |request: Request| async move { Response::ok_json(request.body) }))
        .route(Route::new(&[], "master/redirect", |request: Request| async move {
            Response::redirect(&format!("//127.0.0.1:5050{}", request.target()))
        }))
        .route(Route::get("files/browse", |_| async { Response::text(StatusCode::NOT_FOUND, "") }))
}

/// Sends bytes on a new connection, closes nothing, and reads until the server closes or `count` answers have come.
async fn exchange(address: SocketAddr, request: &str, count: usize) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    read_answers(&mut socket, count).await
}

async fn read_answers(socket: &mut TcpStream, count: usize) -> String {
    let mut bytes = Vec::new();
    within(async {
        while answers(&bytes) < count {
            if socket.read_buf(&mut bytes).await.unwrap() == 0 {
                break;
            }
        }
    })
    .await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: "));
    lines.collect()
}

/// Counts whole answers with a Content-Length.
fn answers(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = &text[..];
    let mut count = 0;
    while let Some(end) = rest.find("\r\n\r\n") {
        let head = &rest[..end];
        assert!(head.contains("\r\nDate: ") || head.contains("100 Continue"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        if rest.len() < end + 4 + length {
            break;
        }
        rest = &rest[end + 4 + length..];
        count += 1;
    }
    count
}

#[tokio::test]
async fn answers_have_the_headers_of_mesos() {
    let server = start(Server::new(routes())).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    for (request, expected) in [
        (get("/health"), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (
            get("/nosuch"),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n\r\n404 Not Found.",
        ),
        (
            get("/files/browse?path=/x"),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            get("/api/v1/scheduler"),
            "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\nAllow: POST\r\n\
             Content-Length: 72\r\n\r\n405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'.",
        ),
        (
            get("/redirect?a=b%20c"),
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: //127.0.0.1:5050/master/redirect?a=b%20c\r\n\
             Content-Length: 0\r\n\r\n",
        ),
        (
            get("/state?jsonp=cb"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nContent-Length: 11\r\n\r\ncb({\"a\":1})",
        ),
        (
            get("/master/state/"),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
        ),
        (
            "POST /master/api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        assert_eq!(exchange(server.address, &request, 1).await, expected);
    }
    server.stop().await;
}

#[tokio::test]
async fn connections_are_kept_and_pipelined() {
    let server = start(Server::new(routes())).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..2 {
        let request = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
                       GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /nosuch HTTP/1.1\r\nHost: x\r\n\r\n";
        socket.write_all(request.as_bytes()).await.unwrap();
        let text = read_answers(&mut socket, 3).await;
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\nabc\
            HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 404 Not Found\r\n";
        assert!(text.starts_with(expected), "{text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn old_http_is_kept_alive_when_it_asks_for_it() {
    let server = start(Server::new(routes())).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..2 {
        socket.write_all(b"GET /health HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").await.unwrap();
        let text = read_answers(&mut socket, 1).await;
        assert!(text.contains(" 200 OK\r\n") && text.contains("Content-Length: 0\r\n"), "{text}");
    }
    socket.write_all(b"GET /health HTTP/1.0\r\n\r\n").await.unwrap();
    let text = read_answers(&mut socket, 2).await;
    assert!(text.contains(" 200 OK\r\n"), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn a_panicking_handler_answers_500_and_hurts_nobody() {
    let server = start(Server::new(routes())).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET /panics?really=1 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let text = read_answers(&mut socket, 1).await;
    assert!(text.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{text}");
    socket.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(read_answers(&mut socket, 1).await.starts_with("HTTP/1.1 200 OK\r\n"));
    server.stop().await;
}

#[tokio::test]
async fn large_bodies_are_compressed_for_those_who_take_it() {
    let server = start(Server::new(routes())).await;
    let mut client = Client::new(server.address.to_string());
    let plain = client.call(Call::get("/large")).await.unwrap();
    assert_eq!((plain.header("content-encoding"), plain.body.len()), (None, 5000));
    let small = client.call(Call::get("/small").header("accept-encoding", "gzip")).await.unwrap();
    assert_eq!((small.header("content-encoding"), small.body.len()), (None, 1023));
    let packed = client.call(Call::get("/large").header("accept-encoding", "deflate, gzip")).await.unwrap();
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("content-length"), Some(packed.body.len().to_string().as_str()));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
    server.stop().await;
}

#[tokio::test]
async fn too_much_is_refused() {
    let limits = Limits { body_bytes_max: 10, head_bytes_max: 8192, ..Limits::default() };
    let server = start(Server::with_limits(routes(), limits)).await;
    let expected = "HTTP/1.1 413 Payload Too Large\r\n";
    let words = "Request body exceeds the limit of 10 bytes";
    for request in [
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ] {
        let text = exchange(server.address, request, 1).await;
        assert!(
            text.starts_with(expected) && text.contains(words) || text.starts_with("HTTP/1.1 400 "),
            "{text}"
        );
    }
    let head = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(10_000));
    let text = exchange(server.address, &head, 1).await;
    assert!(text.starts_with("HTTP/1.1 4"), "{text}");
    let text = exchange(server.address, "\x16\x03\x01 garbage\r\n\r\n", 1).await;
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn slow_heads_are_dropped_but_silent_links_are_not() {
    let limits = Limits { head_patience: Duration::from_millis(50), ..Limits::default() };
    let server = start(Server::with_limits(routes(), limits)).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /health HTT").await.unwrap();
    assert_eq!(within(slow.read(&mut [0; 10])).await.unwrap(), 0);
    silent.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let text = read_answers(&mut silent, 1).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    server.stop().await;
}

/// Routes that may overlap, of which the first waits until so many have begun.
fn overlapping(wanted: usize) -> (Router, std::sync::Arc<Mutex<Vec<String>>>) {
    let begun = std::sync::Arc::new(Mutex::new(Vec::new()));
    let all_begun = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let noted = std::sync::Arc::clone(&begun);
    let serve = move |request: Request| {
        let (begun, all_begun) = (std::sync::Arc::clone(&noted), std::sync::Arc::clone(&all_begun));
        async move {
            let text = String::from_utf8_lossy(&request.body).into_owned();
            begun.lock().unwrap().push(text.clone());
            assert_ne!(text, "panic", "as the test wants it");
            if begun.lock().unwrap().len() >= wanted {
                all_begun.close();
            }
            // Closed once all have begun: acquiring fails then, and waits before.
            assert!(all_begun.acquire().await.is_err());
            match text.as_str() {
                "empty" => Response::accepted(),
                "large" => Response::ok_json(vec![b'x'; 200_000]),
                _ => Response::bad_request(text).header(http::header::ETAG, "1"),
            }
        }
    };
    let router = Router::new("master")
        .route(Route::post("master/calls", serve).overlapping())
        .route(Route::get("master/health", |_| async { Response::ok() }));
    (router, begun)
}

fn post(body: &str) -> String {
    format!("POST /calls HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn overlapping_requests_begin_and_are_answered_in_order() {
    let (router, begun) = overlapping(40);
    let server = start(Server::new(router)).await;
    let bodies: Vec<_> = (0..40).map(|number| format!("call {number}")).collect();
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(bodies.iter().map(|body| post(body)).collect::<String>().as_bytes()).await.unwrap();
    // No more than 32 at a time: the first of them wait for the others in vain.
    within(async {
        while begun.lock().unwrap().len() < 32 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(*begun.lock().unwrap(), bodies[..32]);
    drop(socket);
    server.stop().await;

    let (router, begun) = overlapping(20);
    let server = start(Server::new(router)).await;
    let calls: String = bodies[..20].iter().map(|body| post(body)).collect();
    let text = exchange(server.address, &calls, 20).await;
    let answered: Vec<_> = text.lines().filter_map(|line| line.find("call ").map(|at| &line[at..])).collect();
    assert_eq!(answered.len(), 20, "{text}");
    for (at, answer) in answered.iter().enumerate() {
        assert!(answer.starts_with(&bodies[at]), "{answer}");
    }
    assert_eq!(*begun.lock().unwrap(), bodies[..20]);
    server.stop().await;
}

#[tokio::test]
async fn overlapping_requests_get_the_answers_that_others_get() {
    let (router, _) = overlapping(1);
    let server = start(Server::new(router)).await;
    // A request that asks to close is not plain.
    let alone = |body: &str| post(body).replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
    for body in ["empty", "large", "x", "panic"] {
        let together = exchange(server.address, &post(body).repeat(2), 2).await;
        let apart = exchange(server.address, &alone(body), 1).await.replace("Connection: close\r\n", "");
        assert!(together == apart.repeat(2), "{together:.300}\n{apart:.300}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_is_not_plain_takes_its_connection_to_hyper() {
    let (router, begun) = overlapping(1);
    let server = start(Server::new(router)).await;
    let chunked =
        "POST /calls HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n";
    let get = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    let text = exchange(server.address, &[&post("one"), chunked, get, &post("three")].concat(), 4).await;
    let statuses: Vec<_> =
        text.lines().filter_map(|line| line.find("HTTP/1.1 ").map(|at| &line[at + 9..])).collect();
    assert_eq!(statuses, ["400 Bad Request", "400 Bad Request", "200 OK", "400 Bad Request"], "{text}");
    assert_eq!(*begun.lock().unwrap(), ["one", "two", "three"]);
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let (half, rest) = (&post("four")[..20], &post("four")[20..]);
    socket.write_all((post("early") + half).as_bytes()).await.unwrap();
    assert!(read_answers(&mut socket, 1).await.ends_with("early"));
    socket.write_all(rest.as_bytes()).await.unwrap();
    assert!(read_answers(&mut socket, 1).await.ends_with("four"));
    server.stop().await;
}

#[tokio::test]
async fn an_overlapping_request_that_stays_half_there_is_given_up() {
    let limits = Limits { idle_patience: Duration::from_millis(50), ..Limits::default() };
    let server = start(Server::with_limits(overlapping(1).0, limits)).await;
    let text = exchange(server.address, &(post("early") + &post("late")[..20]), 2).await;
    assert!(text.ends_with("early"), "{text}");
    server.stop().await;
}

/// Hands the test the sender of each stream it opens.
struct Streams {
    records_max: usize,
    overlaps: bool,
    opened: Mutex<mpsc::UnboundedSender<(StreamSender, Gone)>>,
}

impl Handler for Streams {
    async fn handle(&self, _: Request<Body>) -> Response {
        let (sender, body, gone) = stream(self.records_max);
        self.opened.lock().unwrap().send((sender, gone)).unwrap();
        Response::stream("application/json", body).header(http::header::ETAG, "1")
    }

    fn overlaps(&self, _: &str) -> bool {
        self.overlaps
    }
}

/// Both ways in which a request may be served.
const WAYS: [bool; 2] = [false, true];

async fn streaming(
    overlaps: bool,
    records_max: usize,
) -> (Running, mpsc::UnboundedReceiver<(StreamSender, Gone)>) {
    let (opened, opens) = mpsc::unbounded_channel();
    let limits = Limits { stop_patience: Duration::from_millis(50), ..Limits::default() };
    let streams = Streams { records_max, overlaps, opened: Mutex::new(opened) };
    (start(Server::with_limits(streams, limits)).await, opens)
}

const SUBSCRIBE: &[u8] = b"POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn a_record_is_one_chunk() {
    for overlaps in WAYS {
        let (server, mut opens) = streaming(overlaps, 100).await;
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(SUBSCRIBE).await.unwrap();
        let (sender, gone) = within(opens.recv()).await.unwrap();
        let big = vec![b'y'; 300_000];
        // Queued together, so that a server that joins records into chunks would be found out.
        sender.try_send(b"{\"type\":\"SUBSCRIBED\"}").unwrap();
        sender.try_send(b"{\"type\":\"HEARTBEAT\"}").unwrap();
        sender.try_send(&big).unwrap();
        sender.try_send(b"z").unwrap();
        drop(sender);
        let mut bytes = Vec::new();
        within(async {
            while !bytes.ends_with(b"\r\n0\r\n\r\n") {
                assert_ne!(
                    socket.read_buf(&mut bytes).await.unwrap(),
                    0,
                    "{}",
                    String::from_utf8_lossy(&bytes)
                );
            }
        })
        .await;
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nTransfer-Encoding: chunked"),
            "{head}"
        );
        assert!(
            head.contains("\r\nContent-Type: application/json") && !head.contains("Content-Length"),
            "{head}"
        );
        let big = String::from_utf8(big).unwrap();
        let expected = format!(
            "18\r\n21\n{{\"type\":\"SUBSCRIBED\"}}\r\n17\r\n20\n{{\"type\":\"HEARTBEAT\"}}\r\n\
         493E7\r\n300000\n{big}\r\n3\r\n1\nz\r\n0\r\n\r\n"
        );
        assert!(body == expected, "{}", &body[..200]);
        within(gone).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn a_reader_that_hangs_up_is_noticed_while_idle() {
    for overlaps in WAYS {
        let (server, mut opens) = streaming(overlaps, 100).await;
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(SUBSCRIBE).await.unwrap();
        let (sender, gone) = within(opens.recv()).await.unwrap();
        let mut head = Vec::new();
        within(socket.read_buf(&mut head)).await.unwrap();
        drop(socket);
        within(gone).await;
        assert!(sender.is_closed());
        server.stop().await;
    }
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_cut_off() {
    for overlaps in WAYS {
        let (server, mut opens) = streaming(overlaps, 4).await;
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(SUBSCRIBE).await.unwrap();
        let (sender, gone) = within(opens.recv()).await.unwrap();
        let record = vec![b'x'; 1 << 20];
        // Give the connection its turns until the socket's buffers and the queue are full.
        within(async {
            while sender.try_send(&record).is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        within(gone).await;
        assert!(sender.is_closed());
        // What is in the socket's buffers ends without the last chunk.
        let mut bytes = Vec::new();
        let _ = within(socket.read_to_end(&mut bytes)).await;
        assert!(!bytes.ends_with(b"0\r\n\r\n"));
        server.stop().await;
    }
}

#[tokio::test]
async fn stopping_ends_streams() {
    for overlaps in WAYS {
        let (server, mut opens) = streaming(overlaps, 4).await;
        let mut client = Client::new(server.address.to_string());
        let mut events =
            client.subscribe(Call::post("/api/v1/scheduler", "application/json", "{}")).await.unwrap();
        let (sender, gone) = within(opens.recv()).await.unwrap();
        sender.try_send(b"{}").unwrap();
        sender.try_send(b"").unwrap();
        assert_eq!(within(events.next()).await.unwrap(), Some(Bytes::from("{}")));
        assert_eq!(within(events.next()).await.unwrap(), Some(Bytes::new()));
        server.stop().await;
        within(gone).await;
        assert!(within(events.next()).await.is_err());
    }
}

#[tokio::test]
async fn the_client_follows_the_leader() {
    let leader = start(Server::new(routes())).await;
    let address = leader.address;
    let standby = Router::new("master")
        .route(Route::new(&[], "master/loop", |_| async { Response::redirect("/loop") }))
        .route(Route::new(&[], "master/health", move |request: Request| async move {
            Response::redirect(&format!("//{address}{}", request.target()))
        }));
    let standby = start(Server::new(standby)).await;
    let mut client = Client::new(standby.address.to_string());
    let looping = client.call(Call::get("/loop")).await;
    assert!(matches!(looping, Err(ClientError::Redirect(_))), "{looping:?}");
    let answer = client.call(Call::get("/health")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(client.address(), address.to_string());
    let refused = client.subscribe(Call { method: Method::GET, ..Call::get("/api/v1/scheduler") }).await;
    assert!(matches!(refused, Err(ClientError::Refused(answer)) if answer.status == 405));
    // The leader restarts: the kept connection is gone and another is made.
    leader.stop().await;
    assert!(matches!(client.call(Call::get("/health")).await, Err(ClientError::Connect { .. })));
    standby.stop().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let limits = Limits { body_patience: Duration::from_millis(50), ..Limits::default() };
    let server = start(Server::with_limits(routes(), limits)).await;
    let request = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhal";
    let text = exchange(server.address, request, 1).await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn connections_over_the_bound_wait() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let server = start(Server::with_limits(routes(), limits)).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    let request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    second.write_all(request).await.unwrap();
    for _ in 0..3 {
        first.write_all(request).await.unwrap();
        assert!(read_answers(&mut first, 1).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    assert!(second.try_read(&mut [0; 1]).is_err(), "answered over the bound");
    drop(first);
    assert!(read_answers(&mut second, 1).await.starts_with("HTTP/1.1 200 OK\r\n"));
    server.stop().await;
}
