//! All tests of this file's program once more, on a machine whose cgroups are of version 2.

use std::path::Path;
use std::time::Duration;

use vm::{Guest, Packages};

/// An emulated processor is slow, and slower where the real one has much else to do; else it is over in a minute.
const PATIENCE: Duration = Duration::from_secs(600);

#[test]
fn the_same_holds_on_a_machine_with_cgroups_of_version_2() {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        eprintln!("SKIPPED: this machine works with version 2 itself, and has shown the same already");
        return;
    }
    let mut guest = Guest::new(Packages::of_this_checkout().unwrap()).unwrap();
    guest.program(&std::env::current_exe().unwrap(), Path::new("/bin/under-test")).unwrap();
    let helper = Path::new(env!("CARGO_BIN_EXE_mesos-containerizer"));
    guest.program(helper, helper).unwrap();
    let with_xfs = guest.xfs().unwrap();
    let outcome = guest.run(&format!("{with_xfs}/bin/under-test root_ --test-threads=2"), PATIENCE).unwrap();
    assert_eq!(outcome.status, 0);
    // None of them was skipped.
    let passed = outcome.output.lines().filter(|line| line.ends_with(" ... ok")).count();
    assert!(passed >= 18, "{passed} passed");
    assert!(!outcome.output.contains("SKIPPED") && !outcome.output.contains("no XFS"));
}
