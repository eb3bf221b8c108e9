//! Minutes on a real server while the guest's clock and the sink's differ: how constant the delay is, measured in the
//! recording of what the server played, and what was missing in it. `scripts/sound-soak.sh` makes it five minutes for each of
//! five clocks; otherwise it is one short run.

use crate::machine::Watch;
use crate::rig::{FileGuest, PulseRig, RATE_HZ, Running, alone, scream_rx};
use scream_rx::bed::meter;
use shm_proto::guest_sim::pacing::Pacing;
use shm_proto::guest_sim::sound::SoundGuest;
use shm_proto::guest_sim::tone::{POSITION_SINE_HZ, TRIANGLE_SECONDS, Tone};
use std::time::{Duration, Instant};

/// What is not judged at the start. Unit: seconds.
const SETTLING_S: f64 = 10.0;
/// What the delay lets the machine be late at first, by profile: whoever is held up for longer may run empty.
const BEARABLE: [(&str, Duration); 2] = [("low", Duration::from_millis(1)), ("balanced", Duration::from_millis(3))];

/// What came of a run.
#[derive(Debug)]
struct Outcome {
    /// As the receiver tells it: 1st, 50th and 99th percentile of the delay.
    told_ms: [f64; 3],
    /// How far the delay in the recording goes from its 1st to its 99th percentile.
    spread_ms: f64,
    heard: meter::Glitches,
    gaps: f64,
    underflows: f64,
    moves: f64,
    /// The longest time for which the machine held up a thread.
    held_up: Duration,
}

fn run(rig: &PulseRig, profile: &str, ppm: f64, seconds: f64) -> Outcome {
    let home = rig.folder.path();
    let (file, stats) = (home.join("region"), home.join("stats.json"));
    let pacing = Pacing { drift_ppm: ppm, ..Pacing::CALM };
    let guest = FileGuest::start(&file, SoundGuest::builder().tone(Tone::PositionCoded).pacing(pacing));
    let recording = rig.record("soak.raw");
    let mut command = scream_rx(home);
    rig.serve(&mut command).arg(&file).args(["-o", "pulse", "--profile", profile, "--stats"]).arg(&stats);
    let watch = Watch::start();
    let mut player = Running::start(&mut command, &home.join("player.log"));
    let wanted = ((SETTLING_S + seconds) * RATE_HZ as f64) as usize;
    recording.wait_for_sound(0, 1.0);
    let deadline = Instant::now() + Duration::from_secs_f64(SETTLING_S + seconds + 60.0);
    while recording.frames() < wanted {
        assert!(Instant::now() < deadline, "the recorder stopped: {}", player.err());
        std::thread::sleep(Duration::from_millis(200));
    }
    let (left, right) = recording.both();
    drop(recording);
    player.signal("INT");
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    // What it counted until its end is excused by what was seen until then.
    let held_up = watch.end();
    drop(guest);
    std::fs::remove_file(&file).unwrap();
    let figures: serde_json::Value = serde_json::from_slice(&std::fs::read(&stats).unwrap()).unwrap();
    let number = |name: &str| figures[name].as_f64().unwrap_or_else(|| panic!("{name}: {figures}"));
    // The recorder takes what the sink plays, frame by frame, so its count is the sink's clock.
    let from = left.iter().position(|x| x.abs() > 0.05).unwrap() + (SETTLING_S * RATE_HZ as f64) as usize;
    let (left, right) = (&left[from..], &right[from..]);
    let period = TRIANGLE_SECONDS as f64;
    let mut first = None;
    let mut delays: Vec<f64> = meter::positions(left, right, RATE_HZ as f64)
        .into_iter()
        .map(|(frame, place_s)| {
            let delay_s = frame / RATE_HZ as f64 * (1.0 + ppm * 1e-6) - place_s;
            let first = *first.get_or_insert(delay_s);
            (delay_s - first + period / 2.0).rem_euclid(period) - period / 2.0
        })
        .collect();
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays[(share * (delays.len() - 1) as f64) as usize] * 1e3;
    Outcome {
        told_ms: ["delay_ms_p1", "delay_ms_p50", "delay_ms_p99"].map(number),
        spread_ms: at(0.99) - at(0.01),
        heard: meter::glitches(left, right, POSITION_SINE_HZ, RATE_HZ as f64),
        gaps: number("gaps"),
        underflows: number("sink_underflows"),
        moves: number("moves"),
        held_up,
    }
}

/// Says how a run went. Where the machine stood still for longer than the delay allows there is nothing to judge.
fn judge(profile: &str, ppm: f64, o: &Outcome) {
    let ([p1, p50, p99], g) = (o.told_ms, o.heard);
    println!(
        "{profile}, {ppm:+5.0} ppm: delay {p1:.2} / {p50:.2} / {p99:.2} ms, in the recording within {:.3} ms; {} gaps, \
         {} underflows, {} steps; heard: {} holes, {} dips, {} splices, {} clicks (worst {:.0} dBFS); the machine held \
         threads up for {:.1} ms at most",
        o.spread_ms,
        o.gaps,
        o.underflows,
        o.moves,
        g.hard_gaps,
        g.dips,
        g.splices,
        g.clicks,
        g.worst_click_db,
        o.held_up.as_secs_f64() * 1e3
    );
    if o.gaps + o.underflows > 0.0 {
        let bearable = BEARABLE.iter().find(|(name, _)| *name == profile).map_or(Duration::ZERO, |(_, time)| *time);
        assert!(o.held_up > bearable, "the machine kept time: {o:?}");
        println!("not judged: the machine did not keep time");
        return;
    }
    assert!((25.0..60.0).contains(&p50), "{o:?}");
    assert!(o.spread_ms <= 1.0, "{o:?}");
    assert_eq!((g.hard_gaps, g.dips, g.splices, g.clicks), (0, 0, 0, 0), "{o:?}");
}

#[test]
fn the_delay_is_constant_and_nothing_is_missing_while_clocks_differ() {
    let _alone = alone();
    let long = std::env::var("SCREAM_RX_SOAK_S").ok().map(|s| s.parse::<f64>().expect("seconds"));
    let named = std::env::var("SCREAM_RX_SOAK_PPM").unwrap_or_default();
    let mut clocks: Vec<f64> = named.split_whitespace().map(|ppm| ppm.parse().expect("ppm")).collect();
    if clocks.is_empty() {
        clocks = if long.is_some() { vec![0.0, 300.0, -300.0, 1000.0, -1000.0] } else { vec![300.0] };
    }
    // `low` has pieces of its own: one that the server cannot count in whole microseconds would bend the sink's clock.
    let profiles = std::env::var("SCREAM_RX_SOAK_PROFILE").unwrap_or_else(|_| "balanced low".into());
    // Each profile has a server of its own, and they play at the same time.
    std::thread::scope(|scope| {
        for profile in profiles.split_whitespace() {
            let Some(rig) = PulseRig::start() else { return };
            let clocks = &clocks;
            scope.spawn(move || {
                clocks.iter().for_each(|ppm| judge(profile, *ppm, &run(&rig, profile, *ppm, long.unwrap_or(15.0))));
            });
        }
    });
}
