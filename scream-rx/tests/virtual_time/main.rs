//! The whole receiver but for its devices, in virtual time: a simulated guest writes into a region, the intake reads it,
//! the engine fills a sink whose clock is ours. Hours pass in seconds, and the same seed gives the same run.

mod rig;

use core::f64::consts::TAU;
use core::time::Duration;
use rig::{Run, START, VirtualSink, spread};
use rx_host::report::Gauge;
use scream_rx::bed::meter;
use scream_rx::channels::Layout;
use scream_rx::intake::State;
use scream_rx::sink::{SinkFormat, Source};
use scream_rx::target::{Profile, Wishes};
use shm_proto::guest_sim::pacing::Pacing;
use shm_proto::guest_sim::sound::{Event, Lie, SoundGuest, SoundGuestBuilder};
use shm_proto::guest_sim::tone::Tone;
use shm_proto::scream::Format;

fn position_coded(pacing: Pacing) -> SoundGuestBuilder {
    SoundGuest::builder().bits(32).tone(Tone::PositionCoded).pacing(pacing)
}

/// How long the runs that measure the delay are. `SCREAM_RX_LONG=3600` makes them an hour each, which takes minutes.
fn run_seconds(usual: f64) -> f64 {
    std::env::var("SCREAM_RX_LONG").ok().and_then(|s| s.parse().ok()).unwrap_or(usual)
}

fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

#[test]
fn the_delay_is_constant_whatever_the_clocks_and_nothing_is_missing() {
    let mut report = String::new();
    for (guest_ppm, sink_ppm, rate_hz) in
        [(0.0, 0.0, 48_000), (300.0, 0.0, 48_000), (-300.0, 0.0, 48_000), (100.0, -200.0, 44_100)]
    {
        let sink = VirtualSink { ppm: sink_ppm, noise_s: 2e-4, ..VirtualSink::new(rate_hz) };
        let pacing = Pacing { drift_ppm: guest_ppm, ..Pacing::CALM };
        let mut run = Run::new(position_coded(pacing), sink, Wishes::default());
        let delays = run.delays(run_seconds(75.0), guest_ppm);
        let (low, mid, high) = spread(&delays, 60.0);
        let (low10, _, high10) = spread(&delays, 10.0);
        let ms = |s: f64| (s - mid) * 1e3;
        report += &format!(
            "guest {guest_ppm:+4.0} ppm, sink {sink_ppm:+4.0} ppm at {rate_hz} Hz: {:.2} ms, {:+.3} to {:+.3} after \
             60 s, {:+.3} to {:+.3} after 10 s\n",
            mid * 1e3,
            ms(low),
            ms(high),
            ms(low10),
            ms(high10)
        );
        assert!(ms(high) < 0.3 && ms(low) > -0.3, "{report}");
        assert!(ms(high10) < 1.0 && ms(low10) > -1.0, "{report}");
        let c = &run.counters.playout;
        assert_eq!((c.gaps.get(), c.moves.get(), c.starts.get()), (0, 0, 1), "{report}");
        // What the engine says of itself is what is measured from outside.
        let told = c.delay.spread().unwrap();
        assert!((told.p50_ms - mid * 1e3).abs() < 0.2, "told {told:?}, measured {mid}");
    }
    println!("{report}");
}

#[test]
fn the_parts_that_are_told_are_those_of_this_stream_and_add_up_to_its_delay() {
    // The filter is longer where a rate goes up from 44.1 kHz; it looks half its length ahead, and a frame.
    for (rate_hz, filter_frames) in [(48_000, 33), (44_100, 57), (96_000, 65)] {
        let mut run = Run::new(sine(440.0).rate_hz(rate_hz), VirtualSink::new(48_000), Wishes::default());
        run.play(12.0);
        let p = &run.counters.playout;
        let [piece, lateness, sink, filter, margin] =
            [&p.parts.piece_us, &p.parts.lateness_us, &p.parts.sink_us, &p.parts.filter_us, &p.parts.margin_us]
                .map(Gauge::get);
        println!("{rate_hz} Hz: {piece} + {lateness} + {sink} + {filter} + {margin}, {} us", p.delay_us.get());
        let sum = piece + lateness + sink + filter + margin;
        assert!((sum - p.target_us.get()).abs() <= 3 && (sum - p.delay_us.get()).abs() < 300, "{sum}");
        assert_eq!((piece, margin), (20_000, 1_000));
        assert!((filter - filter_frames * 1_000_000 / i64::from(rate_hz)).abs() <= 1, "{filter}");
        // What the sink holds and the 5 ms it asks for, and at most a step more.
        assert!((25_000..=25_500).contains(&sink) && lateness >= 3_000, "{sink} {lateness}");
    }
}

