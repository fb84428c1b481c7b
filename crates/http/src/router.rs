//! One table from paths to handlers, looked up the way libprocess does it.
//!
//! A path's first part names a process (`master`, `slave(1)`, `files`). If it names none, the delegate's name is put in
//! front. The rest is shortened from its end until a handler is known: clients POST `/api/v1/operator` and mean `/api/v1`.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_types::{Method, StatusCode};

use crate::request::{Body, BodyError, Request, percent_decode};
use crate::response::Response;
use crate::server::Handler;

type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;
type Serve = Box<dyn Fn(Request<Body>) -> Answering + Send + Sync>;

/// Looks at a request before its method is checked and its body read. An answer ends it: a redirect to the leader, say.
pub type Gate = Arc<dyn Fn(&Request<()>) -> Option<Response> + Send + Sync>;

/// One entry of the table.
pub struct Route {
    process: String,
    name: String,
    methods: Vec<Method>,
    gate: Option<Gate>,
    overlaps: bool,
    serve: Serve,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} /{}/{}", self.methods, self.process, self.name)
    }
}

impl Route {
    /// A handler of whole requests at `path`, whose first part is the process: `master/api/v1`. A method that is not
    /// listed gets 405; an empty list allows all.
    pub fn new<F, A>(methods: &[Method], path: &str, serve: F) -> Self
    where
        F: Fn(Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        Self::streaming(methods, path, move |request| {
            let serve = serve.clone();
            async move {
                match whole(request).await {
                    Ok(request) => serve(request).await,
                    Err(refusal) => refusal,
                }
            }
        })
    }

    /// A handler that reads the request's body itself.
    pub fn streaming<F, A>(methods: &[Method], path: &str, serve: F) -> Self
    where
        F: Fn(Request<Body>) -> A + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let (process, name) = path.trim_matches('/').split_once('/').unwrap_or((path.trim_matches('/'), ""));
        Self {
            process: process.to_owned(),
            name: name.to_owned(),
            methods: methods.to_vec(),
            gate: None,
            overlaps: false,
            serve: Box::new(move |request| Box::pin(serve(request))),
        }
    }

    /// A handler of GET.
    pub fn get<F, A>(path: &str, serve: F) -> Self
    where
        F: Fn(Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        Self::new(&[Method::GET], path, serve)
    }

    /// A handler of POST.
    pub fn post<F, A>(path: &str, serve: F) -> Self
    where
        F: Fn(Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        Self::new(&[Method::POST], path, serve)
    }

    /// Lets requests that a client sends in a row be under way together. For handlers that hand over what they do when they
    /// are first polled, so that it is done in the order of the requests.
    pub fn overlapping(mut self) -> Self {
        self.overlaps = true;
        self
    }

    /// Puts a gate before the handler.
    pub fn gated(mut self, gate: &Gate) -> Self {
        self.gate = Some(Arc::clone(gate));
        self
    }
}

/// Reads the body, or says with which answer that failed.
pub async fn whole(request: Request<Body>) -> Result<Request, Response> {
    let (body, request) = request.with_body(());
    let body: Bytes = body.collect().await.map_err(|error| refuse_body(&error))?;
    Ok(request.with_body(body).1)
}

/// The answer to a body that cannot be read.
fn refuse_body(error: &BodyError) -> Response {
    let status = match error {
        BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Stalled => StatusCode::REQUEST_TIMEOUT,
        BodyError::Broken(_) => StatusCode::BAD_REQUEST,
    };
    Response::text(status, error.to_string())
}

/// The table of a daemon's routes.
#[derive(Debug)]
pub struct Router {
    delegate: String,
    processes: BTreeMap<String, BTreeMap<String, Route>>,
}

impl Router {
    /// An empty table. Paths whose first part names no process belong to `delegate`.
    pub fn new(delegate: &str) -> Self {
        let delegate = delegate.to_owned();
        Self { processes: BTreeMap::from([(delegate.clone(), BTreeMap::new())]), delegate }
    }

    /// Adds a route. A later one replaces an earlier one of the same path.
    pub fn route(mut self, route: Route) -> Self {
        self.processes.entry(route.process.clone()).or_default().insert(route.name.clone(), route);
        self
    }

    /// Finds the route of `path`, the path with its process's name, and what follows the route's own path.
    fn find(&self, path: &str) -> (String, Option<(&Route, String)>) {
        let first = path.split('/').find(|part| !part.is_empty()).unwrap_or("");
        let named = percent_decode(first).and_then(|first| self.processes.get_key_value(&first));
        let full = match named {
            Some(_) => path.to_owned(),
            // COMPAT(mesos): the root is the delegate itself, without a slash after it.
            None if first.is_empty() => format!("/{}", self.delegate),
            None => format!("/{}{path}", self.delegate),
        };
        let routes = named.map(|(_, routes)| routes).or_else(|| self.processes.get(&self.delegate));
        let rest = full.trim_matches('/').split_once('/').map_or("", |(_, rest)| rest).trim_matches('/');
        let found = routes.and_then(|routes| lookup(routes, rest));
        (full, found)
    }
}

