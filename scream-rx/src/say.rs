//! What the user reads: one plain sentence for each state, the line that says how it goes, and the summary at the end.
//! Words only; nothing is decided or counted here.

use crate::counters::Counters;
use crate::intake::socket::ListenError;
use crate::intake::{News, State};
use crate::origin::Origin;
use crate::sink::Notice;
use core::fmt::Write;
use core::time::Duration;
use rx_host::settings::units::ByteSize;
use shm_proto::scream::{Foreign, Format, Waiting};
use std::net::Ipv4Addr;
use std::path::Path;

/// What a sink is called where there is none; the reason stands behind it.
pub const NO_SINK: &str = "none: ";

/// After so long without any stream the user learns what is known to prevent one.
pub const STILL_NOTHING: Duration = Duration::from_secs(60);

/// How it stands with the guest's sound in `file`. Nothing for a state that is over before it is read.
pub fn guest(state: State, file: &Path) -> Option<String> {
    let file = file.display();
    Some(match state {
        State::Detached | State::Waiting(Waiting::Settling | Waiting::Standing) => return None,
        State::Listening => {
            "waiting for sound from the network: nothing has come yet; play something in the guest".into()
        }
        State::Waiting(Waiting::NoStream) => {
            format!("waiting for sound in {file}: nothing is written yet; play something in the guest")
        }
        State::Waiting(Waiting::Stale) => format!(
            "waiting for sound in {file}: the guest has not written since we came; if it plays, it writes elsewhere"
        ),
        State::Waiting(Waiting::Foreign(Foreign::LookingGlass)) => format!(
            "{file} is Looking Glass's file, not Scream's: pass the other one; frame-rx -f {file} shows what is in it"
        ),
        State::Waiting(Waiting::Foreign(owner)) => {
            format!("{file}: {owner}; see that it is the file of the right ivshmem device")
        }
        State::Waiting(Waiting::Corrupt(corrupt)) => {
            format!("waiting for a header in {file} that makes sense: {corrupt}")
        }
        State::Live { format, guessed } => {
            let guess = if guessed { "; its speaker mask fits no layout, the usual one is assumed" } else { "" };
            format!("the guest plays {}{guess}", sound(format))
        }
        State::Silent { format } => format!("the guest is silent ({} is open)", sound(format)),
    })
}

/// What is known to keep a guest from writing, for a region of `bytes`. Source: the wire reference, section 2.8.
pub fn still_nothing(file: &Path, bytes: u64) -> String {
    format!("still nothing in {}. {}", file.display(), never_seen(bytes))
}

/// What is known to keep a stream from ever being opened in a region of `bytes`. Source: the wire reference, section 2.8.
pub fn never_seen(bytes: u64) -> String {
    format!(
        "If the guest plays: its registry must say UseIVSHMEM = {} (the size of the memory in MiB, read when the driver \
         loads); no other program in the guest may hold the device; and the IVSHMEM driver must be one that Scream can open \
         (newer ones refuse it: try 0.1-161)",
        bytes >> 20
    )
}

/// Datagrams are awaited.
pub fn listening(origin: &Origin, interfaces: &[Ipv4Addr]) -> String {
    let address = origin.address();
    match origin.listen.group {
        Some(_) => {
            let on: Vec<String> = interfaces.iter().map(Ipv4Addr::to_string).collect();
            format!("listening to {address} on {}", on.join(", "))
        }
        None => format!("listening on {address}"),
    }
}

/// Datagrams cannot be awaited yet.
pub fn not_listening(missing: &ListenError) -> String {
    let because = core::error::Error::source(missing).map_or(String::new(), |cause| format!(" ({cause})"));
    let then = match missing {
        ListenError::Socket { .. } => "until then shared memory alone is played",
        _ => "trying again until that is mended",
    };
    format!("{missing}{because}: {}; {then}", missing.hint())
}

/// What is known to keep datagrams from coming. Source: the wire reference, sections 3.2 and 3.3.
pub fn still_nothing_sent(origin: &Origin) -> String {
    let port = origin.address().port();
    let to = match origin.listen.group {
        Some(group) => format!(
            "the guest must send to {group} port {port} (the driver's default; UseIVSHMEM must not be set) through a network \
             that this host is on, and switches may drop groups: UnicastIPv4 in the guest and -u here do without"
        ),
        None => {
            format!("the guest's registry must say UnicastIPv4 = an address of this host, and UnicastPort = {port}")
        }
    };
    format!("still no datagram. If the guest plays: {to}; and a firewall here must let UDP port {port} in")
}

/// What happened once.
pub fn news(news: &News, file: &Path) -> String {
    match news {
        News::Listening(address) => format!("listening on {address} now"),
        News::Sender(sender) => format!("the sound comes from {sender}"),
        News::OtherSender(other) => format!(
            "{other} sends too and is left out: give each guest a port of its own (UnicastPort there, -p here) and a \
             scream-rx of its own"
        ),
        News::Junk(junk, sender) => {
            format!("{sender} sends what is not Scream's: {junk}; further ones are only counted")
        }
        News::ThroughNetwork { memory_unused: true } => format!(
            "nothing was ever written into {}, but the guest sends: playing that. Either its registry does not say \
             UseIVSHMEM, or its IVSHMEM driver is one that Scream cannot open (newer ones refuse it: try 0.1-161), or \
             another program there holds the device",
            file.display()
        ),
        News::ThroughNetwork { memory_unused: false } => {
            format!("the guest sends now and writes nothing into {}: playing what it sends", file.display())
        }
        News::ThroughMemory => format!("the guest writes into {} now: playing that", file.display()),
    }
}

/// A format in a few words.
pub fn sound(format: Format) -> String {
    let (layout, _) = crate::channels::Layout::of_guest(format.channels(), format.mask());
    format!("{} Hz, {} bit, {layout}", format.rate_hz(), format.bits().bits())
}

