//! The virtual file system: real files and directories under the names that clients know them by.
//!
//! **Invariant:** nothing outside an attached file or directory is ever read. A path is made canonical, compared with
//! what is attached, and then opened one name at a time without following links, so that a task that changes its
//! sandbox meanwhile gains nothing.

use http::{Query, Request, Response, Route, StatusCode, header};
use proto::json::Writer;
use proto::mesos::v1::{FileInfo, TimeInfo};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// The most bytes that one read returns: 16 pages of 4 KiB.
const READ_BYTES_MAX: u64 = 16 * 4096;
/// How much of a download waits in memory.
const DOWNLOAD_CHUNKS_MAX: usize = 4;
const DOWNLOAD_CHUNK_BYTES: u64 = 256 * 1024;

/// What is attached. Clones are the same file system.
#[derive(Clone, Debug, Default)]
pub struct Files {
    // Attached to by the daemon, looked at by requests.
    attached: Arc<RwLock<BTreeMap<String, PathBuf>>>,
}

/// Why a path could not be browsed or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilesError {
    /// The request is wrong.
    Invalid(String),
    /// There is nothing of that name.
    NotFound,
    /// The file could not be read.
    Unknown(String),
}

impl From<FilesError> for Response {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::Invalid(message) => Self::bad_request(message),
            // COMPAT(mesos): an empty text that has its type all the same.
            FilesError::NotFound => Self::text(StatusCode::NOT_FOUND, ""),
            FilesError::Unknown(message) => Self::text(StatusCode::INTERNAL_SERVER_ERROR, message),
        }
    }
}

impl Files {
    /// A file system without anything in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows the real file or directory under `virtual_path`, in place of what was there.
    pub fn attach(&self, real: &Path, virtual_path: &str) -> io::Result<()> {
        let real = real.canonicalize()?;
        let mut attached = self.attached.write().unwrap_or_else(PoisonError::into_inner);
        attached.insert(trim(virtual_path).to_owned(), real);
        Ok(())
    }

    /// Shows nothing under `virtual_path` any more.
    pub fn detach(&self, virtual_path: &str) {
        self.attached.write().unwrap_or_else(PoisonError::into_inner).remove(trim(virtual_path));
    }

