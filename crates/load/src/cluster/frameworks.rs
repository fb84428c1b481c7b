//! The frameworks' side: their streams and their calls.

use anyhow::Context as _;
use bytes::Bytes;
use http::Codec;
use proto::mesos::v1::scheduler::{Call, Event, call};
use proto::wire;

use super::{Cluster, Token};
use crate::answers::Piece;
use crate::framework;
use crate::socket::Ready;
use crate::traffic::Kind;

impl Cluster {
    /// The probes that are due begin.
    pub(super) fn probe_due(&mut self) {
        let now_us = self.now_us();
        while let Some((due_us, gap_us)) = self.probe.filter(|(due_us, _)| *due_us <= now_us) {
            self.probe = Some((due_us + gap_us, gap_us));
            let Some(number) = self.clients.len().checked_sub(1) else { return };
            let revive = self.clients[number].framework.probe(due_us);
            self.make_calls(number, vec![revive]);
        }
    }

    pub(super) fn serve_stream(&mut self, number: usize, ready: Ready) -> anyhow::Result<()> {
        let client = &mut self.clients[number];
        if ready.writable {
            client.stream.on_writable()?;
        }
        if !ready.readable {
            return Ok(());
        }
        let open = client.stream.fill(&mut self.scratch, ready.hung_up)?;
        while let Some(piece) = client.stream_answers.next_piece(&mut client.stream.input)? {
            match piece {
                Piece::Head(head) => {
                    anyhow::ensure!(head.status == 200, "SUBSCRIBE was answered {}", head.status);
                    client.stream_id =
                        head.stream_id.context("SUBSCRIBE was answered without a stream id")?;
                }
                Piece::Data(data) => client.records.feed(&data),
                Piece::End => anyhow::bail!("ended by the master"),
            }
        }
        let mut calls = Vec::new();
        let now_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        while let Some(record) = client.records.next_record()? {
            self.traffic.count(Kind::Event, record.len());
            let event = decode_event(self.codec, record)?;
            let world = &mut framework::World {
                settings: &self.settings,
                ledger: &mut self.ledger,
                calls: &mut calls,
                now_us,
            };
            client.framework.on_event(event, world);
        }
        self.make_calls(number, calls);
        anyhow::ensure!(open, "closed by the master");
        Ok(())
    }

    pub(super) fn serve_calls(&mut self, number: usize, ready: Ready) -> anyhow::Result<()> {
        let client = &mut self.clients[number];
        if ready.writable {
            client.calls.on_writable()?;
        }
        if !ready.readable {
            return Ok(());
        }
        let open = client.calls.fill(&mut self.scratch, ready.hung_up)?;
        let mut refused = None;
        while let Some(piece) = client.call_answers.next_piece(&mut client.calls.input)? {
            match piece {
                Piece::Head(head) => refused = (!matches!(head.status, 200 | 202)).then_some(head.status),
                Piece::Data(text) => {
                    if let Some(status) = refused {
                        let text = String::from_utf8_lossy(&text);
                        self.ledger
                            .complain(format!("a call of framework {number} was answered {status}: {text}"));
                    }
                }
                Piece::End => refused = None,
            }
        }
        anyhow::ensure!(open, "closed by the master");
        Ok(())
    }

    /// Tasks that have become due are launched on the offers in hand.
    pub(super) fn launch_due(&mut self) {
        let now_us = self.now_us();
        if self.ledger.due(now_us) == 0 {
            return;
        }
        for number in 0..self.clients.len() {
            let client = &mut self.clients[number];
            if !client.framework.holds_offers() {
                continue;
            }
            let mut calls = Vec::new();
            let world = &mut framework::World {
                settings: &self.settings,
                ledger: &mut self.ledger,
                calls: &mut calls,
                now_us,
            };
            client.framework.launch(world);
            self.make_calls(number, calls);
        }
    }

    pub(super) fn make_calls(&mut self, number: usize, calls: Vec<Call>) {
        if calls.is_empty() {
            return;
        }
        let mut bytes = std::mem::take(self.clients[number].calls.output());
        for call in &calls {
            self.write_call(call, Some(number), &mut bytes);
        }
        let client = &mut self.clients[number];
        *client.calls.output() = bytes;
        if !client.dirty {
            client.dirty = true;
            self.dirty.push(Token::Calls(number));
        }
    }

    /// Writes a call as a request, with the stream's id for all calls after SUBSCRIBE.
    pub(super) fn write_call(&mut self, call: &Call, client: Option<usize>, out: &mut Vec<u8>) {
        let body = http::encode(self.codec, call);
        let kind = match call.r#type() {
            call::Type::Accept => Kind::Accept,
            call::Type::Acknowledge => Kind::Acknowledge,
            _ => Kind::OtherCall,
        };
        self.traffic.count(kind, body.len());
        let media = self.codec.media_type();
        let host = self.master.address;
        let head = format!(
            "POST /api/v1/scheduler HTTP/1.1\r\nHost: {host}\r\nContent-Type: {media}\r\nAccept: {media}\r\nContent-Length: {}\r\n",
            body.len()
        );
        out.extend_from_slice(head.as_bytes());
        if let Some(number) = client {
            out.extend_from_slice(b"Mesos-Stream-Id: ");
            out.extend_from_slice(self.clients[number].stream_id.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&body);
    }
}

fn decode_event(codec: Codec, record: Bytes) -> anyhow::Result<Event> {
    match codec {
        // The required fields are the master's business; decoding twice would be the generator's cost.
        Codec::Protobuf => Ok(wire::decode_unchecked(record)?),
        Codec::Json => http::decode_event(codec, &record).map_err(anyhow::Error::msg),
    }
}
