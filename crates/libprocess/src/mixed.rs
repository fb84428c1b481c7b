//! Messages that come by way of the HTTP server: on a connection that carried HTTP before.

use std::sync::Arc;

use http::{Body, Handler, Request, Response};

use crate::decoder::Received;
use crate::head::{is_message, receiver, sender};
use crate::inbox::{Delivery, Inbox};

/// A handler that takes messages out and leaves the other requests to `inner`.
#[derive(Debug)]
pub struct Mixed<H> {
    inbox: Arc<Inbox>,
    inner: H,
}

impl<H: Handler> Mixed<H> {
    /// Puts the inbox before `inner`.
    pub fn new(inbox: Arc<Inbox>, inner: H) -> Self {
        Self { inbox, inner }
    }

    async fn message(&self, request: Request<Body>) -> Response {
        let Some((to, name)) = receiver(&request.path) else {
            return Response::bad_request("Request URL path must start with '/'");
        };
        let from = sender(request.header("User-Agent"), request.header("Libprocess-From"));
        let from = from.and_then(|from| from.parse().ok());
        let name = name.to_owned();
        let peer = request.peer;
        let body = match request.body.collect().await {
            Ok(body) => body,
            Err(error) => return Response::bad_request(error.to_string()),
        };
        match self.inbox.deliver(Received { to, from, name, body, keeps_alive: true }, peer).await {
            Delivery::Accepted => Response::accepted(),
            Delivery::NoSuchProcess => Response::not_found(),
            Delivery::Refused(reason) => Response::bad_request(reason),
        }
    }
}

impl<H: Handler> Handler for Mixed<H> {
    async fn handle(&self, request: Request<Body>) -> Response {
        let (agent, from) = (request.header("User-Agent"), request.header("Libprocess-From"));
        if is_message(request.method.as_str(), agent, from) {
            self.message(request).await
        } else {
            self.inner.handle(request).await
        }
    }

    fn overlaps(&self, path: &str) -> bool {
        self.inner.overlaps(path)
    }
}