    /// What is attached, and where.
    pub fn attached(&self) -> BTreeMap<String, PathBuf> {
        self.attached.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The entries of a directory (LIST_FILES, `/files/browse`), by name; none for a file.
    pub async fn browse(&self, path: &str) -> Result<Vec<FileInfo>, FilesError> {
        let (files, path) = (self.clone(), path.to_owned());
        blocking(move || files.browse_now(&path)).await
    }

    /// The size of a file, and up to `length` of its bytes from `offset` (READ_FILE, `/files/read`). No more than 64
    /// KiB come at once; without a length, as many.
    pub async fn read(
        &self,
        path: &str,
        offset: u64,
        length: Option<u64>,
    ) -> Result<(u64, Vec<u8>), FilesError> {
        let (files, path) = (self.clone(), path.to_owned());
        blocking(move || files.read_now(&path, offset, length)).await
    }

    /// The routes under `/files`.
    pub fn routes(&self) -> Vec<Route> {
        let (browse, read, download, debug) = (self.clone(), self.clone(), self.clone(), self.clone());
        vec![
            Route::get("files/browse", move |request| {
                let files = browse.clone();
                async move { files.answer_browse(&request).await.unwrap_or_else(|refusal| refusal) }
            }),
            Route::get("files/read", move |request| {
                let files = read.clone();
                async move { files.answer_read(&request).await.unwrap_or_else(|refusal| refusal) }
            }),
            Route::get("files/download", move |request| {
                let files = download.clone();
                async move { files.answer_download(&request).await.unwrap_or_else(|refusal| refusal) }
            }),
            Route::get("files/debug", move |request| {
                let files = debug.clone();
                async move { files.answer_debug(&request) }
            }),
        ]
    }

    async fn answer_browse(&self, request: &Request) -> Result<Response, Response> {
        let entries = self.browse(path(&request.query)?).await?;
        let mut w = Writer::new();
        w.array(|w| entries.iter().for_each(|entry| write_entry(w, entry)));
        Ok(Response::ok_jsonp(w.into_bytes(), request.query.get("jsonp")))
    }

    async fn answer_read(&self, request: &Request) -> Result<Response, Response> {
        let path = path(&request.query)?;
        let offset = number(&request.query, "offset")?.unwrap_or(-1);
        // COMPAT(mesos): a length of -1 is none, and an offset of -1 asks for the size only (the pailer of the web UI).
        let length = number(&request.query, "length")?.and_then(|length| u64::try_from(length).ok());
        let (from, length) = match u64::try_from(offset) {
            Ok(offset) => (offset, length),
            Err(_) => (0, Some(0)),
        };
        let (size, data) = self.read(path, from, length).await?;
        let mut w = Writer::new();
        w.object(|w| {
            w.field_str("data", &text(data));
            w.field_u64("offset", if offset < 0 { size } else { from });
        });
        Ok(Response::ok_jsonp(w.into_bytes(), request.query.get("jsonp")))
    }

    async fn answer_download(&self, request: &Request) -> Result<Response, Response> {
        let path = path(&request.query)?.to_owned();
        let files = self.clone();
        let (mut file, real) = blocking(move || files.open(&path, "Cannot download a directory.\n"))
            .await
            // COMPAT(mesos): unlike the other files endpoints, with words.
            .map_err(
                |error| if error == FilesError::NotFound { Response::not_found() } else { error.into() },
            )?;
        let (sender, body, _) = http::stream(DOWNLOAD_CHUNKS_MAX);
        // The task ends with the file or with its reader, whichever is first: a send to nobody fails.
        tokio::spawn(async move {
            loop {
                let read = tokio::task::spawn_blocking(move || {
                    let mut chunk = Vec::new();
                    let count = file.by_ref().take(DOWNLOAD_CHUNK_BYTES).read_to_end(&mut chunk);
                    count.map(|_| (chunk, file))
                });
                match read.await {
                    Ok(Ok((chunk, _))) if chunk.is_empty() => return,
                    Ok(Ok((chunk, rest))) => {
                        if sender.send_raw(chunk.into()).await.is_err() {
                            return;
                        }
                        file = rest;
                    }
                    // The reader must not take half a file for a whole one.
                    Ok(Err(_)) | Err(_) => return sender.cut(),
                }
            }
        });
        let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let response = Response::stream(media_type(&real), body);
        Ok(response.header(header::CONTENT_DISPOSITION, &format!("attachment; filename={name}")))
    }

    fn answer_debug(&self, request: &Request) -> Response {
        let mut w = Writer::new();
        w.object(|w| {
            for (name, real) in self.attached() {
                w.field_str(&name, &real.to_string_lossy());
            }
        });
        Response::ok_jsonp(w.into_bytes(), request.query.get("jsonp"))
    }

    fn browse_now(&self, path: &str) -> Result<Vec<FileInfo>, FilesError> {
        let (root, real) = self.resolve(path)?;
        // COMPAT(mesos): what is no directory (or cannot be listed) has no entries.
        let Ok(entries) = std::fs::read_dir(&real) else { return Ok(Vec::new()) };
        let mut names: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
        names.sort();
        let (users, groups) = (Ids::read("/etc/passwd"), Ids::read("/etc/group"));
        let info = |name: std::ffi::OsString| {
            let entry = real.join(&name);
            // A link is shown as what it points to, as in Mesos, but only while that is inside.
            let inside = entry.canonicalize().is_ok_and(|target| target.starts_with(&root));
            let found = if inside { entry.metadata() } else { entry.symlink_metadata() };
            let shown = format!("{}/{}", path.trim_end_matches('/'), name.to_string_lossy());
            Some(file_info(shown, &found.ok()?, &users, &groups))
        };
        Ok(names.into_iter().filter_map(info).collect())
    }

    fn read_now(&self, path: &str, offset: u64, length: Option<u64>) -> Result<(u64, Vec<u8>), FilesError> {
        let (mut file, real) = self.open(path, "Cannot read a directory.\n")?;
        let failed = |what: &str, error: io::Error| {
            FilesError::Unknown(format!("Failed to {what} file at '{}': {error}.\n", real.display()))
        };
        let size = file.seek(SeekFrom::End(0)).map_err(|error| failed("open", error))?;
        let length = length.unwrap_or(u64::MAX).min(READ_BYTES_MAX);
        if offset >= size || length == 0 {
            return Ok((size, Vec::new()));
        }
        file.seek(SeekFrom::Start(offset)).map_err(|error| failed("seek", error))?;
        let mut data = Vec::new();
        file.take(length).read_to_end(&mut data).map_err(|error| failed("read", error))?;
        Ok((size, data))
    }

    /// Opens a plain file.
    fn open(&self, path: &str, directory: &str) -> Result<(File, PathBuf), FilesError> {
        let (root, real) = self.resolve(path)?;
        if real.is_dir() {
            return Err(FilesError::Invalid(directory.to_owned()));
        }
        match open_inside(&root, &real) {
            Ok(file) if file.metadata().is_ok_and(|found| found.is_file()) => Ok((file, real)),
            Ok(_) => Err(FilesError::Invalid(format!("'{}' is inaccessible.\n", real.display()))),
            Err(error) => {
                Err(FilesError::Unknown(format!("Failed to open file at '{}': {error}.\n", real.display())))
            }
        }
    }

    /// What is attached above `path`, and the real path: that of the longest attached beginning, and the rest below.
    fn resolve(&self, path: &str) -> Result<(PathBuf, PathBuf), FilesError> {
        let attached = self.attached.read().unwrap_or_else(PoisonError::into_inner);
        let mut prefix = trim(path);
        let (root, rest) = loop {
            if let Some(root) = attached.get(prefix) {
                break (root.clone(), trim(path)[prefix.len()..].trim_start_matches('/').to_owned());
            }
            prefix = prefix.rsplit_once('/').map(|(above, _)| above).ok_or(FilesError::NotFound)?;
        };
        drop(attached);
        if !root.is_dir() {
            // A name below a file is no bad request but nothing there.
            return if rest.is_empty() { Ok((root.clone(), root)) } else { Err(FilesError::NotFound) };
        }
        let wanted = if rest.is_empty() { root.clone() } else { root.join(&rest) };
        let real = match wanted.canonicalize() {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FilesError::NotFound),
            Err(error) => {
                let wanted = wanted.display();
                return Err(FilesError::Invalid(format!(
                    "Failed to determine canonical path of '{wanted}': {error}.\n"
                )));
            }
        };
        // COMPAT(mesos): compared name by name, where C++ compares characters and lets '/a/bc' pass for '/a/b'.
        if !real.starts_with(&root) {
            return Err(FilesError::Invalid(format!("'{}' is inaccessible.\n", wanted.display())));
        }
        Ok((root, real))
    }
}

