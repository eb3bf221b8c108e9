//! Recordings, pipes and ALSA: what the program leaves behind, whatever ends it.

use crate::rig::{FileGuest, Running, alone, left_of, scream_rx, until};
use crate::tone;
#[cfg(feature = "alsa")]
use crate::{machine::Watch, rig::on_time};
use shm_proto::guest_sim::sound::SoundGuest;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn wav(path: &Path) -> (hound::WavSpec, Vec<f32>) {
    let mut reader = hound::WavReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let spec = reader.spec();
    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Int => reader.samples::<i16>().map(|s| f32::from(s.unwrap()) / 32_768.0).collect(),
        hound::SampleFormat::Float => reader.samples::<f32>().map(Result::unwrap).collect(),
    };
    (spec, samples.chunks_exact(usize::from(spec.channels)).map(|f| f[0]).collect())
}

#[test]
fn the_demo_writes_exactly_five_seconds_of_a_clean_tone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.wav");
    let mut command = scream_rx(folder.path());
    command.args(["demo", "--seconds", "5", "-o", "wav", "-d"]).arg(&path);
    let mut demo = Running::start(&mut command, &folder.path().join("log"));
    assert_eq!(demo.end().code(), Some(0), "{}", demo.err());
    let (spec, left) = wav(&path);
    assert_eq!((spec.sample_rate, spec.channels, spec.bits_per_sample), (48_000, 2, 16));
    assert_eq!(left.len(), 5 * 48_000, "exactly");
    let heard = tone::listen(&left, 440.0, 48_000.0).unwrap();
    println!("{heard:?}");
    assert!((heard.hz - 440.0).abs() < 0.2 && (heard.peak - 0.501).abs() < 0.005, "{heard:?}");
    assert!(heard.worst_db < -65.0 && heard.pure == 1.0, "{heard:?}");
    // The tone fills the file: nothing but the two fades and the length of a filter is missing.
    assert!(heard.seconds > 4.99, "{heard:?}");
    assert!(left[0].abs() < 1e-3 && left[left.len() - 1].abs() < 1e-3);
    let said = demo.err();
    assert!(said.contains("delay ") && said.contains("0 hidden") && said.contains(" 0 lost"), "{said}");
}

#[test]
fn a_recording_that_is_stopped_or_killed_can_be_heard() {
    let _alone = alone();
    for (signal, code) in [("TERM", Some(0)), ("INT", Some(0)), ("KILL", None)] {
        let folder = tempfile::tempdir().unwrap();
        let (file, path) = (folder.path().join("region"), folder.path().join("out.wav"));
        let _guest = FileGuest::start(&file, SoundGuest::builder().bits(24));
        let mut command = scream_rx(folder.path());
        command.arg("-m").arg(&file).args(["-o", "wav", "-d"]).arg(&path);
        let mut player = Running::start(&mut command, &folder.path().join("log"));
        // Two seconds of float: the header has been made true at least once.
        until("a recording", || (std::fs::metadata(&path).ok()?.len() > 900_000).then_some(()));
        player.signal(signal);
        assert_eq!(player.end().code(), code, "{signal}: {}", player.err());
        let (spec, left) = wav(&path);
        assert_eq!((spec.bits_per_sample, spec.sample_format), (32, hound::SampleFormat::Float), "24 bits are kept");
        assert!(left.len() > 48_000, "{signal}: {} frames", left.len());
        let heard = tone::listen(&left, 440.0, 48_000.0).unwrap();
        assert!((heard.hz - 440.0).abs() < 1.0, "{signal}: {heard:?}");
        if code == Some(0) {
            assert!(left[left.len() - 1].abs() < 1e-3, "it ends in a fade");
        }
    }
}

