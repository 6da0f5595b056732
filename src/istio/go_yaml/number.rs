//! Numbers as Go writes them.

use serde_json::Number;

/// Below this, Go's JSON writes a whole number with all its digits.
const LARGE: f64 = 1e21;

/// Returns a number's text: without a fraction where it has none, and with an exponent where Go's
/// shortest form has one.
pub fn to_string(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => of_float(float),
        _ => number.to_string(),
    }
}

fn of_float(float: f64) -> String {
    if float.fract() == 0.0 && float.abs() < LARGE {
        return format!("{float:.0}");
    }
    let scientific = format!("{float:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(-4..=5) | Err(_) => float.to_string(),
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
    }
}
