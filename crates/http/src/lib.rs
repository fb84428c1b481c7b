//! HTTP as Mesos speaks it: serving, routing, content negotiation, RecordIO streams, and a small client.
//!
//! This crate owns what goes over a plain HTTP/1 socket. It knows no master and no agent: their routes and decisions come
//! from above, and the message protocol of libprocess plugs in through [`FirstLook`].
//!
//! ```text
//! TcpListener -> Server -> (FirstLook) -> Lane -> hyper -> Handler (usually a Router) -> Response
//! ```

mod call;
mod client;
mod compress;
mod connection;
mod head;
mod lane;
mod link;
mod negotiate;
mod request;
mod response;
mod router;
mod server;
mod stream;
mod upload;

pub use call::{answer, decode_agent_call, decode_call, decode_event, encode, read_call};
pub use client::{Answer, Call, Client, ClientError, ClientLimits, Events};
pub use connection::{FirstLook, Fresh, tune};
pub use http_types::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
pub use link::{Api, Link, Report};
pub use negotiate::{
    Acceptable, Codec, StreamMedia, accept, accepts, agent_media, content_codec, encoding_accepted,
};
/// A record in its frame: make it once, send it to many with [`StreamSender::try_send_framed`].
pub use proto::recordio::record as frame;
pub use request::{Body, BodyError, Query, Request, percent_decode};
pub use response::{Payload, Response};
pub use router::{Gate, Route, Router, whole};
pub use server::{Handler, Limits, Server, listen};
pub use stream::{Cut, Gone, Refused, StreamBody, StreamSender, stream};
pub use upload::upload;