#[test]
fn raw_sound_goes_down_a_pipe_until_nobody_reads() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let mut command = scream_rx(folder.path());
    command.args(["demo", "--seconds", "3600", "-o", "raw", "--bits", "16"]).stdout(Stdio::piped());
    let mut player = Running::start(&mut command, &folder.path().join("log"));
    let mut pipe = player.stdout();
    let mut bytes = vec![0; 4 * 48_000];
    pipe.read_exact(&mut bytes).unwrap();
    drop(pipe);
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    let heard = tone::listen(&left_of(&bytes)[24_000..], 440.0, 48_000.0).unwrap();
    assert!((heard.hz - 440.0).abs() < 2.0, "{heard:?}");
    assert!(!player.err().contains("hint:"), "a reader that goes is no failure: {}", player.err());
}

#[test]
fn a_wav_file_goes_down_a_pipe_too_behind_a_header_of_one_without_end() {
    let _alone = alone();
    for bits in ["16", "32"] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = scream_rx(folder.path());
        command
            .args(["demo", "--seconds", "2", "-o", "wav", "-d", "/dev/stdout", "--bits", bits])
            .stdout(Stdio::piped());
        let mut player = Running::start(&mut command, &folder.path().join("log"));
        let bytes = drain(player.stdout(), usize::MAX);
        assert_eq!(player.end().code(), Some(0), "{}", player.err());
        assert!(player.err().contains("a WAV header without a length"), "{}", player.err());
        let data = bytes.windows(4).position(|w| w == b"data").unwrap() + 4;
        assert_eq!((&bytes[..4], &bytes[8..12]), (&b"RIFF"[..], &b"WAVE"[..]));
        assert_eq!((&bytes[4..8], &bytes[data..data + 4]), (&[0xff; 4][..], &[0xff; 4][..]));
        let samples = &bytes[data + 4..];
        let left: Vec<f32> = match bits {
            "16" => left_of(samples),
            _ => samples.chunks_exact(8).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        };
        assert!((95_000..100_000).contains(&left.len()), "{}", left.len());
        let heard = tone::listen(&left[24_000..72_000], 440.0, 48_000.0).unwrap();
        assert!((heard.hz - 440.0).abs() < 2.0, "{heard:?}");
    }
}

/// Reads `pipe` to its end; gives what came first.
fn drain(mut pipe: impl Read, most: usize) -> Vec<u8> {
    let (mut kept, mut bytes) = (Vec::new(), [0; 4096]);
    while let Ok(1..) = pipe.read(&mut bytes).inspect(|n| kept.extend_from_slice(&bytes[..*n])) {
        kept.truncate(most);
    }
    kept
}

#[test]
fn raw_sound_is_as_late_as_is_told_and_as_was_wished() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (file, stats) = (folder.path().join("region"), folder.path().join("stats.json"));
    let guest = SoundGuest::builder().tone(shm_proto::guest_sim::tone::Tone::PositionCoded);
    let _guest = FileGuest::start(&file, guest);
    let told = |arguments: &[&str], kept: Option<&Path>| {
        let mut command = scream_rx(folder.path());
        command.arg("-m").arg(&file).args(["-o", "raw", "--seconds", "3", "--stats"]).arg(&stats).args(arguments);
        let stdout = kept.map_or_else(Stdio::piped, |path| std::fs::File::create(path).unwrap().into());
        let mut player = Running::start(command.stdout(stdout), &folder.path().join("log"));
        if kept.is_none() {
            assert!(!drain(player.stdout(), 8).is_empty());
        }
        assert_eq!(player.end().code(), Some(0), "{}", player.err());
        let figures: serde_json::Value = serde_json::from_slice(&std::fs::read(&stats).unwrap()).unwrap();
        let number = |name: &str| figures[name].as_f64().unwrap_or_else(|| panic!("{name}: {figures}"));
        // A machine that was late is told apart: the guest's lateness raises what is held.
        (number("delay_ms_p50"), number("target_ms"), number("gaps") + number("sink_disturbances"))
    };
    let (delay_ms, target_ms, troubles) = told(&["-t", "60", "-l", "120"], None);
    println!("-t 60 into a pipe: {delay_ms} ms, {troubles} troubles");
    assert!((target_ms - 60.0).abs() < 0.1, "{target_ms}");
    assert!(troubles > 0.0 || (delay_ms - 60.0).abs() < 1.5, "{delay_ms}");
    let (delay_ms, target_ms, troubles) = told(&[], None);
    println!("into a pipe: {delay_ms} ms, {target_ms} wanted, {troubles} troubles");
    assert!(troubles > 0.0 || (delay_ms < 60.0 && (delay_ms - target_ms).abs() < 1.5), "{delay_ms} {target_ms}");
    let (delay_ms, target_ms, _) = told(&[], Some(&folder.path().join("kept.raw")));
    println!("into a file: {delay_ms} ms");
    assert!(target_ms > 150.0, "what nobody listens to waits for what is late: {target_ms}");
}

