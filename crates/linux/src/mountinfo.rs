//! `/proc/<pid>/mountinfo`, read. Pure: any text is parsed, and what is no line of it is skipped.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What of the file system is mounted.
    pub root: PathBuf,
    /// Where.
    pub target: PathBuf,
    /// The file system's type, such as `cgroup`.
    pub kind: String,
    /// Whether mounts below it are passed on to others of its group.
    pub shared: bool,
    /// The options of the file system, such as the controllers of a cgroup hierarchy.
    pub super_options: Vec<String>,
}

/// All mounts of the text, in its order: a later one at the same place hides an earlier one.
#[must_use]
pub fn parse_mountinfo(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

// `36 35 98:0 /root /target rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = path(fields.nth(3)?);
    let target = path(fields.next()?);
    // Any number of optional fields ends with a lone dash.
    let mut shared = false;
    fields.find(|field| {
        shared |= field.starts_with(b"shared:");
        *field == b"-"
    })?;
    let kind = String::from_utf8_lossy(fields.next()?).into_owned();
    let options = String::from_utf8_lossy(fields.nth(1)?).into_owned();
    let super_options = options.split(',').map(str::to_owned).collect();
    Some(Mount { root, target, kind, shared, super_options })
}

/// Undoes the octal escapes of space, tab, newline and backslash.
fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        match (byte, escaped(tail)) {
            (b'\\', Some(value)) => {
                bytes.push(value);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn escaped(tail: &[u8]) -> Option<u8> {
    let digits = tail.get(..3)?;
    let octal = digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
    let value = digits.iter().fold(0_u16, |sum, digit| sum * 8 + u16::from(digit.wrapping_sub(b'0')));
    octal.then(|| u8::try_from(value).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read() {
        let text = b"32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
            36 35 98:0 /mnt1 /mnt\\0402\\134x rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n\
            broken\n1 2 3 4 5 6 7 8 9\n";
        let mounts = parse_mountinfo(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].target, PathBuf::from("/sys/fs/cgroup/cpu"));
        assert_eq!(
            (mounts[0].kind.as_str(), &mounts[0].super_options[..]),
            ("cgroup", &["rw".into(), "cpu".into()][..])
        );
        assert_eq!(mounts[1].target, PathBuf::from("/mnt 2\\x"));
        assert_eq!(mounts[1].root, PathBuf::from("/mnt1"));
        assert_eq!((mounts[0].shared, mounts[1].shared), (false, true));
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(path(b"/a\\"), PathBuf::from("/a\\"));
        assert_eq!(path(b"/a\\04"), PathBuf::from("/a\\04"));
        assert_eq!(path(b"/a\\999b\\777"), PathBuf::from("/a\\999b\\777"));
    }
}
