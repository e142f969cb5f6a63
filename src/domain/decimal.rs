//! Short decimals: floats that are whole numbers at some power of ten, to the last bit.
//!
//! Nearly all sensor output is: 21.37 is 2137 at scale 2, and integers compress where the bits of a
//! float do not.

use super::reading::Value;

/// Decimal places tried before a float counts as binary noise.
pub const SCALE_MAX: u8 = 9;
/// Beyond 2^53 an integer no longer survives the way through a double.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Powers of ten, by scale.
pub const POWERS: [f64; SCALE_MAX as usize + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// The smallest scale at which every value is a whole number, with those numbers in `ints`.
pub fn decimals(
    values: &[Value],
    ints: &mut Vec<i64>,
    exact: impl Fn(&Value, f64) -> Option<i64>,
) -> Option<u8> {
    let mut scale = 0;
    'again: loop {
        ints.clear();
        for value in values {
            let Some(int) = exact(value, POWERS[usize::from(scale)]) else {
                scale += 1;
                if scale > SCALE_MAX {
                    return None;
                }
                continue 'again;
            };
            ints.push(int);
        }
        return Some(scale);
    }
}

/// A decimal that divides back to the very same bits (so not −0, not NaN), or none.
pub fn as_decimal64(value: f64, power: f64) -> Option<i64> {
    let whole = rounded(value * power)?;
    #[expect(clippy::cast_precision_loss, reason = "at most 2^53, exact in a double")]
    let back = whole as f64 / power;
    (back.to_bits() == value.to_bits()).then_some(whole)
}

#[expect(clippy::cast_possible_truncation, reason = "narrowing back to the type it came from")]
pub fn as_decimal32(value: f32, power: f64) -> Option<i64> {
    let whole = rounded(f64::from(value) * power)?;
    #[expect(clippy::cast_precision_loss, reason = "at most 2^53, exact in a double")]
    let back = (whole as f64 / power) as f32;
    (back.to_bits() == value.to_bits()).then_some(whole)
}

#[expect(clippy::cast_possible_truncation, reason = "bounded by EXACT_MAX just above")]
fn rounded(scaled: f64) -> Option<i64> {
    (scaled.abs() <= EXACT_MAX).then(|| scaled.round_ties_even() as i64)
}
