//! The command line, as `--help` shows it. Values become settings in `settings.rs`; nothing is decided here.

use crate::gpu::GpuChoice;
use crate::gpu::present::PresentChoice;
use crate::gpu::scene::Filter;
use crate::input::address::InputChoice;
use crate::input::chord::Chord;
use crate::input::evdev::rule::Rule;
use crate::input::frame::MouseMode;
use crate::input::keylist::KeyList;
use crate::pace::Draw;
use crate::view::Scale;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use rx_host::log::Verbosity;
use rx_host::settings::units::{ByteSize, DisplayMode, Seconds};
use std::path::PathBuf;

/// Shows the picture that a guest's unmodified Looking Glass host writes into shared memory (releases B6 and B7, and
/// development builds up to August 2026).
///
/// Without a command it runs: it waits for the VM, shows its picture in a window, and comes back by itself when the
/// guest is started again. Try `frame-rx demo` first: it needs no VM.
#[derive(Debug, Parser)]
#[command(name = "frame-rx", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run, if nothing else is to be done.
    #[command(flatten)]
    pub run: RunArgs,
    /// How much is told on stderr.
    #[command(flatten)]
    pub verbosity: Verbosity,
}

impl Cli {
    /// What was typed. Flags of `run` in front of another command are refused rather than ignored.
    ///
    /// # Errors
    /// What clap says, a wish for help included.
    pub fn read<I, T>(words: I) -> Result<Cli, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<std::ffi::OsString> + Clone,
    {
        let cli = Cli::try_parse_from(words)?;
        if cli.command.is_some() && cli.run != RunArgs::default() {
            let message = "flags of a command stand behind it, as in: frame-rx run --fullscreen";
            return Err(Cli::command().error(ErrorKind::ArgumentConflict, message));
        }
        Ok(cli)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the guest (what is done without a command)
    Run(RunArgs),
    /// Show a simulated guest: no VM, no configuration; without a display, write a PNG
    Demo(DemoArgs),
    /// Look for what is wrong, and say how to mend it
    Doctor(DoctorArgs),
    /// Send pictures through the whole way and compare what is on the GPU with what was sent
    Selftest(SelftestArgs),
    /// Give the guest keyboard and mouse without showing a picture
    Input(ForwardArgs),
    /// Give a VM's `input-linux` a keyboard and mouse that are never unplugged
    ///
    /// QEMU takes them with `-object input-linux,id=k,evdev=/dev/input/by-id/frame-rx-keyboard,grab_all=on` and
    /// `-object input-linux,id=m,evdev=/dev/input/by-id/frame-rx-mouse` (the links come with the udev rule that `make
    /// install` brings). Leave QEMU's grab-toggle as it is, both Ctrl keys, as the release chord is: QEMU never sees the
    /// second of them, and so never lets go by itself. The real devices come and go as they like.
    InputProxy(ForwardArgs),
    /// Open keyboards and mice of a list for users who may not, as root
    ///
    /// frame-rx-opener.socket of `make install` starts it for each request; without systemd, `--listen` keeps it running.
    /// Who gets which stands in the list: a user, `active` or `always`, and a rule as for `--evdev`, line by line.
    Opener(OpenerArgs),
    /// Wait for another frame-rx to be killed, and release what it held in the guest
    #[command(hide = true)]
    Heir,
    /// List GPUs, monitors, keyboards and mice
    Devices(DevicesArgs),
    /// Say how much shared memory display modes need
    Size(SizeArgs),
    /// Print the settings as a file, or where each comes from
    Config(ConfigArgs),
    /// List the keys of the window, as the settings have them
    Keys {
        /// Read settings from this file [default: ~/.config/frame-rx/config.toml, if it is there]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page: frame-rx man | man -l -
    Man,
}

/// How to run.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct RunArgs {
    /// The shared memory's file, or a kvmfr device [default: /dev/shm/looking-glass]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Read settings from this file [default: ~/.config/frame-rx/config.toml, if it is there]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub config: Option<PathBuf>,
    /// How to show.
    #[command(flatten)]
    pub show: ShowArgs,
    /// Keyboard and mouse.
    #[command(flatten)]
    pub input: InputArgs,
    /// How to end.
    #[command(flatten)]
    pub end: EndArgs,
    /// What to keep.
    #[command(flatten)]
    pub keep: KeepArgs,
}

/// What to keep of each picture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Keeping")]
pub struct KeepArgs {
    /// Record pictures and their times into this folder; a slow disk loses some of them and delays nothing
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// The most that is recorded, in bytes or with K, M, G [default: 4G, eight seconds of 1080p at 60 Hz]
    #[arg(long, value_name = "BYTES", requires = "record", hide_short_help = true)]
    pub record_limit: Option<ByteSize>,
    /// Write number, milliseconds, size and hash of each picture to this file
    #[arg(long, value_name = "FILE", requires = "headless", hide_short_help = true)]
    pub hashes: Option<PathBuf>,
    /// Neither show the picture as keys left it in the last run (scale, filter, turn, figures), nor keep what they change
    /// in this one, in ~/.local/state/frame-rx
    #[arg(long, hide_short_help = true)]
    pub no_remember: bool,
}

/// What to test.
#[derive(Clone, Debug, Default, Args)]
pub struct SelftestArgs {
    /// Instead of a guest of our own, send the pictures that `run --record` left in this folder
    #[arg(long, value_name = "DIR")]
    pub replay: Option<PathBuf>,
    /// The GPU: auto, software, or a part of its name [default: auto]
    #[arg(long, value_name = "GPU", hide_short_help = true)]
    pub gpu: Option<GpuChoice>,
}

/// Keyboard and mouse for the guest.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Keyboard and mouse")]
pub struct InputArgs {
    /// The way to the guest: auto, usbhid:ADDR, spice-usb:ADDR, spice:ADDR, qmp:PATH, uinput or none [default: auto, SPICE
    /// at 127.0.0.1:5900]
    ///
    /// auto connects at the first click; every other way at once.
    #[arg(long, value_name = "WAY")]
    pub input: Option<InputChoice>,
    /// Keys that take the input back, or give it: names joined by +, or KEY@MILLISECONDSms [default: leftctrl+rightctrl]
    #[arg(long, value_name = "KEYS", hide_short_help = true)]
    pub release_chord: Option<Chord>,
    /// How the guest's pointer follows the mouse of the window: relative, kept in the window, or absolute, where the host's
    /// is, if the way to the guest has places [default: relative]
    #[arg(long, value_name = "HOW", value_enum, hide_short_help = true, hide_possible_values = true)]
    pub mouse: Option<MouseMode>,
    /// The SPICE server's password is the first line of this file [default: no password]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub spice_password_file: Option<PathBuf>,
    /// Take this keyboard or mouse from the host [default: none, the window's]
    ///
    /// It is read while the program runs, for the chord, and kept from the host while the guest has the input. May be
    /// repeated. auto (every keyboard, mouse and tablet that is hardware), a path (a link in /dev/input/by-id is best), or
    /// one or more of class=CLASS, id=VENDOR:PRODUCT and name=PART, joined by commas; `frame-rx devices` lists them all.
    #[arg(long, value_name = "DEVICE")]
    pub evdev: Vec<Rule>,
    /// Keys that never go to the guest: names joined by commas, usual or none [default: usual, power, sleep, brightness]
    #[arg(long, value_name = "KEYS", hide_short_help = true)]
    pub keep_on_host: Option<KeyList>,
    /// Give the guest the input as soon as there is a way to it, without a click or the chord
    #[arg(long, hide_short_help = true)]
    pub take_at_start: bool,
    /// Tell delays, counts and losses of the input at the end
    #[arg(long, hide_short_help = true)]
    pub input_stats: bool,
}

/// What to forward, and how long.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct ForwardArgs {
    /// Read settings from this file [default: ~/.config/frame-rx/config.toml, if it is there]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub config: Option<PathBuf>,
    /// Keyboard and mouse.
    #[command(flatten)]
    pub input: InputArgs,
    /// End after so many seconds
    #[arg(long, value_name = "N")]
    pub seconds: Option<Seconds>,
    /// Write figures (counts, microseconds) to this JSON file at the end
    #[arg(long, value_name = "FILE")]
    pub stats: Option<PathBuf>,
}

