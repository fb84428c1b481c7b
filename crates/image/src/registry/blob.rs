//! The download of a blob into a file: checked while it comes, and gone on with where it broke off.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::sync::atomic::AtomicBool;

use fetcher::{Bounds, pump};
use ureq::http::header::CONTENT_RANGE;

use crate::digest::{Digest, Hash};
use crate::registry::retry::{Failure, Retries};

/// What comes from a registry for a request.
pub(crate) type Answer = ureq::http::Response<ureq::Body>;

/// Downloads a blob with the digest; says how many bytes it has. `get` asks for it from an offset on.
pub(crate) fn download(
    digest: Digest,
    size: Option<u64>,
    bytes_max: u64,
    file: &File,
    mut retries: Retries<'_>,
    get: &dyn Fn(u64) -> Result<Answer, Failure>,
) -> Result<u64, String> {
    let bytes_max = size.unwrap_or(bytes_max).min(bytes_max);
    let mut tee = Tee { file, hash: Hash::new(), count: 0, is_broken: false };
    loop {
        let before = tee.count;
        match part(&mut tee, bytes_max, retries.cancel, get) {
            // Nothing more came although more was said: broken off.
            Ok(()) if size.is_some_and(|size| tee.count < size) => {
                let failure = Failure::Passing(format!(
                    "the registry sent {} of the {} bytes",
                    tee.count,
                    size.unwrap_or_default()
                ));
                retries.after(failure, tee.count > before)?;
            }
            Ok(()) => break,
            Err(failure) => retries.after(failure, tee.count > before)?,
        }
    }
    let (is, count) = (tee.hash.finish(), tee.count);
    if is == digest { Ok(count) } else { Err(format!("The blob '{digest}' has the digest {is}")) }
}

/// Downloads what is missing, as far as it comes.
fn part(
    tee: &mut Tee<'_>,
    bytes_max: u64,
    cancel: &AtomicBool,
    get: &dyn Fn(u64) -> Result<Answer, Failure>,
) -> Result<(), Failure> {
    let answer = get(tee.count)?;
    let range = answer.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let goes_on = range.is_some_and(|range| range.starts_with(&format!("bytes {}-", tee.count)));
    if tee.count > 0 && !(answer.status().as_u16() == 206 && goes_on) {
        tee.restart().map_err(|error| Failure::Final(format!("Failed to write a blob: {error}")))?;
    }
    let bounds = Bounds { cancel, bytes_max: bytes_max.saturating_sub(tee.count) };
    match pump(answer.into_body().into_reader(), &mut *tee, bounds) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(Failure::Final(format!(
            "The registry sends more than the {bytes_max} bytes that a blob should have"
        ))),
        Err(error) if tee.is_broken => Err(Failure::Final(format!("Failed to write a blob: {error}"))),
        Err(error) => Err(Failure::of_body(&error)),
    }
}

/// Writes into a file, hashes and counts.
struct Tee<'a> {
    file: &'a File,
    hash: Hash,
    count: u64,
    /// Whether writing failed, which no registry can help.
    is_broken: bool,
}

impl Tee<'_> {
    /// Forgets what came.
    fn restart(&mut self) -> io::Result<()> {
        rustix::fs::ftruncate(self.file.as_fd(), 0)?;
        self.file.seek(SeekFrom::Start(0))?;
        (self.hash, self.count) = (Hash::new(), 0);
        Ok(())
    }
}

impl Write for &mut Tee<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes).inspect_err(|_| self.is_broken = true)?;
        self.hash.update(&bytes[..count]);
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
