//! From a profile to a program.
//!
//! The numbers of an instruction set fall into intervals of calls that are answered alike. A program finds the interval
//! of a call by halving, so that even a profile of hundreds of names costs a call some ten instructions.

use std::collections::{BTreeMap, BTreeSet};

use types::Capabilities;

use crate::arch::{Arch, X32_BIT, is_known};
use crate::condition::Condition;
use crate::profile::{Action, Profile, ProfileError, Rule};
use crate::program::{Instruction, Program};

/// What the kernel takes at most.
const INSTRUCTIONS_MAX: usize = 4096;

/// Where `seccomp_data` has the number and the instruction set of a call.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// How calls of one number are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Answers {
    /// The first whose conditions hold.
    conditional: Vec<(Vec<Condition>, Action)>,
    /// What is said without a condition. COMPAT(mesos): it goes before all that has one.
    always: Option<Action>,
}

impl Profile {
    /// The program for a process that can have these capabilities at most.
    pub fn compile(&self, bounding: Capabilities) -> Result<Program, ProfileError> {
        let holds = |rule: &&Rule| bounding.contains(rule.with) && bounding.and(rule.unless).is_empty();
        let rules: Vec<&Rule> = self.rules.iter().filter(holds).collect();
        let mut program = vec![Instruction::load(ARCH)];
        // Calls of an instruction set that is not listed kill, as those of libseccomp's filters do.
        let unlisted = Action::Kill.answer();
        let tokens: BTreeSet<u32> = self.arches.iter().map(|arch| arch.token()).collect();
        // The machine's own is asked for first: the marks of 64-bit sets are the larger ones.
        for token in tokens.into_iter().rev() {
            let section = self.section(token, &rules)?;
            let length = u32::try_from(section.len()).unwrap_or(u32::MAX);
            program.extend([Instruction::is(token, 1, 0), Instruction::skip(length)]);
            program.extend(section);
        }
        program.push(Instruction::answer(unlisted));
        if program.len() > INSTRUCTIONS_MAX {
            let message = format!(
                "The Seccomp filter has {} instructions; the kernel takes {INSTRUCTIONS_MAX} at most",
                program.len()
            );
            return Err(ProfileError(message));
        }
        Ok(Program(program))
    }

    /// Whether it can be compiled for any process: every name is one, and no two rules contradict each other.
    pub(crate) fn check(&self) -> Result<(), ProfileError> {
        for rule in &self.rules {
            if let Some(name) = rule.names.iter().find(|name| !is_known(name)) {
                return Err(ProfileError(format!("Unrecognized syscall '{name}'")));
            }
        }
        let rules: Vec<&Rule> = self.rules.iter().collect();
        self.arches.iter().try_for_each(|arch| self.answers(*arch, &rules).map(drop))
    }

    /// The answers to the calls that the kernel marks alike.
    fn section(&self, token: u32, rules: &[&Rule]) -> Result<Vec<Instruction>, ProfileError> {
        let mut intervals = vec![(0, Answers::default())];
        // A call of an x32 program has a number that none of the others has.
        let (mut pc, mut listed) = (false, false);
        for arch in self.arches.iter().filter(|arch| arch.token() == token) {
            pc |= *arch == Arch::X86_64;
            listed |= *arch == Arch::X32;
            let answers = self.answers(*arch, rules)?;
            for (number, answers) in answers {
                put(&mut intervals, number, answers);
            }
        }
        if pc && !listed {
            let kill = Answers { always: Some(Action::Kill), ..Answers::default() };
            intervals.push((X32_BIT, kill));
        }
        // What is answered as by default is one interval with what nothing is said of.
        for (_, answers) in &mut intervals {
            match answers.always {
                Some(_) => answers.conditional.clear(),
                None if answers.conditional.is_empty() => answers.always = Some(self.default),
                None => {}
            }
        }
        intervals.dedup_by(|next, previous| next.1 == previous.1);
        let mut section = vec![Instruction::load(NUMBER)];
        section.extend(self.search(&intervals));
        Ok(section)
    }

