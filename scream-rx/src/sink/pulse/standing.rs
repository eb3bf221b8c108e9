//! Whether a stream that was moved is where the user wants it. Pure.

use super::server::{Device, choose};

/// How the place of a stream stands to what the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The user named no sink: the server places the stream.
    Free,
    /// It is on the sink that the user named.
    Home,
    /// The user moved it by hand, off a sink that is still there.
    Chosen,
    /// The sink that the user named is away: it is to be gone back to when it returns.
    Away,
    /// The sink that the user named is there, and the stream was put elsewhere because it or another one was not.
    Returned,
}

impl Standing {
    /// That of a stream which was moved from the sink with the number `left` to the one called `at`. `sinks` are all that
    /// there are now. `away`: the sink that the user `named` was away before.
    pub(super) fn after_move(named: Option<&str>, sinks: &[Device], left: u32, at: &str, away: bool) -> Standing {
        let Some(named) = named else { return Standing::Free };
        let wished = choose(sinks, named).ok().and_then(|place| sinks.get(place));
        match wished {
            Some(wished) if wished.name == at => Standing::Home,
            // A sink that comes back under its name has another number.
            _ if !away && sinks.iter().any(|s| s.index == left) => Standing::Chosen,
            Some(_) => Standing::Returned,
            None => Standing::Away,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::Layout;
    use crate::sink::SinkFormat;

    fn sinks(known: &[(u32, &str)]) -> Vec<Device> {
        let format = SinkFormat { rate_hz: 48_000, layout: Layout::STEREO };
        known.iter().map(|(index, name)| Device::example(*index, name, format)).collect()
    }

    #[test]
    fn who_named_nothing_is_placed_by_the_server() {
        assert_eq!(Standing::after_move(None, &sinks(&[(1, "b")]), 0, "b", false), Standing::Free);
    }

    #[test]
    fn a_stream_is_away_only_if_its_sink_went_and_not_if_somebody_moved_it() {
        let after = |known: &[(u32, &str)], left, at, away| {
            Standing::after_move(Some("headset"), &sinks(known), left, at, away)
        };
        // Unplugged; and moved on while it is.
        assert_eq!(after(&[(1, "b")], 0, "b", false), Standing::Away);
        assert_eq!(after(&[(1, "b"), (2, "c")], 1, "c", true), Standing::Away);
        // Unplugged and plugged in again before it was looked at; or while the stream is moved on.
        assert_eq!(after(&[(1, "b"), (2, "headset")], 0, "b", false), Standing::Returned);
        assert_eq!(after(&[(1, "b"), (2, "c"), (3, "headset")], 1, "c", true), Standing::Returned);
        // The server itself brings it back.
        assert_eq!(after(&[(1, "b"), (2, "headset")], 1, "headset", true), Standing::Home);
        // By hand, and from there by hand again.
        assert_eq!(after(&[(0, "headset"), (1, "b")], 0, "b", false), Standing::Chosen);
        assert_eq!(after(&[(0, "headset"), (1, "b"), (2, "c")], 1, "c", false), Standing::Chosen);
        // What was chosen by hand goes: the sink that was named is there.
        assert_eq!(after(&[(0, "headset"), (2, "c")], 1, "c", false), Standing::Returned);
    }

    #[test]
    fn a_sink_that_is_named_by_a_part_is_the_one_that_has_it_now() {
        let now = sinks(&[(4, "alsa_output.usb-Focusrite.iec958-stereo")]);
        assert_eq!(Standing::after_move(Some("focusrite"), &now, 0, &now[0].name, false), Standing::Home);
    }
}
