//! Readers of the state: all of one tick share one view, and equal questions about it share one answer.
//!
//! The core's task only takes the view. Rendering happens on the readers' tasks, on threads that may block.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use master_core::View;
use tokio::sync::{OnceCell, oneshot};

/// A view and what has been rendered of it.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The state.
    pub(crate) view: View,
    // A lock and not a channel, because it is held for one look into a map and never across an await.
    rendered: Mutex<HashMap<String, Arc<OnceCell<Bytes>>>>,
    hits: Arc<AtomicU64>,
}

impl Snapshot {
    /// Wraps a view. `hits` counts the answers that were shared.
    pub(crate) fn new(view: View, hits: Arc<AtomicU64>) -> Self {
        Self { view, rendered: Mutex::default(), hits }
    }

    /// The answer to the question `key`, rendered by the first who asks it.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        key: String,
        render: impl FnOnce(&View) -> Vec<u8> + Send + 'static,
    ) -> Bytes {
        let cell = {
            let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
            match rendered.get(&key) {
                Some(cell) => {
                    self.hits.fetch_add(1, Ordering::Relaxed);
                    Arc::clone(cell)
                }
                None => Arc::clone(rendered.entry(key).or_default()),
            }
        };
        let snapshot = Arc::clone(self);
        let answer = cell.get_or_init(|| async move {
            let rendering = tokio::task::spawn_blocking(move || Bytes::from(render(&snapshot.view)));
            match rendering.await {
                Ok(bytes) => bytes,
                // The panic of a renderer is its reader's: the connection's task reports it and answers 500.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        });
        answer.await.clone()
    }
}

/// Someone who waits for a snapshot.
pub(crate) type Reader = oneshot::Sender<Arc<Snapshot>>;

#[cfg(test)]
mod tests {
    use master_core::{Config, Master};
    use proto::mesos::v1::MasterInfo;

    use super::*;

    #[tokio::test]
    async fn equal_questions_are_rendered_once() {
        let view = Master::new(Config::new(MasterInfo::default())).view();
        let hits = Arc::new(AtomicU64::new(0));
        let snapshot = Arc::new(Snapshot::new(view, Arc::clone(&hits)));
        let rendered = Arc::new(AtomicU64::new(0));
        let ask = |key: &str| {
            let rendered = Arc::clone(&rendered);
            snapshot.answer(key.to_owned(), move |_| {
                rendered.fetch_add(1, Ordering::Relaxed);
                b"answer".to_vec()
            })
        };
        let (one, two, other) = tokio::join!(ask("a"), ask("a"), ask("b"));
        assert!([one, two, other].iter().all(|answer| answer == "answer"));
        assert_eq!(rendered.load(Ordering::Relaxed), 2);
        assert_eq!(hits.load(Ordering::Relaxed), 1);
    }
}
