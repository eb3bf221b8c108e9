//! A guest whose Scream driver sends over the network: says which bytes it sends when. No socket, no thread, no clock;
//! the caller sends. What happens to datagrams on the way (loss, delay, another order) is simulated here too.
//!
//! Source of what the driver does: the wire reference of Scream 4.0, sections 3.1, 3.4 and 5.

use super::dice;
use super::pacing::{Pacer, Pacing};
use super::sound::usual_mask;
use super::tone::Tone;
use crate::guest::Corrupt;
use crate::scream::datagram::{self, DATAGRAM_BYTES, Datagram, PAYLOAD_BYTES};
use crate::scream::{Format, SampleBits};
use crate::time::HostTime;
use core::time::Duration;
use std::collections::VecDeque;

/// Datagrams that the driver keeps, and so the most that one burst holds. Source: reference, section 5.
const RING: u64 = 800;

/// What becomes of datagrams on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// So many of a million datagrams are lost.
    pub lost_per_million: u32,
    /// So many datagrams in a row are lost each time; 0 is 1.
    pub lost_in_a_row: u32,
    /// Each is under way for a random time up to this; one may overtake another.
    pub late: Duration,
    /// Chooses which.
    pub seed: u64,
}

/// Something that happens to the guest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// The sound is digital silence from now on.
    Mute,
    /// The tone is heard again.
    Unmute,
    /// Another format from the next datagram on.
    Switch(Format),
    /// Nothing is sent for so long; then everything at once.
    Stall(Duration),
    /// Sound stops advancing.
    Pause,
    /// Sound goes on.
    Resume,
    /// The next so many datagrams are lost on their way.
    Lose(u32),
}

/// A sending guest. See the module.
#[derive(Debug)]
pub struct NetworkGuest {
    format: Format,
    tone: Tone,
    pacing: Pacing,
    way: Way,
    /// The driver's `SilenceThreshold`: so many quiet samples in a row, and nothing is sent any more. 0: never.
    silence_threshold: u64,
    quiet_samples: u64,
    muted: bool,
    pacer: Option<Pacer>,
    /// Frames of this format that the pacer has counted and we have made.
    made: u64,
    /// The next frame of the tone.
    position: u64,
    /// The datagram that is being filled.
    filling: Vec<u8>,
    under_way: VecDeque<(HostTime, Vec<u8>)>,
    number: u64,
    lose: u32,
}

impl NetworkGuest {
    /// A guest that plays `tone` in `format` and keeps time as `pacing` says. It begins with the first call of
    /// [`NetworkGuest::advance`].
    pub fn new(format: Format, tone: Tone, pacing: Pacing) -> NetworkGuest {
        NetworkGuest {
            format,
            tone,
            pacing,
            way: Way::default(),
            silence_threshold: 0,
            quiet_samples: 0,
            muted: false,
            pacer: None,
            made: 0,
            position: 0,
            filling: datagram::header_of(format).to_vec(),
            under_way: VecDeque::new(),
            number: 0,
            lose: 0,
        }
    }

    /// The usual guest: 48 kHz, 16 bit, stereo, 440 Hz, ticks of 10 ms.
    ///
    /// # Errors
    /// Never; the signature is that of [`Format::new`].
    pub fn usual() -> Result<NetworkGuest, Corrupt> {
        Ok(NetworkGuest::new(Format::new(48_000, 16, 2, usual_mask(2))?, Tone::DEFAULT, Pacing::CALM))
    }

    /// With this way from guest to host.
    pub fn way(self, way: Way) -> NetworkGuest {
        NetworkGuest { way, ..self }
    }

    /// With this `SilenceThreshold`. Unit: samples, every channel counting.
    pub fn silence_threshold(self, samples: u64) -> NetworkGuest {
        NetworkGuest { silence_threshold: samples, ..self }
    }

    /// What it plays now.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Datagrams made so far, lost ones included.
    pub fn datagrams(&self) -> u64 {
        self.number
    }

    /// Lets everything happen that is due by `now`, and hands each datagram that arrives by then to `arrive`, with the
    /// time at which it does.
    pub fn advance(&mut self, now: HostTime, mut arrive: impl FnMut(HostTime, &[u8])) {
        self.make(now);
        while let Some((_, bytes)) = self.under_way.front().filter(|(at, _)| *at <= now) {
            // Late by the caller's own delay, if it has one: it sends now.
            arrive(now, bytes);
            self.under_way.pop_front();
        }
    }

    /// When [`NetworkGuest::advance`] has something to do again. `None`: not until an event.
    pub fn next_due(&self) -> Option<HostTime> {
        let arrives = self.under_way.front().map(|(at, _)| *at);
        let made = self.pacer.and_then(|pacer| pacer.due_at(self.frames_until_full()));
        arrives.into_iter().chain(made).min()
    }

