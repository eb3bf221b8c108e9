//! Finding the protocol version: every place, stale bytes, and a heartbeat that decides.

use shm_proto::lgmp::probe::{Finding, Foreign, PLACES, Prober, USER_DATA, recovery};
use shm_proto::lgmp::wire::MAGIC;
use shm_proto::{HostTime, Region};

fn ms(n: u64) -> HostTime {
    HostTime::from_ns(n * 1_000_000)
}

fn region() -> Region {
    Region::memfd("probe", 1 << 20).unwrap()
}

fn put(region: &Region, at: u64, value: u32) {
    region.whole().word::<u32>(at).unwrap().store_release(value);
}

fn put_magic(region: &Region, place: usize, version: u32) {
    put(region, PLACES[place].magic_at, MAGIC);
    put(region, PLACES[place].magic_at + 4, version);
}

fn put_kvmfr(region: &Region, lgmp: u32, kvmfr: u32) {
    let at = USER_DATA.iter().find(|(v, _)| *v == lgmp).unwrap().1;
    region.span(at, 8).unwrap().copy_from(b"KVMFR---").unwrap();
    put(region, at + 8, kvmfr);
}

fn beat(region: &Region, place: usize, timestamp: u64) {
    region.whole().word::<u64>(PLACES[place].timestamp_at).unwrap().store_release(timestamp);
}

fn put_recovery(region: &Region, lgmp: u32, kvmfr: u32) -> u64 {
    let at = region.len() - recovery::FROM_END;
    region.span(at, 8).unwrap().copy_from(&recovery::MAGIC).unwrap();
    region.whole().word::<u16>(at + recovery::ABI).unwrap().store_release(1);
    put(region, at + recovery::LGMP_VERSION, lgmp);
    put(region, at + recovery::KVMFR_VERSION, kvmfr);
    put(region, at + recovery::READY, 1);
    at
}

#[test]
fn lgmp_each_version_is_found_at_its_own_place_only() {
    for (place, known) in PLACES.iter().enumerate() {
        for version in 0..=13 {
            let region = region();
            put_magic(&region, place, version);
            let expected = match (version, place) {
                (5..=7, 0) | (10, 2) | (12, 3) => Finding::Spoken { lgmp: version },
                (v, _) if (known.versions.0..=known.versions.1).contains(&v) => {
                    Finding::Other { lgmp: v, kvmfr: None, place: known.magic_at }
                }
                _ => Finding::Nothing,
            };
            assert_eq!(Prober::new().look(&region, ms(0)), Ok(expected), "version {version} at {}", known.magic_at);
        }
    }
}

#[test]
fn lgmp_other_versions_are_named_with_what_they_carry() {
    for (lgmp, place, kvmfr) in [(4, 0, 14), (8, 0, 20), (9, 1, 20), (11, 2, 27)] {
        let region = region();
        put_magic(&region, place, lgmp);
        put_kvmfr(&region, lgmp, kvmfr);
        let place = PLACES[place].magic_at;
        let expected = Finding::Other { lgmp, kvmfr: Some(kvmfr), place };
        assert_eq!(Prober::new().look(&region, ms(0)), Ok(expected));
    }
}

#[test]
fn lgmp_a_moving_heartbeat_beats_stale_bytes_of_another_version() {
    let region = region();
    let mut prober = Prober::new();
    put_magic(&region, 3, 12);
    beat(&region, 3, 250);
    let twelve = Finding::Spoken { lgmp: 12 };
    assert_eq!(prober.look(&region, ms(0)), Ok(twelve));
    // An older producer starts in the same memory; its magic lies on the newer one's heartbeat, which so cannot live.
    put_magic(&region, 0, 6);
    beat(&region, 0, 10);
    let six = Finding::Spoken { lgmp: 6 };
    assert_eq!(prober.look(&region, ms(10)), Ok(six));
    beat(&region, 0, 20);
    assert_eq!(prober.look(&region, ms(20)), Ok(six));
    assert!(prober.is_alive(&six, ms(20)) && !prober.is_alive(&six, ms(5000)));
    assert_eq!(prober.look(&region, ms(5000)), Ok(six), "nothing moves: the first place");
    // And the newer one again: its first heartbeat wipes the older magic.
    beat(&region, 3, 500);
    assert_eq!(prober.look(&region, ms(6000)), Ok(twelve));
}

