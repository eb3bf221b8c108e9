//! The command line, as `--help` shows it. Values become settings in `settings.rs`; nothing is decided here. Short flags
//! are those of the reference receiver where it has them; where a meaning differs, the flag's own text says so.

use crate::origin::NetworkArgs;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use rx_host::log::Verbosity;
use rx_host::settings::units::{Auto, Milliseconds, Seconds};
use std::net::SocketAddrV4;
use std::path::PathBuf;

/// Plays the sound that a guest's unmodified Scream driver writes into shared memory or sends, at a constant delay.
///
/// Without a command it runs: it waits for the VM, plays its sound, and comes back by itself when the guest or the sound
/// server is started again. Try `scream-rx demo` first: it needs no VM.
#[derive(Debug, Parser)]
#[command(name = "scream-rx", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
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

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play the guest (what is done without a command)
    Run(RunArgs),
    /// Play a simulated guest: no VM, no configuration; without a sound server, write a WAV file
    Demo(DemoArgs),
    /// Look for what is wrong, and say how to mend it
    Doctor(DoctorArgs),
    /// Say how a running instance does: its delay and what it is made of, the clocks, gaps
    Status(StatusArgs),
    /// Write, show or remove a systemd user unit, one for each guest if need be
    Service(ServiceArgs),
    /// List what can be played on
    Devices,
    /// Print the settings as a file, or where each comes from
    Config(ConfigArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page: scream-rx man | man -l -
    Man,
}

/// Where the sound goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// PulseAudio or PipeWire if one answers, else ALSA
    #[default]
    Auto,
    /// PulseAudio, or PipeWire's stand-in for it
    #[cfg(feature = "pulse")]
    Pulse,
    /// An ALSA device
    #[cfg(feature = "alsa")]
    Alsa,
    /// A JACK server; needs a build with --features jack
    Jack,
    /// PipeWire, natively: less delay than through its PulseAudio server; needs a build with --features pipewire
    #[value(name = "pipewire")]
    PipeWire,
    /// A WAV file, from the first sound on; it is written 0.18 s after the guest played it, so that nothing late is missing; it
    /// ends at 4 GiB: 6 h 12 min, or half of that for guests of 24 and 32 bits. Down a pipe (-d /dev/stdout) it is as raw, behind
    /// a header without a length
    Wav,
    /// Samples without a header, always stereo at 48 kHz, float unless --bits 16, whatever the guest plays; to a file (as WAV) or
    /// to stdout or a pipe, at the usual delay: it ends where the reader takes them, and counts what that leaves in the pipe
    Raw,
    /// Nowhere, at the pace of the clock
    Null,
}

/// How much safety is bought with delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProfileArg {
    /// The least delay; a gap now and then on a busy host
    Low,
    /// For most machines
    #[default]
    Balanced,
    /// For hosts that stall
    Safe,
}

/// How to run.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// The shared memory's file [default: /dev/shm/scream-ivshmem, the name in most guides. The reference receiver plays
    /// datagrams if none is named: here that is --udp, or --auto, which is the default if the program is called `scream`]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The same, as the reference receiver has it
    #[arg(short, long, value_name = "FILE", conflicts_with = "file", hide_short_help = true)]
    pub memory: Option<PathBuf>,
    /// Sound from the network.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Called by the reference receiver's name.
    #[arg(skip)]
    pub as_reference: bool,
    /// Where and how to play.
    #[command(flatten)]
    pub play: PlayArgs,
    /// How to end.
    #[command(flatten)]
    pub end: EndArgs,
    /// Read settings from this file [default: ~/.config/scream-rx/config.toml, if it is there]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub config: Option<PathBuf>,
    /// The name by which `status` finds this instance [default: main, with a number if another one has that name]
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub instance: Option<String>,
}

