//! Every decision of the agent, as one deterministic state machine.
