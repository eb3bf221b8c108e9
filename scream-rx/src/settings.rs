//! From flags and the settings file to settings that cannot be wrong. After this nobody parses again.

use crate::cli::{BitsArg, DriftArg, EndArgs, Output, PlayArgs, ProfileArg, RunArgs};
use crate::origin::{self, Origin, OriginLow, UdpAddress};
use crate::sink::raw;
use crate::target::{Profile, Wishes};
use clap::ValueEnum;
use core::time::Duration;
use rx_host::atomic_file;
use rx_host::exit::Failure;
use rx_host::settings::units::{Auto, Milliseconds, Seconds};
use rx_host::settings::{self, About, ConfigFile, Layers, SettingsError, Value};
use serde::{Deserialize, Deserializer};
use std::path::{Path, PathBuf};

/// The name that most guides give the file.
pub const DEFAULT_FILE: &str = "/dev/shm/scream-ivshmem";
/// Where a recording goes if nothing else is said.
pub const DEFAULT_WAV: &str = "scream.wav";

/// Where and how it plays.
#[derive(Clone, Debug, PartialEq)]
pub struct Play {
    /// Where the sound goes.
    pub output: Output,
    /// The device, or the file.
    pub device: Option<String>,
    /// The stream's name.
    pub name: String,
    /// The whole delay, if it is fixed.
    pub target: Option<Duration>,
    /// The longest delay.
    pub limit: Duration,
    /// How much safety is bought with delay.
    pub profile: Profile,
    /// Bits of a recorded sample: 16 or 32.
    pub bits: Option<u8>,
    /// A guest whose clock is up to 5000 ppm off is followed.
    pub wide: bool,
    /// Samples reach the sink as they are.
    pub bit_perfect: bool,
    /// It goes into a file, which nobody listens to meanwhile.
    pub is_kept: bool,
    /// It runs against the host's clock, so that somebody may be late.
    pub in_real_time: bool,
}

/// How it ends and what it leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// After this time.
    pub after: Option<Duration>,
    /// Where the figures go.
    pub stats: Option<PathBuf>,
    /// Where the record of times goes.
    pub dump_timing: Option<PathBuf>,
}

/// All settings of `run`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The shared memory's file.
    pub file: PathBuf,
    /// Where the sound comes from.
    pub origin: Origin,
    /// Where and how it plays.
    pub play: Play,
    /// How it ends.
    pub end: End,
}

/// What the settings file may say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Low {
    #[serde(alias = "memory")]
    file: Option<PathBuf>,
    udp: Option<UdpAddress>,
    auto: Option<bool>,
    unicast: Option<bool>,
    port: Option<u16>,
    interface: Option<String>,
    group: Option<String>,
    #[serde(deserialize_with = "word")]
    output: Option<Output>,
    #[serde(alias = "sink")]
    device: Option<String>,
    name: Option<String>,
    target: Option<Auto<Milliseconds>>,
    limit: Option<Milliseconds>,
    #[serde(deserialize_with = "word")]
    profile: Option<ProfileArg>,
    #[serde(deserialize_with = "word")]
    bits: Option<BitsArg>,
    seconds: Option<Seconds>,
    stats: Option<PathBuf>,
    dump_timing: Option<PathBuf>,
    #[serde(deserialize_with = "word")]
    drift: Option<DriftArg>,
    bit_perfect: Option<bool>,
}

const OUTPUT: About = About { name: "output", why: "a sound server before ALSA, which one program has for itself" };
const DEVICE: About = About { name: "device", why: "the server's or ALSA's own default" };
const NAME: About = About { name: "name", why: "to be found among others in a mixer" };
const TARGET: About = About { name: "target", why: "as short as profile, guest and device allow" };
const LIMIT: About = About { name: "limit", why: "beyond it lips and sound part" };
const PROFILE: About = About { name: "profile", why: "lets a host be 3 ms late, and more once it was" };
const DRIFT: About = About { name: "drift", why: "more than clocks of real machines differ" };
const BIT_PERFECT: About = About { name: "bit-perfect", why: "a constant delay needs resampling" };
const BITS: About = About { name: "bits", why: "what the guest has" };
const SECONDS: About = About { name: "seconds", why: "it runs until it is stopped" };
const STATS: About = About { name: "stats", why: "figures are for those who ask" };
const DUMP_TIMING: About = About { name: "dump-timing", why: "a record is for those who complain" };

