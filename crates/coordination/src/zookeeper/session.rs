//! Sessions with ZooKeeper: how one begins, and when it is over for those who hold it.

use std::sync::LazyLock;
use std::time::Duration;

use zookeeper_client::{
    Acl, Acls, AuthId, Client, CreateMode, Error, Permission, SessionState, StateWatcher,
};

use crate::Url;

/// Rights with a user: all may read and only it may change, as Mesos has it.
static EVERYONE_READ_CREATOR_ALL: LazyLock<[Acl; 2]> = LazyLock::new(|| {
    [Acl::new(Permission::READ, AuthId::anyone()), Acl::new(Permission::ALL, AuthId::authed())]
});

/// How long to wait before the same is tried again.
pub(crate) const RETRY: Duration = Duration::from_millis(500);

/// What the servers grant at least, by default: twice their tick.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// Begins a session, as soon as there is a server that takes it. The servers' names are looked up again for each try.
pub(crate) async fn connect(url: &Url, timeout: Duration) -> Client {
    loop {
        match try_connect(url, timeout).await {
            Ok(client) => {
                tracing::info!(
                    %url, session = %client.session_id(), timeout = ?client.session_timeout(),
                    "connected to ZooKeeper"
                );
                return client;
            }
            Err(error) => tracing::warn!(%url, %error, "cannot connect to ZooKeeper; trying again"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// One try, which takes as long as a session may be silent at most.
pub(crate) async fn try_connect(url: &Url, timeout: Duration) -> Result<Client, Error> {
    let mut connector = Client::connector().with_session_timeout(timeout.max(TIMEOUT_MIN));
    if let Some(credentials) = &url.credentials {
        connector = connector.with_auth("digest", credentials.as_bytes());
    }
    // The client gives up by itself, but a name server may keep it.
    match tokio::time::timeout(timeout.max(TIMEOUT_MIN) * 2, connector.connect(&url.servers)).await {
        Ok(connected) => connected,
        Err(_) => Err(Error::Timeout),
    }
}

/// The rights on what we make. Without a user anyone may do anything.
pub(crate) fn rights(url: &Url) -> Acls<'static> {
    match url.credentials {
        Some(_) => Acls::new(&*EVERYONE_READ_CREATOR_ALL),
        None => Acls::anyone_all(),
    }
}

/// Makes a directory, with those above it, where it is missing.
pub(crate) async fn make_directory(client: &Client, url: &Url, path: &str) -> Result<(), Error> {
    // ORDER: one that is there already may be in a directory where we may make nothing.
    if client.check_stat(path).await?.is_some() {
        return Ok(());
    }
    client.mkdir(path, &CreateMode::Persistent.with_acls(rights(url))).await
}

/// Waits until the session is over, or its servers were out of reach for as long as they keep a silent session: then it
/// may be over, and nobody would tell.
pub(crate) async fn over(client: &Client) -> Error {
    let mut state = client.state_watcher();
    let patience = client.session_timeout();
    loop {
        let changed = match client.state() {
            SessionState::SyncConnected | SessionState::ConnectedReadOnly => state.changed().await,
            SessionState::Disconnected => {
                tracing::info!("lost the connection to ZooKeeper, attempting to reconnect");
                match tokio::time::timeout(patience, reconnected(&mut state)).await {
                    Ok(state) => state,
                    Err(_) => return Error::Timeout,
                }
            }
            SessionState::AuthFailed | SessionState::Expired | SessionState::Closed => client.state(),
        };
        if changed.is_terminated() {
            return match changed {
                SessionState::AuthFailed => Error::AuthFailed,
                SessionState::Closed => Error::ClientClosed,
                SessionState::Expired
                | SessionState::Disconnected
                | SessionState::SyncConnected
                | SessionState::ConnectedReadOnly => Error::SessionExpired,
            };
        }
    }
}

async fn reconnected(state: &mut StateWatcher) -> SessionState {
    loop {
        let changed = state.changed().await;
        if changed != SessionState::Disconnected {
            return changed;
        }
    }
}

/// Whether an error says that the same may work in a moment. What became of a request that failed so is not known.
pub(crate) fn is_passing(error: &Error) -> bool {
    matches!(
        error,
        Error::ConnectionLoss
            | Error::Timeout
            | Error::Throttled
            | Error::SessionMoved
            | Error::NotReadOnly
            // What the system says of a connection that broke.
            | Error::Custom(_)
    )
}