/// The route of the longest known beginning of `name`.
fn lookup<'a>(routes: &'a BTreeMap<String, Route>, name: &str) -> Option<(&'a Route, String)> {
    if let Some(route) = routes.get(name) {
        return Some((route, String::new()));
    }
    // The aliases that Mesos dropped in 1.8 and old tools still ask for: `/state.json`, `/files/read.json`.
    if let Some(route) = name.strip_suffix(".json").and_then(|name| routes.get(name)) {
        return Some((route, String::new()));
    }
    let mut known = name;
    while let Some((shorter, _)) = known.rsplit_once('/') {
        known = shorter.trim_end_matches('/');
        if let Some(route) = routes.get(known) {
            return Some((route, name[known.len()..].trim_matches('/').to_owned()));
        }
    }
    None
}

impl Router {
    /// The route of a request and the request with its path completed, or the refusal.
    fn admit(&self, mut request: Request<()>) -> Result<(&Route, Request<()>), Response> {
        // COMPAT(mesos): also "/..." is refused as a path that climbs.
        if request.path.contains("/..") {
            return Err(Response::not_found());
        }
        let (path, found) = self.find(&request.path);
        let (route, tail) = found.ok_or_else(Response::not_found)?;
        request.path = path;
        request.tail = tail;
        if let Some(answer) = route.gate.as_ref().and_then(|gate| gate(&request)) {
            return Err(answer);
        }
        if !route.methods.is_empty() && !route.methods.contains(&request.method) {
            return Err(Response::method_not_allowed(&route.methods, &request.method));
        }
        Ok((route, request))
    }
}

impl Handler for Router {
    async fn handle(&self, request: Request<Body>) -> Response {
        let (body, bare) = request.with_body(());
        match self.admit(bare) {
            Ok((route, bare)) => (route.serve)(bare.with_body(body).1).await,
            Err(refusal) => refusal,
        }
    }

    fn overlaps(&self, path: &str) -> bool {
        self.find(path).1.is_some_and(|(route, _)| route.overlaps)
    }
}

#[cfg(test)]
mod tests {
    use http_types::HeaderMap;

    use super::*;
    use crate::request::Query;

    fn table() -> Router {
        let ok = |_: Request| async { Response::ok() };
        Router::new("master")
            .route(Route::get("master/", ok))
            .route(Route::get("master/state", ok))
            .route(Route::post("master/api/v1", ok))
            .route(Route::post("master/api/v1/scheduler", ok))
            .route(Route::new(&[Method::GET, Method::DELETE], "master/quota", ok))
            .route(Route::get("files/read", ok))
            .route(Route::get("slave(1)/state", ok))
            .route(Route::get("version", ok))
    }

    #[test]
    fn finds_as_libprocess_does() {
        let table = table();
        for (path, full, route, tail) in [
            ("/", "/master", "master/", ""),
            ("/state", "/master/state", "master/state", ""),
            ("/state/", "/master/state/", "master/state", ""),
            ("/master/state", "/master/state", "master/state", ""),
            ("/state.json", "/master/state.json", "master/state", ""),
            ("/api/v1", "/master/api/v1", "master/api/v1", ""),
            ("/api/v1/operator", "/master/api/v1/operator", "master/api/v1", "operator"),
            (
                "/api/v1/scheduler/api/v1/scheduler",
                "/master/api/v1/scheduler/api/v1/scheduler",
                "master/api/v1/scheduler",
                "api/v1/scheduler",
            ),
            ("/quota/eng/web", "/master/quota/eng/web", "master/quota", "eng/web"),
            ("/files/read", "/files/read", "files/read", ""),
            ("/files/read.json", "/files/read.json", "files/read", ""),
            ("/slave(1)/state", "/slave(1)/state", "slave(1)/state", ""),
            ("/slave%281%29/state", "/slave%281%29/state", "slave(1)/state", ""),
            ("/version", "/version", "version/", ""),
        ] {
            let (found_full, found) = table.find(path);
            let (found_route, found_tail) = found.unwrap_or_else(|| panic!("{path} is unknown"));
            assert_eq!(found_full, full, "{path}");
            assert_eq!(format!("{}/{}", found_route.process, found_route.name), route, "{path}");
            assert_eq!(found_tail, tail, "{path}");
        }
    }

    #[test]
    fn unknown_paths() {
        for path in
            ["/nosuch", "/master/nosuch/x", "/api", "/files", "/version/x", "/files/nosuch", "/nosuch.json"]
        {
            assert!(table().find(path).1.is_none(), "{path}");
        }
    }

    #[test]
    fn refusals() {
        let table = table().route(
            Route::get("master/gated", |_| async { Response::ok() })
                .gated(&(Arc::new(|_: &Request<()>| Some(Response::redirect("//leader:5050/x"))) as Gate)),
        );
        let status = |method: Method, path: &str| {
            let request = Request {
                method,
                path: path.to_owned(),
                tail: String::new(),
                raw_query: None,
                query: Query::default(),
                headers: HeaderMap::new(),
                peer: "127.0.0.1:1".parse().unwrap(),
                body: (),
            };
            table.admit(request).err().map(|refusal| refusal.status.as_u16())
        };
        assert_eq!(status(Method::GET, "/state"), None);
        assert_eq!(status(Method::POST, "/state"), Some(405));
        assert_eq!(status(Method::GET, "/api/v1"), Some(405));
        assert_eq!(status(Method::GET, "/api/v1/operator"), Some(405));
        assert_eq!(status(Method::GET, "/nosuch"), Some(404));
        assert_eq!(status(Method::GET, "/state/../state"), Some(404));
        assert_eq!(status(Method::POST, "/gated"), Some(307));
    }
}
