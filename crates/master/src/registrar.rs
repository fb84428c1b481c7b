//! `/registrar(1)/registry`: what this master remembers, as Mesos shows it.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use proto::json::{self, Names};
use proto::mesos::internal::registry;
use tokio::sync::oneshot;

use crate::leadership::Leadership;
use crate::reactor::Input;
use crate::shell::Shell;

/// How long the registry may be busy writing before whoever asks is told to come again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The registry as JSON.
pub(crate) async fn registry(shell: Arc<Shell>, request: Request) -> Response {
    let jsonp = request.query.get("jsonp").map(str::to_owned);
    let leadership = shell.leadership.borrow().clone();
    let Leadership::Here { master, recovered: true } = leadership else {
        // COMPAT(mesos): each master answers for its own, which is empty until it has read one.
        return Response::ok_jsonp(b"{}".to_vec(), jsonp.as_deref());
    };
    let (answer, registry) = oneshot::channel();
    let asked = shell.inputs.send(Input::Registry(answer)).await;
    let shown = tokio::time::timeout(PATIENCE, registry).await;
    match (asked, shown) {
        (Ok(()), Ok(Ok(mut registry))) => {
            registry.master = Some(registry::Master { info: (*master).clone() });
            Response::ok_jsonp(json::to_vec(&registry, Names::V0), jsonp.as_deref())
        }
        (_, _) => Response::unavailable("The registry is busy"),
    }
}
