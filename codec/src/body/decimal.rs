//! Finds short decimals: floats that are a whole number at some power of ten, to the last bit.
//!
//! Nearly all sensor output is such: 21.37 is 2137 at scale 2, and integers compress well, while the bits
//! of a float do not.

use crate::value::Value;

/// The number of decimal places that are tried. A float with more counts as binary noise.
pub(super) const SCALE_MAX: u8 = 9;
/// 2^51: up to here `rounded` is right. No sensor measures integers beyond it.
const EXACT_MAX: f64 = 2_251_799_813_685_248.0;

/// Powers of ten, by scale.
pub(super) const POWERS: [f64; SCALE_MAX as usize + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Finds the smallest scale at which every value is a whole number, and leaves those numbers in `ints`.
pub(super) fn decimals(
    values: &[Value],
    ints: &mut Vec<i64>,
    exact: impl Fn(&Value, f64) -> Option<i64>,
) -> Option<u8> {
    (0..=SCALE_MAX).find(|scale| {
        let power = POWERS[usize::from(*scale)];
        ints.clear();
        ints.reserve(values.len());
        values.iter().all(|value| exact(value, power).map(|int| ints.push(int)).is_some())
    })
}

/// The whole number that divides back to the very same bits, which −0 and NaN never do; `None` if there is
/// none.
pub(super) fn as_decimal64(value: f64, power: f64) -> Option<i64> {
    let (whole, int) = rounded(value * power);
    (whole.abs() <= EXACT_MAX && (whole / power).to_bits() == value.to_bits()).then_some(int)
}

#[expect(clippy::cast_possible_truncation, reason = "narrowing back to the type it came from")]
pub(super) fn as_decimal32(value: f32, power: f64) -> Option<i64> {
    let (whole, int) = rounded(f64::from(value) * power);
    let back = (whole / power) as f32;
    (whole.abs() <= EXACT_MAX && back.to_bits() == value.to_bits()).then_some(int)
}

/// Rounds to the nearest whole number, as a double and as an integer; right up to [`EXACT_MAX`].
///
/// The sum with so large a number has no bits left for a fraction, and its lowest bits are the integer. The
/// library's rounding is a function call on most processors.
fn rounded(scaled: f64) -> (f64, i64) {
    const LARGE: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    let sum = scaled + LARGE;
    let int = i64::from_ne_bytes(sum.to_bits().wrapping_sub(LARGE.to_bits()).to_ne_bytes());
    (sum - LARGE, int)
}
