//! What the executor of a command task with an image does for its command: it enters the root itself, for which it needs
//! what the command may not have.

use std::ffi::OsString;

use launch_plan::{Granted, Process};
use proto::json::{Names, to_string};
use types::Capabilities;

/// The groups of the command's volumes, in an argument. COMPAT(mesos): its name.
pub(crate) fn groups(groups: &[u32]) -> OsString {
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    format!("--task_supplementary_groups={}", groups.join(",")).into()
}

/// Takes from the executor's first process what its command shall do, and says it in arguments. COMPAT(mesos): their
/// names.
pub(crate) fn to_arguments(process: &mut Process) -> Vec<OsString> {
    if process.root.as_ref().is_none_or(|root| !root.is_for_another) {
        return Vec::new();
    }
    let Some(Granted { effective, bounding }) = process.privileges.capabilities.take() else {
        return Vec::new();
    };
    let argument = |name: &str, set: Capabilities| {
        OsString::from(format!("--{name}={}", to_string(&set.to_proto(), Names::V0)))
    };
    let effective = effective.map(|effective| argument("effective_capabilities", effective));
    std::iter::once(argument("bounding_capabilities", bounding)).chain(effective).collect()
}

#[cfg(test)]
mod tests {
    use launch_plan::{Privileges, Root};

    use super::*;

    #[test]
    fn an_executor_outside_of_the_root_keeps_its_capabilities() {
        let set = Capabilities::from_bits;
        let granted = Granted { effective: Some(set(1)), bounding: set(0b10_0001) };
        let privileges = Privileges { capabilities: Some(granted), no_new_privs: true, seccomp: None };
        let own = Process { privileges, ..Process::default() };
        assert_eq!(to_arguments(&mut own.clone()), Vec::<OsString>::new());
        let root = Some(Root { is_for_another: true, ..Root::default() });
        let mut for_another = Process { root, ..own };
        assert_eq!(
            to_arguments(&mut for_another),
            [
                r#"--bounding_capabilities={"capabilities":["CHOWN","KILL"]}"#,
                r#"--effective_capabilities={"capabilities":["CHOWN"]}"#,
            ]
        );
        assert_eq!(for_another.privileges.capabilities, None);
        assert!(for_another.privileges.no_new_privs);
    }
}
