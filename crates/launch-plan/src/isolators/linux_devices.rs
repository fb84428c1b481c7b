//! `linux/devices`: nodes of the devices that `--allowed_devices` lists, in containers with roots of their own.

use crate::facts::Settings;
use crate::plan::Plan;

pub(crate) fn prepare(settings: &Settings, plan: &mut Plan) {
    // Who shares the machine's files has its devices too.
    if let Some(root) = &mut plan.process.root {
        root.devices.clone_from(&settings.security.devices);
    }
}
