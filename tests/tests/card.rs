//! Sound cards, one on USB and one on PCI, which QEMU has and a Linux kernel drives: `scream-rx` plays on them in that
//! machine as it would on a desk without a sound server. What a card plays, QEMU writes into a file of the host's.

use rx_tests::luggage::Luggage;
use rx_tests::monitor::Monitor;
use rx_tests::process::{SOON, until};
use rx_tests::tone::{Recording, Tone};
use rx_tests::vm::{self, BOOT, Vm};
use rx_tests::{kernel, place, programs, require};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

const RATE_HZ: u32 = 48_000;
/// Stereo, 16 bits.
const FRAME_BYTES: usize = 4;
/// The USB card, as the monitor has it.
const CARD: &str = "\"bus\":\"xhci.0\",\"id\":\"card\",\"audiodev\":\"sound\"";
/// How often two seconds may be too bad.
const TRIES: usize = 8;
/// Of the file that QEMU writes. Unit: bytes.
const HEADER: usize = 44;

/// A machine with a card, and with a guest that plays 440 Hz.
struct Studio {
    vm: Vm,
    monitor: Monitor,
    control: UnixStream,
    recording: PathBuf,
    _folder: tempfile::TempDir,
}

impl Studio {
    /// Nothing, after the skip was printed, where there can be none.
    fn boot(kind: &str, card: &str) -> Option<(vm::Turn, Studio)> {
        if !vm::input_possible() {
            return None;
        }
        let modules = kernel::locate_for_input()?.of_card(kind);
        if modules.is_empty()
            && !require::skip("there is no kernel with sound for the VM (run scripts/kernel.sh input)")
        {
            return None;
        }
        let turn = vm::take_all_turns();
        let (folder, of_vm) = (place::folder(), place::folder());
        let (qmp, port) = (of_vm.path().join("qmp"), of_vm.path().join("port"));
        let recording = folder.path().join("card.wav");
        let arguments = [
            format!("-m 640 -qmp unix:{},server=on,wait=off", qmp.display()),
            format!("-chardev socket,id=port,path={},server=on,wait=off -serial chardev:port", port.display()),
            format!("-audiodev wav,id=sound,path={},out.frequency={RATE_HZ}", recording.display()),
            card.to_owned(),
        ];
        let arguments: Vec<String> = arguments.iter().flat_map(|a| a.split(' ')).map(str::to_owned).collect();
        let luggage = Luggage::new()
            .program("/bin/scream-rx", &programs::release("scream-rx"))
            .program("/bin/cat", Path::new("/bin/cat"))
            // Members of this group share alsa-lib's mixer.
            .text("/etc/group", "root:x:0:\naudio:x:29:\n");
        let settings = ["", "/cards", "/ctl", "/pcm"].map(|name| format!("/usr/share/alsa{name}"));
        let settings = settings.iter().filter(|folder| Path::new(folder).is_dir());
        let luggage = settings.fold(luggage, |luggage, folder| luggage.copies(folder));
        let luggage = modules.iter().fold(luggage, |luggage, module| luggage.module(module));
        let vm = Vm::boot_with(of_vm, &arguments, "nothing", &luggage);
        vm.wait("RIG-READY", BOOT);
        let control = UnixStream::connect(&port).expect("the second serial port");
        let mut studio = Studio { vm, monitor: Monitor::connect(&qmp), control, recording, _folder: folder };
        studio.ask("run guest /init sound /region");
        studio.vm.wait("READY sound", SOON);
        Some((turn, studio))
    }

    fn ask(&mut self, line: &str) {
        writeln!(self.control, "{line}").expect("the second serial port");
    }

    /// Starts the player with these words, and waits until it plays on this device.
    fn play(&mut self, words: &str, device: &str) {
        let mark = self.vm.mark();
        self.ask(&format!("run player /bin/scream-rx /region --stats /stats.json {words}"));
        self.vm.wait_after(mark, &format!("sound goes to ALSA device {device}: {RATE_HZ} Hz"), SOON);
    }

    /// Frames that the card has played so far.
    fn frames(&self) -> usize {
        std::fs::metadata(&self.recording).map_or(0, |meta| meta.len() as usize).saturating_sub(HEADER) / FRAME_BYTES
    }

    /// Waits until the card has played so many seconds more. How many frames it had played before.
    fn record(&self, seconds: usize) -> usize {
        let (from, frames) = (self.frames(), seconds * RATE_HZ as usize);
        until("seconds of sound", SOON, || (self.frames() > from + frames).then_some(()), || self.vm.console());
        from
    }

