//! Sessions of new processes.
#![expect(unsafe_code, reason = "what a child does between fork and exec has no safe form")]

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The program that `command` starts leads a session of its own.
pub fn in_session_of_its_own(command: &mut Command) {
    // SAFETY: `setsid` is a system call; nothing is allocated, no lock is taken.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_leads_its_session() {
        let mut command = Command::new("/bin/sh");
        // Fields 1 and 6 of `stat`: the process, and its session.
        command.args(["-c", "read -r pid rest < /proc/$$/stat; set -- $rest; echo $pid $5"]);
        in_session_of_its_own(&mut command);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (pid, session) = text.trim().split_once(' ').unwrap();
        assert_eq!(pid, session, "{text}");
    }
}
