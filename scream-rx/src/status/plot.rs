//! Small plots out of braille characters: two values to a column of text, four dots to a line. Pure.

/// The dots of a braille character, from top to bottom, left column and right. Source: Unicode, block U+2800.
const DOTS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
const EMPTY: u32 = 0x2800;

/// A plot of `width` by `height` characters of the newest of `values` (the last is at the right), from the top line to
/// the bottom one. Values outside `low` to `high` are drawn at the edge; what is not a number is left out.
pub fn braille(values: &[Option<f64>], width: usize, height: usize, low: f64, high: f64) -> Vec<String> {
    let shown = values.get(values.len().saturating_sub(2 * width)..).unwrap_or_default();
    let empty_before = 2 * width - shown.len();
    let dots = 4 * height;
    let mut cells = vec![vec![EMPTY; width]; height];
    for (i, value) in shown.iter().enumerate() {
        let Some(value) = value.filter(|v| v.is_finite()) else { continue };
        let share = ((value - low) / (high - low).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
        let from_top = dots - 1 - (share * (dots - 1) as f64).round() as usize;
        let column = empty_before + i;
        if let Some(cell) = cells.get_mut(from_top / 4).and_then(|line| line.get_mut(column / 2)) {
            *cell |= DOTS[column % 2][from_top % 4];
        }
    }
    let text = |line: &Vec<u32>| line.iter().filter_map(|c| char::from_u32(*c)).collect();
    cells.iter().map(text).collect()
}

/// Limits for the axis of `values`: what they span, `least` at least, and a little more. Nothing to show: around zero.
pub fn limits(values: &[Option<f64>], least: f64) -> (f64, f64) {
    let finite = || values.iter().flatten().copied().filter(|v| v.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    if low > high {
        return (-least / 2.0, least / 2.0);
    }
    let half = ((high - low) * 0.55).max(least / 2.0);
    let middle = (low + high) / 2.0;
    (middle - half, middle + half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_goes_from_the_lower_left_to_the_upper_right() {
        let ramp: Vec<_> = (0..8).map(|i| Some(f64::from(i))).collect();
        assert_eq!(braille(&ramp, 4, 2, 0.0, 7.0), ["⠀⠀⡠⠊", "⡠⠊⠀⠀"]);
    }

    #[test]
    fn the_newest_values_stand_at_the_right_and_none_breaks_the_frame() {
        assert_eq!(braille(&[Some(0.0)], 2, 1, 0.0, 1.0), ["⠀⢀"]);
        let wild = [None, Some(f64::NAN), Some(f64::INFINITY), Some(-9.0), Some(9.0), Some(0.5)];
        for (width, height) in [(0, 0), (1, 1), (2, 3), (100, 4)] {
            let plot = braille(&wild, width, height, 0.0, 1.0);
            assert_eq!(plot.len(), height);
            assert!(plot.iter().all(|line| line.chars().count() == width), "{plot:?}");
        }
        assert_eq!(braille(&[Some(1.0)], 1, 1, 1.0, 1.0).len(), 1, "an axis without length");
    }

    #[test]
    fn limits_hold_all_values_and_are_never_a_point() {
        for values in [vec![], vec![None], vec![Some(40.0)], vec![Some(40.0), Some(52.0)], vec![Some(f64::NAN)]] {
            let (low, high) = limits(&values, 1.0);
            assert!(high - low >= 1.0 - 1e-9, "{values:?}");
            assert!(values.iter().flatten().filter(|v| v.is_finite()).all(|v| (low..=high).contains(v)));
        }
    }
}