#[test]
fn a_pipe_that_nobody_reads_holds_up_no_end() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (file, fifo) = (folder.path().join("region"), folder.path().join("fifo"));
    let _guest = FileGuest::start(&file, SoundGuest::builder());
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let start = |arguments: &[&str], log: &str| {
        let mut command = scream_rx(folder.path());
        let output: &[&str] = if arguments.contains(&"-o") { &[] } else { &["-o", "raw"] };
        command.args(arguments).args(output).args(["--bits", "16"]).stdout(Stdio::piped());
        Running::start(&mut command, &folder.path().join(log))
    };
    let (memory, named) = (file.to_str().unwrap(), fifo.to_str().unwrap());
    // A named pipe without a reader is waited for; a stop ends that.
    let mut unread = start(&["-m", memory, "-d", named], "unread.log");
    unread.wait_for_line("nobody reads");
    unread.signal("TERM");
    assert_eq!(unread.end().code(), Some(0), "{}", unread.err());
    // One that is read later gets sound. Its reader's end is none: the next one is waited for, and gets sound from a start.
    for (output, header) in [("raw", 0), ("wav", 44)] {
        let mut late = start(&["-m", memory, "-d", named, "-o", output], "late.log");
        for reader in 1..=3 {
            until("word of no reader", || (late.err().matches("nobody reads").count() == reader).then_some(()));
            let mut heard = vec![0; header + 2 * 48_000];
            std::fs::File::open(&fifo).unwrap().read_exact(&mut heard).unwrap();
            assert_eq!(heard.starts_with(b"RIFF"), output == "wav", "{reader}");
            assert!(left_of(&heard[header..]).iter().any(|x| x.abs() > 0.3), "{reader}: {}", late.err());
        }
        until("word of no reader", || (late.err().matches("nobody reads").count() == 4).then_some(()));
        // The pipe's name may be gone for a while, too: no file takes its place.
        std::fs::rename(&fifo, folder.path().join("elsewhere")).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert!(!fifo.exists(), "{}", late.err());
        std::fs::rename(folder.path().join("elsewhere"), &fifo).unwrap();
        std::fs::File::open(&fifo).unwrap().read_exact(&mut [0; 4096]).unwrap();
        late.signal("TERM");
        assert_eq!(late.end().code(), Some(0), "{}", late.err());
    }
    // A reader that takes nothing any more: the real thing, and the demo's simulated time.
    for arguments in [&["-m", memory][..], &["demo", "--seconds", "3600"]] {
        let mut stuck = start(arguments, "stuck.log");
        let pipe = stuck.stdout();
        // Its pages are not all full.
        until("a full pipe", || (rustix::io::ioctl_fionread(&pipe).unwrap() > 50_000).then_some(()));
        stuck.signal("TERM");
        assert_eq!(stuck.end().code(), Some(0), "{arguments:?}: {}", stuck.err());
        drop(pipe);
    }
}

#[test]
fn a_live_run_ends_after_its_seconds_and_leaves_figures() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (file, stats) = (folder.path().join("region"), folder.path().join("stats.json"));
    let _guest = FileGuest::start(&file, SoundGuest::builder());
    let mut command = scream_rx(folder.path());
    command.arg(&file).args(["-o", "null", "--seconds", "2", "--stats"]).arg(&stats);
    let mut player = Running::start(&mut command, &folder.path().join("log"));
    // What it holds is bounded: the whole of it, libraries included.
    let resident_kb = until("the program's memory", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", player.id())).ok()?;
        player.err().contains("the guest plays").then_some(())?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    });
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    println!("resident {resident_kb} kB");
    assert!(resident_kb < 20 << 10, "{resident_kb} kB");
    let figures: serde_json::Value = serde_json::from_slice(&std::fs::read(&stats).unwrap()).unwrap();
    assert_eq!(figures["sink_frames"], 2 * 48_000, "{figures}");
    assert!(figures["delay_ms_p50"].as_f64().unwrap() > 20.0, "{figures}");
}

