//! Messages between processes as HTTP posts, with links: the protocol in which masters and agents of Apache Mesos speak.
//!
//! This crate owns what a message looks like on the wire, receiving it on the port that HTTP shares, and sending it over
//! one kept connection for each remote address. It knows no message's meaning.
//!
//! ```text
//! socket -> Receiver (http::FirstLook) -> Decoder -> Inbox -> the process's queue
//! Transport::send -> the peer's queue -> the peer's task -> socket        Exited <- the peer's task
//! ```

mod decoder;
mod encode;
mod head;
mod inbox;
mod mixed;
mod peer;
mod receiver;
mod transport;

pub use decoder::{Broken, Decoder, DecoderLimits, Received, Step};
pub use encode::encode_message;
pub use head::Head;
pub use inbox::{Delivery, Inbox, Message, Put, Queue, Reading};
pub use mixed::Mixed;
pub use receiver::{Receiver, ReceiverLimits};
pub use transport::{Exited, Transport, TransportLimits};
