//! The table of the master's routes.

use std::sync::Arc;

use http::{Method, Query, Request, Response, Route, Router};
use master_core::{OperatorCall, View};
use proto::json::Writer;
use types::FrameworkId;

use crate::documents::{agents, constraints, frameworks, roles, state, summary, tasks};
use crate::operator::forms;
use crate::shell::Shell;
use crate::{explain, leadership, maintenance, operator, registrar, scheduler, weights};

/// Everything that this master answers to.
pub(crate) fn table(shell: &Arc<Shell>) -> Router {
    let gate = leadership::gate(shell.leadership.clone());
    let document = |path: &str, print: Print| {
        let shell = Arc::clone(shell);
        let get = move |request: Request| show(Arc::clone(&shell), print, request);
        Route::get(&format!("master/{path}"), get).gated(&gate)
    };
    let common = shell.common().routes().into_iter();
    common
        .fold(Router::new("master"), Router::route)
        .route(Route::post("master/api/v1", with(shell, operator::handle)).gated(&gate))
        .route(
            Route::post("master/api/v1/scheduler", with(shell, scheduler::handle)).gated(&gate).overlapping(),
        )
        .route(document("state", Print::State))
        .route(document("state-summary", Print::Summary))
        .route(document("slaves", Print::Agents))
        .route(document("frameworks", Print::Frameworks))
        .route(document("tasks", Print::Tasks))
        .route(document("roles", Print::Roles))
        .route(Route::get("master/explain", with(shell, explain::handle)).gated(&gate))
        .route(
            Route::new(&[Method::GET, Method::PUT], "master/weights", with(shell, weights::handle))
                .gated(&gate),
        )
        .route(
            Route::new(
                &[Method::GET, Method::POST, Method::DELETE],
                "master/quota",
                with(shell, operator::quota::handle),
            )
            .gated(&gate),
        )
        .route(
            Route::new(
                &[Method::GET, Method::POST],
                "master/maintenance/schedule",
                with(shell, maintenance::schedule),
            )
            .gated(&gate),
        )
        .route(Route::get("master/maintenance/status", with(shell, maintenance::status)).gated(&gate))
        .route(Route::post("master/create-volumes", with(shell, forms::create_volumes)).gated(&gate))
        .route(Route::post("master/destroy-volumes", with(shell, forms::destroy_volumes)).gated(&gate))
        .route(Route::post("master/reserve", with(shell, forms::reserve)).gated(&gate))
        .route(Route::post("master/unreserve", with(shell, forms::unreserve)).gated(&gate))
        .route(Route::post("master/machine/down", with(shell, maintenance::down)).gated(&gate))
        .route(Route::post("master/machine/up", with(shell, maintenance::up)).gated(&gate))
        .route(Route::post("master/teardown", with(shell, teardown)).gated(&gate))
        .route(Route::new(&[], "master/redirect", with(shell, redirect)))
        .route(Route::get("registrar(1)/registry", with(shell, registrar::registry)))
        // The process of Mesos's first allocator; as there, each master answers for its own.
        .route(Route::get("hierarchical-allocator(1)/offer_constraints_debug", with(shell, excluded)))
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

/// The documents that are printed from a view.
#[derive(Clone, Copy, Debug)]
enum Print {
    State,
    Summary,
    Agents,
    Frameworks,
    Tasks,
    Roles,
}

impl Print {
    fn print(self, shell: &Shell, view: &View, query: &Query) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Self::State => state::document(&mut w, view, &shell.identity),
            Self::Summary => summary::document(&mut w, view, &shell.identity),
            Self::Agents => agents::document(&mut w, view, query),
            Self::Frameworks => frameworks::document(&mut w, view, query),
            Self::Tasks => tasks::document(&mut w, view, query),
            Self::Roles => roles::document(&mut w, view),
        }
        w.into_bytes()
    }
}

async fn show(shell: Arc<Shell>, print: Print, request: Request) -> Response {
    let snapshot = match shell.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(refusal) => return refusal,
    };
    let jsonp = request.query.get("jsonp").map(str::to_owned);
    let key = format!("{print:?} {}", request.raw_query.as_deref().unwrap_or_default());
    let query = request.query;
    let body = snapshot.answer(key, move |view| print.print(&shell, view, &query)).await;
    Response::ok_jsonp(body, jsonp.as_deref())
}

async fn excluded(shell: Arc<Shell>, _: Request) -> Response {
    let snapshot = match shell.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(refusal) => return refusal,
    };
    let print = |view: &View| {
        let mut w = Writer::new();
        constraints::document(&mut w, view);
        w.into_bytes()
    };
    Response::ok_jsonp(snapshot.answer("excluded".to_owned(), print).await, None)
}

async fn teardown(shell: Arc<Shell>, request: Request) -> Response {
    let form = Query::parse(&String::from_utf8_lossy(&request.body));
    match form.get("frameworkId") {
        Some(id) => operator::operate(&shell, OperatorCall::Teardown(FrameworkId::from(id))).await,
        None => Response::bad_request("Missing 'frameworkId' query parameter in the request body"),
    }
}

async fn redirect(shell: Arc<Shell>, request: Request) -> Response {
    let leadership = shell.leadership.borrow().clone();
    leadership.redirect(&request.path, &request.target())
}
