//! Programs for the kernel's packet filter machine, as far as seccomp has it.

/// One instruction, as the kernel reads it: `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to skip where a comparison holds.
    pub if_true: u8,
    /// How many where it does not.
    pub if_false: u8,
    /// What to compare with, load or answer.
    pub operand: u32,
}

/// A whole program. It answers each call; it has no loops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program(pub Vec<Instruction>);

/// Bytes of an instruction.
const INSTRUCTION_BYTES: usize = 8;

impl Instruction {
    /// Loads a word of `seccomp_data`.
    pub(crate) const fn load(offset: u32) -> Self {
        Self::plain(0x20, offset)
    }

    /// Keeps the bits of a mask of what was loaded.
    pub(crate) const fn mask(bits: u32) -> Self {
        Self::plain(0x54, bits)
    }

    /// Skips always.
    pub(crate) const fn skip(count: u32) -> Self {
        Self::plain(0x05, count)
    }

    /// The answer.
    pub(crate) const fn answer(action: u32) -> Self {
        Self::plain(0x06, action)
    }

    /// Whether what was loaded is this.
    pub(crate) const fn is(operand: u32, if_true: u8, if_false: u8) -> Self {
        Self { code: 0x15, if_true, if_false, operand }
    }

    /// Whether it is more.
    pub(crate) const fn is_above(operand: u32, if_true: u8, if_false: u8) -> Self {
        Self { code: 0x25, if_true, if_false, operand }
    }

    /// Whether it is not less.
    pub(crate) const fn is_at_least(operand: u32, if_true: u8, if_false: u8) -> Self {
        Self { code: 0x35, if_true, if_false, operand }
    }

    const fn plain(code: u16, operand: u32) -> Self {
        Self { code, if_true: 0, if_false: 0, operand }
    }
}

impl Program {
    /// As text, for a command line: sixteen hexadecimal digits for each instruction.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.0.len() * INSTRUCTION_BYTES * 2);
        for Instruction { code, if_true, if_false, operand } in &self.0 {
            text += &format!("{code:04x}{if_true:02x}{if_false:02x}{operand:08x}");
        }
        text
    }

    /// What [`Program::to_text`] wrote.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let instructions = text.as_bytes().chunks(INSTRUCTION_BYTES * 2).map(|digits| {
            let digits = std::str::from_utf8(digits).ok().filter(|it| it.len() == INSTRUCTION_BYTES * 2)?;
            let number = |from, to| u32::from_str_radix(digits.get(from..to)?, 16).ok();
            Some(Instruction {
                code: u16::try_from(number(0, 4)?).ok()?,
                if_true: u8::try_from(number(4, 6)?).ok()?,
                if_false: u8::try_from(number(6, 8)?).ok()?,
                operand: number(8, 16)?,
            })
        });
        instructions.collect::<Option<Vec<_>>>().map(Self)
    }

    /// The answer to a call: what the kernel's machine does, for tests.
    #[cfg(test)]
    pub(crate) fn run(&self, arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = vec![number, arch, 0, 0];
        data.extend(arguments.iter().flat_map(|it| [*it as u32, (*it >> 32) as u32]));
        let (mut at, mut loaded) = (0, 0_u32);
        loop {
            let Instruction { code, if_true, if_false, operand } = self.0[at];
            let jump = |holds: bool| usize::from(if holds { if_true } else { if_false });
            at += 1;
            match code {
                0x20 => loaded = data[operand as usize / 4],
                0x54 => loaded &= operand,
                0x05 => at += operand as usize,
                0x15 => at += jump(loaded == operand),
                0x25 => at += jump(loaded > operand),
                0x35 => at += jump(loaded >= operand),
                0x06 => return operand,
                other => panic!("{other:x}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_survive_as_text() {
        let program = Program(vec![
            Instruction::load(4),
            Instruction::is(0xc000_003e, 255, 1),
            Instruction::answer(0x7fff_0000),
        ]);
        assert_eq!(program.to_text().len(), 48);
        assert_eq!(Program::from_text(&program.to_text()), Some(program));
        assert_eq!(Program::from_text(""), Some(Program::default()));
        for broken in ["0", "002000000000000g", "00200000000000000", "äääääääää"] {
            assert_eq!(Program::from_text(broken), None, "{broken}");
        }
    }
}
