//! Datagrams through the whole engine in virtual time: a simulated guest sends, a sink whose clock is ours asks.

use super::*;
use crate::channels::Layout;
use crate::counters::Counters;
use crate::ending::Length;
use crate::playout::{self, Playout};
use crate::sink::{SinkFormat, Source};
use crate::target::Wishes;
use proptest::prelude::*;
use shm_proto::guest_sim::network::{Event, NetworkGuest, Way};
use shm_proto::guest_sim::pacing::Pacing;
use shm_proto::guest_sim::tone::Tone;
use std::net::Ipv4Addr;
use std::sync::Arc;

const START: HostTime = HostTime::from_ns(1_000_000_000);
const SINK: SinkFormat = SinkFormat { rate_hz: 48_000, layout: Layout::STEREO };
/// What the sink asks for at once, and what it holds. Unit: frames.
const PERIOD: u64 = 240;
const BUFFER: u64 = 960;

fn sender(host: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, host), 4000)
}

struct Rig {
    guest: NetworkGuest,
    datagrams: Datagrams,
    outlet: Outlet,
    engine: Playout,
    counters: Arc<Counters>,
    asked: u64,
    news: Vec<News>,
}

impl Rig {
    fn new(guest: NetworkGuest) -> Rig {
        let counters = Arc::<Counters>::default();
        let (mut engine, streams) = playout::engine(START, Wishes::default(), Length::Endless, Arc::clone(&counters));
        let outlet = Outlet::new(streams, Arc::clone(&counters), rtrb::RingBuffer::new(64).0);
        engine.open(SINK);
        Rig { guest, datagrams: Datagrams::default(), outlet, engine, counters, asked: 0, news: Vec::new() }
    }

    fn now(&self) -> HostTime {
        START + Duration::from_nanos(self.asked * 1_000_000_000 / u64::from(SINK.rate_hz))
    }

    /// Runs for so many milliseconds; gives the left channel.
    fn play(&mut self, ms: u64) -> Vec<f32> {
        let mut left = Vec::new();
        for _ in 0..ms * 48 / PERIOD {
            let now = self.now();
            self.outlet.round(now);
            let Rig { guest, datagrams, outlet, counters, news, .. } = self;
            // The guest acts at its own instants, not at the sink's.
            while let Some(due) = guest.next_due().or(Some(now)).filter(|due| *due <= now) {
                guest.advance(due, |at, bytes| {
                    let sender = sender(1);
                    let arrived = Arrived { bytes, length: bytes.len(), sender, interface: None, at, now };
                    datagrams.take(arrived, Some(outlet), &counters.intake, &mut |item| news.push(item));
                });
                if guest.next_due().is_none_or(|next| next <= due) {
                    break;
                }
            }
            let mut out = vec![9.0; 2 * PERIOD as usize];
            self.engine.fill(&mut out, now, Duration::from_micros(BUFFER * 1_000 / 48));
            left.extend(out.chunks_exact(2).map(|f| f[0]));
            self.asked += PERIOD;
        }
        left
    }

    fn gaps(&self) -> u64 {
        self.counters.playout.gaps.get()
    }
}

fn usual(pacing: Pacing) -> NetworkGuest {
    NetworkGuest::new(Format::new(48_000, 16, 2, 3).unwrap(), Tone::DEFAULT, pacing)
}

/// Each sample of a tone follows from the two before; how far the worst is off, once the filter is full.
fn worst_step(samples: &[f32], hz: f64) -> f64 {
    let k = 2.0 * (core::f64::consts::TAU * hz / 48_000.0).cos();
    let x = |i: usize| f64::from(samples[i]);
    (2..samples.len()).map(|i| (x(i) - k * x(i - 1) + x(i - 2)).abs()).fold(0.0, f64::max)
}

#[test]
fn datagrams_are_played_without_a_gap_from_the_first_on() {
    for (tick_us, drift_ppm, most_ms) in [(10_000, 0.0, 43.0), (10_000, 300.0, 43.0), (15_625, -200.0, 49.0)] {
        let pacing = Pacing { tick: Duration::from_micros(tick_us), drift_ppm, ..Pacing::CALM };
        let mut rig = Rig::new(usual(pacing));
        rig.play(1_000);
        let sound = rig.play(20_000);
        let target_ms = rig.counters.playout.target_us.get() as f64 / 1e3;
        println!("ticks of {tick_us} us, {drift_ppm} ppm: {} gaps; {target_ms:.1} ms", rig.gaps());
        assert_eq!((rig.gaps(), rig.counters.playout.starts.get()), (0, 1), "{tick_us}");
        // A datagram, a tick, the sink's 25 ms, the filter and the margin; about the same once the lateness itself is known.
        assert!(target_ms < most_ms, "{target_ms} ms");
        rig.play(40_000);
        let later_ms = rig.counters.playout.target_us.get() as f64 / 1e3;
        assert!(rig.gaps() == 0 && later_ms <= target_ms + 1.0, "{later_ms} ms after {target_ms} ms");
        assert!(worst_step(&sound, 440.0) < 2e-4, "{}", worst_step(&sound, 440.0));
        assert_eq!(rig.counters.intake.datagrams_lost.get(), 0);
    }
}