#[test]
fn a_guest_with_slow_and_late_ticks_gets_a_constant_delay_too() {
    let late = Pacing { lateness: Duration::from_millis(4), seed: 7, drift_ppm: -100.0, ..Pacing::CALM };
    for (name, pacing) in [("15.6 ms ticks", Pacing::SLOW_TICKS), ("late ticks", late)] {
        let mut run = Run::new(position_coded(pacing), VirtualSink::new(48_000), Wishes::default());
        let delays = run.delays(run_seconds(75.0), pacing.drift_ppm);
        let (low, mid, high) = spread(&delays, 60.0);
        let c = &run.counters.playout;
        println!(
            "{name}: {:.2} ms, {:+.3} to {:+.3}, {} gaps",
            mid * 1e3,
            (low - mid) * 1e3,
            (high - mid) * 1e3,
            c.gaps.get()
        );
        assert!(high - low < 0.6e-3, "{name}: {low} {mid} {high}");
        assert!(c.gaps.get() <= 5, "{name}: only until it is known: {}", c.gaps.get());
    }
}

#[test]
fn a_stall_costs_one_hidden_gap_and_no_delay() {
    let pacing = Pacing { stall: Duration::from_millis(40), stall_every: Duration::from_secs(30), ..Pacing::CALM };
    let mut run = Run::new(position_coded(pacing), VirtualSink::new(48_000), Wishes::default());
    let before = spread(&run.delays(29.0, 0.0), 10.0).1;
    run.delays(35.0, 0.0);
    let after = spread(&run.delays(50.0, 0.0), 40.0).1;
    let c = &run.counters.playout;
    assert_eq!(c.gaps.get(), 1, "one stall, one gap");
    assert_eq!(c.moves.get(), 0);
    assert!((after - before).abs() < 5e-4, "the first stall is not paid for: {before} {after}");
    // Nor are those that follow, one every 30 s: each is hidden, and none is paid for.
    run.delays(122.0, 0.0);
    let much_later = spread(&run.delays(149.0, 0.0), 122.0).1;
    assert!((much_later - before).abs() < 1e-3, "{before} {much_later}");
    assert!(c_gaps(&run) <= 4, "{} gaps in four stalls", c_gaps(&run));
    assert_eq!(run.counters.intake.chunks_lost.get(), 0);
}

fn c_gaps(run: &Run) -> u64 {
    run.counters.playout.gaps.get()
}

/// The largest residual of a predictor of a tone, in dB of full scale: it vanishes for a pure tone, and a click stands out.
fn worst_residual_db(samples: &[f32], hz: f64, rate_hz: f64) -> f64 {
    let k = 2.0 * (TAU * hz / rate_hz).cos();
    let x = |i: usize| f64::from(samples[i]);
    let worst = (2..samples.len()).map(|i| (x(i) - k * x(i - 1) + x(i - 2)).abs()).fold(0.0, f64::max);
    20.0 * worst.max(1e-12).log10()
}

fn sine(hz: f64) -> SoundGuestBuilder {
    SoundGuest::builder().bits(24).tone(Tone::Sine { frequency_hz: hz, level_dbfs: -6.0 })
}