/// What to open, and for whom.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct OpenerArgs {
    /// Who gets which devices [default: /etc/frame-rx/devices.conf]
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,
    /// Make this socket and serve one client after the other [default: the one client at the standard input]
    #[arg(long, value_name = "SOCKET")]
    pub listen: Option<PathBuf>,
    /// The group that may use the socket of --listen, by name or number [default: frame-rx]
    #[arg(long, value_name = "GROUP", requires = "listen", default_value = "frame-rx", hide_default_value = true)]
    pub group: String,
}

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct DevicesArgs {
    /// Print JSON
    #[arg(long, conflicts_with_all = ["live", "udev_rules"])]
    pub json: bool,
    /// Say which keyboard or mouse is used, while they are: press a key or move it (Ctrl-C ends it)
    #[arg(long, conflicts_with = "udev_rules")]
    pub live: bool,
    /// Print udev rules that let whoever sits at the machine read these devices
    #[arg(long)]
    pub udev_rules: bool,
    /// Only these keyboards and mice, as for `run` [default: all; for --udev-rules auto]
    #[arg(long, value_name = "DEVICE")]
    pub evdev: Vec<Rule>,
}

/// How to show.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Showing")]
pub struct ShowArgs {
    /// Fill a whole monitor (F11, or Scroll Lock with F, changes it; `frame-rx keys` lists all keys)
    #[arg(short = 'F', long)]
    pub fullscreen: bool,
    /// The monitor to fill, again when it was unplugged: its name or number in `frame-rx devices` [default: the one the window
    /// opens on]
    #[arg(long, value_name = "MONITOR")]
    pub output: Option<String>,
    /// Size of the window in pixels, such as 1280x720 [default: that of the guest's picture]
    #[arg(long, value_name = "WxH")]
    pub window: Option<DisplayMode>,
    /// How the picture fills the window [default: fit, which keeps its shape]
    #[arg(long, value_name = "HOW")]
    pub scale: Option<Scale>,
    /// How it is scaled: nearest (hard), linear (soft), sharp (enlarged along edges) or area (shrunk without flicker) [default:
    /// linear, to less than half as area; where nothing is scaled, all are exact]
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    pub filter: Option<Filter>,
    /// Turn the picture clockwise by so many degrees, whatever the guest says [default: auto, as the guest says]
    #[arg(long, value_name = "DEGREES")]
    pub rotate: Option<Turn>,
    /// Tell the guest the size of the window, so that it changes its mode to it (needs a guest that can)
    #[arg(long, hide_short_help = true)]
    pub follow_window: bool,
    /// How frames reach the screen [default: auto, the fastest way that does not tear]
    #[arg(long, value_name = "MODE", hide_short_help = true)]
    pub present: Option<PresentChoice>,
    /// When frames are drawn that wait for the screen in order (fifo): late, just before it refreshes, while each refresh gets a
    /// new picture, or at-once, as pictures come [default: late, the picture is younger]
    #[arg(long, value_name = "WHEN", value_enum, hide_short_help = true, hide_possible_values = true)]
    pub draw: Option<Draw>,
    /// Open the window without a frame
    #[arg(long, hide_short_help = true)]
    pub borderless: bool,
    /// The folder for screenshots by key [default: ~/Pictures if it is there]
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub screenshots: Option<PathBuf>,
    /// The GPU: auto, software, or a part of its name [default: auto, hardware before software]
    #[arg(long, value_name = "GPU", hide_short_help = true)]
    pub gpu: Option<GpuChoice>,
    /// Open no window; pictures go to the GPU and are drawn only for --screenshot
    #[arg(long)]
    pub headless: bool,
}

