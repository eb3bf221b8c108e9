//! The whole way by the host's clock: a guest that writes a position code, the real `scream-rx` in a process of its own, a
//! private PulseAudio with a null sink, and a recorder behind it. A monitor hears what the server mixes, which is some
//! milliseconds before a listener would; the receiver's own word is about the listener. The guest notes how late it was
//! itself: a machine on which that is much is not fit to be measured on, and nothing is claimed. A plain player of a fixed
//! buffer has its turn between the profiles, on the same server.

use super::Task;
use super::fitness::{Fitness, Witnesses};
use super::guest::Guest;
use super::plain::{self, Plain};
use super::recorded::{self, Heard};
use crate::figure::{Better, Figure, Table};
use crate::report::CaseReport;
use anyhow::{Context, ensure};
use rustix::process::Signal;
use rx_host::clock;
use rx_tests::process::{Running, until_or_late};
use rx_tests::pulse::{PulseRig, RATE_HZ, Recording};
use shm_proto::HostTime;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Who plays, in this order: what they are measured beside stands between them.
const PLAYERS: [Player; 4] =
    [Player::Ours("low"), Player::Plain, Player::Ours("balanced"), Player::OverNetwork("balanced")];
/// How long one takes, without its first seconds, in which the receiver learns the guest's clock.
const LENGTH: Duration = Duration::from_secs(12);
const QUICK_LENGTH: Duration = Duration::from_secs(6);
const SETTLES: Duration = Duration::from_secs(4);
/// Longest wait for a process that starts or ends.
const SOON: Duration = Duration::from_secs(20);
/// What the guest's clock is off by. Unit: parts per million.
const GUEST_PPM: f64 = 100.0;
/// Stands behind what made the machine unfit.
const UNFIT: &str = ", inconclusive: busy machine";

/// A player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Player {
    /// The real receiver with this profile.
    Ours(&'static str),
    /// The same, and the guest sends datagrams to an address of this machine.
    OverNetwork(&'static str),
    /// [`Plain`].
    Plain,
}

impl Player {
    fn name(self) -> String {
        match self {
            Player::Ours(profile) => profile.to_owned(),
            Player::OverNetwork(profile) => format!("{profile}, UDP"),
            Player::Plain => format!("plain, {} ms", plain::BUFFER_MS),
        }
    }
}

/// One that plays.
struct Playing {
    program: Running,
    /// Its figures are found here when it ended.
    stats: Option<PathBuf>,
    plain: Option<Plain>,
}

/// What one player came to.
#[derive(Clone)]
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
    fitness: Fitness,
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
    let names: Vec<String> = PLAYERS.map(Player::name).into();
    let head: Vec<&str> = std::iter::once("").chain(names.iter().map(String::as_str)).collect();
    let mut table = Table::new(
        format!(
            "Measured: guest at {GUEST_PPM:+} ppm, private {:?} ({}), recorded at its monitor",
            rig.kind(),
            if rig.is_realtime() { "with real-time priority" } else { "without real-time priority" }
        ),
        &head,
    )
    .legend(format!(
        "low, balanced: scream-rx, shared memory if not said otherwise. plain: looks into shared memory every millisecond \
             and hands each chunk to pacat, whose buffer is {} ms.",
        plain::BUFFER_MS
    ));
    let mut all = Vec::new();
    for (n, player) in PLAYERS.into_iter().enumerate() {
        if !task.effort.progress.step(n as u64, PLAYERS.len() as u64) {
            return Ok(());
        }
        let measured = one(&rig, &program, player, length);
        let Some(measured) = measured.with_context(|| format!("player: {}", player.name()))? else {
            report.give_up(format!("inconclusive: busy machine, nothing was heard of {}", player.name()));
            return Ok(());
        };
        all.push((player, measured));
    }
    let Some(plain) = all.iter().find(|(player, _)| *player == Player::Plain).map(|(_, plain)| plain.clone()) else {
        return Ok(());
    };
    let columns: Vec<Vec<(&str, String)>> = all.iter().map(|(_, measured)| rows(measured, &plain)).collect();
    for place in 0..columns.first().map_or(0, Vec::len) {
        let name = columns.first().and_then(|column| column.get(place)).map(|row| row.0.to_owned());
        let cells = columns.iter().filter_map(|column| column.get(place)).map(|row| row.1.clone());
        table.rows.push(name.into_iter().chain(cells).collect());
    }
    for (player, measured) in &all {
        figures(report, &player.name(), measured, (*player != Player::Plain).then_some(&plain));
    }
    report.tables.push(table.headline());
    Ok(())
}

/// The program of this name in the folder of this one.
fn beside_us(name: &str) -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.parent()?.join(name);
    path.is_file().then_some(path)
}