/// One of the words of `E`.
fn word<'de, D: Deserializer<'de>, E: ValueEnum>(d: D) -> Result<Option<E>, D::Error> {
    let text = String::deserialize(d)?;
    E::from_str(&text, false).map(Some).map_err(|_| {
        let words = E::value_variants().iter().filter_map(E::to_possible_value).map(|v| v.get_name().to_owned());
        serde::de::Error::custom(format!("`{text}` is none of {}", words.collect::<Vec<_>>().join(", ")))
    })
}

/// A choice among words, as reports show it.
struct Word<E>(E);

impl<E: ValueEnum> Value for Word<E> {
    fn show(&self) -> String {
        self.0.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    }
}

fn pick_word<E: ValueEnum>(l: &mut Layers, about: &About, typed: Option<E>, file: Option<E>, default: E) -> E {
    l.pick(about, typed.map(Word), file.map(Word), Word(default)).0
}

impl Settings {
    /// The settings that `args` and the file give, and where each came from.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn from_args(args: &RunArgs) -> Result<(Settings, Layers), SettingsError> {
        let file = settings::load::<Low>("scream-rx", args.config.as_deref())?;
        Settings::from_layers(args, &file)
    }

    /// The settings that `args` give alone, whatever a file says.
    ///
    /// # Errors
    /// [`SettingsError::NotAllowed`].
    pub fn without_file(args: &RunArgs) -> Result<Settings, SettingsError> {
        Settings::from_layers(args, &ConfigFile::default()).map(|(settings, _)| settings)
    }

    fn from_layers(args: &RunArgs, file: &ConfigFile<Low>) -> Result<(Settings, Layers), SettingsError> {
        let mut layers = Layers::new(file);
        let typed = args.file.clone().or_else(|| args.memory.clone());
        let low = &file.values;
        let origin_low = OriginLow {
            file: low.file.clone(),
            udp: low.udp,
            auto: low.auto,
            unicast: low.unicast,
            port: low.port,
            interface: low.interface.clone(),
            group: low.group.clone(),
        };
        let origin = origin::origin(&mut layers, typed, &args.network, &origin_low, args.as_reference)?;
        // Of several guests each has a name of its own in the mixer, too.
        let usual_name = args.instance.as_ref().map_or("Scream".to_owned(), |instance| format!("Scream: {instance}"));
        let play = play(&mut layers, &args.play, low, usual_name)?;
        let end = End {
            after: layers.pick_optional(&SECONDS, args.end.seconds, low.seconds).map(|s| s.0),
            stats: layers.pick_optional(&STATS, args.end.stats.clone(), low.stats.clone()),
            dump_timing: layers.pick_optional(&DUMP_TIMING, args.end.dump_timing.clone(), low.dump_timing.clone()),
        };
        Ok((Settings { file: origin.file.clone(), origin, play, end }, layers))
    }
}

/// Where and how it plays, by flags alone: a demo reads no file.
///
/// # Errors
/// [`SettingsError::NotAllowed`].
pub fn play_from_flags(args: &PlayArgs) -> Result<Play, SettingsError> {
    play(&mut Layers::new(&ConfigFile::<Low>::default()), args, &Low::default(), "Scream".to_owned())
}

/// Whether what is played there is kept for later: in a file, and not heard or read at once.
///
/// Blocks for a look at the file system.
pub fn is_kept(output: Output, device: Option<&str>) -> bool {
    match output {
        Output::Wav => raw::is_kept(Some(Path::new(device.unwrap_or(DEFAULT_WAV)))),
        Output::Raw => raw::is_kept(device.map(Path::new)),
        _ => false,
    }
}

