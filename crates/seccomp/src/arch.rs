//! Instruction sets: how the kernel marks a call of each, and what number it has for a name there.
//!
//! The tables are lines of `number name`, from the headers of Linux 6.17.

/// An instruction set that calls can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    /// 64-bit programs of a PC.
    X86_64,
    /// 32-bit programs of a PC.
    X86,
    /// 64-bit programs of a PC with 32-bit pointers. The kernel marks their calls in the number.
    X32,
    /// 64-bit programs of ARM.
    Aarch64,
    /// 32-bit programs of ARM.
    Arm,
}

/// The machine that a program shall run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its own instruction set.
    pub arch: Arch,
    /// The kernel's version, major and minor.
    pub kernel: (u32, u32),
}

/// A number of `X32` has this bit.
pub(crate) const X32_BIT: u32 = 0x4000_0000;

/// Names that no instruction set here has, but another one.
const ELSEWHERE: &str = include_str!("tables/elsewhere.txt");

/// Calls of a 32-bit PC that are also made through one number, with which of them in the first argument.
const THROUGH_SOCKETCALL: &[&str] = &[
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// The same for System V's messages, semaphores and shared memory.
const THROUGH_IPC: &[(&str, u64)] = &[
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

impl Arch {
    /// The one that Rust and the kernel have that name for. None where profiles cannot be compiled.
    #[must_use]
    pub fn native(name: &str) -> Option<Self> {
        match name {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// How `seccomp_data.arch` marks its calls.
    pub(crate) const fn token(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    const fn table(self) -> &'static str {
        match self {
            Self::X86_64 => include_str!("tables/x86_64.txt"),
            Self::X86 => include_str!("tables/x86.txt"),
            Self::X32 => include_str!("tables/x32.txt"),
            Self::Aarch64 => include_str!("tables/aarch64.txt"),
            Self::Arm => include_str!("tables/arm.txt"),
        }
    }

    /// Its names and their numbers.
    pub(crate) fn calls(self) -> impl Iterator<Item = (&'static str, u32)> {
        self.table().lines().filter_map(|line| {
            let (number, name) = line.split_once(' ')?;
            Some((name, number.parse().ok()?))
        })
    }

    /// The number that it has for a call, with the value of the first argument where others share the number.
    pub(crate) fn shared(self, name: &str) -> Option<(&'static str, u64)> {
        if self != Self::X86 {
            return None;
        }
        if let Some(at) = THROUGH_SOCKETCALL.iter().position(|socket| *socket == name) {
            return Some(("socketcall", at as u64 + 1));
        }
        THROUGH_IPC.iter().find(|(ipc, _)| *ipc == name).map(|(_, call)| ("ipc", *call))
    }
}

/// Whether any instruction set has a call of that name.
pub(crate) fn is_known(name: &str) -> bool {
    let all = [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm];
    all.into_iter().any(|arch| arch.calls().any(|(known, _)| known == name))
        || ELSEWHERE.lines().any(|known| known == name)
}

/// What a profile's `SCMP_ARCH_` names: a set that is told apart here, or one of machines that this is none of.
pub(crate) fn libseccomp_name(name: &str) -> Option<Option<Arch>> {
    Some(match name {
        "X86_64" => Some(Arch::X86_64),
        "X86" => Some(Arch::X86),
        "X32" => Some(Arch::X32),
        "AARCH64" => Some(Arch::Aarch64),
        "ARM" => Some(Arch::Arm),
        "MIPS" | "MIPSEL" | "MIPS64" | "MIPSEL64" | "MIPS64N32" | "MIPSEL64N32" | "PPC" | "PPC64"
        | "PPC64LE" | "S390" | "S390X" | "RISCV64" | "PARISC" | "PARISC64" | "LOONGARCH64" => None,
        _ => return None,
    })
}

/// The same for the names in a rule's `arches`, which are those of Go.
pub(crate) fn go_name(name: &str) -> Option<Option<Arch>> {
    Some(match name {
        "amd64" => Some(Arch::X86_64),
        "x86" | "386" => Some(Arch::X86),
        "x32" => Some(Arch::X32),
        "arm64" => Some(Arch::Aarch64),
        "arm" => Some(Arch::Arm),
        "mips" | "mipsel" | "mips64" | "mipsel64" | "mips64n32" | "mipsel64n32" | "ppc" | "ppc64"
        | "ppc64le" | "s390" | "s390x" | "riscv64" | "loong64" | "loongarch64" => None,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(arch: Arch, name: &str) -> Option<u32> {
        arch.calls().find(|(known, _)| *known == name).map(|(_, number)| number)
    }

    #[test]
    fn numbers_are_those_of_the_kernel() {
        let cases = [
            (Arch::X86_64, "read", 0),
            (Arch::X86_64, "execve", 59),
            (Arch::X86_64, "file_setattr", 469),
            (Arch::X86, "read", 3),
            (Arch::X86, "socketcall", 102),
            (Arch::X32, "read", X32_BIT),
            (Arch::X32, "execve", X32_BIT + 520),
            (Arch::Aarch64, "read", 63),
            (Arch::Aarch64, "execve", 221),
            (Arch::Arm, "read", 3),
            (Arch::Arm, "set_tls", 0x000f_0005),
        ];
        for (arch, name, expected) in cases {
            assert_eq!(number(arch, name), Some(expected), "{arch:?} {name}");
        }
        assert_eq!(number(Arch::Aarch64, "open"), None);
        assert!(is_known("s390_runtime_instr") && is_known("open") && !is_known("opne"));
    }

    #[test]
    fn tables_can_be_read() {
        for arch in [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm] {
            assert_eq!(arch.calls().count(), arch.table().lines().count(), "{arch:?}");
            assert!(arch.calls().all(|(_, number)| (number >= X32_BIT) == (arch == Arch::X32)));
        }
        assert_eq!(Arch::X86.shared("accept4"), Some(("socketcall", 18)));
        assert_eq!(Arch::X86_64.shared("accept4"), None);
    }
}
