//! The helper's input: the environment of the command, and the word to begin. Nothing else of the command's may be
//! secret, since everybody sees a command line.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;

use super::Stdin;

/// What ends the helper's input if the command may begin.
const GO: &[u8] = b"go";

/// What the helper is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The command's environment.
    pub(super) environment: Vec<(String, String)>,
    /// What is in files with secrets, in the order of those.
    pub(super) secrets: Vec<Vec<u8>>,
}

/// Reads all, up to and with the word.
pub(super) fn read(stdin: Stdin) -> io::Result<Told> {
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
    parse(&input).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn parse(input: &[u8]) -> Option<Told> {
    let body = input.strip_suffix(GO)?;
    let mut told = Told::default();
    for entry in body.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        let (name, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
        match name {
            // No variable is called so.
            "" => told.secrets.push(from_hex(value)?),
            _ => told.environment.push((name.to_owned(), value.to_owned())),
        }
    }
    Some(told)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

/// The helper's whole input: the environment, and the word to begin. None where the environment cannot be one.
#[must_use]
pub fn input(environment: &[(String, String)]) -> Option<Vec<u8>> {
    padded_input(environment, &[], 0)
}

/// The same with what is in files with secrets, and of at least that many bytes: where it had to be said how many come
/// before all of them were known.
pub(crate) fn padded_input(
    environment: &[(String, String)],
    secrets: &[&[u8]],
    bytes: usize,
) -> Option<Vec<u8>> {
    let mut input = Vec::new();
    for (name, value) in environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return None;
        }
        input.extend_from_slice(format!("{name}={value}\0").as_bytes());
    }
    for secret in secrets {
        input.push(b'=');
        secret.iter().for_each(|byte| input.extend_from_slice(format!("{byte:02x}").as_bytes()));
        input.push(0);
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
        let secrets: [&[u8]; 3] = [b"\x00\xff=go", b"", b"x"];
        let bytes = padded_input(&environment, &secrets, 0).unwrap();
        let told = Told { environment: environment.clone(), secrets: secrets.map(<[u8]>::to_vec).to_vec() };
        assert_eq!(parse(&bytes).as_ref(), Some(&told));
        let padded = padded_input(&environment, &secrets, 100).unwrap();
        assert_eq!((padded.len(), parse(&padded)), (100, Some(told)));
        assert_eq!(padded_input(&environment, &secrets, 1).as_ref(), Some(&bytes));
        assert_eq!(input(&environment), padded_input(&environment, &[], 0));
        assert_eq!(parse(b"=f\0go"), None);
        assert_eq!(parse(b"=fx\0go"), None);
        // A parent that died in the middle.
        assert_eq!(parse(&bytes[..bytes.len() - 1]), None);
        assert_eq!(parse(b""), None);
        for broken in [pair("", "x"), pair("A=B", "x"), pair("A", "x\0y")] {
            assert_eq!(input(&[broken]), None);
        }
    }
}
