//! The machine boots and says how a script ended.

use std::time::Duration;

use vm::{Guest, Packages};

#[test]
fn a_machine_has_cgroups_of_version_2_and_says_how_its_script_ended() {
    let guest = Guest::new(Packages::of_this_checkout().unwrap()).unwrap();
    let script = "grep -c cgroup2 /proc/mounts; [ -e /sys/fs/cgroup/cgroup.controllers ] && sh -c 'exit 7'";
    let outcome = guest.run(script, Duration::from_secs(120)).unwrap();
    assert_eq!(outcome.status, 7);
    assert!(outcome.output.contains("controllers: cpuset cpu io memory"), "{}", outcome.output);
}
