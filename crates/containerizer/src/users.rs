//! The users of this machine, from `/etc/passwd` and `/etc/group`.
//!
//! The static binary has no name service of the C library, so other sources of users are not asked; a user that only
//! they know can be given by number.

use std::io;
use std::path::Path;

use thiserror::Error;

/// A user with all of its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The user's id.
    pub uid: u32,
    /// The id of the main group.
    pub gid: u32,
    /// The ids of all groups, the main one included.
    pub groups: Vec<u32>,
}

/// Why a user is not known.
#[derive(Debug, Error)]
pub enum UserError {
    /// Nobody has that name.
    #[error("No such user '{0}'")]
    Unknown(String),
    /// The files cannot be read.
    #[error("Failed to read '{path}': {source}")]
    Unreadable {
        /// Which file.
        path: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Finds a user by name, or by number where no user has that name.
pub fn lookup(name: &str) -> Result<Account, UserError> {
    let passwd = read(PASSWD)?;
    let group = read(GROUP)?;
    find(name, &passwd, &group).ok_or_else(|| UserError::Unknown(name.to_owned()))
}

/// The name of the user that this process runs as, or its number where it has none.
pub fn current() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let passwd = read(PASSWD).unwrap_or_default();
    let named = entries(&passwd).find(|entry| entry.uid == uid).map(|entry| entry.name.to_owned());
    named.unwrap_or_else(|| uid.to_string())
}

fn read(path: &'static str) -> Result<String, UserError> {
    match std::fs::read(Path::new(path)) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        // A minimal image has neither file; numbers work there all the same.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(UserError::Unreadable { path, source }),
    }
}

struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

/// The lines of `passwd`; those that are malformed are skipped, as the C library does.
fn entries(passwd: &str) -> impl Iterator<Item = Entry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Entry { name, uid, gid })
    })
}

fn find(name: &str, passwd: &str, group: &str) -> Option<Account> {
    let by_name = entries(passwd).find(|entry| entry.name == name);
    let number = name.parse::<u32>().ok();
    let entry = by_name.or_else(|| entries(passwd).find(|entry| Some(entry.uid) == number));
    let Some(entry) = entry else {
        return number.map(|uid| Account { name: name.to_owned(), uid, gid: uid, groups: vec![uid] });
    };
    let mut groups = vec![entry.gid];
    for line in group.lines() {
        let mut fields = line.split(':').skip(2);
        let (Some(gid), Some(members)) = (fields.next(), fields.next()) else { continue };
        let Ok(gid) = gid.parse() else { continue };
        if members.split(',').any(|member| member == entry.name) && !groups.contains(&gid) {
            groups.push(gid);
        }
    }
    Some(Account { name: entry.name.to_owned(), uid: entry.uid, gid: entry.gid, groups })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\nann:x:1000:100:Ann:/home/ann:/bin/sh\n";
    const GROUP: &str = "users:x:100:\naudio:x:29:bob,ann\nnone:x:30:\nusers2:x:100:ann\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let ann = Account { name: "ann".to_owned(), uid: 1000, gid: 100, groups: vec![100, 29] };
        assert_eq!(find("ann", PASSWD, GROUP), Some(ann.clone()));
        assert_eq!(find("1000", PASSWD, GROUP), Some(ann));
        assert_eq!(find("nobody", PASSWD, GROUP), None);
        let numbered = find("4711", PASSWD, GROUP).unwrap();
        assert_eq!((numbered.uid, numbered.gid), (4711, 4711));
        assert_eq!(find("broken", PASSWD, GROUP), None);
    }
}
