//! Every decision of the master, as one deterministic state machine.
