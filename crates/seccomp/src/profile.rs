//! Profiles as files have them: the format of Docker, with what later versions of it may leave out.

use serde_json::{Map, Value};
use thiserror::Error;
use types::Capabilities;

use crate::arch::{self, Arch, Machine};
use crate::condition::{ARGUMENTS, Comparison, Condition};

/// A profile, as far as it concerns one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub(crate) default: Action,
    /// The instruction sets that calls may come from, the machine's own among them.
    pub(crate) arches: Vec<Arch>,
    pub(crate) rules: Vec<Rule>,
}

/// Why a profile is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ProfileError(pub(crate) String);

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Allow,
    /// It fails with this number.
    Errno(u16),
    /// Its thread is killed.
    Kill,
    KillProcess,
    Log,
    /// A tracer is told this number.
    Trace(u16),
    /// Its process gets a SIGSYS.
    Trap,
}

/// What becomes of some calls, if all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) names: Vec<String>,
    pub(crate) action: Action,
    /// Of different arguments.
    pub(crate) conditions: Vec<Condition>,
    /// It is one only for processes with all of these.
    pub(crate) with: Capabilities,
    /// It is none for processes with any of these.
    pub(crate) unless: Capabilities,
}

const EPERM: u16 = 1;

impl Action {
    /// As the kernel has it.
    pub(crate) fn answer(self) -> u32 {
        match self {
            Self::Allow => 0x7fff_0000,
            Self::Log => 0x7ffc_0000,
            Self::Trace(number) => 0x7ff0_0000 | u32::from(number),
            Self::Errno(number) => 0x0005_0000 | u32::from(number),
            Self::Trap => 0x0003_0000,
            Self::Kill => 0,
            Self::KillProcess => 0x8000_0000,
        }
    }

    /// Its name in a profile, less the prefix.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Allow => "ACT_ALLOW",
            Self::Log => "ACT_LOG",
            Self::Trace(_) => "ACT_TRACE",
            Self::Errno(_) => "ACT_ERRNO",
            Self::Trap => "ACT_TRAP",
            Self::Kill => "ACT_KILL",
            Self::KillProcess => "ACT_KILL_PROCESS",
        }
    }

    fn parse(text: &str, errno: Option<u16>) -> Result<Self, ProfileError> {
        let Some(name) = text.strip_prefix("SCMP_") else {
            return refuse(format!("Unexpected syscall action: '{text}'"));
        };
        // COMPAT(mesos): where nothing is said of the number, EPERM.
        let number = errno.unwrap_or(EPERM);
        Ok(match name {
            "ACT_ALLOW" => Self::Allow,
            "ACT_ERRNO" => Self::Errno(number),
            "ACT_KILL" | "ACT_KILL_THREAD" => Self::Kill,
            "ACT_KILL_PROCESS" => Self::KillProcess,
            "ACT_LOG" => Self::Log,
            "ACT_TRACE" => Self::Trace(number),
            "ACT_TRAP" => Self::Trap,
            _ => return refuse(format!("Unknown syscall action: '{text}'")),
        })
    }
}

impl Profile {
    /// Reads a profile's text for a machine. What it says of other machines is left out.
    pub fn parse(text: &str, machine: Machine) -> Result<Self, ProfileError> {
        let json: Value =
            serde_json::from_str(text).map_err(|error| ProfileError(format!("syntax error: {error}")))?;
        let Value::Object(json) = json else { return refuse("it is not an object") };
        let of = "for the Seccomp configuration";
        let default = needed(&json, "defaultAction", of, Value::as_str)?;
        let default = Action::parse(default, errno(&json, "defaultErrnoRet")?)?;
        let arches = arches(&json, machine.arch)?;
        let mut rules = Vec::new();
        for item in needed(&json, "syscalls", of, Value::as_array)? {
            let Value::Object(item) = item else { return refuse("'syscalls' contains a non-object item") };
            rules.extend(rule(item, machine)?);
        }
        let profile = Self { default, arches, rules };
        profile.check()?;
        Ok(profile)
    }
}

/// The instruction sets that go with the machine's own.
fn arches(json: &Map<String, Value>, native: Arch) -> Result<Vec<Arch>, ProfileError> {
    let mut arches = vec![native];
    let named = |name: &str| match name.strip_prefix("SCMP_ARCH_") {
        None => refuse(format!("Unexpected architecture: '{name}'")),
        Some(short) => arch::libseccomp_name(short)
            .ok_or_else(|| ProfileError(format!("Unknown architecture: '{name}'"))),
    };
    for item in needed(json, "archMap", "for the Seccomp configuration", Value::as_array)? {
        let Value::Object(item) = item else { return refuse("'archMap' contains a non-object item") };
        let of = "field for 'archMap' item";
        let name = needed(item, "architecture", of, Value::as_str)?;
        if named(name)? != Some(native) {
            continue;
        }
        for item in needed(item, "subArchitectures", of, Value::as_array)? {
            let Value::String(name) = item else {
                return refuse("'subArchitectures' contains a non-string item");
            };
            arches.extend(named(name)?.filter(|arch| !arches.contains(arch)));
        }
    }
    Ok(arches)
}

