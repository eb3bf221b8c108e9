//! The whole way by the host's clock: a guest that writes a position code, the real `scream-rx` in a process of its own, a
//! private PulseAudio with a null sink, and a recorder behind it. A monitor hears what the server mixes, which is some
//! milliseconds before a listener would; the receiver's own word is about the listener. The guest notes how late it was
//! itself: a machine on which that is much is not fit to be measured on, and nothing is claimed.

use super::Task;
use super::recorded::{self, Heard};
use crate::figure::{Better, Figure, Table};
use crate::report::CaseReport;
use anyhow::{Context, ensure};
use rustix::process::Signal;
use rx_host::{clock, realtime};
use rx_tests::process::{Running, until_or_late};
use rx_tests::pulse::{PulseRig, RATE_HZ, Recording};
use shm_proto::guest_sim::sound::SoundGuest;
use shm_proto::guest_sim::tone::Tone;
use shm_proto::{HostTime, Region};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is measured.
const PROFILES: [&str; 2] = ["low", "balanced"];
/// How long one takes, without its first seconds, in which the receiver learns the guest's clock.
const LENGTH: Duration = Duration::from_secs(12);
const QUICK_LENGTH: Duration = Duration::from_secs(6);
const SETTLES: Duration = Duration::from_secs(4);
/// Longest wait for a process that starts or ends.
const SOON: Duration = Duration::from_secs(20);
/// What the guest's clock is off by. Unit: parts per million.
const GUEST_PPM: f64 = 100.0;
/// The guest's bytes of shared memory.
const REGION_BYTES: u64 = 2 << 20;
/// A machine on which the guest itself is later than this, 99 times of 100 or ever, is not measured on. Source: the
/// project's notes on testing sound, section 3.4.
const FIT_P99: Duration = Duration::from_micros(500);
const FIT_MAX: Duration = Duration::from_millis(5);
/// Nor one on which receiver and server stand in the queue for a processor for more than this share of the time; a real-time
/// guest need not be late there. Source: ours, twice what was found at a load of five, of which nothing was heard. Unit: percent.
const FIT_WAITED_PERCENT: f64 = 1.0;

/// What one profile came to.
struct Measured {
    heard: Heard,
    /// By the receiver's own word. Unit: ms.
    told_ms: [f64; 3],
    gaps: f64,
    underflows: f64,
    /// Shares of a core, in percent, and switches in a second.
    receiver_percent: f64,
    server_percent: f64,
    wake_ups_per_s: f64,
    memory_mib: f64,
    late: [Duration; 2],
    /// Receiver and server wanted to run while others did. Unit: percent of the time.
    waited_percent: f64,
}

pub(super) fn measure(report: &mut CaseReport, task: &Task<'_>) -> anyhow::Result<()> {
    let Some(program) = beside_us("scream-rx") else {
        report.note = Some("scream-rx is not beside rx-bench, so only virtual time was measured: `make build`".into());
        return Ok(());
    };
    let rig = match PulseRig::try_start() {
        Ok(rig) => rig,
        Err(why) => {
            report.note = Some(format!("no private sound server, so only virtual time was measured: {why}"));
            return Ok(());
        }
    };
    let length = if task.is_quick { QUICK_LENGTH } else { LENGTH };
    let mut table = Table::new(
        format!(
            "Measured: guest at {GUEST_PPM:+} ppm, shared memory, scream-rx, private {:?} ({}), recorded at its monitor",
            rig.kind(),
            if rig.is_realtime() { "with real-time priority" } else { "without real-time priority" }
        ),
        &["", "low", "balanced"],
    );
    let mut columns = Vec::new();
    for (n, profile) in PROFILES.into_iter().enumerate() {
        if !task.effort.progress.step(n as u64, PROFILES.len() as u64) {
            return Ok(());
        }
        let measured = one(&rig, &program, profile, length).with_context(|| format!("profile {profile}"))?;
        columns.push(rows(&measured));
        figures(report, profile, &measured);
    }
    for place in 0..columns.first().map_or(0, Vec::len) {
        let name = columns.first().and_then(|column| column.get(place)).map(|row| row.0.to_owned());
        let cells = columns.iter().filter_map(|column| column.get(place)).map(|row| row.1.clone());
        table.rows.push(name.into_iter().chain(cells).collect());
    }
    report.tables.push(table.headline());
    Ok(())
}

/// The program of this name in the folder of this one.
fn beside_us(name: &str) -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.parent()?.join(name);
    path.is_file().then_some(path)
}

