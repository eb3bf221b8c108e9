//! Files that somebody else wrote: whatever they hold, reading them ends in bounded memory, with a word or a value.

use rx_host::settings;
use scream_rx::settings::Low;
use scream_rx::timing::{HEADER, Reader, Writer};
use std::path::Path;

#[test]
fn no_bytes_upset_the_reader_of_timing_dumps() {
    bolero::check!().for_each(|input: &[u8]| {
        let whole = [HEADER.as_bytes(), b"\n", input].concat();
        let events: Vec<_> = Reader::new(&whole[..]).expect("the header is right").map_while(Result::ok).collect();
        // Each event takes at least a line.
        assert!(events.len() <= input.len());
        // What was read can be written, and read again as the same.
        let mut writer = Writer::new(Vec::new()).expect("memory");
        let written = events.iter().take_while(|event| writer.write(event).expect("memory")).count();
        let copy = writer.finish().expect("memory");
        let again: Vec<_> = Reader::new(&copy[..]).expect("our own").map_while(Result::ok).take(written).collect();
        assert_eq!(format!("{again:?}"), format!("{:?}", &events[..written]));
    });
}

#[test]
fn no_text_upsets_the_settings() {
    bolero::check!().for_each(|input: &[u8]| {
        let Ok(text) = core::str::from_utf8(input) else { return };
        if let Err(e) = settings::parse::<Low>(Path::new("x.toml"), text) {
            assert!(!e.to_string().is_empty());
        }
    });
}
