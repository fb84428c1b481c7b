//! The helper's input: the environment of the command, and the word to begin. Nothing else of the command's may be
//! secret, since everybody sees a command line.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;

use super::Stdin;

/// What ends the helper's input if the command may begin.
const GO: &[u8] = b"go";

/// Reads the environment, up to and with the word.
pub(super) fn read(stdin: Stdin) -> io::Result<Vec<(String, String)>> {
    // Without a buffer: what follows may be the command's.
    let mut file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut input = Vec::new();
    match stdin {
        Stdin::Nothing | Stdin::Terminal => file.read_to_end(&mut input).map(drop)?,
        Stdin::Rest(bytes) => {
            input.resize(bytes, 0);
            file.read_exact(&mut input)?;
        }
    }
    parse_environment(&input).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn parse_environment(input: &[u8]) -> Option<Vec<(String, String)>> {
    let body = input.strip_suffix(GO)?;
    let entries = body.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
        .map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect()
}

/// The helper's whole input: the environment and the word to begin. None where the environment cannot be one.
#[must_use]
pub fn input(environment: &[(String, String)]) -> Option<Vec<u8>> {
    padded_input(environment, 0)
}

/// The same, of at least that many bytes: where it had to be said how many come before all of them were known.
pub(crate) fn padded_input(environment: &[(String, String)], bytes: usize) -> Option<Vec<u8>> {
    let mut input = Vec::new();
    for (name, value) in environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return None;
        }
        input.extend_from_slice(format!("{name}={value}\0").as_bytes());
    }
    // What is empty is no variable.
    input.resize(input.len().max(bytes.saturating_sub(GO.len())), 0);
    input.extend_from_slice(GO);
    Some(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_survives_the_pipe() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let environment = vec![pair("A", "1=2\nx"), pair("B", "")];
        let bytes = input(&environment).unwrap();
        assert_eq!(parse_environment(&bytes).as_ref(), Some(&environment));
        let padded = padded_input(&environment, 100).unwrap();
        assert_eq!((padded.len(), parse_environment(&padded)), (100, Some(environment.clone())));
        assert_eq!(padded_input(&environment, 1).as_ref(), Some(&bytes));
        // A parent that died in the middle.
        assert_eq!(parse_environment(&bytes[..bytes.len() - 1]), None);
        assert_eq!(parse_environment(b""), None);
        for broken in [pair("", "x"), pair("A=B", "x"), pair("A", "x\0y")] {
            assert_eq!(input(&[broken]), None);
        }
    }
}