fn one(rig: &PulseRig, program: &Path, profile: &str, length: Duration) -> anyhow::Result<Measured> {
    let folder = tempfile::tempdir()?;
    let (file, stats) = (folder.path().join("region"), folder.path().join("stats.json"));
    let region = Region::create(&file, REGION_BYTES)?;
    let recording = rig.record();
    let mut command = rx_tests::process::tied(program);
    rig.serve(&mut command);
    command.arg(&file).args(["-o", "pulse", "--profile", profile, "--stats"]).arg(&stats);
    let mut player = Running::start("scream-rx", &mut command);
    let (over, diary) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    until_or_late(SOON, || (recording.frames() > 0).then_some(())).context("the recorder heard nothing")?;
    let began = clock::now();
    let (stamp, costs) = std::thread::scope(|scope| {
        let _over = SetOnDrop(&over);
        scope.spawn(|| play(region, began, &over, &diary));
        let settled = began + SETTLES;
        let stamp = stamp(&recording, began, settled);
        let before = Costs::of(&player, rig);
        let end = settled + length;
        while !clock::sleep_until(end) {}
        (stamp, Costs::of(&player, rig).since(&before, length))
    });
    let memory_mib = peak_mib(player.pid());
    player.signal(Signal::TERM);
    let ended = until_or_late(SOON, || (!player.is_alive()).then_some(()));
    ensure!(ended.is_some(), "scream-rx does not end\n{}", player.tail());
    let samples = recording.stop();
    let judged_s = SETTLES.as_secs_f64()..(SETTLES + length).as_secs_f64();
    let heard = recorded::judge(&samples, f64::from(RATE_HZ), stamp, judged_s, GUEST_PPM);
    let heard = heard.with_context(|| format!("no sound was heard\n{}", player.tail()))?;
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(&stats).context("no figures")?)?;
    let number = |name: &str| told.get(name).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN);
    let diary = diary.into_inner().unwrap_or_default();
    Ok(Measured {
        heard,
        told_ms: ["delay_ms_p1", "delay_ms_p50", "delay_ms_p99"].map(number),
        gaps: number("gaps"),
        underflows: number("sink_underflows"),
        receiver_percent: costs.receiver_percent,
        server_percent: costs.server_percent,
        wake_ups_per_s: costs.switches_per_s,
        memory_mib,
        late: lateness(diary),
        waited_percent: costs.waited_percent,
    })
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The guest's life. Notes how late each of its wake-ups was.
fn play(region: Region, began: HostTime, over: &AtomicBool, diary: &Mutex<Vec<Duration>>) {
    realtime::ask_for_thread("guest", 25);
    let guest = SoundGuest::builder().drift_ppm(GUEST_PPM).tone(Tone::PositionCoded).build_in(region);
    let Ok(mut guest) = guest else { return };
    let mut late = Vec::with_capacity(4096);
    // From the first instant on, whatever this thread took to start.
    let mut due = began;
    while !over.load(Ordering::Relaxed) {
        let now = clock::now();
        late.push(now.since(due));
        if guest.advance(if now < due { due } else { now.max(began) }).is_err() {
            break;
        }
        due = guest.next_due().unwrap_or(now + Duration::from_millis(20));
        clock::sleep_until(due);
    }
    if let Ok(mut diary) = diary.lock() {
        *diary = late;
    }
}

/// When the first recorded frame was at the monitor, in seconds since `began`: of all instants up to `until` at which
/// something had just come, the earliest that fits. A recorder hands pieces out late, never early.
fn stamp(recording: &Recording, began: HostTime, until: HostTime) -> f64 {
    let (mut seen, mut earliest_s) = (recording.frames(), f64::INFINITY);
    while clock::now() < until {
        let (frames, now) = (recording.frames(), clock::now());
        if frames != seen {
            seen = frames;
            earliest_s = earliest_s.min(now.signed_ns_since(began) as f64 * 1e-9 - frames as f64 / f64::from(RATE_HZ));
        }
        clock::sleep_until(now + Duration::from_millis(1));
    }
    earliest_s
}

/// The 99th percentile, and the most.
fn lateness(mut late: Vec<Duration>) -> [Duration; 2] {
    // The first is how long the thread took to start.
    let mut late = late.split_off(1.min(late.len()));
    late.sort_unstable();
    let p99 = late.get(late.len() * 99 / 100).copied();
    [p99.unwrap_or(Duration::MAX), late.last().copied().unwrap_or(Duration::MAX)]
}

/// Nanoseconds on a processor, and switches, so far.
#[derive(Default)]
struct Costs {
    receiver_ns: f64,
    server_ns: f64,
    waited_ns: f64,
    switches: f64,
    waited_percent: f64,
    receiver_percent: f64,
    server_percent: f64,
    switches_per_s: f64,
}

impl Costs {
    fn of(player: &Running, rig: &PulseRig) -> Costs {
        let server_ns = rig.pids().into_iter().map(busy_ns).sum();
        let waited_ns = rig.pids().into_iter().chain([player.pid()]).map(waited_ns).sum();
        let (receiver_ns, switches) = (busy_ns(player.pid()), switches(player.pid()));
        Costs { receiver_ns, server_ns, waited_ns, switches, ..Costs::default() }
    }

