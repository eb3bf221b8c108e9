//! Guests that lie while a window shows them: the window stays, says what is wrong, and shows the next honest session
//! within a second.

use crate::guest::GuestThread;
use crate::program::{Program, frame_rx, until};
use crate::xvfb::Xvfb;
use rx_host::clock;
use shm_proto::guest_sim::lies::Lie;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureConfig;
use shm_proto::guest_sim::pointer::PointerMode;
use shm_proto::kvmfr::{PictureSpec, PixelType, Version};
use std::path::Path;
use std::time::Duration;

fn config(width: u32, height: u32) -> PictureConfig {
    let mut config = PictureConfig::new(width, height);
    config.pointer = PointerMode::Hidden;
    config
}

fn start(x: &Xvfb, file: &Path) -> (Program, String) {
    let mut command = frame_rx(x.dir.path(), Some(&x.display));
    command.arg("-f").arg(file).args(["--window", "320x180", "--scale", "1:1", "--stats", "s.json"]);
    let program = Program::start(&mut command);
    let window = x.window();
    x.wait_for_size(&window, (320, 180));
    (program, window)
}

fn lie(guest: &GuestThread, name: &str) {
    let lie = Lie::by_name(name).unwrap_or_else(|| panic!("there is no lie {name}"));
    guest.with(|g| g.lie(Some(lie), clock::now())).unwrap();
}

fn tell_the_truth(guest: &GuestThread) {
    guest.with(|g| g.lie(None, clock::now()).and_then(|()| g.restart(clock::now()))).unwrap();
}

/// How many pictures an honest guest draws until the window shows one of them.
fn pictures_until_shown(x: &Xvfb, window: &str, guest: &GuestThread, program: &Program) -> u32 {
    let begun = guest.with(|g| g.frames_begun());
    let shown = || {
        let (w, h, rgb) = x.pixels(window)?;
        guest.stamp_of(&rgb, w, h).filter(|stamp| stamp.frame > begun)
    };
    until("an honest picture", shown, || program.text()).frame - begun
}

fn ends_well(program: &mut Program) {
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    assert!(!program.text().contains("panicked"), "{}", program.text());
}