    /// Waits for two seconds of the guest's tone.
    fn hear(&self) -> Tone {
        let is_tone = |tone: &Tone| (tone.frequency_hz - 440.0).abs() < 3.0 && tone.impurity < 1e-3 && tone.breaks < 60;
        // An emulated processor beside others misses its times now and then: of 200 windows some may be broken.
        let mut heard: Vec<Tone> = Vec::new();
        while heard.len() < TRIES {
            heard.push(self.listen());
            if let Some(tone) = heard.last().filter(|tone| is_tone(tone)) {
                return *tone;
            }
        }
        panic!("{heard:?}\n{}", self.vm.console())
    }

    /// What the card plays in the next two seconds.
    fn listen(&self) -> Tone {
        let from = self.record(2);
        let bytes = std::fs::read(&self.recording).expect("the recording");
        let samples = bytes[HEADER + from * FRAME_BYTES..].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]]));
        Recording { samples: samples.collect(), channels: 2, rate_hz: RATE_HZ }.tone()
    }

    /// Ends the player, and gives its figures.
    fn end(&mut self) -> serde_json::Value {
        let mark = self.vm.mark();
        self.ask("signal player 15");
        self.vm.wait_after(mark, "RIG-ENDED player exit status: 0", SOON);
        let mark = self.vm.mark();
        self.ask("run cat /bin/cat /stats.json");
        self.vm.wait_after(mark, "RIG-ENDED cat", SOON);
        let lines = self.vm.lines_after(mark, "");
        let text: String = lines.into_iter().take_while(|line| !line.contains("RIG-ENDED")).collect();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }
}

/// The card itself, which gets longer pieces while this machine is held up, and alsa-lib's mixer before it, which is the default
/// and has pieces of 21 ms, whatever is asked for.
#[test]
fn a_card_is_played_on_and_waited_for_when_it_is_pulled_out() {
    let card = format!("-device qemu-xhci,id=xhci -device usb-audio,{}", CARD.replace('"', "").replace(':', "="));
    let Some((_turn, mut studio)) = Studio::boot("usb-audio", &card) else { return };
    for (words, device, least_ms, most_ms) in [("", "default", 38.0, 46.0), ("-o alsa -d hw:0", "hw:0", 7.0, 80.0)] {
        studio.play(words, device);
        let mark = studio.vm.mark();
        let heard = studio.hear();
        studio.monitor.execute("device_del", "{\"id\":\"card\"}");
        let said = studio.vm.wait_after(mark, "trying again", SOON);
        assert!(said.contains(&format!("cannot play on ALSA device {device}: ")), "{said}");
        let pulled = studio.vm.mark();
        studio.monitor.execute("device_add", &format!("{{\"driver\":\"usb-audio\",{CARD}}}"));
        studio.vm.wait_after(pulled, "sound goes to", SOON);
        let again = studio.hear();
        // Said once, and only of the mixer.
        let coarse = studio.vm.lines_after(0, &format!("{device} takes 21.3 ms of sound at a time")).len();
        assert_eq!(coarse, usize::from(device == "default"), "{}", studio.vm.console());
        let figures = studio.end();
        let [delay_ms, sink_ms] =
            ["delay_ms_p50", "part_sink_ms"].map(|name| figures[name].as_f64().unwrap_or(f64::NAN));
        println!("{device}: delay {delay_ms} ms, {sink_ms} of it the device's; {heard:?}, {again:?}");
        assert!((least_ms..most_ms).contains(&sink_ms), "{device}: {figures}");
        assert!((20.0 + sink_ms..200.0).contains(&delay_ms), "{device}: {figures}");
        assert!(figures["sink_reopened"].as_u64() >= Some(1), "{device}: {figures}");
        assert!(studio.vm.lines_after(mark, "trying again").len() < 3, "{}", studio.vm.console());
    }
}

/// This one takes 10 ms of sound at once, as QEMU's clock for sound ticks, and runs empty with the 7.5 ms that it gets at first.
/// It is mute until somebody opens its mixer, so what it plays is counted, not listened to.
#[test]
fn a_card_that_takes_more_at_once_than_it_says_gets_longer_pieces() {
    let Some((_turn, mut studio)) = Studio::boot("ac97", "-device AC97,audiodev=sound") else { return };
    studio.play("-o alsa -d hw:0", "hw:0");
    studio.vm.wait("ALSA device hw:0 runs empty again and again: it gets 7.5 ms of sound at a time now", SOON);
    studio.record(5);
    assert!(studio.vm.lines_after(0, "trying again").is_empty(), "{}", studio.vm.console());
    let longer = studio.vm.lines_after(0, "runs empty again and again").len();
    let figures = studio.end();
    let empty = figures["sink_underflows"].as_u64().unwrap_or(u64::MAX);
    println!("{longer} times longer, {empty} times empty");
    assert_eq!(figures["sink_reopened"].as_u64(), Some(longer as u64), "{figures}");
    // Forty-five a second otherwise.
    assert!((1..=3).contains(&longer) && empty < 150, "{figures}");
}
