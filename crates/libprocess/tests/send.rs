//! Sending, links and exits, against raw sockets and against our own receiver.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use http::{Router, Server};
use libprocess::{Exited, Inbox, Receiver, ReceiverLimits, Transport, TransportLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use types::Pid;

const DEADLINE: Duration = Duration::from_secs(30);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("in time")
}

fn limits() -> TransportLimits {
    TransportLimits { linger: Duration::from_millis(20), ..TransportLimits::default() }
}

fn transport(limits: TransportLimits) -> (Transport, mpsc::Receiver<Exited>) {
    Transport::new("127.0.0.1:5050".parse().unwrap(), limits)
}

async fn listen() -> (TcpListener, Pid) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pid = Pid::new("slave(1)", listener.local_addr().unwrap());
    (listener, pid)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    within(listener.accept()).await.unwrap().0
}

/// Reads until `end` has come.
async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    within(async {
        while !bytes.ends_with(end.as_bytes()) {
            assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0, "{}", String::from_utf8_lossy(&bytes));
        }
    })
    .await;
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn an_unlinked_message_takes_a_connection_of_its_own() {
    let (listener, pid) = listen().await;
    let (transport, _exits) = transport(limits());
    transport.send("master", &pid, "mesos.internal.PingSlaveMessage", b"\x08\x01");
    transport.send("master", &pid, "mesos.internal.Empty", b"");
    let mut socket = accept(&listener).await;
    let mut text = String::new();
    within(socket.read_to_string(&mut text)).await.unwrap();
    expect![[r#"
        POST /slave(1)/mesos.internal.PingSlaveMessage HTTP/1.1\r
        User-Agent: libprocess/master@127.0.0.1:5050\r
        Libprocess-From: master@127.0.0.1:5050\r
        Connection: Keep-Alive\r
        Host: THERE\r
        Transfer-Encoding: chunked\r
        \r
        2\r
        \b\u{1}\r
        0\r
        \r
        POST /slave(1)/mesos.internal.Empty HTTP/1.1\r
        User-Agent: libprocess/master@127.0.0.1:5050\r
        Libprocess-From: master@127.0.0.1:5050\r
        Connection: Keep-Alive\r
        Host: THERE\r
        \r
    "#]]
    .assert_eq(
        &text
            .replace(&pid.address.to_string(), "THERE")
            .replace('\r', "\\r")
            .replace("\u{8}\u{1}", "\\b\\u{1}"),
    );
    within(async {
        while transport.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_link_keeps_the_connection_and_tells_its_end() {
    let (listener, pid) = listen().await;
    let other = Pid::new("files", pid.address);
    let unlinked = Pid::new("metrics", pid.address);
    let (transport, mut exits) = transport(limits());
    for pid in [&pid, &other, &unlinked] {
        transport.link(pid);
    }
    transport.unlink(&unlinked);
    let mut socket = accept(&listener).await;
    for number in 0..3 {
        transport.send("master", &pid, &number.to_string(), b"");
        let text = read_until(&mut socket, "\r\n\r\n").await;
        assert!(text.starts_with(&format!("POST /slave(1)/{number} ")), "{text}");
        // Longer than a connection without links would last; a slower machine only makes the check stricter.
        tokio::time::sleep(limits().linger * 2).await;
    }
    assert!(transport.is_linked(&pid) && !transport.is_linked(&unlinked));
    drop(socket);
    let mut gone = [within(exits.recv()).await.unwrap().0, within(exits.recv()).await.unwrap().0];
    gone.sort();
    assert_eq!(gone, [other, pid.clone()]);
    assert!(!transport.is_linked(&pid));
    // It can be linked again.
    transport.link(&pid);
    drop(accept(&listener).await);
    assert_eq!(within(exits.recv()).await, Some(Exited(pid)));
    assert!(exits.try_recv().is_err());
}

#[tokio::test]
async fn a_link_that_cannot_be_made_exits() {
    let (listener, pid) = listen().await;
    drop(listener);
    let (transport, mut exits) = transport(limits());
    transport.link(&pid);
    assert_eq!(within(exits.recv()).await, Some(Exited(pid.clone())));
    // An unlinked message into the void concerns nobody.
    transport.send("master", &pid, "x", b"y");
    within(transport.drain()).await;
    assert!(exits.try_recv().is_err());
}

#[tokio::test]
async fn unlinking_lets_the_connection_go_without_an_exit() {
    let (listener, pid) = listen().await;
    let (transport, mut exits) = transport(limits());
    transport.link(&pid);
    let mut socket = accept(&listener).await;
    transport.unlink(&pid);
    assert_eq!(within(socket.read(&mut [0; 1])).await.unwrap(), 0);
    drop(socket);
    within(transport.drain()).await;
    assert!(exits.try_recv().is_err());
}

#[tokio::test]
async fn reconnecting_changes_the_socket_in_silence() {
    let (listener, pid) = listen().await;
    let (transport, mut exits) = transport(limits());
    transport.link(&pid);
    let mut old = accept(&listener).await;
    transport.reconnect(&pid);
    let mut new = accept(&listener).await;
    assert_eq!(within(old.read(&mut [0; 1])).await.unwrap(), 0);
    drop(old);
    transport.send("master", &pid, "after", b"");
    assert!(read_until(&mut new, "\r\n\r\n").await.starts_with("POST /slave(1)/after "));
    assert!(exits.try_recv().is_err());
    drop(new);
    assert_eq!(within(exits.recv()).await, Some(Exited(pid)));
}

#[tokio::test]
async fn answers_that_wait_to_be_read_change_nothing() {
    const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
    let (listener, pid) = listen().await;
    let (transport, mut exits) = transport(limits());
    transport.link(&pid);
    transport.send("master", &pid, "one", b"");
    let mut old = accept(&listener).await;
    read_until(&mut old, "\r\n\r\n").await;
    old.write_all(ACCEPTED).await.unwrap();
    transport.reconnect(&pid);
    let mut new = accept(&listener).await;
    // The end, and no reset.
    assert_eq!(within(old.read(&mut [0; 1])).await.unwrap(), 0);
    // Many, so that some are read for their number.
    for _ in 0..100 {
        transport.send("master", &pid, "two", b"");
        read_until(&mut new, "\r\n\r\n").await;
        new.write_all(ACCEPTED).await.unwrap();
    }
    within(transport.drain()).await;
    assert!(transport.is_linked(&pid) && exits.try_recv().is_err());
    transport.send("master", &pid, "three", b"");
    read_until(&mut new, "\r\n\r\n").await;
    new.write_all(ACCEPTED).await.unwrap();
    drop(new);
    assert_eq!(within(exits.recv()).await, Some(Exited(pid)));
}

#[tokio::test]
async fn a_queue_that_is_full_ends_its_link() {
    let (listener, pid) = listen().await;
    let (transport, mut exits) = transport(TransportLimits { queue_bytes_max: 1 << 16, ..limits() });
    transport.link(&pid);
    let socket = accept(&listener).await;
    let body = vec![b'x'; 1 << 15];
    let exit = within(async {
        loop {
            transport.send("master", &pid, "x", &body);
            if let Ok(exit) = exits.try_recv() {
                return exit;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(exit.await, Exited(pid));
    drop(socket);
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_given_up() {
    let (listener, pid) = listen().await;
    let (transport, mut exits) = transport(TransportLimits { stall: Duration::from_millis(100), ..limits() });
    transport.link(&pid);
    let socket = accept(&listener).await;
    transport.send("master", &pid, "x", &vec![b'x'; 32 << 20]);
    assert_eq!(within(exits.recv()).await, Some(Exited(pid)));
    drop(socket);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_arrive_in_order() {
    const COUNT: usize = 20_000;
    let (queue, mut messages) = mpsc::channel(1000);
    let inbox = Arc::new(Inbox::new().process("master", queue));
    let server =
        Server::new(Router::new("master")).first_look(Receiver::new(inbox, ReceiverLimits::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pid = Pid::new("master", listener.local_addr().unwrap());
    tokio::spawn(server.run(listener, std::future::pending()));
    let own: SocketAddr = "127.0.0.1:5051".parse().unwrap();
    let (transport, mut exits) = Transport::new(own, TransportLimits::default());
    transport.link(&pid);
    for number in 0..COUNT {
        transport.send("slave(1)", &pid, &number.to_string(), &number.to_le_bytes());
    }
    for number in 0..COUNT {
        let message = within(messages.recv()).await.unwrap();
        assert_eq!((message.name, &message.body[..]), (number.to_string(), &number.to_le_bytes()[..]));
        assert_eq!(message.from, Pid::new("slave(1)", own));
    }
    within(transport.drain()).await;
    assert!(exits.try_recv().is_err());
}
