//! At-least-once delivery of task status updates.