    /// The number of the frame that completes the datagram being filled, if none of them is suppressed.
    fn frames_until_full(&self) -> u64 {
        let missing = DATAGRAM_BYTES.saturating_sub(self.filling.len()) as u64;
        self.made + missing.div_ceil(u64::from(self.format.frame_bytes())).max(1) - 1
    }

    /// Lets `event` happen now.
    pub fn perform(&mut self, event: Event, now: HostTime) {
        self.make(now);
        match event {
            Event::Mute => self.muted = true,
            Event::Unmute => self.muted = false,
            Event::Switch(format) => {
                let position = u128::from(self.position) * u128::from(format.rate_hz());
                self.position = (position / u128::from(self.format.rate_hz())) as u64;
                (self.format, self.pacer, self.made) = (format, Some(self.new_pacer(format, now)), 0);
                self.filling = datagram::header_of(format).to_vec();
            }
            Event::Stall(length) => self.with_pacer(|pacer| pacer.stall(now, length)),
            Event::Pause => self.with_pacer(|pacer| pacer.pause(now)),
            Event::Resume => self.with_pacer(|pacer| pacer.resume(now)),
            Event::Lose(datagrams) => self.lose = self.lose.saturating_add(datagrams),
        }
    }

    fn with_pacer(&mut self, change: impl FnOnce(&mut Pacer)) {
        if let Some(pacer) = &mut self.pacer {
            change(pacer);
        }
    }

    fn new_pacer(&self, format: Format, now: HostTime) -> Pacer {
        // In single frames: with five and seven channels datagrams are no whole number of them.
        Pacer::new(&self.pacing, format.rate_hz(), 1, now)
    }

    fn make(&mut self, now: HostTime) {
        let pacer = *self.pacer.get_or_insert(Pacer::new(&self.pacing, self.format.rate_hz(), 1, now));
        let due = pacer.due(now).saturating_sub(self.made);
        // What the driver's ring does not hold is gone.
        let most = RING * (PAYLOAD_BYTES as u64 / u64::from(self.format.frame_bytes())).max(1);
        let gone = due.saturating_sub(most);
        self.position += gone;
        for _ in gone..due {
            self.make_frame(now);
        }
        self.made += due;
    }

    fn make_frame(&mut self, now: HostTime) {
        let mut frame = [0; 32];
        let bytes = self.format.frame_bytes() as usize;
        let Some(frame) = frame.get_mut(..bytes) else { return };
        if !self.muted {
            self.tone.render(self.position, self.number, &self.format, frame);
        }
        self.position += 1;
        if self.is_suppressed(frame) {
            return;
        }
        self.filling.extend_from_slice(frame);
        if self.filling.len() >= DATAGRAM_BYTES {
            let rest = self.filling.split_off(DATAGRAM_BYTES);
            let full = core::mem::replace(&mut self.filling, datagram::header_of(self.format).to_vec());
            self.filling.extend(rest);
            self.send(full, now);
        }
    }

    /// Whether the driver keeps this frame to itself.
    fn is_suppressed(&mut self, frame: &[u8]) -> bool {
        if self.silence_threshold == 0 || self.format.bits() == SampleBits::Bits24 {
            return false;
        }
        let bytes = [&datagram::header_of(self.format)[..], frame].concat();
        let quiet = Datagram::check(&bytes).map_or(0, |d| d.quiet_samples_at_end() as u64);
        let all = quiet == u64::from(self.format.channels());
        self.quiet_samples = if all { self.quiet_samples + quiet } else { 0 };
        self.quiet_samples > self.silence_threshold
    }

