//! The engine in the virtual bed: every scenario of the table, hours in seconds.

use scream_rx::bed;

#[test]
fn every_scenario_keeps_its_limits() {
    let hours = std::env::var("SCREAM_RX_HOURS").ok().and_then(|s| s.parse().ok()).unwrap_or(1.0);
    let (card, all_kept) = bed::card(hours, 1);
    println!("{card}");
    assert!(all_kept, "\n{card}");
}
