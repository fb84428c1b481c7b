//! Newtype ids, process addresses and id rules.
