//! What the command may do: capabilities, new privileges, system calls.
//!
//! What is set here is about the exec that follows. A filter of system calls comes last of all, so that it need not let
//! through what the helper itself does; loading one takes `CAP_SYS_ADMIN` unless new privileges were given up. The exec
//! takes that from the command again: root's sets are then those of the bounding set, and another user's those that are
//! ambient.

use std::ffi::OsString;
use std::io;

use launch_plan::{Granted, Privileges};
use linux::{Held, SeccompInstruction};
use seccomp::Program;
use types::Capabilities;

use super::LaunchError;

/// The bit of `CAP_SYS_ADMIN`.
const SYS_ADMIN: u64 = 1 << 21;

/// A set that is not given, on the command line.
const NOT_GIVEN: &str = "-";

/// The options that say all this.
pub(super) fn to_command_line(privileges: &Privileges, line: &mut Vec<OsString>) {
    if let Some(Granted { effective, bounding }) = privileges.capabilities {
        let effective = effective.map_or_else(|| NOT_GIVEN.to_owned(), |set| set.bits().to_string());
        line.extend(["--capabilities", &effective, &bounding.bits().to_string()].map(OsString::from));
    }
    if privileges.no_new_privs {
        line.push("--no_new_privs".into());
    }
    if let Some(program) = &privileges.seccomp {
        line.extend(["--seccomp".into(), program.to_text().into()]);
    }
}

/// The value of `--capabilities`.
pub(super) fn capabilities(effective: &str, bounding: &str) -> Result<Granted, LaunchError> {
    let set = |text: &str| {
        let bits = text.parse().map_err(|_| LaunchError::Usage("a set of capabilities is none"))?;
        Ok(Capabilities::from_bits(bits))
    };
    let effective = if effective == NOT_GIVEN { None } else { Some(set(effective)?) };
    Ok(Granted { effective, bounding: set(bounding)? })
}

/// The value of `--seccomp`.
pub(super) fn program(text: &str) -> Result<Program, LaunchError> {
    Program::from_text(text).ok_or(LaunchError::Usage("a seccomp program is none"))
}

/// What has to be done as the agent's user, before that changes.
pub(super) fn prepare(privileges: &Privileges) -> Result<(), LaunchError> {
    if let Some(granted) = &privileges.capabilities {
        linux::bound(granted.bounding.bits()).map_err(|error| {
            LaunchError::Privileges("Failed to drop capabilities from the bounding set", error)
        })?;
    }
    if privileges.capabilities.is_some() || needs_admin(privileges) {
        linux::keep_permitted().map_err(|error| {
            LaunchError::Privileges("Failed to keep capabilities over a change of the user", error)
        })?;
    }
    Ok(())
}

/// Takes on what the command is to have. Only an exec may follow.
pub(super) fn take_on(privileges: &Privileges) -> Result<(), LaunchError> {
    let failed = |what: &'static str| move |error: io::Error| LaunchError::Privileges(what, error);
    if privileges.capabilities.is_some() || needs_admin(privileges) {
        let before = linux::held().map_err(failed("Failed to get capabilities for the current process"))?;
        let (held, ambient) = to_hold(privileges, before);
        linux::hold(held).map_err(failed("Failed to set process capabilities"))?;
        if let Some(ambient) = ambient {
            linux::keep_over_exec(ambient).map_err(failed("Failed to set ambient capabilities"))?;
        }
    }
    if privileges.no_new_privs {
        let given_up = rustix::thread::set_no_new_privs(true);
        given_up.map_err(|errno| failed("Failed to set NO_NEW_PRIVS")(errno.into()))?;
    }
    if let Some(program) = &privileges.seccomp {
        let mut instructions: Vec<SeccompInstruction> = program.0.iter().map(instruction).collect();
        linux::load_seccomp(&mut instructions).map_err(failed("Failed to load Seccomp filter"))?;
    }
    Ok(())
}

/// Whether the filter can only be loaded by who has `CAP_SYS_ADMIN`.
fn needs_admin(privileges: &Privileges) -> bool {
    privileges.seccomp.is_some() && !privileges.no_new_privs
}

/// The sets to be held at the exec, and the ambient one where that is another.
fn to_hold(privileges: &Privileges, before: Held) -> (Held, Option<u64>) {
    let mut held = before;
    let mut ambient = None;
    let loading = if needs_admin(privileges) { SYS_ADMIN & before.permitted } else { 0 };
    if let Some(Granted { effective, bounding }) = privileges.capabilities {
        // COMPAT(mesos): what is inheritable is what files can bring, so that none brings what the set has not.
        held.inheritable = bounding.bits() & before.permitted;
        if let Some(effective) = effective {
            held.effective = effective.bits();
            held.permitted = effective.bits() | loading;
            ambient = Some(effective.bits());
        }
    }
    held.effective |= loading;
    (held, ambient)
}

fn instruction(it: &seccomp::Instruction) -> SeccompInstruction {
    SeccompInstruction { code: it.code, jt: it.if_true, jf: it.if_false, k: it.operand }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        capabilities: Option<(Option<u64>, u64)>,
        filter: bool,
        nnp: bool,
        expected: (Held, Option<u64>),
    ) {
        let set = Capabilities::from_bits;
        let capabilities = capabilities
            .map(|(effective, bounding)| Granted { effective: effective.map(set), bounding: set(bounding) });
        let seccomp = filter.then(Program::default);
        let privileges = Privileges { capabilities, no_new_privs: nnp, seccomp };
        // A user who is not root, after the change.
        let before = Held { effective: 0, permitted: SYS_ADMIN | 0b111, inheritable: 0 };
        assert_eq!(to_hold(&privileges, before), expected);
    }

    #[test]
    fn a_filter_needs_one_capability_more_until_the_exec() {
        let held = |effective, permitted, inheritable| Held { effective, permitted, inheritable };
        let all = SYS_ADMIN | 0b111;
        check(None, true, false, (held(SYS_ADMIN, all, 0), None));
        check(None, true, true, (held(0, all, 0), None));
        check(Some((Some(0b1), 0b1011)), false, false, (held(0b1, 0b1, 0b11), Some(0b1)));
        let loading = held(SYS_ADMIN | 0b1, SYS_ADMIN | 0b1, 0b11);
        check(Some((Some(0b1), 0b1011)), true, false, (loading, Some(0b1)));
        check(Some((Some(0b1), 0b1011)), true, true, (held(0b1, 0b1, 0b11), Some(0b1)));
        check(Some((None, 0b10)), true, false, (held(SYS_ADMIN, all, 0b10), None));
        check(Some((Some(0), 0)), false, false, (held(0, 0, 0), Some(0)));
    }

    #[test]
    fn options_are_read_again() {
        assert!(capabilities("-", "3").is_ok_and(|granted| granted.effective.is_none()));
        assert!(capabilities("x", "3").is_err() && capabilities("1", "-").is_err());
        assert!(program("0").is_err());
    }
}