/// How to end, and what to leave behind.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Ending")]
pub struct EndArgs {
    /// Write the last picture to this PNG file, pixel for pixel; with --headless and no other end, the first picture
    #[arg(long, value_name = "FILE")]
    pub screenshot: Option<PathBuf>,
    /// Draw the guest's pointer into the screenshot
    #[arg(long, requires = "screenshot", hide_short_help = true)]
    pub screenshot_pointer: bool,
    /// End after so many pictures
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "N")]
    pub seconds: Option<Seconds>,
    /// Write figures (counts, milliseconds) to this JSON file at the end
    #[arg(long, value_name = "FILE")]
    pub stats: Option<PathBuf>,
}

/// How the picture is turned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Turn {
    /// As the guest says
    #[default]
    Auto,
    /// Not at all
    #[value(name = "0")]
    None,
    /// By 90 degrees, clockwise
    #[value(name = "90")]
    Quarter,
    /// By 180 degrees
    #[value(name = "180")]
    Half,
    /// By 270 degrees, clockwise
    #[value(name = "270")]
    ThreeQuarters,
}

/// What moves in the simulated guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DemoMotion {
    /// A bar and the digits: a third of the picture
    #[default]
    Bar,
    /// Everything
    Scroll,
    /// Nothing but the pointer
    Still,
}

/// The simulated guest's pointer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DemoPointer {
    /// One kind after the other
    #[default]
    Cycle,
    /// In colour with soft edges
    Color,
    /// Black, white and inverting
    Monochrome,
    /// Colours that replace or invert
    Masked,
    /// None
    None,
}

