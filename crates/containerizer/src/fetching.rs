//! The fetcher on a thread that may block, given up when the container is to be destroyed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fetcher::{FetchRequest, Fetcher, User};
use proto::mesos::v1::command_info::Uri;

use crate::users::Account;

/// Everything that the thread needs, owned.
pub struct Fetching {
    /// The container, as the log names it.
    pub container: String,
    /// What to fetch.
    pub uris: Vec<Uri>,
    /// Where to.
    pub sandbox: PathBuf,
    /// Whose files they shall be; none for the agent's own user.
    pub user: Option<Account>,
}

/// Tells the fetcher to stop when it is dropped, which is how an abandoned wait ends the work too.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Fetches everything. Dropping the future cancels the work within a moment.
pub async fn fetch(fetcher: Arc<Fetcher>, work: Fetching) -> Result<(), String> {
    if work.uris.is_empty() {
        return Ok(());
    }
    let cancel = CancelOnDrop(Arc::new(AtomicBool::new(false)));
    let cancelled = Arc::clone(&cancel.0);
    let fetching = tokio::task::spawn_blocking(move || {
        let user = work.user.map(|account| User {
            name: account.name,
            uid: account.uid,
            gid: account.gid,
            groups: account.groups,
        });
        let request = FetchRequest {
            container_id: &work.container,
            uris: &work.uris,
            sandbox: &work.sandbox,
            user: user.as_ref(),
        };
        fetcher.fetch(&request, &cancelled).map_err(|error| error.to_string())
    });
    let result = fetching.await;
    drop(cancel);
    result.unwrap_or_else(|_| Err("the fetcher's thread failed".to_owned()))
}