/// What the kernel says of the program's memory under this name, KiB.
fn status_kib(program: &Program, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The most memory that the program ever had, KiB.
fn peak_kib(program: &Program) -> u64 {
    status_kib(program, "VmHWM:")
}

/// Memory in use now, KiB.
fn now_kib(program: &Program) -> u64 {
    status_kib(program, "VmRSS:")
}

/// `FRAME_RX_GARBAGE_SECONDS` makes each of the four spells longer than three seconds.
#[test]
fn a_window_outlives_seconds_of_garbage_and_shows_the_next_honest_guest_within_a_second() {
    let Some((_gpu, x)) = crate::xvfb::display(640, 480) else { return };
    let wanted = std::env::var("FRAME_RX_GARBAGE_SECONDS").ok();
    let spell = Duration::from_secs(wanted.map_or(3, |s| s.parse().expect("FRAME_RX_GARBAGE_SECONDS is a number")));
    let guest = GuestThread::start(config(320, 180));
    let (mut program, window) = start(&x, &guest.path);
    pictures_until_shown(&x, &window, &guest, &program);
    let (mut kib, mut waits) = (vec![(now_kib(&program), peak_kib(&program))], Vec::new());
    for name in ["garbage-everywhere", "garbage-header", "garbage-everywhere", "garbage-header"] {
        lie(&guest, name);
        clock::sleep_until(clock::now() + spell);
        tell_the_truth(&guest);
        waits.push(pictures_until_shown(&x, &window, &guest, &program));
        kib.push((now_kib(&program), peak_kib(&program)));
    }
    println!(
        "spells of {spell:?}: a picture after so many sixtieths of a second: {waits:?}; KiB now, at most: {kib:?}"
    );
    // The first two spells may fill what every guest fills once.
    let more = kib[4].1.saturating_sub(kib[2].1);
    assert!(more < 32 << 10, "more garbage took {more} KiB more: {kib:?}");
    // A second is 60 pictures; screenshots on a busy machine are late now and then.
    assert!(waits.iter().any(|wait| *wait <= 60) && waits.iter().all(|wait| *wait < 600), "{waits:?}");
    let most = 60 + 4 * spell.as_secs().saturating_sub(3) as usize;
    assert!(program.text().lines().count() < most, "garbage fills the terminal\n{}", program.text());
    ends_well(&mut program);
}

#[test]
fn a_guest_that_starts_again_in_any_version_is_shown_within_a_second_and_nothing_older_after_that() {
    let Some((_gpu, x)) = crate::xvfb::display(640, 480) else { return };
    // Room for every version.
    let guest = GuestThread::start_in(config(320, 180), 16 << 20);
    let (mut program, window) = start(&x, &guest.path);
    pictures_until_shown(&x, &window, &guest, &program);
    let mut waits = Vec::new();
    for version in Version::ALL.into_iter().chain(Version::ALL.into_iter().rev()) {
        let restarted = clock::now();
        let begun = guest.with(|g| g.restart_as(version, restarted).map(|()| g.frames_begun())).unwrap();
        pictures_until_shown(&x, &window, &guest, &program);
        waits.push(clock::now().since(restarted).as_millis());
        for _ in 0..10 {
            let stamp = x.pixels(&window).and_then(|(w, h, rgb)| guest.stamp_of(&rgb, w, h));
            assert!(stamp.is_none_or(|stamp| stamp.frame >= begun), "{version:?}: {stamp:?} after {begun}");
        }
    }
    println!("restarts: a picture of the new session in the window after so many ms: {waits:?}");
    // On a busy machine all of it is late now and then, the screenshots first.
    waits.sort_unstable();
    assert!(waits[waits.len() / 2] <= 1000 && waits.iter().all(|wait| *wait < 10_000), "{waits:?}");
    ends_well(&mut program);
}

#[test]
fn what_a_guest_cannot_be_has_its_sentence_in_a_window_that_goes_on() {
    let Some((_gpu, x)) = crate::xvfb::display(640, 480) else { return };
    for (name, title, sentence) in [
        ("lock-held", "lock-held", "a program stopped while it held a lock of the shared memory: restart"),
        ("everybody-subscribed", "full", "places for viewers are taken: close another viewer"),
        ("queues-1000", "corrupt", "the guest writes what makes no sense (numQueues is 1000"),
        ("kvmfr-version", "other-version", "the guest speaks LGMP 6 with KVMFR 99, which is not supported: install"),
        ("udata-none", "other-content", "LGMP queues of another program, not a picture: pass the file"),
        ("heartbeat-stands", "not-running", "the Looking Glass host in the guest is not running: start"),
        ("write-pointer-stands", "simulated, first-picture", "connected, waiting for the first picture"),
        ("type-7", "simulated, corrupt", "the guest writes what makes no sense (type is 7, allowed is 1 to 6)"),
    ] {
        let guest = GuestThread::start(config(320, 180));
        lie(&guest, name);
        let (mut program, window) = start(&x, &guest.path);
        program.says(sentence);
        let is_told = || (x.title(&window) == format!("frame-rx: {title}")).then_some(());
        until(&format!("the title of {name}"), is_told, || format!("{}\n{}", x.title(&window), program.text()));
        x.keep(&window, &format!("told-{name}"));
        tell_the_truth(&guest);
        pictures_until_shown(&x, &window, &guest, &program);
        ends_well(&mut program);
    }
}

#[test]
fn a_file_that_is_cut_short_and_then_replaced_is_followed() {
    let Some((_gpu, x)) = crate::xvfb::display(640, 480) else { return };
    let old = GuestThread::start(config(320, 180));
    let (mut program, window) = start(&x, &old.path);
    pictures_until_shown(&x, &window, &old, &program);
    // The VM is gone; somebody cuts its file short.
    old.with(|g| g.stop());
    std::fs::OpenOptions::new().write(true).open(&old.path).unwrap().set_len(4096).unwrap();
    program.says("has only 4 KiB");
    let new = GuestThread::start(config(320, 180));
    std::fs::rename(&new.path, &old.path).unwrap();
    pictures_until_shown(&x, &window, &new, &program);
    // And replaced once more while its guest lives.
    let newer = GuestThread::start(config(320, 180));
    new.with(|g| g.stop());
    std::fs::rename(&newer.path, &old.path).unwrap();
    pictures_until_shown(&x, &window, &newer, &program);
    ends_well(&mut program);
}

#[test]
fn pictures_of_any_shape_and_a_mode_that_changes_at_every_one_end_well() {
    let Some((_gpu, x)) = crate::xvfb::display(640, 480) else { return };
    let guest = GuestThread::start_in(config(320, 180), 32 << 20);
    let (mut program, window) = start(&x, &guest.path);
    pictures_until_shown(&x, &window, &guest, &program);
    let show = |width, height, pixel_type| {
        guest.with(|g| g.set_picture(PictureSpec::new(pixel_type, width, height), Motion::Bar));
        let begun = guest.with(|g| g.frames_begun());
        until("its pictures", || guest.with(|g| (g.frames_begun() > begun + 2).then_some(())), || program.text());
    };
    for (width, height) in [(16384, 1), (1, 16384), (1, 1), (16384, 64)] {
        show(width, height, PixelType::Bgra);
        let said = format!("{width}x{height}");
        let told = || (x.title(&window).contains(&said) || x.title(&window).contains("no-room")).then_some(());
        until(&said, told, || format!("{}\n{}", x.title(&window), program.text()));
    }
    let sizes = [(320, 180), (33, 15), (640, 400), (64, 48), (321, 179)];
    let (mut changes, mut begun) = (0, guest.with(|g| g.frames_begun()));
    until(
        "a hundred changes",
        || {
            guest.with(|g| {
                if g.frames_begun() != begun {
                    begun = g.frames_begun();
                    changes += 1;
                    let (width, height) = sizes[changes % sizes.len()];
                    g.set_picture(PictureSpec::new(PixelType::ALL[changes % 4], width, height), Motion::Bar);
                }
            });
            (changes >= 100).then_some(())
        },
        || program.text(),
    );
    show(320, 180, PixelType::Bgra);
    pictures_until_shown(&x, &window, &guest, &program);
    ends_well(&mut program);
    let stats: serde_json::Value =
        serde_json::from_slice(&std::fs::read(x.dir.path().join("s.json")).unwrap()).unwrap();
    assert_eq!(stats["sessions"], 1, "{stats}");
}
