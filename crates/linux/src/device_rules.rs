//! The devices that a cgroup of version 2 may use, as a program for the kernel. Pure: rules in, instructions out.
//!
//! Version 1 has files for a list of devices; version 2 asks a BPF program. It is given what is asked for (the kind of
//! device, the kind of access, two numbers) and says 1 for yes. The kernel runs it in addition to those of the cgroups
//! above, and all must say yes.

use std::str::FromStr;

use thiserror::Error;

/// An entry of a list of devices, such as `c 1:3 rwm`. What is missing matches everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    kind: Option<Kind>,
    major: Option<u32>,
    minor: Option<u32>,
    access: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Block,
    Character,
}

const MKNOD: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const EVERY_ACCESS: u8 = MKNOD | READ | WRITE;

/// The text is no entry of a list of devices.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' is no device with its access, such as 'c 1:3 rwm'")]
pub struct NoRule(String);

impl FromStr for DeviceRule {
    type Err = NoRule;

    fn from_str(text: &str) -> Result<Self, NoRule> {
        parse(text).ok_or_else(|| NoRule(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<DeviceRule> {
    let mut words = text.split_ascii_whitespace();
    let kind = match words.next()? {
        "a" => None,
        "b" => Some(Kind::Block),
        "c" => Some(Kind::Character),
        _ => return None,
    };
    let (major, minor) = words.next()?.split_once(':')?;
    let number = |text: &str| match text {
        "*" => Some(None),
        text => text.parse().ok().map(Some),
    };
    let mut access = 0;
    for letter in words.next()?.chars() {
        access |= match letter {
            'm' => MKNOD,
            'r' => READ,
            'w' => WRITE,
            _ => return None,
        };
    }
    let rule = DeviceRule { kind, major: number(major)?, minor: number(minor)?, access };
    (words.next().is_none() && access != 0).then_some(rule)
}

/// An instruction of BPF, as the kernel takes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    code: u8,
    /// The destination in the low half, the source in the high one.
    registers: u8,
    offset: i16,
    immediate: i32,
}

// Classes, sources and operations of `linux/bpf.h`, put together.
const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const JUMP_UNLESS: u8 = 0x55;
const EXIT: u8 = 0x95;

// Registers: the answer, what the program is given and then a scratch, and what was asked for.
const ANSWER: u8 = 0;
const GIVEN: u8 = 1;
const SCRATCH: u8 = 1;
const ASKED_KIND: u8 = 2;
const ASKED_ACCESS: u8 = 3;
const ASKED_MAJOR: u8 = 4;
const ASKED_MINOR: u8 = 5;

// `struct bpf_cgroup_dev_ctx`: the kind in the low half of the first word, the access in the high one; the numbers.
const FIRST_WORD: i16 = 0;
const MAJOR_WORD: i16 = 4;
const MINOR_WORD: i16 = 8;

impl Kind {
    const fn number(self) -> i32 {
        match self {
            Self::Block => 1,
            Self::Character => 2,
        }
    }
}

/// The program that says yes to what one of the rules allows.
pub(crate) fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut program = vec![
        load(ASKED_KIND, FIRST_WORD),
        operate(AND, ASKED_KIND, 0xffff),
        load(ASKED_ACCESS, FIRST_WORD),
        operate(SHIFT_RIGHT, ASKED_ACCESS, 16),
        load(ASKED_MAJOR, MAJOR_WORD),
        load(ASKED_MINOR, MINOR_WORD),
    ];
    for rule in rules {
        program.extend(rule.instructions());
    }
    program.extend(answer(0));
    program
}

impl DeviceRule {
    /// Says yes, or goes on behind.
    fn instructions(&self) -> Vec<Instruction> {
        // Each test jumps behind the rule if it fails; how far that is, is known at the end.
        let mut body = Vec::new();
        if let Some(kind) = self.kind {
            body.push(unless(ASKED_KIND, kind.number()));
        }
        if self.access != EVERY_ACCESS {
            body.push(Instruction { code: MOVE_REGISTER, ..instruction(SCRATCH, ASKED_ACCESS) });
            body.push(operate(AND, SCRATCH, i32::from(EVERY_ACCESS & !self.access)));
            body.push(unless(SCRATCH, 0));
        }
        for (register, number) in [(ASKED_MAJOR, self.major), (ASKED_MINOR, self.minor)] {
            if let Some(number) = number {
                body.push(unless(register, number.cast_signed()));
            }
        }
        body.extend(answer(1));
        let end = body.len();
        for (at, instruction) in body.iter_mut().enumerate().filter(|(_, it)| it.code == JUMP_UNLESS) {
            instruction.offset = i16::try_from(end - at - 1).expect("a rule is a few instructions");
        }
        body
    }
}

const fn instruction(destination: u8, source: u8) -> Instruction {
    Instruction { code: 0, registers: destination | (source << 4), offset: 0, immediate: 0 }
}

const fn load(register: u8, offset: i16) -> Instruction {
    Instruction { code: LOAD_WORD, offset, ..instruction(register, GIVEN) }
}

const fn operate(code: u8, register: u8, immediate: i32) -> Instruction {
    Instruction { code, immediate, ..instruction(register, 0) }
}

const fn unless(register: u8, immediate: i32) -> Instruction {
    operate(JUMP_UNLESS, register, immediate)
}

const fn answer(value: i32) -> [Instruction; 2] {
    [operate(MOVE, ANSWER, value), Instruction { code: EXIT, ..instruction(0, 0) }]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel does.
    fn run(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> u64 {
        let given = [kind | (access << 16), major, minor];
        let mut registers = [0_u64; 11];
        let mut at = 0;
        for _ in 0..10_000 {
            let Instruction { code, registers: both, offset, immediate } = program[at];
            let (to, from) = (usize::from(both & 0xf), usize::from(both >> 4));
            // A test of 64 bits extends the sign of its number.
            let number = i64::from(immediate).cast_unsigned();
            at += 1;
            match code {
                LOAD_WORD => registers[to] = u64::from(given[usize::try_from(offset).unwrap() / 4]),
                AND => registers[to] = (registers[to] & number) & 0xffff_ffff,
                SHIFT_RIGHT => registers[to] = (registers[to] & 0xffff_ffff) >> immediate,
                MOVE => registers[to] = number,
                MOVE_REGISTER => registers[to] = registers[from],
                JUMP_UNLESS if registers[to] != number => at += usize::try_from(offset).unwrap(),
                JUMP_UNLESS => {}
                EXIT => return registers[0],
                other => panic!("{other:#x}"),
            }
        }
        panic!("it does not end");
    }

    fn rules(texts: &[&str]) -> Vec<DeviceRule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_program_allows_what_its_rules_do() {
        const BLOCK: u32 = 1;
        const CHARACTER: u32 = 2;
        let all = rules(&["c *:* m", "b *:* m", "c 1:3 rwm", "c 136:* rw", "b 8:1 r", "a 7:7 w"]);
        let compiled = program(&all);
        let mut allowed = 0;
        for kind in [BLOCK, CHARACTER] {
            for access in 1..=7_u8 {
                for major in [0, 1, 7, 8, 136] {
                    for minor in [0, 1, 3, 7, 4_000] {
                        let fits = |rule: &DeviceRule| {
                            rule.kind.is_none_or(|it| it.number().cast_unsigned() == kind)
                                && access & !rule.access == 0
                                && rule.major.is_none_or(|it| it == major)
                                && rule.minor.is_none_or(|it| it == minor)
                        };
                        let expected = all.iter().any(fits);
                        allowed += u32::from(expected);
                        let answer = run(&compiled, kind, u32::from(access), major, minor);
                        assert_eq!(answer == 1, expected, "{kind} {access} {major}:{minor}");
                    }
                }
            }
        }
        assert!(allowed > 50);
        assert_eq!(run(&program(&[]), CHARACTER, 1, 1, 3), 0);
        assert_eq!(run(&program(&rules(&["a *:* rwm"])), BLOCK, 7, 259, 9), 1);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in ["", "c", "c 1:3", "d 1:3 r", "c 1 r", "c 1:x r", "c 1:3 x", "c 1:3 r w", "c -1:3 r"] {
            assert_eq!(text.parse::<DeviceRule>(), Err(NoRule(text.to_owned())));
        }
    }
}