#[test]
fn bad_input_is_one_line_and_a_hint_or_patience() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["--no-such-flag"], 1, "--no-such-flag"),
        (&["-o", "trumpet"], 1, "trumpet"),
        (&["-t", "-5"], 1, "-5"),
        (&["-o", "null", &path("")], 2, "directory"),
        (&["-o", "wav", "-d", &path("none/out.wav"), &path("x")], 2, "out.wav"),
        (&["-o", "null", "--stats", &path("none/s.json"), &path("x")], 2, "s.json"),
    ];
    for (args, code, words) in cases {
        let mut player = Running::start(scream_rx(folder.path()).args(args), &folder.path().join("log"));
        assert_eq!(player.end().code(), Some(code), "{args:?}: {}", player.err());
        assert!(player.err().contains(words), "{args:?}: {}", player.err());
    }
    // Looking Glass's file, and none at all: it waits, says so, and still ends when told to.
    std::fs::write(path("lg"), [b"LGMP".as_slice(), &6u32.to_le_bytes(), &[0; 1 << 16]].concat()).unwrap();
    std::fs::write(path("blank"), [0; 1 << 16]).unwrap();
    for (name, words) in [("lg", "Looking Glass's file"), ("blank", "nothing is written yet"), ("none", "start the VM")]
    {
        let mut command = scream_rx(folder.path());
        let mut player = Running::start(command.args(["-o", "null", &path(name)]), &folder.path().join("log"));
        player.wait_for_line(words);
        assert!(player.err().contains(&path(name)), "{}", player.err());
        player.signal("TERM");
        assert_eq!(player.end().code(), Some(0), "{name}: {}", player.err());
    }
}

/// alsa-lib with a device that writes into a file and has no clock of its own; no kernel sound is needed.
#[cfg(feature = "alsa")]
#[test]
fn alsa_gets_the_tone_bit_by_bit() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (out, config) = (folder.path().join("out.raw"), folder.path().join("asound.conf"));
    let text = format!(
        "pcm.tonull {{ type null }}\npcm.tofile {{ type file slave.pcm \"tonull\" file \"{}\" format \"raw\" }}\n\
         pcm.!default {{ type plug slave {{ pcm \"tofile\" format S16_LE rate 48000 channels 2 }} }}\n\
         ctl.!default {{ type null }}\n",
        out.display()
    );
    std::fs::write(&config, text).unwrap();
    on_time(|| {
        let watch = Watch::start();
        let mut command = scream_rx(folder.path());
        let command: &mut Command = command.env("ALSA_CONFIG_PATH", &config);
        command.args(["demo", "--seconds", "2", "-o", "alsa"]);
        let mut demo = Running::start(command, &folder.path().join("log"));
        assert_eq!(demo.end().code(), Some(0), "{}", demo.err());
        let held_up = watch.end();
        let left = left_of(&std::fs::read(&out).unwrap());
        let heard = tone::listen(&left, 440.0, 48_000.0).unwrap();
        println!("{heard:?}\n{}", demo.err());
        assert!((heard.hz - 440.0).abs() < 4.0, "{heard:?}");
        assert!((heard.peak - 0.501).abs() < 0.02 && heard.pure > 0.5, "{heard:?}");
        let is_whole = (1.9..2.3).contains(&heard.seconds);
        // What came too late in the last moments was hidden by silence. No figure tells, since no sound followed.
        assert!(is_whole || held_up > Duration::from_millis(50), "the machine kept time: {heard:?}");
        if is_whole { Ok(()) } else { Err(format!("{held_up:?} {heard:?}")) }
    });
}
