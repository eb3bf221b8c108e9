//! A real guest: QEMU with a Linux kernel and our guest program in it, writing through ivshmem devices. One machine at a
//! time, since each keeps a core busy and all files in /dev/shm are looked at.

use rustix::process::Signal;
use rx_tests::place::{self, ShmName};
use rx_tests::process::{Running, SOON, run, until};
use rx_tests::pulse::{self, PulseRig};
use rx_tests::vm::{self, BOOT, Device, Vm};
use rx_tests::xvfb::XvfbRig;
use rx_tests::{guest, image, programs, tone};
use shm_proto::guest_sim::pattern::{Motion, Pattern};
use shm_proto::guest_sim::stamp::{Edge, read_stamp};
use shm_proto::kvmfr::stream::{Outcome, Viewer};
use shm_proto::kvmfr::{PictureSpec, PixelType};
use shm_proto::scream::{MAX_CHUNK_BYTES, Poll, Reader};
use shm_proto::{Access, HostTime, Purpose, Region};
use std::path::Path;
use std::time::{Duration, Instant};

/// Sizes as users choose them: sound, and a picture up to 1080p.
const SOUND_BYTES: u64 = 2 << 20;
const PICTURE_BYTES: u64 = 32 << 20;

/// Two devices, and where their files are.
struct Devices {
    sound: ShmName,
    picture: ShmName,
}

impl Devices {
    fn new() -> Devices {
        Devices { sound: ShmName::new("sound"), picture: ShmName::new("picture") }
    }

    fn boot(&self, rig: &str) -> Vm {
        let devices = [
            Device { path: self.sound.path().to_owned(), bytes: SOUND_BYTES },
            Device { path: self.picture.path().to_owned(), bytes: PICTURE_BYTES },
        ];
        Vm::boot(&devices, rig)
    }
}

#[test]
fn guest_and_host_see_the_same_bytes() {
    if !vm::possible() {
        return;
    }
    let _turn = vm::take_all_turns();
    let devices = Devices::new();
    let vm = devices.boot("rig.0=pattern,seed=7 rig.1=pattern,seed=8");
    vm.wait("RIG-DONE", BOOT);
    assert!(vm.end(SOON).success());
    for (file, bytes, seed) in [(&devices.sound, SOUND_BYTES, 7), (&devices.picture, PICTURE_BYTES, 8)] {
        let region = Region::open(file.path(), Access::ReadOnly).unwrap();
        let mut seen = vec![0; usize::try_from(bytes).unwrap()];
        region.whole().copy_to(&mut seen, Purpose::Read).unwrap();
        let mut sent = vec![0; seen.len()];
        rx_guest::pattern::fill(seed, 0, &mut sent);
        assert!(seen == sent, "pattern {seed}: the bytes are not those the guest wrote");
    }
    drop(devices);
    assert_eq!(place::left_in_shm(), Vec::<String>::new());
}

/// The picture the guest shows in these tests.
const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;
const GUEST: &str = "rig.0=sound,tone=440 rig.1=picture,mode=320x240@30,cursor=none";

/// The readers alone, without a receiver around them: every frame whole, every chunk in order, before and after the
/// guest is switched off under them.
#[test]
fn the_readers_understand_a_real_guest_and_its_successor() {
    if !vm::possible() {
        return;
    }
    let _turn = vm::take_all_turns();
    let devices = Devices::new();
    let clock = Instant::now();
    let now = || HostTime::ZERO + clock.elapsed();
    let first = devices.boot(GUEST);
    first.wait("RIG-READY", BOOT);
    let mut reader = Reader::new(Region::open(devices.sound.path(), Access::ReadOnly).unwrap());
    let region = Region::open(devices.picture.path(), Access::ReadWrite).unwrap();
    let mut viewer = Viewer::new(region, 1).unwrap();
    hear(&mut reader, now, &first);
    see(&mut viewer, now, &first);
    first.kill();
    let second = devices.boot(GUEST);
    second.wait("RIG-READY", BOOT);
    see(&mut viewer, now, &second);
    hear(&mut reader, now, &second);
}

