//! The open event streams of frameworks and operators: who gets what, in which codec.
//!
//! Everything here runs on the core's task and never waits. A stream whose reader is too slow is cut off.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use http::{Codec, Gone, StreamSender};
use master_core::{Event, StreamId, View};
use proto::json::{Json, Names};
use proto::mesos::v1;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::documents::v1_state;
use crate::reactor::Input;

/// Records that a stream holds for a slow reader before it is cut off.
pub(crate) const RECORDS_MAX: usize = 4096;

/// Every open stream.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    frameworks: HashMap<StreamId, (Codec, StreamSender)>,
    /// Records for frameworks that go out together, at the end of a round: one wake-up and one write for each stream.
    records: Vec<(StreamId, Bytes)>,
    operators: BTreeMap<StreamId, (Codec, mpsc::Sender<Item>)>,
    /// Operators' streams whose core has not yet said that they are subscribed.
    waiting: HashMap<StreamId, (Codec, StreamSender)>,
    /// What carries operators' items and notices when a reader goes. Each ends with its stream.
    tasks: JoinSet<()>,
}

/// A stream that a handler has opened: all of it but the half that goes into the answer.
#[derive(Debug)]
pub(crate) struct NewStream {
    /// How its records are written.
    pub(crate) codec: Codec,
    /// Its writing half.
    pub(crate) sender: StreamSender,
    /// Completes when its reader has gone.
    pub(crate) gone: Gone,
}

/// What goes to one operator.
#[derive(Debug)]
enum Item {
    /// The state that its stream begins with, rendered on a thread that may take its time.
    Subscribed(Arc<View>),
    /// A record in its frame.
    Framed(Bytes),
}

/// The stream is over; the core must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over;

impl Streams {
    /// Adds a framework's stream.
    pub(crate) fn add_framework(&mut self, stream: StreamId, new: NewStream, inputs: &mpsc::Sender<Input>) {
        self.watch(stream, new.gone, inputs);
        self.frameworks.insert(stream, (new.codec, new.sender));
    }

    /// Adds an operator's stream, which stays silent until [`Streams::subscribed`].
    pub(crate) fn add_operator(&mut self, stream: StreamId, new: NewStream, inputs: &mpsc::Sender<Input>) {
        self.watch(stream, new.gone, inputs);
        self.waiting.insert(stream, (new.codec, new.sender));
    }

    /// Reports when the reader of a stream has gone.
    fn watch(&mut self, stream: StreamId, gone: Gone, inputs: &mpsc::Sender<Input>) {
        while self.tasks.try_join_next().is_some() {}
        let inputs = inputs.clone();
        self.tasks.spawn(async move {
            gone.await;
            // If the core's task is gone there is nobody to tell.
            let _ = inputs.send(Input::Event(Event::StreamClosed(stream))).await;
        });
    }

    /// Notes an event for a framework. It leaves at the next [`Streams::flush`].
    pub(crate) fn scheduler_event(&mut self, stream: StreamId, event: &v1::scheduler::Event) {
        // An effect may name a stream that was cut off a moment ago.
        if let Some((codec, _)) = self.frameworks.get(&stream) {
            self.records.push((stream, http::frame(&encode(*codec, event))));
        }
    }

    /// Sends the events that were noted. Returns the streams that are over.
    pub(crate) fn flush(&mut self) -> Vec<StreamId> {
        let mut over = Vec::new();
        for (stream, record) in self.records.drain(..) {
            let Some((_, sender)) = self.frameworks.get(&stream) else { continue };
            if sender.try_send_framed(record).is_err() {
                self.frameworks.remove(&stream);
                over.push(stream);
            }
        }
        over
    }

    /// Begins an operator's stream with the state of `view` and adds it to the audience.
    pub(crate) fn subscribed(&mut self, stream: StreamId, view: Arc<View>) -> Result<(), Over> {
        let Some((codec, sender)) = self.waiting.remove(&stream) else { return Ok(()) };
        let (items, queue) = mpsc::channel(RECORDS_MAX);
        self.tasks.spawn(forward(queue, sender, codec));
        self.operators.insert(stream, (codec, items));
        self.tell(stream, Item::Subscribed(view))
    }

    /// Sends an event to one operator.
    pub(crate) fn operator_event(&mut self, stream: StreamId, event: &v1::master::Event) -> Result<(), Over> {
        let Some((codec, _)) = self.operators.get(&stream) else { return Ok(()) };
        let framed = http::frame(&encode(*codec, event));
        self.tell(stream, Item::Framed(framed))
    }

    /// Sends an event to all operators, encoded once per codec. Returns the streams that are over.
    pub(crate) fn publish(&mut self, event: &v1::master::Event) -> Vec<StreamId> {
        let mut framed: [Option<Bytes>; 2] = [None, None];
        let mut gone = Vec::new();
        for (stream, (codec, items)) in &self.operators {
            let slot = match codec {
                Codec::Json => &mut framed[0],
                Codec::Protobuf => &mut framed[1],
            };
            let record = slot.get_or_insert_with(|| http::frame(&encode(*codec, event)));
            if items.try_send(Item::Framed(record.clone())).is_err() {
                gone.push(*stream);
            }
        }
        gone.iter().for_each(|stream| drop(self.operators.remove(stream)));
        gone
    }