/// The simulated guest, and how to show it.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// The guest's display mode, such as 1920x1080@144 [default: 1280x720, 60 Hz]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<DisplayMode>,
    /// What moves [default: bar]
    #[arg(long, value_name = "WHAT")]
    pub motion: Option<DemoMotion>,
    /// Go through everything in turn: pointers, pixel formats, HDR, sizes, turns, restarts, versions of the protocol. A window
    /// does so unless the guest is described by --mode, --motion or --pointer
    #[arg(long)]
    pub tour: bool,
    /// The guest's pointer [default: cycle]
    #[arg(long, value_name = "KIND")]
    pub pointer: Option<DemoPointer>,
    /// How to show.
    #[command(flatten)]
    pub show: ShowArgs,
    /// How to end.
    #[command(flatten)]
    pub end: EndArgs,
}

/// What to look at.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// The shared memory's file, or a kvmfr device [default: /dev/shm/looking-glass]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The way by which the guest is to get keyboard and mouse, as for `run` [default: auto]
    #[arg(long, value_name = "WAY")]
    pub input: Option<InputChoice>,
    /// Keyboards and mice that are to be read, as for `run` [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub evdev: Vec<Rule>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which modes.
#[derive(Clone, Debug, Args)]
pub struct SizeArgs {
    /// Display modes of the guest, such as 1920x1080, 1440p or 4K
    #[arg(value_name = "MODE", required = true)]
    pub modes: Vec<DisplayMode>,
}

/// Which settings.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// Say for each setting where its value comes from, and of defaults why
    #[arg(long)]
    pub explain: bool,
    /// Flags that change settings.
    #[command(flatten)]
    pub run: RunArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(std::iter::once("frame-rx").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_contract_of_names_holds() {
        for line in [
            "",
            "run",
            "-f /dev/shm/lg -F",
            "run --file a --fullscreen --output HDMI-1 --scale 1:1 --filter nearest --present immediate",
            "--headless --screenshot a.png --frames 3 --seconds 5 --stats s.json --config c.toml",
            "--scale fit --filter linear --present auto --gpu software -vv",
            "--scale integer --present mailbox --seconds 500ms",
            "--scale stretch --present fifo --window 800x600 -q",
            "--rotate 90 --follow-window",
            "--rotate auto",
            "--input spice:127.0.0.1:5930 --release-chord scrolllock --spice-password-file p --input-stats",
            "--input qmp:/run/vm/qmp.sock --release-chord rightctrl@500ms",
            "--input usbhid:unix:/run/vm/usb.sock",
            "--input spice-usb:127.0.0.1:5930",
            "--input none",
            "--input spice:/run/s --mouse absolute",
            "-v demo",
            "demo --tour --seconds 60",
            "demo --headless --frames 120 --screenshot out.png --stats out.json",
            "demo --mode 4K@60 --motion scroll --pointer none -F",
            "doctor --json -f x",
            "doctor --input qmp:/run/vm/qmp.sock",
            "devices",
            "devices --json --evdev class=mouse",
            "devices --live",
            "devices --udev-rules --evdev id=046d:c08b",
            "--evdev auto --evdev /dev/input/by-id/x --keep-on-host usual,capslock --take-at-start",
            "input --evdev name=Logitech --input spice:/run/s --seconds 5 --stats s.json",
            "opener",
            "opener --list l --listen /run/s --group 1000",
            "input-proxy --evdev auto --take-at-start",
            "size 1920x1080 1440p",
            "config --explain --scale fit",
            "completions bash",
            "man",
            "keys --config c.toml",
            "--rotate 90 --borderless --filter sharp --screenshots d",
            "--filter area",
            "--record d --record-limit 500M",
            "--headless --hashes h.txt",
            "--no-remember",
            "selftest --replay d --gpu software",
        ] {
            parse(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "--scale wide",
            "--rotate 45",
            "--frames 0",
            "--seconds -1",
            "--screenshot-pointer",
            "-f a doctor",
            "--input spice:192.168.0.1:5900",
            "--input telnet:x",
            "--evdev event3",
            "--keep-on-host hyper",
            "devices --json --live",
            "--release-chord hyper",
            "--hashes h.txt",
            "--record-limit 1G",
            "size",
            "size 0x5",
            "demo -f a",
            "completions",
            "nonsense",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn help_fits_one_screen_and_names_units() {
        let help = Cli::command().render_help().to_string();
        assert!(help.lines().count() <= 60, "{} lines:\n{help}", help.lines().count());
        for word in ["[default: fit", "seconds", "pixels", "milliseconds"] {
            assert!(help.contains(word), "{word} in\n{help}");
        }
    }
}
