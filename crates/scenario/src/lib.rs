//! Scripted input and golden effects for the cores' tests.