fn play(l: &mut Layers, args: &PlayArgs, low: &Low, usual_name: String) -> Result<Play, SettingsError> {
    let output = pick_word(l, &OUTPUT, args.output, low.output, Output::default());
    let (first, second) = match output {
        Output::Auto => (&args.sink, &args.device),
        #[cfg(feature = "pulse")]
        Output::Pulse => (&args.sink, &args.device),
        _ => (&args.device, &args.sink),
    };
    let typed = first.clone().or_else(|| second.clone());
    let device = l.pick_optional(&DEVICE, typed, low.device.clone());
    if let Some(device) = &device {
        l.check(&DEVICE, device, is_name(device), || "a name without control characters")?;
    }
    let name = l.pick(&NAME, args.name.clone(), low.name.clone(), usual_name);
    l.check(&NAME, &name, is_name(&name), || "a name without control characters")?;
    let target = l.pick(&TARGET, args.target, low.target, Auto::Auto);
    let limit = l.pick(&LIMIT, args.limit, low.limit, Milliseconds::new(200));
    l.check_range(&LIMIT, &limit, Milliseconds::new(1)..=Milliseconds::new(2000))?;
    let limit = limit.max(Milliseconds::new(20));
    let target = match target {
        Auto::Auto => None,
        Auto::Fixed(ms) => {
            let allowed = Milliseconds::new(1)..=Milliseconds::new(2000);
            l.check(&TARGET, &ms, allowed.contains(&ms), || "auto, or 1 ms to 2000 ms")?;
            Some(ms.0)
        }
    };
    let profile = match pick_word(l, &PROFILE, args.profile, low.profile, ProfileArg::default()) {
        ProfileArg::Low => Profile::Low,
        ProfileArg::Balanced => Profile::Balanced,
        ProfileArg::Safe => Profile::Safe,
    };
    let bits = match pick_word(l, &BITS, args.bits, low.bits, BitsArg::default()) {
        BitsArg::Auto => None,
        BitsArg::Int16 => Some(16),
        BitsArg::Float32 => Some(32),
    };
    let drift = pick_word(l, &DRIFT, args.drift, low.drift, DriftArg::default());
    let bit_perfect = l.pick(&BIT_PERFECT, args.bit_perfect.then_some(true), low.bit_perfect, false);
    // Whoever names a delay has set the limit too.
    let limit = limit.0.max(target.unwrap_or_default());
    let wide = drift == DriftArg::Wide;
    let is_kept = is_kept(output, device.as_deref());
    Ok(Play { output, device, name, target, limit, profile, bits, wide, bit_perfect, is_kept, in_real_time: true })
}

/// Whether a text can be given to a sound server or the system as a name.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// How it ends, by flags alone.
pub fn end(args: &EndArgs) -> End {
    End { after: args.seconds.map(|s| s.0), stats: args.stats.clone(), dump_timing: args.dump_timing.clone() }
}

impl End {
    /// Looks at the start whether the files of the end can be written.
    ///
    /// # Errors
    /// [`Failure`] with what to do.
    pub fn check_files(&self) -> Result<(), Failure> {
        let check = |path: &Path| {
            atomic_file::check(path).map_err(|e| {
                let hint = e.hint();
                Failure::environment(e, hint)
            })
        };
        self.stats.iter().chain(&self.dump_timing).try_for_each(|path| check(path))
    }
}

/// What a device holds, and in which pieces it asks for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// All of it.
    pub whole: Duration,
    /// A piece.
    pub piece: Duration,
}

/// The reserve for lateness where nobody listens: to a file it does not matter when a sound comes. Unit: seconds.
const FILE_RESERVE_S: f64 = 0.150;
/// What of a fixed delay is needed elsewhere: a chunk, the resampler, and a little lateness.
const BEFORE_DEVICE: Duration = Duration::from_millis(26);

impl Play {
    /// What a device shall hold. Below 5 ms a sound server spends more than a listener gains. With real-time rights 10 ms ran
    /// clean at a load of five a processor; without them no length did, and the sink grows it.
    pub fn buffer(&self) -> Buffer {
        let usual = match self.profile {
            Profile::Low => Duration::from_millis(10),
            Profile::Balanced => Duration::from_millis(15),
            Profile::Safe => Duration::from_millis(40),
        };
        let room = self.target.map_or(usual, |t| t.saturating_sub(BEFORE_DEVICE));
        let whole = room.clamp(Duration::from_millis(5), usual);
        Buffer { whole, piece: whole / 4 }
    }

    /// What the engine shall aim at.
    pub fn wishes(&self) -> Wishes {
        let to_file = self.is_kept && self.in_real_time;
        let least_reserve_s = if to_file { FILE_RESERVE_S } else { 0.0 };
        Wishes {
            profile: self.profile,
            fixed_s: self.target.map(|t| t.as_secs_f64()),
            longest_s: self.limit.as_secs_f64() + if to_file { 2.0 * FILE_RESERVE_S } else { 0.0 },
            least_reserve_s,
            wide: self.wide,
            bit_perfect: self.bit_perfect,
        }
    }
}