    /// Ends a stream after what is queued for it. The core has done so, or knows that it is gone.
    pub(crate) fn remove(&mut self, stream: StreamId) {
        if let Some((_, sender)) = self.frameworks.remove(&stream) {
            for (_, record) in self.records.extract_if(.., |(of, _)| *of == stream) {
                // A reader that is gone or too slow loses the stream anyway.
                let _ = sender.try_send_framed(record);
            }
        }
        self.waiting.remove(&stream);
        self.operators.remove(&stream);
    }

    fn tell(&mut self, stream: StreamId, item: Item) -> Result<(), Over> {
        let Some((_, items)) = self.operators.get(&stream) else { return Ok(()) };
        if items.try_send(item).is_ok() {
            return Ok(());
        }
        self.operators.remove(&stream);
        Err(Over)
    }
}

/// Carries one operator's items to its socket, in order. It ends when either side is gone.
async fn forward(mut items: mpsc::Receiver<Item>, sender: StreamSender, codec: Codec) {
    while let Some(item) = items.recv().await {
        let framed = match item {
            Item::Framed(framed) => framed,
            Item::Subscribed(view) => {
                let render = move || http::frame(&v1_state::subscribed(&view, codec));
                let Ok(framed) = tokio::task::spawn_blocking(render).await else { return };
                framed
            }
        };
        if sender.try_send_framed(framed).is_err() {
            return;
        }
    }
}

fn encode<T: Json>(codec: Codec, event: &T) -> Vec<u8> {
    match codec {
        Codec::Json => proto::json::to_vec(event, Names::V1),
        Codec::Protobuf => event.encode_to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use http::StreamBody;

    use super::*;

    fn open(codec: Codec) -> (NewStream, StreamBody) {
        let (sender, body, gone) = http::stream(RECORDS_MAX);
        (NewStream { codec, sender, gone }, body)
    }

    #[tokio::test]
    async fn a_framework_that_does_not_read_is_cut_off() {
        let (inputs, mut queue) = mpsc::channel(4);
        let mut streams = Streams::default();
        let stream = StreamId(1);
        let (new, body) = open(Codec::Json);
        streams.add_framework(stream, new, &inputs);
        let event = v1::scheduler::Event::default();
        for _ in 0..RECORDS_MAX {
            streams.scheduler_event(stream, &event);
        }
        assert_eq!(streams.flush(), Vec::new());
        streams.scheduler_event(stream, &event);
        streams.scheduler_event(stream, &event);
        assert_eq!(streams.flush(), vec![stream]);
        // It is known to be over, so that more events for it are nobody's business.
        streams.scheduler_event(stream, &event);
        assert_eq!(streams.flush(), Vec::new());
        drop(body);
        let told = queue.recv().await.unwrap();
        assert!(matches!(told, Input::Event(Event::StreamClosed(StreamId(1)))), "{told:?}");
    }

    #[tokio::test]
    async fn a_stream_ends_after_what_was_said_on_it() {
        let (inputs, _queue) = mpsc::channel(4);
        let mut streams = Streams::default();
        let mut bodies = Vec::new();
        for number in [1, 2] {
            let (new, body) = open(Codec::Json);
            streams.add_framework(StreamId(number), new, &inputs);
            streams.scheduler_event(StreamId(number), &v1::scheduler::Event::default());
            bodies.push(body);
        }
        streams.remove(StreamId(1));
        assert_eq!(bodies[0].next().await, Some(Bytes::from("2\n{}")));
        assert_eq!(bodies[0].next().await, None);
        assert_eq!(streams.flush(), Vec::new());
        assert_eq!(bodies[1].next().await, Some(Bytes::from("2\n{}")));
    }

    #[tokio::test]
    async fn an_operator_that_does_not_read_is_cut_off_and_others_go_on() {
        let (inputs, _queue) = mpsc::channel(4);
        let mut streams = Streams::default();
        let view =
            Arc::new(master_core::Master::new(master_core::Config::new(v1::MasterInfo::default())).view());
        let mut bodies = Vec::new();
        for (number, codec) in [(1, Codec::Json), (2, Codec::Protobuf)] {
            let (new, body) = open(codec);
            streams.add_operator(StreamId(number), new, &inputs);
            assert_eq!(streams.subscribed(StreamId(number), Arc::clone(&view)), Ok(()));
            bodies.push(body);
        }
        streams.remove(StreamId(2));
        let event = v1::master::Event::default();
        // Nothing yields to the forwarder, so that its queue takes what it holds and no more.
        for _ in 1..RECORDS_MAX {
            assert_eq!(streams.publish(&event), Vec::new());
        }
        assert_eq!(streams.publish(&event), vec![StreamId(1)]);
        assert_eq!(streams.publish(&event), Vec::new());
    }
}