/// The region was opened.
pub fn region(file: &Path, bytes: u64) -> String {
    format!("{} is open, {}", file.display(), ByteSize(bytes))
}

/// How it stands with the sink.
pub fn sink(notice: &Notice) -> String {
    match notice {
        Notice::Open { name, format } => format!("sound goes to {name}: {format}"),
        Notice::Coarse { name, piece } => format!(
            "{name} takes {:.1} ms of sound at a time, which makes the delay longer; where that is alsa-lib's mixer, a card itself \
             (-d hw:0, see: scream-rx devices) takes less, for one program alone",
            piece.as_secs_f64() * 1e3
        ),
        Notice::Starved { name, piece } => format!(
            "{name} runs empty again and again: it gets {:.1} ms of sound at a time now, which makes the delay longer",
            piece.as_secs_f64() * 1e3
        ),
        Notice::Full { reason } => format!("{reason}; the sound ends here"),
        Notice::Paused { reason } => format!("{reason}; sound goes on as soon as it does"),
        Notice::Absent { reason } => format!("{reason}; trying again until it is back"),
    }
}

/// The line that says how it goes.
pub fn status(counters: &Counters, playing: bool) -> String {
    let p = &counters.playout;
    let mut line = String::new();
    if playing && p.delay_us.get() > 0 {
        let _ = write!(line, "delay {:.1} ms", p.delay_us.get() as f64 / 1e3);
        let _ = write!(line, ", clocks {:+.0} ppm", p.drift_ppb.get() as f64 / 1e3);
    } else {
        line.push_str("silent");
    }
    let _ = write!(line, ", {} gaps", p.gaps.get());
    let (lost, under) = (counters.intake.chunks_lost.get(), counters.sink.underflows.get());
    if lost > 0 {
        let _ = write!(line, ", {lost} chunks lost");
    }
    if counters.intake.datagrams_lost.get() > 0 {
        let _ = write!(line, ", {} datagrams lost", counters.intake.datagrams_lost.get());
    }
    if under > 0 {
        let _ = write!(line, ", device ran empty {under} times");
    }
    line
}

/// The summary at the end.
pub fn summary(counters: &Counters, format: Option<Format>, how: &str) -> String {
    let (i, p, s) = (&counters.intake, &counters.playout, &counters.sink);
    let mut text = String::new();
    let _ = writeln!(text, "format    {}", format.map_or("no sound came".into(), sound));
    match p.delay.spread() {
        Some(d) => {
            let _ = writeln!(
                text,
                "delay     {:.2} ms in the middle, {:.2} to {:.2} ms from p1 to p99{how}",
                d.p50_ms, d.p1_ms, d.p99_ms
            );
        }
        None => text.push_str("delay     nothing was played\n"),
    }
    let _ = writeln!(text, "clocks    {:+.1} ppm between guest and sink", p.drift_ppb.get() as f64 / 1e3);
    let _ = writeln!(text, "chunks    {} received, {} lost", i.chunks.get(), i.chunks_lost.get());
    if i.datagrams.get() > 0 {
        let _ = writeln!(text, "datagrams {} received, {} lost", i.datagrams.get(), i.datagrams_lost.get());
    }
    let _ = writeln!(text, "gaps      {} hidden, the device ran empty {} times", p.gaps.get(), s.underflows.get());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_proto::Guest;

    #[test]
    fn every_state_is_one_sentence_that_names_the_file() {
        let file = Path::new("/dev/shm/x");
        let corrupt = Guest::new(9u8).check("channels", 1..=8).unwrap_err();
        let cases = [
            (State::Waiting(Waiting::NoStream), "waiting for sound in /dev/shm/x"),
            (State::Waiting(Waiting::Stale), "has not written since we came"),
            (State::Waiting(Waiting::Foreign(Foreign::LookingGlass)), "/dev/shm/x is Looking Glass's file"),
            (State::Waiting(Waiting::Foreign(Foreign::Unknown(7))), "0x00000007"),
            (State::Waiting(Waiting::Corrupt(corrupt)), "channels is 9, allowed is 1 to 8"),
        ];
        for (state, words) in cases {
            let text = guest(state, file).unwrap();
            assert!(text.contains(words) && text.contains("/dev/shm/x") && !text.contains('\n'), "{text}");
        }
        let format = Format::new(48_000, 16, 6, 0x3F).unwrap();
        assert_eq!(
            guest(State::Live { format, guessed: false }, file).unwrap(),
            "the guest plays 48000 Hz, 16 bit, 5.1 channels"
        );
        assert!(guest(State::Silent { format }, file).unwrap().contains("silent"));
        assert_eq!(guest(State::Detached, file), None);
    }

    #[test]
    fn the_hint_names_the_registry_value_for_this_region() {
        let text = still_nothing(Path::new("/dev/shm/x"), 2 << 20);
        assert!(text.contains("UseIVSHMEM = 2 ") && text.contains("0.1-161"), "{text}");
    }

    #[test]
    fn status_and_summary_say_what_was_counted() {
        let counters = Counters::default();
        assert_eq!(status(&counters, true), "silent, 0 gaps");
        assert!(summary(&counters, None, "").contains("nothing was played"));
        counters.playout.delay_us.set(47_900);
        counters.playout.drift_ppb.set(12_300);
        counters.playout.delay.record(0.0479);
        counters.intake.chunks_lost.add(3);
        assert_eq!(status(&counters, true), "delay 47.9 ms, clocks +12 ppm, 0 gaps, 3 chunks lost");
        let text = summary(&counters, None, "");
        assert!(text.contains("47.9") && text.contains("0 received, 3 lost"), "{text}");
    }
}
