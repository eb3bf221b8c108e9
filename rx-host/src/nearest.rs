//! Which of several known names somebody meant: for the hint after a misspelt setting or device. Pure.

/// How many letters must be put in, left out or exchanged to make `b` of `a`; case and `_` for `-` do not count.
///
/// Takes the product of both lengths in time: for names, not for texts.
pub fn edit_distance(a: &str, b: &str) -> usize {
    let fold = |s: &str| s.to_lowercase().replace('_', "-").chars().collect::<Vec<_>>();
    let (a, b) = (fold(a), fold(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The known name that is spelt most like `name`, if any is close: a third of the letters may be wrong, and one of a word
/// of three or less.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let best = known.iter().map(|k| (edit_distance(name, k), *k)).min()?;
    (best.0 <= (name.chars().count() / 3).max(1)).then_some(best.1)
}

/// The known names from the most to the least alike; one that holds `name` as a part comes first.
pub fn by_likeness<'a>(name: &str, known: &[&'a str]) -> Vec<&'a str> {
    let lower = name.to_lowercase();
    let mut names = known.to_vec();
    names.sort_by_key(|k| (!k.to_lowercase().contains(&lower), edit_distance(name, k)));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_near_and_another_word_is_not() {
        let known = ["latency", "device", "output"];
        for (typed, meant) in [("latancy", Some("latency")), ("DEVICE", Some("device")), ("trumpet", None)] {
            assert_eq!(nearest(typed, &known), meant, "{typed}");
        }
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn a_name_that_holds_what_was_typed_comes_first() {
        let known = ["usb_card", "hdmi-stereo-extra1", "t"];
        assert_eq!(by_likeness("HDMI", &known), ["hdmi-stereo-extra1", "t", "usb_card"]);
        assert_eq!(by_likeness("usb-cart", &known)[0], "usb_card");
    }
}
