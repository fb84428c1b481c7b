//! Histories of small clusters: scripts with golden answers, and random ones. Both
//! are held against a naive rule.

mod asks;
mod kept;
mod missing;
mod oracle;
mod quota_rule;
mod scripts;
mod short;
mod storms;
mod world;