    fn send(&mut self, bytes: Vec<u8>, now: HostTime) {
        let number = self.number;
        self.number += 1;
        let run = u64::from(self.way.lost_in_a_row.max(1));
        // One roll for each run of datagrams, so that those of a run are lost together.
        let rare = u64::from(self.way.lost_per_million);
        let unlucky = dice::roll_below(self.way.seed, number / run, 1_000_000) < rare;
        if self.lose > 0 {
            self.lose -= 1;
            return;
        }
        if unlucky {
            return;
        }
        let late_ns = u64::try_from(self.way.late.as_nanos()).unwrap_or(u64::MAX);
        let late = dice::roll_below(self.way.seed ^ 0xA5A5, number, late_ns);
        let at = now + Duration::from_nanos(late);
        let place = self.under_way.partition_point(|(other, _)| *other <= at);
        self.under_way.insert(place, (at, bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: HostTime = HostTime::from_ns(7_000_000_000);

    /// Runs `guest` for `ms`; gives all datagrams with the times they came at, in ms.
    fn run(guest: &mut NetworkGuest, from_ms: u64, to_ms: u64) -> Vec<(u64, Vec<u8>)> {
        let mut all = Vec::new();
        for ms in from_ms..to_ms {
            guest.advance(START + Duration::from_millis(ms), |_, bytes| all.push((ms, bytes.to_vec())));
        }
        all
    }

    #[test]
    fn a_usual_guest_sends_one_or_two_datagrams_with_each_tick() {
        let mut guest = NetworkGuest::usual().unwrap();
        let sent = run(&mut guest, 0, 1_001);
        assert_eq!(sent.len(), 1_000 / 6);
        assert!(sent.iter().all(|(ms, bytes)| ms % 10 == 0 && bytes.len() == 1157 && bytes[..5] == [1, 16, 2, 3, 0]));
        assert_eq!(guest.next_due(), Some(START + Duration::from_millis(1_010)));
    }

    #[test]
    fn what_is_sent_is_the_tone_for_every_number_of_channels() {
        for channels in 1..=8 {
            let format = Format::new(48_000, 16, channels, usual_mask(channels)).unwrap();
            let tone = Tone::ChannelIdentity { level_dbfs: -6.0 };
            let mut guest = NetworkGuest::new(format, tone, Pacing::CALM);
            let sent: Vec<u8> = run(&mut guest, 0, 300).into_iter().flat_map(|(_, d)| d[5..].to_vec()).collect();
            let mut expected = vec![0; sent.len() / format.frame_bytes() as usize * format.frame_bytes() as usize];
            tone.render(0, 0, &format, &mut expected);
            assert!(sent.len() > 20_000 && sent[..expected.len()] == expected, "{channels}");
        }
    }

    #[test]
    fn nothing_is_sent_during_suppressed_silence_and_the_rest_of_a_datagram_comes_after_it() {
        let mut guest = NetworkGuest::usual().unwrap().silence_threshold(10_000);
        let loud = run(&mut guest, 0, 500);
        guest.perform(Event::Mute, START + Duration::from_millis(500));
        let quiet = run(&mut guest, 500, 2_000);
        let last_ms = quiet.last().unwrap().0;
        // 10 000 samples are 5 000 frames: 104 ms.
        assert!((600..=620).contains(&last_ms), "{last_ms}");
        guest.perform(Event::Unmute, START + Duration::from_millis(2_000));
        let again = run(&mut guest, 2_000, 2_500);
        assert!(again[0].0 <= 2_010 && again.len() > 70 && loud.len() > 70);
        let before: usize = again[0].1[5..].chunks(2).take_while(|s| **s == [0, 0]).count();
        assert!(before > 0, "the end of the silence is at the head of the first datagram");
    }

    #[test]
    fn the_way_loses_as_many_as_it_should_and_may_change_the_order() {
        let way = Way { lost_per_million: 100_000, lost_in_a_row: 2, late: Duration::from_millis(12), seed: 3 };
        let mut guest = NetworkGuest::usual().unwrap().way(way);
        let sent = run(&mut guest, 0, 60_000);
        let lost = guest.datagrams() - sent.len() as u64;
        assert!((700..1_300).contains(&lost), "{lost}");
        guest.perform(Event::Lose(3), START + Duration::from_millis(60_000));
        let after = run(&mut guest, 60_000, 60_100).len();
        assert!((8..=20).contains(&after), "{after}");
    }

    #[test]
    fn a_stall_ends_in_a_burst_and_an_endless_one_in_what_the_driver_keeps() {
        let mut guest = NetworkGuest::usual().unwrap();
        run(&mut guest, 0, 100);
        guest.perform(Event::Stall(Duration::from_millis(120)), START + Duration::from_millis(95));
        let sent = run(&mut guest, 96, 220);
        // 90 ms were sent before, 210 ms are due: 35 datagrams less 15.
        assert_eq!((sent.len(), sent[0].0), (20, 215));
        let mut count = 0;
        guest.advance(START + Duration::from_secs(3600), |_, _| count += 1);
        assert!(count <= RING + 1, "{count}");
    }

    #[test]
    fn another_format_is_in_the_next_datagram() {
        let mut guest = NetworkGuest::usual().unwrap();
        run(&mut guest, 0, 100);
        let format = Format::new(96_000, 32, 8, 0x63F).unwrap();
        guest.perform(Event::Switch(format), START + Duration::from_millis(95));
        let sent = run(&mut guest, 96, 200);
        assert!(sent.len() > 200 && sent.iter().all(|(_, d)| Datagram::check(d).unwrap().format() == format));
    }
}