    /// What rules say of each number of an instruction set.
    fn answers(&self, arch: Arch, rules: &[&Rule]) -> Result<BTreeMap<u32, Answers>, ProfileError> {
        let numbers: BTreeMap<&str, u32> = arch.calls().collect();
        let mut answers: BTreeMap<u32, Answers> = BTreeMap::new();
        for rule in rules {
            for name in &rule.names {
                if let Some(number) = numbers.get(name.as_str()) {
                    answers.entry(*number).or_default().add(name, &rule.conditions, rule.action)?;
                }
                // Conditions are on the arguments of the call itself, which are elsewhere in memory then.
                if let (Some((through, call)), []) = (arch.shared(name), rule.conditions.as_slice())
                    && let Some(number) = numbers.get(through)
                {
                    let one = [Condition::first_is(call)];
                    answers.entry(*number).or_default().add(name, &one, rule.action)?;
                }
            }
        }
        Ok(answers)
    }

    /// Instructions that answer the call whose number was loaded.
    fn search(&self, intervals: &[(u32, Answers)]) -> Vec<Instruction> {
        let [.., _, _] = intervals else { return self.answer(&intervals[0].1) };
        let (lower, upper) = intervals.split_at(intervals.len() / 2);
        let (from, lower, upper) = (upper[0].0, self.search(lower), self.search(upper));
        let mut instructions = match u8::try_from(lower.len()) {
            Ok(length) => vec![Instruction::is_at_least(from, length, 0)],
            // A comparison cannot skip so many.
            Err(_) => {
                let length = u32::try_from(lower.len()).unwrap_or(u32::MAX);
                vec![Instruction::is_at_least(from, 0, 1), Instruction::skip(length)]
            }
        };
        instructions.extend(lower);
        instructions.extend(upper);
        instructions
    }

    fn answer(&self, answers: &Answers) -> Vec<Instruction> {
        let mut instructions = Vec::new();
        for (conditions, action) in &answers.conditional {
            let mut rule = vec![Instruction::answer(action.answer())];
            for condition in conditions.iter().rev() {
                // A rule has six conditions of six instructions at most.
                let otherwise = u8::try_from(rule.len()).expect("a rule is short");
                let mut longer = condition.instructions(otherwise);
                longer.append(&mut rule);
                rule = longer;
            }
            instructions.append(&mut rule);
        }
        instructions.push(Instruction::answer(answers.always.unwrap_or(self.default).answer()));
        instructions
    }
}

