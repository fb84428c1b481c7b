//! The calibrator: an HTTP server that does nothing but give back what it gets, and a client that sends it the requests of
//! so many life-cycles, over as many connections, in the same order of dependence.
//!
//! What the master costs above this is what the master does; what it costs here is what the machine takes for the messages.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::answers::{AnswerDecoder, Piece};
use crate::socket::{Poll, Ready, Scratch, Socket};
use crate::traffic::{Lane, Script};

/// Serves until the process is ended. Prints the address it listens on.
pub fn serve(threads: usize) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build()?;
    runtime.block_on(async {
        // Thousands of connections come at once.
        let listener = http::listen((Ipv4Addr::LOCALHOST, 0).into())?;
        let mut out = std::io::stdout();
        writeln!(out, "{}", listener.local_addr()?)?;
        out.flush()?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // The task ends with its connection, and all of them with the process.
            tokio::spawn(async move {
                // A connection that breaks concerns its peer alone.
                let _ = hyper::server::conn::http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service_fn(echo))
                    .await;
            });
        }
    })
}

async fn echo(request: hyper::Request<Incoming>) -> Result<hyper::Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    Ok(hyper::Response::new(Full::new(body)))
}

#[derive(Debug)]
struct Connection {
    socket: Socket,
    answers: AnswerDecoder,
    /// The lives whose requests are under way here, oldest first.
    asked: VecDeque<u64>,
    dirty: bool,
}

/// The client's connections: for each agent one each way, for each framework its calls and its stream (which stays silent).
#[derive(Debug)]
pub(crate) struct Echo {
    address: SocketAddr,
    agents: usize,
    frameworks: usize,
    connections: Vec<Connection>,
    poll: Poll,
    scratch: Scratch,
    dirty: Vec<usize>,
}

/// One window's lives.
#[derive(Debug)]
struct Lives<'a> {
    script: &'a Script,
    count: u64,
    begun: u64,
    ended: u64,
    /// The next step of each life: 0 is its ACCEPT.
    steps: Vec<u8>,
}

impl Echo {
    pub(crate) fn connect(address: SocketAddr, agents: usize, frameworks: usize) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for number in 0..2 * (agents + frameworks) {
            let socket = Socket::connect(address, None).context("cannot connect to the echo server")?;
            poll.add(&socket, u64::try_from(number).expect("a count fits"))?;
            let answers = AnswerDecoder::default();
            connections.push(Connection { socket, answers, asked: VecDeque::new(), dirty: false });
        }
        let (scratch, dirty) = (Scratch::default(), Vec::new());
        Ok(Self { address, agents, frameworks, connections, poll, scratch, dirty })
    }

    /// Lives `count` lives, so many at a time. False if it took longer than `most`.
    pub(crate) fn run(
        &mut self,
        script: &Script,
        count: u64,
        in_flight: usize,
        most: Duration,
    ) -> anyhow::Result<bool> {
        let steps = vec![0; usize::try_from(count)?];
        let mut lives = Lives { script, count, begun: 0, ended: 0, steps };
        for _ in 0..in_flight.max(1) {
            self.begin(&mut lives);
        }
        let began = Instant::now();
        let mut ready = Vec::new();
        while lives.ended < lives.count {
            self.flush()?;
            self.poll.wait(Duration::from_millis(100), &mut ready)?;
            for event in &ready {
                self.on_ready(*event, &mut lives)?;
            }
            if began.elapsed() > most {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn on_ready(&mut self, ready: Ready, lives: &mut Lives<'_>) -> anyhow::Result<()> {
        let number = usize::try_from(ready.token)?;
        let connection = &mut self.connections[number];
        if ready.writable {
            connection.socket.on_writable()?;
        }
        if !ready.readable {
            return Ok(());
        }
        let open = connection.socket.fill(&mut self.scratch, ready.hung_up)?;
        anyhow::ensure!(open, "the echo server closed a connection");
        let mut answered = 0;
        while let Some(piece) = connection.answers.next_piece(&mut connection.socket.input)? {
            match piece {
                Piece::Head(head) => anyhow::ensure!(head.status == 200, "echo was answered {}", head.status),
                Piece::Data(_) => {}
                Piece::End => answered += 1,
            }
        }
        for _ in 0..answered {
            let life = self.connections[number].asked.pop_front().context("an answer nobody asked for")?;
            self.go_on(life, lives);
        }
        Ok(())
    }

    fn begin(&mut self, lives: &mut Lives<'_>) {
        if lives.begun == lives.count {
            return;
        }
        let life = lives.begun;
        lives.begun += 1;
        if life.is_multiple_of(lives.script.tasks_per_accept) {
            self.ask(life, lives.script.accept.lane, lives.script.accept.bytes);
        } else {
            // Its ACCEPT is that of another life.
            self.go_on(life, lives);
        }
    }

    /// The last request of a life was answered: the next one, or the next life.
    fn go_on(&mut self, life: u64, lives: &mut Lives<'_>) {
        let step = &mut lives.steps[usize::try_from(life).expect("a count in memory fits")];
        let next = lives.script.requests.get(usize::from(*step)).copied();
        *step += 1;
        match next {
            Some(request) => self.ask(life, request.lane, request.bytes),
            None => {
                lives.ended += 1;
                self.begin(lives);
            }
        }
    }

    fn ask(&mut self, life: u64, lane: Lane, bytes: usize) {
        let life_number = usize::try_from(life).expect("a count in memory fits");
        let number = match lane {
            Lane::FromAgent => life_number % self.agents,
            Lane::ToAgent => self.agents + life_number % self.agents,
            Lane::Calls => 2 * self.agents + life_number % self.frameworks,
        };
        let connection = &mut self.connections[number];
        let head = format!(
            "POST /api/v1/scheduler HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-protobuf\r\nAccept: \
             application/x-protobuf\r\nContent-Length: {bytes}\r\nMesos-Stream-Id: 00000000-0000-0000-0000-000000000000\r\n\r\n",
            self.address
        );
        let out = connection.socket.output();
        out.extend_from_slice(head.as_bytes());
        out.resize(out.len() + bytes, b'x');
        connection.asked.push_back(life);
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(number);
        }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        for number in std::mem::take(&mut self.dirty) {
            let connection = &mut self.connections[number];
            connection.dirty = false;
            connection.socket.flush()?;
        }
        Ok(())
    }
}
