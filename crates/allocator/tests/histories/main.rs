//! Histories of small clusters: scripts with golden answers, and random ones. Both
//! are held against a naive rule.

mod oracle;
mod scripts;
mod world;