/// Where and how to play.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Playing")]
pub struct PlayArgs {
    /// Where the sound goes [default: auto, a sound server before ALSA, which only one program can use at a time]
    #[arg(short, long, value_name = "WHERE")]
    pub output: Option<Output>,
    /// The device (see `scream-rx devices`), or the file for wav and raw [default: the server's or ALSA's own default;
    /// scream.wav; stdout for raw]
    #[arg(short, long, value_name = "DEVICE|FILE")]
    pub device: Option<String>,
    /// The sound server's sink, as the reference receiver has it: the same as -d. Of both, a sound server takes this, ALSA -d
    #[arg(short, long, value_name = "SINK", hide_short_help = true)]
    pub sink: Option<String>,
    /// The stream's name in mixers [default: Scream, with the instance's name if it has one; to be found among others]
    #[arg(short, long, value_name = "NAME")]
    pub name: Option<String>,
    /// Delay to hold, in ms, from the guest playing a sound to its being heard; raised if that little cannot work. (The
    /// reference receiver means the sound server's buffer alone, which is less than half of it) [default: auto, as short as the profile, the guest's lateness and the device allow]
    #[arg(short, long, value_name = "MS|auto")]
    pub target: Option<Auto<Milliseconds>>,
    /// The longest delay that `auto` may choose, in ms; less than 20 counts as 20. (The reference receiver throws sound
    /// away beyond it; nothing is thrown away here) [default: 200, beyond which lips and sound part]
    #[arg(short, long, value_name = "MS")]
    pub limit: Option<Milliseconds>,
    /// How much safety is bought with delay [default: balanced, which lets a host be 3 ms late, and more once it was]
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<ProfileArg>,
    /// Bits of a recorded sample: 16, or 32 for float [default: auto, what the guest has; raw: 32]
    #[arg(long, value_name = "16|32|auto", hide_short_help = true)]
    pub bits: Option<BitsArg>,
    /// How far the guest's clock may be off: normal (1500 ppm) or wide (5000 ppm) [default: normal, more than clocks of
    /// real machines differ]
    #[arg(long, value_name = "RANGE", hide_short_help = true)]
    pub drift: Option<DriftArg>,
    /// Pass samples on as they are where rates agree; drift is put right in silence, or by a step when it is 5 ms
    #[arg(long, hide_short_help = true)]
    pub bit_perfect: bool,
}

/// How far the guest's clock may be off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DriftArg {
    /// Up to 1500 ppm
    #[default]
    Normal,
    /// Up to 5000 ppm
    Wide,
}

/// Bits of a recorded sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BitsArg {
    /// What the guest has; 32 for raw
    #[default]
    Auto,
    /// 16-bit integers
    #[value(name = "16")]
    Int16,
    /// 32-bit float
    #[value(name = "32")]
    Float32,
}

/// How to end, and what to leave behind.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Ending")]
pub struct EndArgs {
    /// End after so many seconds; a recording counts from the first sound
    #[arg(long, value_name = "N")]
    pub seconds: Option<Seconds>,
    /// Write figures (delay in ms, gaps, drift in ppm) to this JSON file at the end
    #[arg(long, value_name = "FILE")]
    pub stats: Option<PathBuf>,
    /// Write when sound came and what was made of it to this file, for a complaint; no sound is in it
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub dump_timing: Option<PathBuf>,
}

/// How to show off.
#[derive(Clone, Debug, Default, Args)]
pub struct DemoArgs {
    /// Where and how to play.
    #[command(flatten)]
    pub play: PlayArgs,
    /// How to end.
    #[command(flatten)]
    pub end: EndArgs,
    /// How much faster the simulated guest's clock runs, in parts per million [default: 80, as two real clocks differ]
    #[arg(long, value_name = "PPM", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    pub ppm: Option<i32>,
}