/// The whole way, as a user has it: QEMU, the release binaries, a sound server, a window. The plug is pulled and the
/// guest started again; sound and picture come back by themselves, and nothing is left behind.
#[test]
fn the_receivers_play_and_show_a_real_guest_and_its_successor() {
    if !vm::possible() {
        return;
    }
    let (Some(server), Some(display)) = (PulseRig::start(), XvfbRig::start(1280, 800)) else { return };
    let home = place::folder();
    let Some(mut viewer) = programs::frame_rx(home.path()) else { return };
    let _turn = vm::take_all_turns();
    let devices = Devices::new();
    display.show(viewer.arg("-f").arg(devices.picture.path()).args(["--scale", "1:1", "--window", "640x480"]));
    let mut player = programs::receiver("scream-rx", home.path());
    server.serve(player.arg(devices.sound.path()).args(["-o", "pulse", "-t", "200"]));
    // Started first: both wait for a machine that is not there yet.
    let mut viewer = Running::start("frame-rx", &mut viewer);
    let mut player = Running::start("scream-rx", &mut player);
    let recording = server.record();
    let first = devices.boot(GUEST);
    first.wait("RIG-READY", BOOT);
    guest::wait_for_picture(&display, (WIDTH, HEIGHT), BOOT);
    let heard = recording.wait_for_sound(Duration::from_secs(1), BOOT);
    check_tone(&heard, &server);
    first.kill();
    let second = devices.boot("rig.0=sound,tone=440 rig.1=picture,mode=400x300@30,cursor=none,format=rgba");
    second.wait("RIG-READY", BOOT);
    guest::wait_for_picture(&display, (400, 300), BOOT);
    recording.wait_for_sound(Duration::from_secs(1), BOOT);
    for receiver in [&mut viewer, &mut player] {
        receiver.signal(Signal::TERM);
        assert_eq!(receiver.end(SOON).code(), Some(0), "{}", receiver.tail());
    }
    screenshot(&devices, home.path());
    second.kill();
    drop((devices, recording, server, display, home));
    assert_eq!(place::left_in_shm(), Vec::<String>::new());
}

/// The tone of the guest, as the sound server's monitor heard it.
fn check_tone(heard: &[i16], server: &PulseRig) {
    let tone = tone::measure(heard, pulse::CHANNELS, pulse::RATE_HZ);
    assert!((tone.frequency_hz - 440.0).abs() < 1.0, "{tone:?}");
    // A guest under emulation is late now and then, and then there is a gap; but most of it is the tone and nothing else.
    assert!(!server.is_realtime() || tone.impurity < 1e-3, "{tone:?}");
}

/// A second viewer, without a window, beside the running guest.
fn screenshot(devices: &Devices, home: &Path) {
    let png = home.join("guest.png");
    let Some(mut command) = programs::frame_rx(home) else { return };
    command.arg("-f").arg(devices.picture.path()).args(["--headless", "--frames", "5", "--screenshot"]).arg(&png);
    let done = run("frame-rx", &mut command, BOOT);
    assert_eq!(done.status.code(), Some(0), "{}", done.err.join("\n"));
    let picture = image::from_png(&png);
    assert_eq!((picture.width, picture.height), (400, 300));
    guest::check_picture(&picture).unwrap();
}

/// Takes half a second of sound and looks whether it is the tone.
fn hear(reader: &mut Reader, now: impl Fn() -> HostTime, vm: &Vm) {
    let mut pcm = vec![0; MAX_CHUNK_BYTES];
    let mut samples = Vec::new();
    let enough = || {
        while let Poll::Chunk(chunk) = reader.poll(now(), &mut pcm).unwrap() {
            if chunk.lost_before > 0 {
                samples.clear();
            }
            samples.extend(pcm[..chunk.bytes].as_chunks::<2>().0.iter().map(|s| i16::from_le_bytes(*s)));
        }
        (samples.len() >= 48_000).then_some(())
    };
    until("half a second of sound without a gap", SOON, enough, || vm.console());
    let tone = tone::measure(&samples, 2, 48_000);
    assert!((tone.frequency_hz - 440.0).abs() < 0.5 && tone.impurity < 1e-6 && tone.breaks == 0, "{tone:?}");
}

/// Takes ten frames and compares every pixel.
fn see(viewer: &mut Viewer, now: impl Fn() -> HostTime, vm: &Vm) {
    let spec = PictureSpec::new(PixelType::Bgra, WIDTH, HEIGHT);
    let pattern = Pattern::new(spec, Motion::Bar);
    let pitch = spec.pitch_bytes as usize;
    let mut pixels = vec![0; usize::try_from(spec.bytes()).unwrap()];
    let mut seen = 0;
    let enough = || {
        viewer.poll(now());
        let frame = viewer.take_frame(now())?;
        assert_eq!((frame.frame().rows(), frame.frame().pitch_bytes()), (HEIGHT, spec.pitch_bytes));
        until("the rest of the frame", SOON, || (frame.ready_rows() == HEIGHT).then_some(()), || vm.console());
        frame.copy_rows(0..HEIGHT, &mut pixels, pitch, Purpose::Read).unwrap();
        if frame.finish() == Outcome::Accepted {
            let stamp = read_stamp(&pixels, pitch, PixelType::Bgra, (WIDTH, HEIGHT), Edge::Top).expect("a stamp");
            assert!(pixels == pattern.reference(stamp), "frame {} is not what was sent", stamp.frame);
            seen += 1;
        }
        (seen == 10).then_some(())
    };
    until("ten frames", SOON, enough, || vm.console());
}
