//! What a framework's or executor's client decides: subscribe, heartbeat, resubscribe, acknowledge, reconcile.