/// What to look at.
#[derive(Clone, Debug, Default, Args)]
pub struct DoctorArgs {
    /// The shared memory's file [default: the one of the settings]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Listen for Scream over the network too, for two seconds [default: if the settings say so, where they say; without an
    /// address 239.255.77.77:4010, where Scream sends to]
    #[arg(long, value_name = "GROUP:PORT", num_args = 0..=1, default_missing_value = "239.255.77.77:4010")]
    pub udp: Option<SocketAddrV4>,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
    /// Read settings from this file [default: ~/.config/scream-rx/config.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Which instance to ask, and how to show what it says.
#[derive(Clone, Debug, Default, Args)]
pub struct StatusArgs {
    /// The instance: the NAME of scream-rx@NAME, or of --instance [default: all that run]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// As JSON, with the names of --stats
    #[arg(long, conflicts_with_all = ["prometheus", "watch"])]
    pub json: bool,
    /// As text for Prometheus (its node exporter's textfile collector)
    #[arg(long, conflicts_with = "watch")]
    pub prometheus: bool,
    /// Again and again, with plots on a terminal, a line a second elsewhere
    #[arg(short, long)]
    pub watch: bool,
}

/// What to do with the units.
#[derive(Clone, Debug, Args)]
pub struct ServiceArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: ServiceAction,
}

/// What to do with a unit.
#[derive(Clone, Debug, Subcommand)]
pub enum ServiceAction {
    /// Write the unit (and with NAME that guest's settings file) to ~/.config
    Install {
        /// Which unit.
        #[command(flatten)]
        unit: UnitArgs,
        /// Replace a unit that was edited
        #[arg(long)]
        force: bool,
        /// Enable and start it
        #[arg(long)]
        now: bool,
    },
    /// Remove what install wrote; what was edited since stays
    Uninstall {
        /// The guest
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// Remove what was edited, too
        #[arg(long)]
        force: bool,
        /// Stop and disable it first
        #[arg(long)]
        now: bool,
    },
    /// Print the unit
    Print(UnitArgs),
}

/// Which unit, and what is to stand in it.
#[derive(Clone, Debug, Default, Args)]
pub struct UnitArgs {
    /// The guest: a unit scream-rx@NAME with settings in ~/.config/scream-rx/NAME.toml [default: the one unit scream-rx,
    /// with config.toml]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Let it use the network: for Scream over UDP, or a sound server on another machine
    #[arg(long)]
    pub network: bool,
    /// The program that the unit starts [default: this one]
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
}

/// How to print the settings.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigArgs {
    /// Say of each setting where it comes from, and why the default is what it is
    #[arg(long)]
    pub explain: bool,
    /// The settings to print: those that these flags and the file give.
    #[command(flatten)]
    pub run: RunArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_reference_receivers_spelling_is_understood() {
        let line = "scream-rx -m /dev/shm/scream -o pulse -n Guest -s speakers -t 50 -l 100 -v";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(cli.run.memory, Some("/dev/shm/scream".into()));
        let play = cli.run.play;
        assert_eq!((play.name.as_deref(), play.sink.as_deref()), (Some("Guest"), Some("speakers")));
        assert_eq!(play.target, Some(Auto::Fixed(Milliseconds::new(50))));
        assert_eq!(play.limit, Some(Milliseconds::new(100)));
        assert_eq!(cli.verbosity.verbose, 1);
        let bare = Cli::try_parse_from(["scream-rx", "/dev/shm/x"]).unwrap();
        assert_eq!(bare.run.file, Some("/dev/shm/x".into()));
        let run = Cli::try_parse_from(["scream-rx", "run", "/dev/shm/x", "-o", "null"]).unwrap();
        assert!(matches!(run.command, Some(Command::Run(r)) if r.file == Some("/dev/shm/x".into())));
    }

    #[test]
    fn the_short_help_fits_one_screen() {
        let help = Cli::command().render_help().to_string();
        assert!(help.lines().count() <= 62, "{} lines:\n{help}", help.lines().count());
    }

    #[test]
    fn every_flag_says_its_default_and_the_reason() {
        let mut command = Cli::command();
        command.build();
        let run = command.find_subcommand("run").unwrap();
        for arg in run.get_arguments() {
            let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
            let name = arg.get_id().as_str();
            let takes_value = arg.get_action().takes_values() && name != "memory" && name != "sink";
            let ends = ["seconds", "stats", "dump_timing", "help", "version"].contains(&name);
            assert!(!takes_value || ends || help.contains("default:"), "{name}: {help}");
        }
    }
}