/// What to tell about settings that are wrong.
pub fn explain(error: SettingsError) -> Failure {
    let (hint, usage) = (error.hint(), error.is_usage());
    if usage { Failure::usage(error, hint) } else { Failure::environment(error, hint) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    fn settle(line: &str, toml: &str) -> Result<Settings, SettingsError> {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let file = settings::parse::<Low>("/c.toml".as_ref(), toml)?;
        Settings::from_layers(&cli.run, &file).map(|(s, _)| s)
    }

    #[test]
    fn flags_are_above_the_file_and_the_file_above_the_defaults() {
        let s = settle("scream-rx", "").unwrap();
        assert_eq!((s.file, s.play.output), (DEFAULT_FILE.into(), Output::Auto));
        assert_eq!((s.play.target, s.play.limit), (None, Duration::from_millis(200)));
        let toml = "file = \"/dev/shm/a\"\noutput = \"null\"\ntarget = 60\nprofile = \"safe\"\nbits = \"16\"\n";
        let s = settle("scream-rx", toml).unwrap();
        assert_eq!((s.file.as_path(), s.play.output), (Path::new("/dev/shm/a"), Output::Null));
        assert_eq!(
            (s.play.target, s.play.profile, s.play.bits),
            (Some(Duration::from_millis(60)), Profile::Safe, Some(16))
        );
        let s = settle("scream-rx -m /b -o wav -t auto --profile low", toml).unwrap();
        assert_eq!((s.file, s.play.output, s.play.target), ("/b".into(), Output::Wav, None));
    }

    #[test]
    fn lines_of_the_reference_receiver_work_unchanged() {
        use crate::origin::Ways::{self, Auto, Memory, Network};
        // Line, called by its name or ours, ways, where datagrams are sent to, interface, output, device.
        type Row = (&'static str, Ways, &'static str, Option<&'static str>, Output, Option<&'static str>);
        let group = "239.255.77.77:4010";
        let cases: [Row; 18] = [
            ("scream", Auto, group, None, Output::Auto, None),
            ("scream -v", Auto, group, None, Output::Auto, None),
            ("scream-rx", Memory, group, None, Output::Auto, None),
            ("scream -i virbr0", Network, group, Some("virbr0"), Output::Auto, None),
            ("scream-rx -i virbr0 -o alsa", Network, group, Some("virbr0"), Output::Alsa, None),
            ("scream -i 192.168.122.1", Network, group, Some("192.168.122.1"), Output::Auto, None),
            (
                "scream -o pulse -i br0 -n Guest -s speakers",
                Network,
                group,
                Some("br0"),
                Output::Pulse,
                Some("speakers"),
            ),
            ("scream -u", Network, "0.0.0.0:4010", None, Output::Auto, None),
            ("scream -u -p 4011 -o alsa -d hw:0,0", Network, "0.0.0.0:4011", None, Output::Alsa, Some("hw:0,0")),
            ("scream -g 239.255.77.78 -p 4011", Network, "239.255.77.78:4011", None, Output::Auto, None),
            ("scream -o raw -i eth0", Network, group, Some("eth0"), Output::Raw, None),
            ("scream -m /dev/shm/scream-ivshmem", Memory, group, None, Output::Auto, None),
            ("scream -m /dev/shm/x -o pulse -t 50 -l 100 -v", Memory, group, None, Output::Pulse, None),
            ("scream -o alsa -d default -t 5 -l 10 /dev/shm/x", Memory, group, None, Output::Alsa, Some("default")),
            ("scream -o pulse -d hw:0 -s speakers /x", Memory, group, None, Output::Pulse, Some("speakers")),
            ("scream -o alsa -d hw:0 -s speakers /x", Memory, group, None, Output::Alsa, Some("hw:0")),
            ("scream -m /dev/shm/x -i eth0", Memory, group, Some("eth0"), Output::Auto, None),
            ("scream-rx run --auto -i eth0", Auto, group, Some("eth0"), Output::Auto, None),
        ];
        for (line, ways, address, interface, output, device) in cases {
            let cli = Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|e| panic!("{line}: {e}"));
            let mut args = match cli.command {
                Some(crate::cli::Command::Run(args)) => args,
                _ => cli.run,
            };
            args.as_reference = line.starts_with("scream ") || line == "scream";
            let (s, _) = Settings::from_layers(&args, &ConfigFile::default()).unwrap_or_else(|e| panic!("{line}: {e}"));
            assert_eq!(s.origin.ways, ways, "{line}");
            assert_eq!(s.origin.address().to_string(), address, "{line}");
            assert_eq!(s.origin.listen.interface.as_deref(), interface, "{line}");
            assert_eq!((s.play.output, s.play.device.as_deref()), (output, device), "{line}");
            assert!(s.play.limit >= Duration::from_millis(20), "{line}");
        }
    }

    #[test]
    fn every_long_flag_is_a_key_of_the_file_and_the_other_way_round() {
        use clap::CommandFactory;
        let mut command = Cli::command();
        command.build();
        let run = command.find_subcommand("run").unwrap();
        let mut flags: Vec<_> = run.get_arguments().filter_map(|a| a.get_long()).collect();
        flags.push("file");
        // What is about the file itself, or about this one call.
        flags.retain(|f| !["config", "instance", "help", "version", "verbose", "quiet", "color", "log"].contains(f));
        let SettingsError::UnknownKey { known, .. } = settle("scream-rx", "no-such-key = 1").unwrap_err() else {
            panic!()
        };
        let missing: Vec<_> = flags.iter().filter(|f| !known.contains(f)).collect();
        let more: Vec<_> = known.iter().filter(|k| !flags.contains(k)).collect();
        assert!(missing.is_empty() && more.is_empty(), "no keys: {missing:?}; no flags: {more:?}");
    }

    #[test]
    fn the_file_names_a_source_as_the_flags_do_and_a_typed_one_is_above_it() {
        use crate::origin::Ways;
        let group = "239.255.77.77:4010";
        for (toml, line, ways, address) in [
            ("udp = true", "scream-rx", Ways::Network, group),
            ("udp = \"239.1.2.3:5000\"", "scream-rx", Ways::Network, "239.1.2.3:5000"),
            ("udp = \"239.1.2.3:5000\"", "scream-rx /dev/shm/x", Ways::Memory, "239.255.77.77:4010"),
            ("udp = \"239.1.2.3:5000\"", "scream-rx --udp", Ways::Network, group),
            ("auto = true\nport = 4011", "scream-rx", Ways::Auto, "239.255.77.77:4011"),
            ("auto = true", "scream-rx -m /dev/shm/x", Ways::Memory, group),
            ("memory = \"/dev/shm/x\"\nport = 4011", "scream-rx", Ways::Memory, "239.255.77.77:4011"),
            ("memory = \"/dev/shm/x\"", "scream-rx --auto", Ways::Auto, group),
            ("unicast = true\nport = 4012", "scream-rx", Ways::Network, "0.0.0.0:4012"),
            ("group = \"239.9.9.9\"", "scream-rx -p 4013", Ways::Network, "239.9.9.9:4013"),
            ("", "scream-rx --udp 192.168.122.1:4014", Ways::Network, "192.168.122.1:4014"),
        ] {
            let s = settle(line, toml).unwrap_or_else(|e| panic!("{toml} {line}: {e}"));
            assert_eq!((s.origin.ways, s.origin.address().to_string().as_str()), (ways, address), "{toml} / {line}");
        }
        for (toml, words) in [
            ("udp = false", "c.toml:1:7"),
            ("udp = \"nowhere\"", "no address"),
            ("group = \"192.168.1.1\"", "group is 192.168.1.1, allowed is 224.0.0.0"),
            ("port = 0", "port is 0"),
            ("prot = 4010", "there is no setting `prot`"),
        ] {
            let e = settle("scream-rx", toml).unwrap_err();
            assert!(e.to_string().contains(words), "{toml}: {e}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_place_it_stands_at() {
        for (toml, place) in [
            ("output = \"trumpet\"", "c.toml:1"),
            ("target = 5000", "c.toml:1"),
            ("\nlimit = 0", "c.toml:2"),
            ("device = \"a\\u0000b\"", "c.toml:1"),
            ("name = \"\"", "c.toml:1"),
            ("gain = 2", "c.toml:1"),
        ] {
            let e = settle("scream-rx", toml).unwrap_err();
            assert!(e.to_string().contains(place), "{toml}: {e}");
            assert!(e.is_usage());
        }
        assert!(settle("scream-rx -t 0", "").is_err());
    }

    #[test]
    fn each_guest_of_several_has_a_name_of_its_own_in_the_mixer() {
        let name = |line: &str, toml: &str| settle(line, toml).unwrap().play.name;
        assert_eq!(name("scream-rx", ""), "Scream");
        assert_eq!(name("scream-rx --instance win10", ""), "Scream: win10");
        assert_eq!(name("scream-rx --instance win10", "name = \"Windows\""), "Windows");
        assert_eq!(name("scream-rx --instance win10 -n game", "name = \"Windows\""), "game");
    }

    #[test]
    fn the_device_holds_less_when_little_delay_is_wanted() {
        let whole_ms = |line: &str| settle(line, "").unwrap().play.buffer().whole.as_millis();
        assert_eq!(whole_ms("scream-rx"), 15);
        assert_eq!(whole_ms("scream-rx --profile low"), 10);
        assert_eq!(whole_ms("scream-rx -t 36"), 10);
        assert_eq!(whole_ms("scream-rx -t 1"), 5);
        assert_eq!(whole_ms("scream-rx -t 500 --profile safe"), 40);
        assert_eq!(settle("scream-rx -t 500", "").unwrap().play.limit, Duration::from_millis(500));
    }
}
