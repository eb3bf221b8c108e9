//! `RING.md` is the ring's specification for other writers: its tables say what `ring::wire` says, field by field.

use shm_proto::ring::wire::{self, Field};

const RING_MD: &str = include_str!("../RING.md");

/// Offset, width and name of each row of the table behind `heading`.
fn table(heading: &str) -> Vec<(u32, u32, String)> {
    let text = RING_MD.split_once(heading).unwrap_or_else(|| panic!("RING.md has no heading {heading}")).1;
    let rows = text.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2)
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let number = |cell: &str| cell.parse().unwrap_or_else(|_| panic!("not a number in: {row}"));
            (number(cells[0]), number(cells[1]), cells[2].to_owned())
        })
        .collect()
}

fn fields(fields: &[Field]) -> Vec<(u32, u32, String)> {
    fields.iter().map(|field| (field.offset, field.width, field.name.to_owned())).collect()
}

#[test]
fn the_ring_tables_are_those_of_the_code() {
    let header = format!("### Header: {} bytes at offset 0", wire::HEADER_BYTES);
    assert_eq!(table(&header), fields(&wire::HEADER_FIELDS));
    let slot = format!("### Slot: {} bytes of header", wire::SLOT_HEADER_BYTES);
    assert_eq!(table(&slot), fields(&wire::SLOT_FIELDS));
}

#[test]
fn the_ring_limits_in_the_text_are_those_of_the_code() {
    for words in [
        format!("Version {}.", wire::VERSION),
        format!("`{:#018x}`", wire::MAGIC),
        format!("number of slots, {} to {} |", wire::MIN_SLOTS, wire::MAX_SLOTS),
        format!("largest payload, 1 to {} |", wire::MAX_PAYLOAD_BYTES),
        format!("a multiple of {}, at least {} |", wire::LINE_BYTES, wire::HEADER_BYTES),
        format!("at most {} (one hour", wire::MAX_DURATION_NS),
        format!("payload starts at offset {} of the slot", wire::SLOT_HEADER_BYTES),
    ] {
        assert!(RING_MD.contains(&words), "RING.md does not say: {words}");
    }
}

/// A ring written byte by byte from the page alone is read.
#[test]
fn a_ring_writer_that_knows_only_the_page_is_understood() {
    use shm_proto::ring::{Consumer, Kind, State};
    use shm_proto::{HostTime, Region};

    let region = Region::memfd("by-hand", 1024).unwrap();
    let put = |at: u64, bytes: &[u8]| region.span(at, bytes.len() as u64).unwrap().copy_from(bytes).unwrap();
    let (first_slot, slot_bytes) = (256u32, 192u32);
    put(0, b"RX-RING\0");
    for (at, number) in [(8, 1), (12, first_slot), (16, 4), (20, slot_bytes), (24, 100)] {
        put(at, &number.to_le_bytes());
    }
    put(32, &6u64.to_le_bytes());
    let mut reader = Consumer::attach(&region).unwrap();
    assert!(matches!(reader.poll(HostTime::ZERO), State::Following { generation: 6, .. }));
    let slot = u64::from(first_slot);
    put(slot, &1u64.to_le_bytes());
    put(slot + 8, &2u32.to_le_bytes());
    put(slot + 12, &5u32.to_le_bytes());
    put(slot + 16, &1_000_000u64.to_le_bytes());
    put(slot + 32, &20_000_000u64.to_le_bytes());
    put(slot + 64, b"sound");
    put(slot, &2u64.to_le_bytes());
    put(128, &1u64.to_le_bytes());
    let mut buf = [0; 100];
    let taken = reader.next(&mut buf).unwrap();
    assert_eq!((taken.seq, taken.kind, &buf[..taken.len]), (1, Kind::Audio, &b"sound"[..]));
    assert_eq!((taken.durations.since_capture.as_millis(), taken.durations.covers.as_millis()), (1, 20));
}
