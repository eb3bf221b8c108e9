//! No reader asks for memory once it runs. The counting allocator is the library's, so it counts in here too.

use rx_bench::baseline::allocations_of_this_thread;
use std::hint::black_box;

#[test]
fn no_reader_allocates_in_steady_state() {
    let counts = rx_bench::cases::count_allocations().unwrap();
    for (what, events, allocations) in counts {
        assert_eq!((allocations, events > 0), (0, true), "{allocations} allocations in {events} {what}");
    }
}

/// The test above would pass if nothing were counted.
#[test]
fn an_allocation_is_seen() {
    let before = allocations_of_this_thread();
    drop(black_box(Box::new(1u64)));
    assert_eq!(allocations_of_this_thread() - before, 1);
}