impl Playing {
    /// Starts one that plays what the guest gives, on the server of `rig`.
    fn start(player: Player, rig: &PulseRig, program: &Path, guest: &Guest, folder: &Path) -> anyhow::Result<Playing> {
        let stats = folder.join("stats.json");
        let mut command = rx_tests::process::tied(program);
        rig.serve(&mut command);
        let profile = match player {
            Player::Ours(profile) => {
                command.arg(guest.file());
                profile
            }
            Player::OverNetwork(profile) => {
                command.arg("--udp").arg(guest.address());
                profile
            }
            Player::Plain => {
                let (program, plain) = Plain::start(rig, guest.file(), folder)?;
                return Ok(Playing { program, stats: None, plain: Some(plain) });
            }
        };
        command.args(["-o", "pulse", "--profile", profile, "--stats"]).arg(&stats);
        Ok(Playing { program: Running::start("scream-rx", &mut command), stats: Some(stats), plain: None })
    }

    /// Every thread of it.
    fn threads(&self) -> Vec<PathBuf> {
        let of_plain = self.plain.iter().map(|plain| threads(std::process::id()).join(plain.thread_id().to_string()));
        every_thread(self.program.pid()).into_iter().chain(of_plain).collect()
    }

    /// Ends it. What it said of itself, if it says anything.
    fn end(mut self) -> anyhow::Result<serde_json::Value> {
        let Some(stats) = self.stats else { return Ok(serde_json::Value::Null) };
        self.program.signal(Signal::TERM);
        let ended = until_or_late(SOON, || (!self.program.is_alive()).then_some(()));
        ensure!(ended.is_some(), "scream-rx does not end\n{}", self.program.tail());
        Ok(serde_json::from_slice(&std::fs::read(&stats).context("no figures")?)?)
    }
}

/// Nothing if nothing was heard and the machine was not fit.
fn one(rig: &PulseRig, program: &Path, player: Player, length: Duration) -> anyhow::Result<Option<Measured>> {
    let folder = tempfile::tempdir()?;
    let guest = Guest::new(folder.path(), GUEST_PPM)?;
    let recording = rig.record();
    let playing = Playing::start(player, rig, program, &guest, folder.path())?;
    until_or_late(SOON, || (recording.frames() > 0).then_some(())).context("the recorder heard nothing")?;
    let witnesses = Witnesses::start();
    let (began, guest) = guest.play(matches!(player, Player::OverNetwork(_)))?;
    let settled = began + SETTLES;
    let stamp = stamp(&recording, began, settled);
    let before = Costs::of(&playing, rig);
    let end = settled + length;
    while !clock::sleep_until(end) {}
    let costs = Costs::of(&playing, rig).since(&before, length);
    let memory_mib = peak_mib(playing.program.pid());
    let tail = playing.program.tail();
    let told = playing.end()?;
    let samples = recording.stop();
    let (late, held) = (guest.end(), witnesses.end());
    let judged_s = SETTLES.as_secs_f64()..(SETTLES + length).as_secs_f64();
    let heard = recorded::judge(&samples, f64::from(RATE_HZ), stamp, judged_s, GUEST_PPM);
    let fitness = Fitness { late, waited_percent: costs.waited_percent, held };
    if heard.is_none() && !fitness.is_fit() {
        return Ok(None);
    }
    let heard = heard.with_context(|| format!("no sound was heard\n{tail}"))?;
    let number = |name: &str| told.get(name).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN);
    Ok(Some(Measured {
        heard,
        told_ms: ["delay_ms_p1", "delay_ms_p50", "delay_ms_p99"].map(number),
        gaps: number("gaps"),
        underflows: number("sink_underflows"),
        receiver_percent: costs.receiver_percent,
        server_percent: costs.server_percent,
        wake_ups_per_s: costs.switches_per_s,
        memory_mib,
        fitness,
    }))
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
    fn of(playing: &Playing, rig: &PulseRig) -> Costs {
        let of_server: Vec<PathBuf> = rig.pids().into_iter().flat_map(every_thread).collect();
        let of_player = playing.threads();
        let waited_ns = sum(&of_server, "schedstat", waited_ns) + sum(&of_player, "schedstat", waited_ns);
        let (receiver_ns, server_ns) = (sum(&of_player, "schedstat", busy_ns), sum(&of_server, "schedstat", busy_ns));
        let switches = sum(&of_player, "status", switches);
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

/// Where the threads of a process are.
fn threads(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/task"))
}

fn every_thread(pid: u32) -> Vec<PathBuf> {
    std::fs::read_dir(threads(pid)).into_iter().flatten().flatten().map(|thread| thread.path()).collect()
}

/// What `read` finds in this file of each of these threads, summed up.
fn sum(threads: &[PathBuf], file: &str, read: fn(&str) -> f64) -> f64 {
    threads.iter().filter_map(|thread| std::fs::read_to_string(thread.join(file)).ok()).map(|text| read(&text)).sum()
}

fn busy_ns(schedstat: &str) -> f64 {
    schedstat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0)
}