/// A rule, unless it is one for other machines.
fn rule(item: &Map<String, Value>, machine: Machine) -> Result<Option<Rule>, ProfileError> {
    let of = "for 'syscalls' item";
    let includes =
        given(item, "includes", of, Value::as_object)?.map(|it| Scope::parse(it, machine)).transpose()?;
    let excludes =
        given(item, "excludes", of, Value::as_object)?.map(|it| Scope::parse(it, machine)).transpose()?;
    let (includes, excludes) = (includes.unwrap_or_default(), excludes.unwrap_or_default());
    if includes.here == Some(false) || includes.newer_kernel || excludes.here == Some(true) {
        return Ok(None);
    }
    let mut names = Vec::new();
    for name in needed(item, "names", "field for 'syscalls' item", Value::as_array)? {
        let Value::String(name) = name else { return refuse("'names' contains a non-string item") };
        names.push(name.clone());
    }
    if names.is_empty() {
        return refuse("Syscall 'names' list is empty");
    }
    let action = needed(item, "action", of, Value::as_str)?;
    let action = Action::parse(action, errno(item, "errnoRet")?)?;
    let mut conditions: Vec<Condition> = Vec::new();
    for item in given(item, "args", of, Value::as_array)?.into_iter().flatten() {
        let Value::Object(item) = item else { return refuse("'args' contains a non-object item") };
        let condition = condition(item)?;
        if conditions.iter().any(|other| other.argument == condition.argument) {
            return refuse(format!("'args' has two items of index {}", condition.argument));
        }
        conditions.push(condition);
    }
    Ok(Some(Rule { names, action, conditions, with: includes.capabilities, unless: excludes.capabilities }))
}

/// Where a rule is one, or none.
#[derive(Default)]
struct Scope {
    /// Whether this machine is among those it lists, if it lists any.
    here: Option<bool>,
    capabilities: Capabilities,
    /// Whether it asks for a newer kernel.
    newer_kernel: bool,
}

impl Scope {
    fn parse(json: &Map<String, Value>, machine: Machine) -> Result<Self, ProfileError> {
        let of = "field for 'syscalls' item";
        let mut scope = Self::default();
        for item in given(json, "arches", of, Value::as_array)?.into_iter().flatten() {
            let Value::String(name) = item else { return refuse("'arches' contains non-string item") };
            let Some(arch) = arch::go_name(name) else {
                return refuse(format!("Unknown architecture: '{name}'"));
            };
            scope.here = Some(scope.here == Some(true) || arch == Some(machine.arch));
        }
        let mut bits = 0;
        for item in given(json, "caps", of, Value::as_array)?.into_iter().flatten() {
            let Value::String(name) = item else { return refuse("'caps' contains non-string item") };
            let Some(short) = name.strip_prefix("CAP_") else {
                return refuse(format!("Unexpected capability: '{name}'"));
            };
            let capability = Capabilities::named(short)
                .ok_or_else(|| ProfileError(format!("Unknown capability: '{name}'")))?;
            bits |= capability.bits();
        }
        scope.capabilities = Capabilities::from_bits(bits);
        if let Some(text) = given(json, "minKernel", of, Value::as_str)? {
            let version = text
                .split_once('.')
                .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
            let Some(version) = version else {
                return refuse(format!("'minKernel' is no version: '{text}'"));
            };
            scope.newer_kernel = machine.kernel < version;
        }
        Ok(scope)
    }
}

fn condition(json: &Map<String, Value>) -> Result<Condition, ProfileError> {
    let of = "field for 'args' item";
    let argument = needed(json, "index", of, Value::as_u64)?;
    let Some(argument) = u32::try_from(argument).ok().filter(|argument| *argument < ARGUMENTS) else {
        return refuse(format!(
            "'args' item has the index {argument}; a call has {ARGUMENTS} arguments at most"
        ));
    };
    let value = needed(json, "value", of, Value::as_u64)?;
    let second = given(json, "valueTwo", of, Value::as_u64)?.unwrap_or(0);
    let operator = needed(json, "op", of, Value::as_str)?;
    let Some(name) = operator.strip_prefix("SCMP_") else {
        return refuse(format!("Unexpected operation: '{operator}'"));
    };
    let comparison = match name {
        "CMP_NE" => Comparison::Not(value),
        "CMP_LT" => Comparison::Below(value),
        "CMP_LE" => Comparison::AtMost(value),
        "CMP_EQ" => Comparison::Is(value),
        "CMP_GE" => Comparison::AtLeast(value),
        "CMP_GT" => Comparison::Above(value),
        "CMP_MASKED_EQ" => Comparison::Masked { mask: value, bits: second },
        _ => return refuse(format!("Unknown operator: '{operator}'")),
    };
    Ok(Condition { argument, comparison })
}

/// The number that calls fail with, or that a tracer is told.
fn errno(json: &Map<String, Value>, name: &str) -> Result<Option<u16>, ProfileError> {
    let Some(number) = given(json, name, "field", Value::as_u64)? else { return Ok(None) };
    // The kernel takes what is above for this.
    match u16::try_from(number) {
        Ok(number) if number <= 4095 => Ok(Some(number)),
        Ok(_) | Err(_) => refuse(format!("'{name}' is {number}, which no error has")),
    }
}

/// A field that may be left out. COMPAT(mesos): `null` is another type, but of `args`; Docker writes it for an empty list.
fn given<'a, T>(
    json: &'a Map<String, Value>,
    name: &str,
    of: &str,
    read: impl FnOnce(&'a Value) -> Option<T>,
) -> Result<Option<T>, ProfileError> {
    match json.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match read(value) {
            Some(value) => Ok(Some(value)),
            None => refuse(format!("Cannot determine '{name}' {of}: Found JSON value of wrong type")),
        },
    }
}

fn needed<'a, T>(
    json: &'a Map<String, Value>,
    name: &str,
    of: &str,
    read: impl FnOnce(&'a Value) -> Option<T>,
) -> Result<T, ProfileError> {
    given(json, name, of, read)?
        .ok_or_else(|| ProfileError(format!("Cannot determine '{name}' {of}: Not found")))
}

fn refuse<T>(message: impl Into<String>) -> Result<T, ProfileError> {
    Err(ProfileError(message.into()))
}