#[test]
fn lgmp_an_unspoken_version_that_moves_beats_a_spoken_one_that_stands() {
    let region = region();
    let at = put_recovery(&region, 11, 27);
    put_magic(&region, 0, 6);
    let mut prober = Prober::new();
    assert_eq!(prober.look(&region, ms(0)), Ok(Finding::Spoken { lgmp: 6 }));
    put(&region, at + recovery::HEARTBEAT, 5);
    let other = Finding::Other { lgmp: 11, kvmfr: Some(27), place: 8064 };
    assert_eq!(prober.look(&region, ms(250)), Ok(other));
    assert_eq!(prober.look(&region, ms(1200)), Ok(other), "for a second");
    assert_eq!(prober.look(&region, ms(1250)), Ok(Finding::Spoken { lgmp: 6 }));
}

#[test]
fn lgmp_a_live_recovery_block_names_both_versions() {
    let region = region();
    let at = put_recovery(&region, 11, 27);
    let other = Finding::Other { lgmp: 11, kvmfr: Some(27), place: 8064 };
    let mut prober = Prober::new();
    assert_eq!(prober.look(&region, ms(0)), Ok(other));
    // Stale bytes of a spoken version are more likely the running one, until the block's heartbeat moves.
    put_magic(&region, 0, 6);
    assert_eq!(prober.look(&region, ms(10)), Ok(Finding::Spoken { lgmp: 6 }));
    put(&region, at + recovery::HEARTBEAT, 1);
    assert_eq!(prober.look(&region, ms(20)), Ok(other));
    for (field, value) in [(recovery::READY, 0), (recovery::LGMP_VERSION, 99), (recovery::KVMFR_VERSION, 1 << 30)] {
        let honest = region.whole().word::<u32>(at + field).unwrap().load_acquire();
        put(&region, at + field, value);
        assert_eq!(Prober::new().look(&region, ms(0)), Ok(Finding::Spoken { lgmp: 6 }), "{field} {value}");
        put(&region, at + field, honest);
    }
    // Of a version that is spoken the block adds nothing: its own place tells.
    put(&region, at + recovery::LGMP_VERSION, 12);
    put(&region, at + recovery::KVMFR_VERSION, 34);
    assert_eq!(Prober::new().look(&region, ms(0)), Ok(Finding::Spoken { lgmp: 6 }));
}

#[test]
fn lgmp_other_regions_are_named_and_small_ones_survived() {
    let scream = region();
    put(&scream, 0, 0x1111_2014);
    assert_eq!(Prober::new().look(&scream, ms(0)), Ok(Finding::Foreign(Foreign::Scream)));
    let ring = region();
    ring.whole().word::<u64>(0).unwrap().store_release(shm_proto::ring::wire::MAGIC);
    assert_eq!(Prober::new().look(&ring, ms(0)), Ok(Finding::Foreign(Foreign::Ring)));
    assert_eq!(Prober::new().look(&region(), ms(0)), Ok(Finding::Nothing));
    for len in [1, 3, 4, 7, 8, 20, 24, 4096, 8068, 65536, 65537] {
        let region = Region::memfd("small", len).unwrap();
        assert_eq!(Prober::new().look(&region, ms(0)), Ok(Finding::Nothing), "{len} bytes");
        region.whole().fill(0x4C).unwrap();
        assert_eq!(Prober::new().look(&region, ms(0)), Ok(Finding::Nothing), "{len} bytes");
    }
}