/// How long a thread stood in a queue for a processor.
fn waited_ns(schedstat: &str) -> f64 {
    schedstat.split(' ').nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0.0)
}

/// Times that a thread went to sleep, or was put to sleep.
fn switches(status: &str) -> f64 {
    let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).sum()
}

fn peak_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}

/// For people: names and cells.
fn rows(m: &Measured, plain: &Measured) -> Vec<(&'static str, String)> {
    let [p1, p50, p99] = m.heard.delay_ms;
    let [told_p1, told_p50, told_p99] = m.told_ms;
    let g = &m.heard.glitches;
    let Fitness { late, waited_percent, held } = &m.fitness;
    let unless = |is_fit| if is_fit { "" } else { UNFIT };
    let told = |text: String| if told_p50.is_finite() { text } else { "–".to_owned() };
    vec![
        (
            "heard at the monitor (before the sink's buffer), p1 / p50 / p99 ms",
            format!("{p1:.1} / {p50:.1} / {p99:.1}"),
        ),
        ("that p50, beside the plain player's", format!("{:.2}", m.delay_beside(plain))),
        ("spread p99 - p1 ms", format!("{:.2}", p99 - p1)),
        ("delay grows by, ppm", format!("{:+.1}", m.heard.slope_ppm)),
        (
            "by the receiver's own word, p1 / p50 / p99 ms",
            told(format!("{told_p1:.1} / {told_p50:.1} / {told_p99:.1}")),
        ),
        ("gaps, sink empty", told(format!("{} / {}", m.gaps, m.underflows))),
        ("hard gaps, dips, splices, clicks", {
            format!("{} / {} / {} / {} in {:.0} s", g.hard_gaps, g.dips, g.splices, g.clicks, m.heard.seconds)
        }),
        ("THD+N dB (a sink of 16 bits has -92 at best)", format!("{:.1}", m.heard.distortion_db)),
        ("receiver, server: % of a core", format!("{:.2} / {:.2}", m.receiver_percent, m.server_percent)),
        ("wake-ups a second", format!("{:.0}", m.wake_ups_per_s)),
        ("memory MiB", format!("{:.1}", m.memory_mib)),
        ("guest itself late, p99 / most ms", {
            let [p99, most] = late.map(|late| late.as_secs_f64() * 1e3);
            format!("{p99:.2} / {most:.2}{}", unless(m.fitness.is_guest_punctual()))
        }),
        ("receiver and server waited for a processor, %", {
            format!("{waited_percent:.2}{}", unless(m.fitness.is_quiet()))
        }),
        ("a processor was held for, at most ms", {
            format!("{:.2}{}", held.as_secs_f64() * 1e3, unless(m.fitness.is_whole()))
        }),
    ]
}

impl Measured {
    /// The delay that was heard, as a multiple of the plain player's.
    fn delay_beside(&self, plain: &Measured) -> f64 {
        self.heard.delay_ms[1] / plain.heard.delay_ms[1]
    }
}

/// `plain`: what it is measured beside.
fn figures(report: &mut CaseReport, player: &str, m: &Measured, plain: Option<&Measured>) {
    let [p1, p50, p99] = m.heard.delay_ms;
    let mut add = |what: &str, value: f64, unit: &str, is_fit: bool| {
        if value.is_finite() {
            let figure = Figure::measured(format!("{player}, measured: {what}"), value, unit, Better::Lower).tabled();
            report.figures.push(Figure { disturbed: !is_fit, ..figure });
        }
    };
    let is_fit = m.fitness.is_fit();
    add("delay heard p50", p50, "ms", is_fit);
    if let Some(plain) = plain {
        let both = is_fit && plain.fitness.is_fit();
        add("delay heard p50, beside a plain player's", m.delay_beside(plain), "times", both);
    }
    for (what, value, unit) in [
        ("delay heard p99", p99, "ms"),
        ("delay heard, spread p99 - p1", p99 - p1, "ms"),
        ("delay told p50", m.told_ms[1], "ms"),
        ("gaps", m.gaps, "in all"),
        ("clicks", m.heard.glitches.clicks as f64, "in all"),
        ("THD+N", m.heard.distortion_db, "dB"),
        ("receiver", m.receiver_percent, "% of a core"),
        ("server", m.server_percent, "% of a core"),
        ("wake-ups", m.wake_ups_per_s, "1/s"),
        ("waited for a processor", m.fitness.waited_percent, "%"),
        ("a processor held, longest", m.fitness.held.as_secs_f64() * 1e3, "ms"),
        ("memory", m.memory_mib, "MiB"),
    ] {
        add(what, value, unit, is_fit);
    }
}
