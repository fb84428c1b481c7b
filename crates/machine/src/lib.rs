//! Time as data, timers, seeded chance: the ground under every deterministic core.
