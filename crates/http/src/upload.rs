//! A request whose body goes on coming: records into a container, for instance.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::client::{Answer, Call, ClientError, ClientLimits, head, read_body};
use crate::connection::tune;

/// What a channel yields, as a body; it ends with the channel.
struct Pieces(mpsc::Receiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(ready!(self.0.poll_recv(cx)).map(|piece| Ok(Frame::data(piece))))
    }
}

/// Sends a request to the server at `address`, `host:port`, whose body are these pieces instead of the call's own. The
/// answer may take as long as the pieces do.
pub async fn upload(
    address: &str,
    call: &Call,
    pieces: mpsc::Receiver<Bytes>,
    limits: &ClientLimits,
) -> Result<Answer, ClientError> {
    let failed = |source| ClientError::Connect { address: address.to_owned(), source };
    let stream = timeout(limits.connect, TcpStream::connect(address)).await;
    let stream = stream.map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
    tune(&stream);
    let broken = |source| ClientError::Broken { address: address.to_owned(), source };
    let shaking = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await;
    let (mut requests, connection) = shaking.map_err(broken)?;
    let answering = async {
        let response = requests.send_request(head(address, call, Pieces(pieces))?).await.map_err(broken)?;
        let (parts, mut body) = response.into_parts();
        let body = read_body(&mut body, limits, address).await?;
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    };
    tokio::pin!(answering);
    let driving = async {
        // A failure shows in the request.
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = &mut answering => answer,
        () = driving => unreachable!("it never ends"),
    }
}