#[test]
fn the_piece_that_is_told_is_a_datagram_and_the_parts_add_up() {
    for (bits, piece_us) in [(16, 6_000), (24, 4_000), (32, 3_000)] {
        let format = Format::new(48_000, bits, 2, 3).unwrap();
        let mut rig = Rig::new(NetworkGuest::new(format, Tone::DEFAULT, Pacing::CALM));
        rig.play(5_000);
        let p = &rig.counters.playout;
        let parts = &p.parts;
        let sum: i64 =
            [&parts.lateness_us, &parts.sink_us, &parts.filter_us, &parts.margin_us].map(|g| g.get()).iter().sum();
        assert_eq!(parts.piece_us.get(), piece_us, "{bits}");
        assert!((sum + piece_us - p.target_us.get()).abs() <= 3, "{sum} {}", p.target_us.get());
    }
}

#[test]
fn a_lost_datagram_costs_a_moment_and_no_delay() {
    let mut rig = Rig::new(usual(Pacing::CALM));
    rig.play(50_000);
    let before = rig.counters.playout.delay_us.get();
    let gaps = rig.gaps();
    for lost in [1, 2] {
        rig.guest.perform(Event::Lose(lost), rig.now());
        rig.play(10_000);
    }
    assert_eq!(rig.counters.intake.datagrams_lost.get(), 3);
    let after = rig.counters.playout.delay_us.get();
    let moves = rig.counters.playout.moves.get();
    println!("{} gaps, {moves} moves, {before} us before, {after} us after", rig.gaps() - gaps);
    // What follows a loss looks late at first; when it is known why, the place is put right where the loss is.
    assert!(rig.gaps() - gaps <= 2, "{} gaps", rig.gaps() - gaps);
    assert!((after - before).abs() < 1_000, "{before} us before, {after} us after");
    assert!(moves <= 4, "one step there and one back for each: {moves}");
}

#[test]
fn silence_that_is_not_sent_is_no_loss_and_sound_comes_back_at_the_same_delay() {
    let mut rig = Rig::new(usual(Pacing::CALM).silence_threshold(10_000));
    rig.play(50_000);
    let (before, gaps) = (rig.counters.playout.delay_us.get(), rig.gaps());
    for _ in 0..3 {
        rig.guest.perform(Event::Mute, rig.now());
        rig.play(3_000);
        rig.guest.perform(Event::Unmute, rig.now());
        let sound = rig.play(3_000);
        assert!(sound.iter().skip(48 * 200).any(|x| x.abs() > 0.4), "sound comes back");
    }
    assert_eq!(rig.counters.intake.silences.get(), 3);
    assert_eq!(rig.counters.intake.datagrams_lost.get(), 0);
    let after = rig.counters.playout.delay_us.get();
    println!("{} gaps, {before} us before, {after} us after", rig.gaps() - gaps);
    assert_eq!(rig.gaps(), gaps, "a pause is no gap");
    assert!((after - before).abs() < 1_000, "{before} us before, {after} us after");
}

#[test]
fn a_rough_way_is_survived() {
    let way = Way { lost_per_million: 5_000, lost_in_a_row: 3, late: Duration::from_millis(7), seed: 5 };
    let mut rig = Rig::new(usual(Pacing::CALM).way(way));
    let sound = rig.play(60_000);
    assert!(sound.iter().all(|x| x.abs() <= 1.01));
    let loud = sound.iter().filter(|x| x.abs() > 0.1).count() as f64 / sound.len() as f64;
    assert!(loud > 0.75, "{loud} of it sounds");
    assert_eq!(rig.news.len(), 1, "{:?}", rig.news);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_from_the_network_does_harm(
        datagrams in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..1300), 1u8..4, 0u64..400, 0usize..70_000, any::<bool>()), 1..60),
    ) {
        let mut rig = Rig::new(usual(Pacing::CALM));
        rig.guest.perform(Event::Pause, START);
        let mut now = START;
        for (mut bytes, host, pause_ms, length, good) in datagrams {
            now = now + Duration::from_millis(pause_ms);
            if good && bytes.len() > 5 {
                (bytes[0], bytes[1], bytes[2]) = (1 + bytes[0] % 4, [16, 24, 32][usize::from(bytes[1] % 3)], 1 + bytes[2] % 8);
            }
            let length = if good { bytes.len() } else { length.max(bytes.len()) };
            let sender = sender(host);
            let arrived = Arrived { bytes: &bytes, length, sender, interface: None, at: now, now };
            rig.datagrams.take(arrived, Some(&mut rig.outlet), &rig.counters.intake, &mut |item| rig.news.push(item));
            rig.asked = now.since(START).as_micros() as u64 * 48 / 1_000 / PERIOD * PERIOD;
            let sound = rig.play(10);
            prop_assert!(sound.iter().all(|x| x.is_finite() && x.abs() <= 2.0));
        }
        // A kind of junk, a sender: each is told once.
        prop_assert!(rig.news.len() <= 4 + 8 + 60, "{}", rig.news.len());
    }
}