#[test]
fn nothing_that_a_guest_usually_does_makes_a_click() {
    let switch = |rate, bits, channels, mask| Event::Switch(Format::new(rate, bits, channels, mask).unwrap());
    let cases: [(&str, Vec<(f64, Event)>); 8] = [
        ("plays", vec![]),
        (
            "pauses and goes on",
            vec![(3.0, Event::Pause), (4.0, Event::Resume), (5.0, Event::Pause), (5.1, Event::Resume)],
        ),
        ("closes and starts", vec![(3.0, Event::Close), (4.5, Event::Start)]),
        ("starts anew at once", vec![(3.0, Event::Restart), (3.5, Event::Restart)]),
        ("crashes", vec![(3.0, Event::Crash), (4.0, Event::Start)]),
        (
            "changes its format",
            vec![(2.0, switch(44_100, 16, 2, 3)), (3.0, switch(96_000, 32, 6, 0x3F)), (4.0, switch(48_000, 24, 1, 4))],
        ),
        (
            "stalls",
            vec![(3.0, Event::Stall(Duration::from_millis(45))), (5.0, Event::Stall(Duration::from_millis(300)))],
        ),
        ("loses chunks", vec![(3.0, Event::Drop(1)), (6.0, Event::Drop(5))]),
    ];
    for (name, script) in cases {
        let guest = script.iter().fold(sine(440.0), |g, (s, e)| g.at(seconds(*s), *e));
        let mut run = Run::new(guest, VirtualSink::new(48_000), Wishes::default());
        let (left, right) = run.play(9.0);
        let worst = worst_residual_db(&left, 440.0, 48_000.0).max(worst_residual_db(&right, 440.0, 48_000.0));
        let c = &run.counters.playout;
        println!(
            "{name}: worst residual {worst:.1} dBFS, {} starts, {} gaps, {} moves",
            c.starts.get(),
            c.gaps.get(),
            c.moves.get()
        );
        // A frame too many or too few in this tone would stand at -24 to -41 dBFS; a smooth swell is no click.
        assert!(worst < -55.0, "{name}: {worst} dBFS");
        let end = &left[left.len() - 4800..];
        let peak = end.iter().fold(0f32, |a, x| a.max(x.abs()));
        assert!(peak > 0.1, "{name}: it plays at the end, {peak}");
    }
}

#[test]
fn a_tone_is_clean_to_the_last_bits_as_soon_as_its_pitch_stands() {
    // Two figures: what is left when the tone that plays is taken away (distortion), and how far its pitch is from the guest's.
    // A tone of the guest's very pitch would leave the second in the first: half a millionth off is -77 dB of a tenth of a second.
    for seed in 1..=3 {
        let mut run = Run::new(
            sine(997.0).bits(32).pacing(Pacing { drift_ppm: 100.0, seed, ..Pacing::CALM }),
            VirtualSink::new(48_000),
            Wishes::default(),
        );
        run.play(33.0);
        let mut worst: (f64, f64) = (f64::MIN, 0.0);
        for _ in 0..5 {
            let (left, _) = run.play(1.0);
            let off_ppm = run.engine.told().ratio_ppb as f64 * 1e-3 - 100.0;
            let hz = 997.0 * (1.0 + (100.0 + off_ppm) * 1e-6);
            worst = (worst.0.max(meter::distortion_db(&left, hz, 48_000.0)), worst.1.max(off_ppm.abs()));
        }
        println!(
            "997 Hz at -6 dBFS, +100 ppm, seed {seed}: distortion {:.1} dB, pitch off by {:.2} ppm",
            worst.0, worst.1
        );
        assert!(worst.0 < -125.0 && worst.1 < 2.0, "{worst:?}");
    }
}

#[test]
fn sound_begins_soon_and_without_a_backlog() {
    // The guest has played for ten seconds before anybody listens: a whole ring of old sound is there.
    let mut run = Run::new(position_coded(Pacing::CALM), VirtualSink::new(48_000), Wishes::default());
    for k in 0..1000u64 {
        run.guest.advance(START + Duration::from_millis(10 * k)).unwrap();
    }
    run.skip_to(10.0);
    let (left, _) = run.play(1.0);
    let first = left.iter().position(|x| x.abs() > 1e-3).expect("it plays");
    let ms = first as f64 / 48.0;
    println!("first sound {ms:.1} ms after the first look");
    assert!(ms < 150.0, "{ms} ms");
    let delays = run.delays(13.0, 0.0);
    assert!(delays.iter().all(|d| d.1 < 0.060), "{:?}", delays.iter().map(|d| d.1).fold(0.0, f64::max));
}

#[test]
fn a_sink_that_comes_back_gets_fresh_sound_at_the_same_delay() {
    let mut run = Run::new(position_coded(Pacing::CALM), VirtualSink::new(48_000), Wishes::default());
    let before = spread(&run.delays(20.0, 0.0), 12.0).1;
    // The server is gone for three seconds.
    for k in 0..60u64 {
        let now = 20.0 + 0.05 * k as f64;
        run.advance(rig::at(now));
        run.engine.keep_up(rig::at(now));
    }
    run.skip_to(23.0);
    run.engine.open(run.sink.format);
    let (left, _) = run.play(0.5);
    assert!(left.iter().any(|x| x.abs() > 0.1), "sound is back within half a second");
    let after = spread(&run.delays(40.0, 0.0), 30.0).1;
    assert!((after - before).abs() < 5e-4, "{before} {after}");
    assert_eq!(run.counters.intake.chunks_refused.get(), 0);
}