    fn since(self, before: &Costs, length: Duration) -> Costs {
        let percent = |ns: f64| ns / length.as_nanos() as f64 * 100.0;
        Costs {
            receiver_percent: percent(self.receiver_ns - before.receiver_ns),
            server_percent: percent(self.server_ns - before.server_ns),
            waited_percent: percent(self.waited_ns - before.waited_ns),
            switches_per_s: (self.switches - before.switches) / length.as_secs_f64(),
            ..self
        }
    }
}

/// What `read` finds in a file of every thread of a process, summed up.
fn of_threads(pid: u32, file: &str, read: fn(&str) -> f64) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| std::fs::read_to_string(thread.path().join(file)).ok()).map(|text| read(&text)).sum()
}

fn busy_ns(pid: u32) -> f64 {
    of_threads(pid, "schedstat", |text| text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0))
}

/// How long threads stood in a queue for a processor.
fn waited_ns(pid: u32) -> f64 {
    of_threads(pid, "schedstat", |text| text.split(' ').nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0.0))
}

/// Times that a thread went to sleep, or was put to sleep.
fn switches(pid: u32) -> f64 {
    of_threads(pid, "status", |text| {
        let lines = text.lines().filter(|line| line.contains("ctxt_switches"));
        lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).sum()
    })
}

fn peak_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}

/// For people: names and cells.
fn rows(m: &Measured) -> Vec<(&'static str, String)> {
    let [p1, p50, p99] = m.heard.delay_ms;
    let [told_p1, told_p50, told_p99] = m.told_ms;
    let g = &m.heard.glitches;
    vec![
        (
            "heard at the monitor (before the sink's buffer), p1 / p50 / p99 ms",
            format!("{p1:.1} / {p50:.1} / {p99:.1}"),
        ),
        ("spread p99 - p1 ms", format!("{:.2}", p99 - p1)),
        ("delay grows by, ppm", format!("{:+.1}", m.heard.slope_ppm)),
        ("by the receiver's own word, p1 / p50 / p99 ms", format!("{told_p1:.1} / {told_p50:.1} / {told_p99:.1}")),
        ("gaps, sink empty", format!("{} / {}", m.gaps, m.underflows)),
        ("hard gaps, dips, splices, clicks", {
            format!("{} / {} / {} / {} in {:.0} s", g.hard_gaps, g.dips, g.splices, g.clicks, m.heard.seconds)
        }),
        ("THD+N dB (a sink of 16 bits has -92 at best)", format!("{:.1}", m.heard.distortion_db)),
        ("receiver, server: % of a core", format!("{:.2} / {:.2}", m.receiver_percent, m.server_percent)),
        ("wake-ups a second", format!("{:.0}", m.wake_ups_per_s)),
        ("memory MiB", format!("{:.1}", m.memory_mib)),
        ("guest itself late, p99 / most ms", {
            let fit = if m.is_fit() { "" } else { ", inconclusive: busy machine" };
            format!("{:.2} / {:.2}{fit}", m.late[0].as_secs_f64() * 1e3, m.late[1].as_secs_f64() * 1e3)
        }),
        ("receiver and server waited for a processor, %", format!("{:.2}", m.waited_percent)),
    ]
}

impl Measured {
    /// Whether the machine was fit to be measured on.
    fn is_fit(&self) -> bool {
        self.late[0] <= FIT_P99 && self.late[1] <= FIT_MAX && self.waited_percent <= FIT_WAITED_PERCENT
    }
}

fn figures(report: &mut CaseReport, profile: &str, m: &Measured) {
    let [p1, p50, p99] = m.heard.delay_ms;
    for (what, value, unit) in [
        ("delay heard p50", p50, "ms"),
        ("delay heard p99", p99, "ms"),
        ("delay heard, spread p99 - p1", p99 - p1, "ms"),
        ("delay told p50", m.told_ms[1], "ms"),
        ("gaps", m.gaps, "in all"),
        ("clicks", m.heard.glitches.clicks as f64, "in all"),
        ("THD+N", m.heard.distortion_db, "dB"),
        ("receiver", m.receiver_percent, "% of a core"),
        ("server", m.server_percent, "% of a core"),
        ("wake-ups", m.wake_ups_per_s, "1/s"),
        ("waited for a processor", m.waited_percent, "%"),
        ("memory", m.memory_mib, "MiB"),
    ] {
        if value.is_finite() {
            let figure = Figure::measured(format!("{profile}, measured: {what}"), value, unit, Better::Lower).tabled();
            report.figures.push(Figure { disturbed: !m.is_fit(), ..figure });
        }
    }
}
