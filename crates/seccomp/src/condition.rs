//! Conditions on the arguments of a call.

use crate::program::Instruction;

/// The number of arguments that a call can have.
pub(crate) const ARGUMENTS: u32 = 6;

/// A condition on one argument, which has 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    /// Which argument, below [`ARGUMENTS`].
    pub(crate) argument: u32,
    pub(crate) comparison: Comparison,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Not(u64),
    Below(u64),
    AtMost(u64),
    Is(u64),
    AtLeast(u64),
    Above(u64),
    /// The bits of the mask are these.
    Masked {
        mask: u64,
        bits: u64,
    },
}

impl Condition {
    /// Whether a first argument is this number.
    pub(crate) const fn first_is(number: u64) -> Self {
        Self { argument: 0, comparison: Comparison::Is(number) }
    }

    /// Instructions that go on behind their end where it holds, and skip `otherwise` more where it does not.
    pub(crate) fn instructions(self, otherwise: u8) -> Vec<Instruction> {
        // Both machines that we know keep the lower half first.
        let low = 16 + 8 * self.argument;
        let (load_low, load_high) = (Instruction::load(low), Instruction::load(low + 4));
        let split = |number: u64| ((number >> 32) as u32, number as u32);
        let last = |test: fn(u32, u8, u8) -> Instruction, low: u32| test(low, 0, otherwise);
        let but_not = |test: fn(u32, u8, u8) -> Instruction, low: u32| test(low, otherwise, 0);
        match self.comparison {
            Comparison::Is(number) => {
                let (high, low) = split(number);
                let differs = Instruction::is(high, 0, 2 + otherwise);
                vec![load_high, differs, load_low, last(Instruction::is, low)]
            }
            Comparison::Not(number) => {
                let (high, low) = split(number);
                let differs = Instruction::is(high, 0, 2);
                vec![load_high, differs, load_low, but_not(Instruction::is, low)]
            }
            Comparison::Masked { mask, bits } => {
                let ((mask_high, mask_low), (high, low)) = (split(mask), split(bits & mask));
                vec![
                    load_high,
                    Instruction::mask(mask_high),
                    Instruction::is(high, 0, 3 + otherwise),
                    load_low,
                    Instruction::mask(mask_low),
                    last(Instruction::is, low),
                ]
            }
            Comparison::Above(number) => ordered(split(number), load_high, load_low, |low| {
                ((3, 2 + otherwise), last(Instruction::is_above, low))
            }),
            Comparison::AtLeast(number) => ordered(split(number), load_high, load_low, |low| {
                ((3, 2 + otherwise), last(Instruction::is_at_least, low))
            }),
            // The same tests with the other outcome.
            Comparison::AtMost(number) => ordered(split(number), load_high, load_low, |low| {
                ((3 + otherwise, 2), but_not(Instruction::is_above, low))
            }),
            Comparison::Below(number) => ordered(split(number), load_high, load_low, |low| {
                ((3 + otherwise, 2), but_not(Instruction::is_at_least, low))
            }),
        }
    }
}

/// Compares the upper half, and the lower where the upper halves are the same. The skips are those of a larger upper
/// half, counted from behind its own test, and of a smaller one, counted from behind the next.
fn ordered(
    (high, low): (u32, u32),
    load_high: Instruction,
    load_low: Instruction,
    last: impl FnOnce(u32) -> ((u8, u8), Instruction),
) -> Vec<Instruction> {
    let ((if_larger, if_smaller), last) = last(low);
    vec![
        load_high,
        Instruction::is_above(high, if_larger, 0),
        Instruction::is(high, 0, if_smaller),
        load_low,
        last,
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::program::Program;

    fn holds(comparison: Comparison, value: u64) -> bool {
        match comparison {
            Comparison::Not(number) => value != number,
            Comparison::Below(number) => value < number,
            Comparison::AtMost(number) => value <= number,
            Comparison::Is(number) => value == number,
            Comparison::AtLeast(number) => value >= number,
            Comparison::Above(number) => value > number,
            Comparison::Masked { mask, bits } => value & mask == bits & mask,
        }
    }

    fn check(comparison: Comparison, value: u64) {
        for argument in [0, 5] {
            let mut program = Condition { argument, comparison }.instructions(1);
            program.extend([Instruction::answer(1), Instruction::answer(0)]);
            let mut arguments = [77; 6];
            arguments[argument as usize] = value;
            let answer = Program(program).run(0, 0, arguments);
            assert_eq!(answer == 1, holds(comparison, value), "{comparison:?} {value:#x}");
        }
    }

    /// Numbers whose halves meet often.
    fn number() -> impl Strategy<Value = u64> {
        let half = || prop_oneof![Just(0), Just(1), Just(u32::MAX), Just(0x8000_0000), any::<u32>()];
        (half(), half()).prop_map(|(high, low)| u64::from(high) << 32 | u64::from(low))
    }

    proptest! {
        #[test]
        fn conditions_are_those_of_numbers(number in number(), bits in number(), value in number()) {
            for value in [value, number, number.wrapping_add(1), number.wrapping_sub(1), bits] {
                check(Comparison::Not(number), value);
                check(Comparison::Below(number), value);
                check(Comparison::AtMost(number), value);
                check(Comparison::Is(number), value);
                check(Comparison::AtLeast(number), value);
                check(Comparison::Above(number), value);
                check(Comparison::Masked { mask: number, bits }, value);
            }
        }
    }
}
