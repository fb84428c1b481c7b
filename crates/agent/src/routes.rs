//! The table of the agent's routes.

use std::sync::Arc;

use agent_core::View;
use daemon::Common;
use http::{Body, Method, Request, Response, Route, Router};
use proto::json::Writer;

use crate::documents::{containers, state};
use crate::shell::Shell;
use crate::{executor_api, operator};

/// Everything that this agent answers to.
pub(crate) fn table(shell: &Arc<Shell>, common: &Common) -> Router {
    let api = common.clone();
    // Its requests may be streams.
    let operator = {
        let shell = Arc::clone(shell);
        move |request: Request<Body>| operator::handle(Arc::clone(&shell), api.clone(), request)
    };
    let mut router = Router::new(&common.process);
    for route in common.routes() {
        router = router.route(route);
    }
    router
        .route(Route::streaming(&[Method::POST], "slave(1)/api/v1", operator))
        .route(Route::post("slave(1)/api/v1/executor", with(shell, executor_api::handle)))
        .route(Route::get("slave(1)/state", with(shell, show_state)))
        .route(Route::get("slave(1)/containers", with(shell, show_containers)))
        .route(Route::get("slave(1)/monitor/statistics", with(shell, show_statistics)))
        .route(Route::get("slave(1)/containerizer/debug", with(shell, show_launching)))
        // The name of the days when the monitor was a process of its own.
        .route(Route::get("monitor/statistics", with(shell, show_statistics)))
}

/// Gives a handler its shell.
fn with<F, A>(shell: &Arc<Shell>, serve: F) -> impl Fn(Request) -> A + Clone + Send + Sync + 'static
where
    F: Fn(Arc<Shell>, Request) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response> + Send + 'static,
{
    let shell = Arc::clone(shell);
    move |request| serve(Arc::clone(&shell), request)
}

async fn show_state(shell: Arc<Shell>, request: Request) -> Response {
    let view = match operator::recovered(&shell).await {
        Ok(view) => view,
        Err(refusal) => return refusal,
    };
    print(request, move |w| state::document(w, &view, &shell.identity)).await
}

async fn show_containers(shell: Arc<Shell>, request: Request) -> Response {
    look(shell, request, containers::document).await
}

async fn show_statistics(shell: Arc<Shell>, request: Request) -> Response {
    look(shell, request, containers::statistics).await
}

async fn show_launching(shell: Arc<Shell>, request: Request) -> Response {
    let launching = shell.containerizer.launching();
    print(request, move |w| containers::launching(w, &launching)).await
}

async fn look(
    shell: Arc<Shell>,
    request: Request,
    document: fn(&mut Writer, &[containers::Container<'_>]),
) -> Response {
    let selection = match containers::Selection::parse(&request.query) {
        Ok(selection) => selection,
        Err(refusal) => return refusal,
    };
    let view: Arc<View> = match shell.view().await {
        Ok(view) => view,
        Err(refusal) => return refusal,
    };
    let containerizer = shell.containerizer.clone();
    print(request, move |w| document(w, &containers::look(&view, &containerizer, &selection))).await
}

/// Prints a document on a thread that may take its time.
async fn print(request: Request, document: impl FnOnce(&mut Writer) + Send + 'static) -> Response {
    let body = operator::rendered(move || {
        let mut w = Writer::new();
        document(&mut w);
        w.into_bytes()
    });
    Response::ok_jsonp(body.await, request.query.get("jsonp"))
}
