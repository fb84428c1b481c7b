//! The core's thread: takes what happens one by one, and has its effects carried out in order.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use daemon::clock::Clock;
use driver_core::{Lifecycle, Status};
use machine::Machine;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// The status of a driver, which calls from any thread ask for.
///
/// Locked because a call must be answered at once, while the core's thread may be in a callback; held only to look.
#[derive(Debug, Default)]
pub(crate) struct Life {
    lifecycle: Mutex<Lifecycle>,
    released: Condvar,
}

impl Life {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Lifecycle> {
        // Nothing that can panic runs under the lock.
        self.lifecycle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those go who have joined.
    pub(crate) fn release(&self) {
        self.lock().release();
        self.released.notify_all();
    }

    /// It could not start.
    pub(crate) fn fail(&self) {
        self.lock().fail();
        self.released.notify_all();
    }

    /// Waits until the driver has ended.
    pub(crate) fn join(&self) -> Status {
        let mut lifecycle = self.lock();
        loop {
            if let Some(status) = lifecycle.joined() {
                return status;
            }
            lifecycle = self.released.wait(lifecycle).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What happened next.
enum Next<E> {
    Event(E),
    Timeout,
    /// Nobody has the driver any more.
    Gone,
}

/// Runs a core until `carry` says that it is over, or nobody can call it any more.
///
/// Calls come first: what a callback has decided is done before the next one is made.
pub(crate) fn run<M: Machine>(
    mut core: M,
    runtime: &Handle,
    mut calls: mpsc::UnboundedReceiver<M::Event>,
    mut inputs: mpsc::Receiver<M::Event>,
    mut carry: impl FnMut(M::Effect),
    is_last: impl Fn(&M::Event) -> bool,
) {
    let clock = Clock::start();
    let mut fx = Vec::new();
    loop {
        let now = clock.now();
        let deadline = core.poll_timeout();
        let next = if deadline.is_some_and(|at| at <= now.mono) {
            Next::Timeout
        } else {
            runtime.block_on(async {
                let sleep = async {
                    match deadline {
                        Some(at) => tokio::time::sleep_until(clock.deadline(at)).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    call = calls.recv() => call.map_or(Next::Gone, Next::Event),
                    Some(input) = inputs.recv() => Next::Event(input),
                    () = sleep => Next::Timeout,
                }
            })
        };
        let mut over = false;
        match next {
            Next::Event(event) => {
                over = is_last(&event);
                core.handle_event(clock.now(), event, &mut fx);
            }
            Next::Timeout => core.handle_timeout(clock.now(), &mut fx),
            Next::Gone => return,
        }
        fx.drain(..).for_each(&mut carry);
        if over {
            return;
        }
    }
}