/// File work off the tasks that answer requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FilesError> + Send + 'static,
) -> Result<T, FilesError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(FilesError::Unknown(format!("{error}.\n"))))
}

/// Opens `real`, which is `root` or below it, without following any link below `root`.
fn open_inside(root: &Path, real: &Path) -> io::Result<File> {
    let plain = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let below = real.strip_prefix(root).map_err(io::Error::other)?;
    let Some(name) = below.file_name() else {
        return Ok(rustix::fs::open(real, plain, Mode::empty())?.into());
    };
    let directory = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = rustix::fs::open(root, directory, Mode::empty())?;
    for name in below.parent().into_iter().flat_map(Path::iter) {
        at = rustix::fs::openat(&at, name, directory | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(rustix::fs::openat(&at, name, plain, Mode::empty())?.into())
}

fn trim(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

fn path(query: &Query) -> Result<&str, Response> {
    match query.get("path") {
        Some(path) if !path.is_empty() => Ok(path),
        Some(_) | None => Err(Response::bad_request("Expecting 'path=value' in query.\n")),
    }
}

/// A number of the query from -1 up.
fn number(query: &Query, name: &str) -> Result<Option<i64>, Response> {
    let Some(text) = query.get(name) else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(number) if number < -1 => {
            Err(Response::bad_request(format!("Negative {name} provided: {number}.\n")))
        }
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(Response::bad_request(format!(
            "Failed to parse {name}: Failed to convert '{text}' to number.\n"
        ))),
    }
}

/// Bytes of a file as text. A character that the end cuts apart is left for the next read, whose offset its reader
/// finds by the length of what it got.
fn text(data: Vec<u8>) -> String {
    match String::from_utf8(data) {
        Ok(text) => text,
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let cut_at_end = error.utf8_error().error_len().is_none() && valid > 0;
            let bytes = error.into_bytes();
            let shown = if cut_at_end { &bytes[..valid] } else { &bytes };
            String::from_utf8_lossy(shown).into_owned()
        }
    }
}

fn file_info(path: String, found: &Metadata, users: &Ids, groups: &Ids) -> FileInfo {
    FileInfo {
        path,
        nlink: i32::try_from(found.nlink()).ok(),
        size: Some(found.size()),
        mtime: Some(TimeInfo { nanoseconds: found.mtime().saturating_mul(1_000_000_000) }),
        mode: Some(found.mode()),
        uid: Some(users.name(found.uid())),
        gid: Some(groups.name(found.gid())),
    }
}

fn write_entry(w: &mut Writer, entry: &FileInfo) {
    w.object(|w| {
        w.field_str("gid", entry.gid());
        w.field_str("mode", &mode_text(entry.mode()));
        #[expect(clippy::cast_precision_loss, reason = "whole seconds far below 2^53")]
        let mtime_secs = entry.mtime.as_ref().map_or(0, |time| time.nanoseconds) as f64 / 1e9;
        w.field_f64("mtime", mtime_secs);
        w.field_i64("nlink", i64::from(entry.nlink()));
        w.field_str("path", &entry.path);
        w.field_u64("size", entry.size());
        w.field_str("uid", entry.uid());
    });
}

/// A mode as `ls -l` shows it.
fn mode_text(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o020_000 => 'c',
        0o060_000 => 'b',
        0o010_000 => 'p',
        0o120_000 => 'l',
        0o140_000 => 's',
        _ => '-',
    };
    let bits = "rwxrwxrwx".chars().enumerate();
    let bits = bits.map(|(at, letter)| if mode & (0o400 >> at) == 0 { '-' } else { letter });
    std::iter::once(kind).chain(bits).collect()
}

/// Names of users or groups by their ids.
struct Ids(BTreeMap<u32, String>);

impl Ids {
    fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let ids = text.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, id) = (fields.next()?, fields.nth(1)?);
            Some((id.parse().ok()?, name.to_owned()))
        });
        Self(ids.collect())
    }

    fn name(&self, id: u32) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }
}

/// The media type that a file's name tells.
fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("txt" | "log" | "c" | "h" | "cc" | "cpp" | "py") => "text/plain",
        Some("html" | "htm") => "text/html",
        Some("css") => "text/css",
        Some("js") => "application/javascript",
        Some("json") => "application/json",
        Some("xml") => "text/xml",
        Some("csv") => "text/csv",
        Some("gif") => "image/gif",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("svg") => "image/svg+xml",
        Some("pdf") => "application/pdf",
        Some("gz" | "tgz") => "application/x-gzip",
        Some("tar") => "application/x-tar",
        Some("zip") => "application/zip",
        Some(_) | None => "application/octet-stream",
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
