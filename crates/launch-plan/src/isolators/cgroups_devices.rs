//! `cgroups/devices`: a list of the devices that can be used.

use crate::facts::{Device, Facts, Settings};
use crate::plan::{Plan, Step};

/// What every container may use. COMPAT(mesos): the same entries, in the same order.
const USUAL: &[&str] = &[
    "c *:* m", // Make any device's node, which opens nothing.
    "b *:* m",
    "c 5:1 rwm",    // /dev/console
    "c 4:0 rwm",    // /dev/tty0
    "c 4:1 rwm",    // /dev/tty1
    "c 136:* rwm",  // /dev/pts/*
    "c 5:2 rwm",    // /dev/ptmx
    "c 10:200 rwm", // /dev/net/tun
    "c 1:3 rwm",    // /dev/null
    "c 1:5 rwm",    // /dev/zero
    "c 1:7 rwm",    // /dev/full
    "c 5:0 rwm",    // /dev/tty
    "c 1:9 rwm",    // /dev/urandom
    "c 1:8 rwm",    // /dev/random
];

pub(crate) fn prepare(settings: &Settings, facts: &Facts, path: &str, plan: &mut Plan) {
    if facts.unified.is_some() {
        let usual = USUAL.iter().map(|entry| Device((*entry).to_owned()));
        let allowed = usual.chain(settings.allowed_devices.iter().cloned()).collect();
        plan.steps.push(Step::LimitDevices { path: path.to_owned(), allowed });
        return;
    }
    let write = |file, value: &str| Step::Write { path: path.to_owned(), file, value: value.to_owned() };
    // ORDER: a new cgroup may use everything, and only a list that begins empty says what may be used.
    plan.steps.push(write("devices.deny", "a *:* rwm"));
    let allowed = settings.allowed_devices.iter().map(|device| device.0.as_str());
    plan.steps.extend(USUAL.iter().copied().chain(allowed).map(|entry| write("devices.allow", entry)));
}