impl Answers {
    fn add(&mut self, name: &str, conditions: &[Condition], action: Action) -> Result<(), ProfileError> {
        let before = match conditions {
            [] => self.always.replace(action),
            _ => {
                let same = self.conditional.iter().find(|(others, _)| others == conditions);
                let before = same.map(|(_, action)| *action);
                if before.is_none() {
                    self.conditional.push((conditions.to_vec(), action));
                }
                before
            }
        };
        match before {
            Some(before) if before != action => Err(ProfileError(format!(
                "Failed to add rule for syscall '{name}' with action '{}': another rule says '{}'",
                action.name(),
                before.name()
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

/// Makes a number an interval of its own. Numbers come in their order.
fn put(intervals: &mut Vec<(u32, Answers)>, number: u32, answers: Answers) {
    match intervals.last_mut() {
        Some(last) if last.0 == number => last.1 = answers,
        Some(_) | None => intervals.push((number, answers)),
    }
    intervals.push((number + 1, Answers::default()));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::arch::Machine;
    use crate::condition::Comparison;

    const PC: Machine = Machine { arch: Arch::X86_64, kernel: (6, 1) };
    const ALLOW: u32 = 0x7fff_0000;
    const EPERM: u32 = 0x0005_0001;
    const KILL: u32 = 0;

    fn profile(default: &str, syscalls: Value) -> String {
        let map = json!([{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
            {"architecture": "SCMP_ARCH_S390X", "subArchitectures": ["SCMP_ARCH_S390"]}]);
        json!({"defaultAction": default, "archMap": map, "syscalls": syscalls}).to_string()
    }

    fn compile(text: &str, machine: Machine, bounding: &[&str]) -> Program {
        let bits =
            bounding.iter().map(|name| Capabilities::named(name).unwrap().bits()).fold(0, |all, it| all | it);
        Profile::parse(text, machine).unwrap().compile(Capabilities::from_bits(bits)).unwrap()
    }

    fn number(arch: Arch, name: &str) -> u32 {
        arch.calls().find(|(known, _)| *known == name).unwrap().1
    }

    fn answer(program: &Program, arch: Arch, name: &str, arguments: [u64; 6]) -> u32 {
        program.run(arch.token(), number(arch, name), arguments)
    }

    #[test]
    fn what_is_not_listed_is_answered_by_default() {
        let rules = json!([
            {"names": ["read", "write", "set_tls"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {}, "excludes": {}},
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_EQ"},
                {"index": 1, "value": 0xf, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}]},
            {"names": ["mseal"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["mount"], "action": "SCMP_ACT_KILL_PROCESS", "args": null}
        ]);
        let program = compile(&profile("SCMP_ACT_ERRNO", rules), PC, &[]);
        let check = |arch, name, arguments, expected| {
            assert_eq!(answer(&program, arch, name, arguments), expected, "{arch:?} {name} {arguments:?}");
        };
        for arch in [Arch::X86_64, Arch::X86] {
            check(arch, "read", [0; 6], ALLOW);
            check(arch, "open", [0; 6], EPERM);
            check(arch, "socket", [1, 0x12, 0, 0, 0, 0], ALLOW);
            check(arch, "socket", [1, 0x13, 0, 0, 0, 0], EPERM);
            check(arch, "socket", [2, 0x12, 0, 0, 0, 0], EPERM);
            check(arch, "socket", [16, 7, 0, 0, 0, 0], ALLOW);
            check(arch, "mseal", [0; 6], 0x0005_0026);
            check(arch, "mount", [0; 6], 0x8000_0000);
        }
        // Half a number is none.
        check(Arch::X86_64, "socket", [1 << 32 | 16, 0, 0, 0, 0, 0], EPERM);
        // Instruction sets that are not listed, and numbers that nothing has.
        assert_eq!(program.run(Arch::Aarch64.token(), 63, [0; 6]), KILL);
        assert_eq!(program.run(Arch::X86_64.token(), X32_BIT, [0; 6]), KILL);
        assert_eq!(program.run(Arch::X86_64.token(), 4000, [0; 6]), EPERM);
        let listed = profile("SCMP_ACT_ERRNO", json!([])).replace("SCMP_ARCH_X86\"", "SCMP_ARCH_X32\"");
        assert_eq!(compile(&listed, PC, &[]).run(Arch::X86_64.token(), X32_BIT, [0; 6]), EPERM);
        // The same file on another machine.
        let arm = compile(
            &profile("SCMP_ACT_TRAP", json!([{"names": ["set_tls", "read"], "action": "SCMP_ACT_LOG"}])),
            Machine { arch: Arch::Aarch64, ..PC },
            &[],
        );
        assert_eq!(answer(&arm, Arch::Arm, "set_tls", [0; 6]), 0x7ffc_0000);
        assert_eq!(answer(&arm, Arch::Aarch64, "read", [0; 6]), 0x7ffc_0000);
        assert_eq!(answer(&arm, Arch::Aarch64, "write", [0; 6]), 0x0003_0000);
        assert_eq!(arm.run(Arch::X86_64.token(), 0, [0; 6]), KILL);
    }

    #[test]
    fn capabilities_and_machines_choose_rules() {
        let rules = json!([
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390"]},
             "args": [{"index": 0, "value": 2_080_505_856_u64, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN", "CAP_KILL"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.2"}},
            {"names": ["kcmp"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8", "arches": ["x86", "amd64"]}},
            {"names": ["sync"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["uname"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["amd64"]}}
        ]);
        let text = profile("SCMP_ACT_ERRNO", rules);
        let check = |bounding: &[&str], name: &str, first: u64, expected: u32| {
            let program = compile(&text, PC, bounding);
            let answer = answer(&program, Arch::X86_64, name, [first, 0, 0, 0, 0, 0]);
            assert_eq!(answer, expected, "{bounding:?} {name}");
        };
        check(&[], "mount", 0, EPERM);
        check(&["SYS_ADMIN"], "mount", 0, ALLOW);
        check(&[], "clone", 17, ALLOW);
        check(&[], "clone", 0x1000_0000, EPERM);
        check(&["SYS_ADMIN"], "clone", 17, EPERM);
        check(&["SYS_ADMIN", "KILL"], "clone", 0x1000_0000, ALLOW);
        check(&[], "ptrace", 0, EPERM);
        check(&[], "kcmp", 0, ALLOW);
        check(&[], "sync", 0, EPERM);
        check(&[], "uname", 0, EPERM);
    }

    #[test]
    fn a_call_has_no_second_door() {
        let rules = json!([{"names": ["socket", "shmget"], "action": "SCMP_ACT_ERRNO"}]);
        let program = compile(&profile("SCMP_ACT_ALLOW", rules), PC, &[]);
        let check = |arch, name, first, expected| {
            assert_eq!(
                answer(&program, arch, name, [first, 0, 0, 0, 0, 0]),
                expected,
                "{arch:?} {name} {first}"
            );
        };
        check(Arch::X86, "socketcall", 1, EPERM);
        check(Arch::X86, "socketcall", 2, ALLOW);
        check(Arch::X86, "ipc", 23, EPERM);
        check(Arch::X86, "ipc", 21, ALLOW);
        check(Arch::X86_64, "shmget", 0, EPERM);
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        let check = |text: &str, expected: &str| {
            let error = Profile::parse(text, PC).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let rule = |rule: Value| profile("SCMP_ACT_ALLOW", json!([rule]));
        check("{", "syntax error: ");
        check("[]", "it is not an object");
        check("{}", "Cannot determine 'defaultAction' for the Seccomp configuration: Not found");
        check(
            r#"{"defaultAction": 1}"#,
            "Cannot determine 'defaultAction' for the Seccomp configuration: Found JSON value of wrong type",
        );
        check(r#"{"defaultAction": "ALLOW"}"#, "Unexpected syscall action: 'ALLOW'");
        check(r#"{"defaultAction": "SCMP_ACT_NOD"}"#, "Unknown syscall action: 'SCMP_ACT_NOD'");
        check(
            r#"{"defaultAction": "SCMP_ACT_KILL"}"#,
            "Cannot determine 'archMap' for the Seccomp configuration: Not found",
        );
        check(
            r#"{"defaultAction": "SCMP_ACT_KILL", "archMap": [{"architecture": "SCMP_ARCH_Z80"}]}"#,
            "Unknown architecture: 'SCMP_ARCH_Z80'",
        );
        check(&rule(json!(1)), "'syscalls' contains a non-object item");
        check(
            &rule(json!({"action": "SCMP_ACT_KILL"})),
            "Cannot determine 'names' field for 'syscalls' item: Not found",
        );
        check(&rule(json!({"names": [], "action": "SCMP_ACT_KILL"})), "Syscall 'names' list is empty");
        check(&rule(json!({"names": ["read"]})), "Cannot determine 'action' for 'syscalls' item: Not found");
        check(&rule(json!({"names": ["raed"], "action": "SCMP_ACT_KILL"})), "Unrecognized syscall 'raed'");
        check(
            &rule(json!({"names": ["read"], "action": "SCMP_ACT_KILL", "includes": {"caps": ["CAP_FLY"]}})),
            "Unknown capability: 'CAP_FLY'",
        );
        check(
            &rule(json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096})),
            "'errnoRet' is 4096, which no error has",
        );
        let with = |args: Value| rule(json!({"names": ["read"], "action": "SCMP_ACT_KILL", "args": args}));
        check(&with(json!([{"index": 6}])), "'args' item has the index 6; a call has 6 arguments at most");
        check(&with(json!([{"index": 1}])), "Cannot determine 'value' field for 'args' item: Not found");
        check(
            &with(json!([{"index": 1, "value": 1, "op": "SCMP_CMP_NO"}])),
            "Unknown operator: 'SCMP_CMP_NO'",
        );
        let one = json!({"index": 1, "value": 1, "op": "SCMP_CMP_EQ"});
        check(&with(json!([one, one])), "'args' has two items of index 1");
        let twice = json!([{"names": ["read"], "action": "SCMP_ACT_KILL"}, {"names": ["read"], "action": "SCMP_ACT_TRAP"}]);
        check(
            &profile("SCMP_ACT_ALLOW", twice),
            "Failed to add rule for syscall 'read' with action 'ACT_TRAP': another rule says 'ACT_KILL'",
        );
        let mut many = Vec::new();
        for value in 0..1100 {
            many.push(json!({"names": ["read"], "action": "SCMP_ACT_KILL",
                "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]}));
        }
        let long = Profile::parse(&profile("SCMP_ACT_ALLOW", json!(many)), PC).unwrap();
        let error = long.compile(Capabilities::NONE).unwrap_err().to_string();
        assert!(error.ends_with("instructions; the kernel takes 4096 at most"), "{error}");
    }

    /// What a profile says of a call, in the plainest words.
    fn by_hand(profile: &Profile, arch: Arch, name: &str, arguments: [u64; 6]) -> Action {
        let about = |rule: &&Rule| rule.names.iter().any(|other| other == name);
        let holds = |condition: &Condition| {
            let value = arguments[condition.argument as usize];
            match condition.comparison {
                Comparison::Not(number) => value != number,
                Comparison::Below(number) => value < number,
                Comparison::AtMost(number) => value <= number,
                Comparison::Is(number) => value == number,
                Comparison::AtLeast(number) => value >= number,
                Comparison::Above(number) => value > number,
                Comparison::Masked { mask, bits } => value & mask == bits & mask,
            }
        };
        assert!(arch.shared(name).is_none());
        let rules: Vec<&Rule> = profile.rules.iter().filter(about).collect();
        let always = rules.iter().find(|rule| rule.conditions.is_empty());
        let some = || rules.iter().find(|rule| rule.conditions.iter().all(holds));
        always.or_else(some).map_or(profile.default, |rule| rule.action)
    }

    fn any_rule() -> impl Strategy<Value = Value> {
        let names = prop_oneof!["read", "close", "brk", "kill", "getcwd", "dup2", "mseal"];
        let op = prop_oneof!["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
        let value = || prop_oneof![0_u64..4, Just(1 << 32), Just(u64::MAX)];
        let args = prop::collection::btree_map(0_u32..6, (op, value(), value()), 0..3);
        (prop::collection::vec(names, 1..4), prop_oneof!["ALLOW", "KILL", "TRAP"], args).prop_map(
            |(names, action, args)| {
                let args: Vec<Value> = args
                    .into_iter()
                    .map(|(index, (op, value, two))| {
                        json!({"index": index, "value": value, "valueTwo": two, "op": format!("SCMP_CMP_{op}")})
                    })
                    .collect();
                json!({"names": names, "action": format!("SCMP_ACT_{action}"), "args": args})
            },
        )
    }

    proptest! {
        #[test]
        fn programs_say_what_profiles_say(
            rules in prop::collection::vec(any_rule(), 0..8),
            arguments in prop::array::uniform6(prop_oneof![0_u64..4, Just(1 << 32), any::<u64>()]),
        ) {
            // Two rules may contradict each other, and are refused then.
            let Ok(profile) = Profile::parse(&profile("SCMP_ACT_LOG", json!(rules)), PC) else { return Ok(()) };
            let program = profile.compile(Capabilities::NONE).unwrap();
            for arch in [Arch::X86_64, Arch::X86] {
                for name in ["read", "write", "close", "brk", "kill", "getcwd", "dup", "dup2", "mseal", "exit"] {
                    let expected = by_hand(&profile, arch, name, arguments).answer();
                    prop_assert_eq!(answer(&program, arch, name, arguments), expected, "{:?} {}", arch, name);
                }
            }
        }
    }
}