#[test]
fn a_sink_of_another_rate_and_layout_gets_its_own_stream() {
    let mut run = Run::new(sine(440.0), VirtualSink::new(48_000), Wishes::default());
    run.play(3.0);
    let now = run.sink.asked_s(run.asked);
    let mono = SinkFormat { rate_hz: 44_100, layout: Layout::alsa(1) };
    run.sink = VirtualSink { format: mono, ..VirtualSink::new(44_100) };
    run.skip_to(now);
    run.engine.open(mono);
    let mut sound = Vec::new();
    for _ in 0..400 {
        sound.extend(run.pull().1);
    }
    let start = sound.iter().position(|x| x.abs() > 1e-3).expect("it plays");
    assert!(start < 44_100 / 4, "{start}");
    assert!(worst_residual_db(&sound, 440.0, 44_100.0) < -60.0);
}

#[test]
fn profiles_differ_and_the_same_seed_gives_the_same_run() {
    let run_with = |profile| {
        let wishes = Wishes { profile, ..Wishes::default() };
        let mut run = Run::new(position_coded(Pacing::CALM), VirtualSink::new(48_000), wishes);
        let (left, right) = run.play(5.0);
        let bits: Vec<u32> = left.iter().chain(&right).map(|x| x.to_bits()).collect();
        (run.counters.playout.delay_us.get(), bits)
    };
    let [low, balanced, safe] = [Profile::Low, Profile::Balanced, Profile::Safe].map(run_with);
    assert!(low.0 < balanced.0 && balanced.0 < safe.0, "{} {} {}", low.0, balanced.0, safe.0);
    assert!(low.1 == run_with(Profile::Low).1, "the same run again differs");
}

#[test]
fn states_are_told_when_they_change() {
    let guest = SoundGuest::builder().at(seconds(2.0), Event::Pause).at(seconds(4.0), Event::Close);
    let mut run = Run::new(guest, VirtualSink::new(48_000), Wishes::default());
    run.play(6.0);
    let states: Vec<State> = std::iter::from_fn(|| run.states.pop().ok()).collect();
    let names: Vec<&str> = states
        .iter()
        .map(|s| match s {
            State::Detached | State::Listening => "detached",
            State::Waiting(_) => "waiting",
            State::Live { .. } => "live",
            State::Silent { .. } => "silent",
        })
        .collect();
    assert_eq!(names, ["waiting", "live", "silent", "waiting"]);
}

#[test]
fn no_sequence_of_lies_breaks_anything() {
    let mut seed = 12_345u64;
    let mut roll = move |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % n
    };
    for round in 0..6 {
        let mut guest =
            SoundGuest::builder().pacing(Pacing { seed: round, lateness: Duration::from_millis(8), ..Pacing::CALM });
        for k in 0..60 {
            let event = match roll(12) {
                0 => Event::Lie(Lie::TornHeader { stores: roll(9) as u8 }),
                1 => Event::Lie(Lie::Index(roll(65_536) as u16)),
                2 => Event::Lie(Lie::WipeDuringChunk),
                3 => Event::Lie(Lie::Scribble),
                4 => Event::Lie(Lie::Garbage { seed: roll(u64::from(u32::MAX)) }),
                5 => Event::Restart,
                6 => Event::Crash,
                7 => Event::Stall(Duration::from_millis(roll(400))),
                8 => Event::Drop(roll(20) as u32),
                9 => Event::Switch(
                    Format::new(
                        [8_000, 44_100, 384_000][roll(3) as usize],
                        [16, 24, 32][roll(3) as usize],
                        1 + roll(8) as u8,
                        roll(65_536) as u16,
                    )
                    .unwrap(),
                ),
                10 => Event::Lie(Lie::Truth),
                _ => Event::Start,
            };
            // Whoever lies has a stream to lie about.
            let at = Duration::from_millis(100 * k + roll(100));
            guest = guest.at(at, Event::Start).at(at, event);
        }
        let mut run = Run::new(guest.region_bytes(16 << 20), VirtualSink::new(48_000), Wishes::default());
        let (left, right) = run.play(7.0);
        assert!(left.iter().chain(&right).all(|x| x.is_finite() && x.abs() < 4.0), "round {round}");
    }
}
