//! Plans in words, for logs and golden files.

use std::fmt;

use crate::ids::UserNamespace;
use crate::plan::{Mount, Plan, Process, Rlimit, Step, Undo};
use crate::root::{
    Bind, DeviceNode, FITTINGS, Fitting, Layered, Layers, Root, SHARED_MEMORY, SecretFile, Special,
};
use crate::security::{Granted, Privileges};

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateCgroup { path } => write!(f, "create cgroup {path}"),
            Self::Own { path, uid } => write!(f, "give {path} to user {uid}"),
            Self::Inherit { path, file, .. } => write!(f, "inherit {path}/{file}"),
            Self::Delegate { path, controllers, .. } => {
                let names: Vec<&str> = controllers.iter().copied().collect();
                write!(f, "delegate {path} ({})", names.join(" "))
            }
            Self::LimitDevices { path, allowed } => {
                write!(f, "limit devices of {path} to")?;
                allowed.iter().try_for_each(|device| write!(f, " [{}]", device.0))
            }
            Self::Write { path, file, value } => write!(f, "write {path}/{file} = {value}"),
        }
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DestroyCgroup { path } => write!(f, "destroy cgroup {path}"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        for cgroup in &self.cgroups {
            writeln!(f, "join {cgroup}")?;
        }
        if let Some(cgroup) = &self.born_in {
            writeln!(f, "begin in {cgroup}")?;
        }
        write!(f, "{}", self.process)?;
        for undo in self.undo() {
            writeln!(f, "undo: {undo}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entered = [
            (self.enter_mounts, "mount"),
            (self.enter_pids, "pid"),
            (self.enter_ipc, "ipc"),
            (self.enter_network, "network"),
            (self.enter_uts, "uts"),
        ];
        for (_, name) in entered.iter().filter(|(wanted, _)| *wanted) {
            writeln!(f, "enter namespace {name}")?;
        }
        let own = [
            (self.own_mounts, "mount"),
            (self.own_pids, "pid"),
            (self.own_ipc, "ipc"),
            (self.own_network, "network"),
            (self.own_uts, "uts"),
        ];
        for (_, name) in own.iter().filter(|(wanted, _)| *wanted) {
            writeln!(f, "new namespace {name}")?;
        }
        if let Some(name) = &self.host_name {
            writeln!(f, "host name {name}")?;
        }
        if let Some(directory) = &self.network_files {
            writeln!(f, "show {directory}/{{hosts,hostname,resolv.conf}} in /etc")?;
        }
        for Mount { kind, target, options } in &self.mounts {
            writeln!(f, "mount {kind} at {target} ({options})")?;
        }
        if let Some(root) = &self.root {
            write!(f, "{root}")?;
        }
        for Layered { path, layers: Layers { links, count } } in &self.layered {
            writeln!(f, "mount at {path} {count} layers, linked to in {links}")?;
        }
        for Bind { source, below, inside, target, must_exist, read_only } in &self.binds {
            let read_only = if *read_only { ", read-only" } else { "" };
            let below = below.as_ref().map(|below| format!(", no link below {below}")).unwrap_or_default();
            let inside = inside.as_ref().map(|inside| format!(" inside {inside}")).unwrap_or_default();
            let must_exist = if *must_exist { ", which must exist" } else { "" };
            writeln!(f, "show {source} at {target}{inside}{must_exist}{read_only}{below}")?;
        }
        for SecretFile { inside, target, must_exist } in &self.secrets {
            let inside = inside.as_ref().map(|inside| format!(" inside {inside}")).unwrap_or_default();
            let must_exist = if *must_exist { ", which must exist" } else { "" };
            writeln!(f, "secret at {target}{inside}{must_exist}")?;
        }
        if let Some(root) = &self.root {
            for path in root.masked() {
                writeln!(f, "mask {path}")?;
            }
            match root.is_for_another {
                true => writeln!(f, "leave the root {} to another", root.path)?,
                false => writeln!(f, "enter the root {}", root.path)?,
            }
        }
        for Rlimit { name, numbers } in &self.rlimits {
            match numbers {
                Some((soft, hard)) => writeln!(f, "rlimit {name} {soft} {hard}")?,
                None => writeln!(f, "rlimit {name} unlimited")?,
            }
        }
        if let Some(UserNamespace { first, count, .. }) = &self.user_namespace {
            writeln!(f, "new namespace user, of {count} ids from {first}")?;
        }
        write!(f, "{}", self.privileges)?;
        if let Some(adjustment) = self.oom_score_adj {
            writeln!(f, "oom_score_adj {adjustment}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Granted { effective, bounding }) = self.capabilities {
            match effective {
                Some(effective) => writeln!(f, "capabilities {effective} of {bounding}")?,
                None => writeln!(f, "capabilities of {bounding}")?,
            }
        }
        if self.no_new_privs {
            writeln!(f, "no new privileges")?;
        }
        if let Some(program) = &self.seccomp {
            writeln!(f, "seccomp by {} instructions", program.0.len())?;
        }
        Ok(())
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.layers {
            Some(Layers { links, count }) => {
                writeln!(f, "root {} of {count} layers, linked to in {links}", self.path)?;
            }
            None => writeln!(f, "root {}", self.path)?,
        }
        for fitting in FITTINGS {
            match fitting {
                Fitting::Mount(Special { kind, target, options, read_only, devices }) => {
                    let read_only = if *read_only { ", read-only" } else { "" };
                    let devices = if *devices { ", with devices" } else { "" };
                    writeln!(f, "  mount {kind} at {target} ({options}){read_only}{devices}")?;
                }
                Fitting::ReadOnly(path) => writeln!(f, "  read-only {path}")?,
                Fitting::Device(device) => {
                    writeln!(f, "  device {} c {}:{}", device.path, device.major, device.minor)?;
                }
                Fitting::Link { path, target } => writeln!(f, "  link {path} to {target}")?,
            }
        }
        for DeviceNode { path, characters, major, minor, mode } in &self.devices {
            let kind = if *characters { 'c' } else { 'b' };
            writeln!(f, "  device {path} {kind} {major}:{minor} for {mode:o}")?;
        }
        match self.own_shared_memory() {
            Some(Mount { kind, target, options }) => writeln!(f, "  mount {kind} at {target} ({options})"),
            None => writeln!(f, "  show {SHARED_MEMORY}"),
        }
    }
}
