//! Attempts at what a machine can spoil that holds processors away from programs, as a virtual machine's host does at
//! times, for a quarter of a second and more: no receiver plays through that.

use std::fmt::Debug;

/// Makes `attempt` until one is good, three at most, each with everything anew. `Err` is for what such a machine can spoil,
/// and only where the program itself says that something was late; whatever else is wrong is a panic at once.
///
/// # Panics
/// If none was good: with what was wrong in the last.
pub fn on_time(mut attempt: impl FnMut() -> Result<(), String>) {
    for _ in 0..2 {
        match attempt() {
            Ok(()) => return,
            Err(why) => println!("once more: {why}"),
        }
    }
    attempt().unwrap_or_else(|why| panic!("three times: {why}"));
}

/// What becomes of an attempt, by whether what `scream-rx` played was right; `heard` is for the message. What was wrong is
/// excused where it says itself, by its own figures (of `--stats` or `status --json`), that something was hidden or left out
/// or that sound began more often than `begins` times.
///
/// # Errors
/// What was heard and those figures, if it was not right.
///
/// # Panics
/// As above, where there is no excuse.
pub fn judge(
    is_right: bool,
    heard: &impl Debug,
    begins: u64,
    figure: impl Fn(&str) -> Option<u64>,
) -> Result<(), String> {
    if is_right {
        return Ok(());
    }
    let calm = [("gaps", 0), ("moves", 0), ("sink_disturbances", 0), ("starts", begins)];
    let told = calm.map(|(name, most)| (name, figure(name).expect("a count"), most));
    let what = format!("{heard:?}; {}", told.map(|(name, count, _)| format!("{name}: {count}")).join(", "));
    assert!(told.iter().any(|(_, count, most)| count > most), "nothing was late: {what}");
    Err(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_good_attempt_is_enough() {
        let mut made = 0;
        on_time(|| {
            made += 1;
            if made == 3 { Ok(()) } else { Err("late".into()) }
        });
        assert_eq!(made, 3);
    }

    #[test]
    fn what_is_wrong_is_excused_by_what_was_late() {
        let calm = |name: &str| Some(u64::from(name == "starts"));
        assert_eq!(judge(true, &"a tone", 1, calm), Ok(()));
        assert!(judge(false, &"noise", 1, |name| calm(name).map(|n| n + u64::from(name == "gaps"))).is_err());
        assert!(judge(false, &"noise", 0, calm).is_err());
    }

    #[test]
    #[should_panic(expected = "nothing was late: \"noise\"; gaps: 0, moves: 0, sink_disturbances: 0, starts: 1")]
    fn what_is_wrong_without_an_excuse_is_wrong_at_once() {
        let _ = judge(false, &"noise", 1, |name| Some(u64::from(name == "starts")));
    }

    #[test]
    #[should_panic(expected = "three times: late")]
    fn what_goes_wrong_each_time_is_wrong() {
        on_time(|| Err("late".into()));
    }
}
