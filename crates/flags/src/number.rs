//! Printing a double the way a C++ stream does with 15 significant digits, which durations are printed with.

/// `%.15g`: at most 15 significant digits, no trailing zeros, an exponent only for very small or large values.
pub(crate) fn print_15_digits(value: f64) -> String {
    let scientific = format!("{value:.14e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("Rust prints an exponent with {:e}");
    let exponent: i32 = exponent.parse().expect("Rust prints a decimal exponent");
    if !(-4..15).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_trailing_zeros(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(14 - exponent).expect("the exponent is below 15 here");
    without_trailing_zeros(&format!("{value:.decimals$}")).to_owned()
}

fn without_trailing_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Numbers as stout's `numify` takes them (no sign, no spaces), with its words when it refuses.
pub(crate) fn numify<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("Failed to convert '{text}' to number"))
}

#[cfg(test)]
mod tests {
    use super::print_15_digits;

    #[test]
    fn prints_like_a_cpp_stream() {
        let cases =
            [(1.5, "1.5"), (2.0, "2"), (1.0 / 3.0, "0.333333333333333"), (1e20, "1e+20"), (0.00001, "1e-05")];
        for (value, text) in cases {
            assert_eq!(print_15_digits(value), text);
        }
    }
}
