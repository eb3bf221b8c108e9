//! Instructions are really counted, by a real callgrind, and come out the same twice.

use rx_bench::callgrind::Counter;
use rx_bench::work;
use std::path::PathBuf;

#[test]
fn a_look_in_vain_takes_the_same_few_instructions_in_every_count() {
    if !rx_tests::require::programs(&["valgrind"]) {
        return;
    }
    let counter = Counter::of(PathBuf::from(env!("CARGO_BIN_EXE_rx-bench"))).unwrap();
    let look = work::find("look").unwrap();
    let [first, second] = [(); 2].map(|()| counter.per_unit(look).unwrap());
    assert!((10.0..5_000.0).contains(&first), "{first} instructions");
    assert!((first / second - 1.0).abs() < 0.01, "{first} and {second} instructions");
}

#[test]
fn a_program_that_cannot_be_counted_is_an_error_with_its_own_words() {
    if !rx_tests::require::programs(&["valgrind"]) {
        return;
    }
    let counter = Counter::of(PathBuf::from("/bin/false")).unwrap();
    let e = counter.per_unit(work::find("look").unwrap()).unwrap_err();
    assert!(e.to_string().contains("under callgrind"), "{e:#}");
}
