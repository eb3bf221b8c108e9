//! From settings to an open sink, and what there is to choose from. Says at once what cannot work.

use crate::channels::Layout;
use crate::cli::Output;
use crate::settings::{DEFAULT_WAV, Play};
use crate::sink::paced::Pacer;
use crate::sink::{self, Sink, SinkError, SinkFormat, null, raw, wav};
use rx_host::exit::Failure;
use std::path::Path;

/// What files and the null sink play: they have no rate of their own.
pub const FILE_FORMAT: SinkFormat = SinkFormat { rate_hz: 48_000, layout: Layout::STEREO };

/// The output that `auto` means on this machine, now: a sound server, else ALSA. `patient`: if there is neither, a server
/// is waited for. `held`: what this program plays on now; an ALSA device that it holds is there, and would be busy if asked.
/// Whoever is patient or plays on a server waits for one that does not answer and of which there is a sign: a card that was
/// taken instead would be held against that server when it comes.
///
/// Blocks while the server and ALSA are asked, some seconds at most.
///
/// # Errors
/// [`Failure`] if there is neither.
pub fn settle(output: Output, patient: bool, held: Option<&Play>) -> Result<Output, Failure> {
    if output != Output::Auto {
        return Ok(output);
    }
    let mut reasons = Vec::new();
    #[cfg(feature = "pulse")]
    match crate::sink::pulse::devices(None) {
        Ok(_) => return Ok(Output::Pulse),
        Err(reason) => reasons.push(reason),
    }
    #[cfg(feature = "alsa")]
    if held.is_some_and(|held| held.output == Output::Alsa) {
        return Ok(Output::Alsa);
    }
    #[cfg(feature = "pulse")]
    if (patient || held.is_some_and(|held| held.output == Output::Pulse)) && crate::sink::pulse::is_expected() {
        return Ok(Output::Pulse);
    }
    #[cfg(not(all(feature = "alsa", feature = "pulse")))]
    let _ = (patient, held);
    #[cfg(feature = "alsa")]
    match crate::sink::device::check(crate::sink::device::Api::Alsa, crate::sink::device::DEFAULT) {
        Ok(_) => return Ok(Output::Alsa),
        Err(reason) => reasons.push(format!("ALSA: {reason}")),
    }
    #[cfg(feature = "pulse")]
    if patient {
        return Ok(Output::Pulse);
    }
    Err(Failure::environment(
        format!("nothing to play on: {}", reasons.join("; ")),
        "start the sound server (systemctl --user start pipewire-pulse, or pulseaudio --start), or record: -o wav",
    ))
}

/// Opens the output that the settings name. `pacer` is the clock of outputs that have none. `patient`: a sound server that
/// is not there yet is waited for, and no recording is replaced: it may be one that the same service made before it was
/// started again.
///
/// Blocks while the server is asked.
///
/// # Errors
/// [`Failure`] with what to do.
pub fn open(play: &Play, pacer: Box<dyn Pacer + Send>, patient: bool) -> Result<Box<dyn Sink + Send>, Failure> {
    let usual = (play.output == Output::Wav).then_some(DEFAULT_WAV);
    let named = play.device.as_deref().or(usual).map(Path::new);
    let unused = named.filter(|_| patient && play.is_kept).map(sink::unused);
    let path = unused.as_deref().or(named);
    if let (Some(named), true) = (named, path != named) {
        tracing::info!("{} stays as it is: there is a recording in it", named.display());
    }
    match play.output {
        Output::Auto => Err(Failure::environment("the output was not settled", "name one: -o pulse")),
        #[cfg(feature = "pulse")]
        Output::Pulse => open_pulse(play, patient),
        #[cfg(feature = "alsa")]
        Output::Alsa => open_device(play, crate::sink::device::Api::Alsa, patient),
        #[cfg(feature = "jack")]
        Output::Jack => open_device(play, crate::sink::device::Api::Jack, patient),
        #[cfg(not(feature = "jack"))]
        Output::Jack => Err(not_built_in("JACK", "jack", " (needs libjack-jackd2-dev)")),
        #[cfg(feature = "pipewire")]
        Output::PipeWire => open_device(play, crate::sink::device::Api::PipeWire, patient),
        #[cfg(not(feature = "pipewire"))]
        Output::PipeWire => Err(not_built_in(
            "PipeWire's own interface",
            "pipewire",
            " (needs libpipewire-0.3-dev and libclang-dev), or use its PulseAudio server: -o pulse",
        )),
        Output::Wav => {
            let path = path.unwrap_or(Path::new(DEFAULT_WAV));
            if play.is_kept {
                return Ok(Box::new(wav::WavSink::open(path, FILE_FORMAT, play.bits, pacer).map_err(explain)?));
            }
            // A header that cannot be made true later: of a file without end.
            let float = play.bits != Some(16);
            let header = wav::endless_header(FILE_FORMAT, float);
            let sink = raw::RawSink::open(Some(path), FILE_FORMAT, float, pacer).map_err(explain)?;
            Ok(Box::new(sink.with_header(header)))
        }
        Output::Raw => {
            let float = play.bits != Some(16);
            Ok(Box::new(raw::RawSink::open(path, FILE_FORMAT, float, pacer).map_err(explain)?))
        }
        Output::Null => Ok(Box::new(null::NullSink { format: FILE_FORMAT, pacer })),
    }
}

#[cfg(feature = "pulse")]
fn open_pulse(play: &Play, patient: bool) -> Result<Box<dyn Sink + Send>, Failure> {
    use crate::sink::pulse;
    if !patient {
        let devices = pulse::devices(None).map_err(|reason| {
            Failure::environment(
                format!("cannot play on PulseAudio: {reason}"),
                "start the sound server (systemctl --user start pipewire-pulse, or pulseaudio --start), or play \
                 without one: -o alsa",
            )
        })?;
        let wanted = play.device.as_ref().filter(|name| !name.starts_with('@'));
        if let Some((wanted, Err(nearest))) = wanted.map(|name| (name, pulse::choose(&devices, name))) {
            return Err(Failure::environment(
                format!("the sound server has no sink named {wanted}"),
                format!("choose one of these with -d: {nearest}"),
            ));
        }
    }
    Ok(Box::new(pulse::PulseSink {
        server: None,
        device: play.device.clone(),
        name: play.name.clone(),
        buffer: play.buffer().whole,
        rest_after: crate::sink::REST_AFTER,
    }))
}

#[cfg(feature = "cpal")]
fn open_device(play: &Play, api: crate::sink::device::Api, patient: bool) -> Result<Box<dyn Sink + Send>, Failure> {
    use crate::sink::device;
    let name = play.device.clone().unwrap_or_else(|| device::DEFAULT.into());
    if !patient {
        device::check(api, &name)
            .map_err(|reason| explain(SinkError::Device { device: format!("{api} {name}"), reason }))?;
    }
    Ok(Box::new(device::DeviceSink { api, name, piece: play.buffer().piece, patient, rest_after: api.rest_after() }))
}

#[cfg(not(all(feature = "jack", feature = "pipewire")))]
fn not_built_in(what: &str, feature: &str, besides: &str) -> Failure {
    Failure::environment(
        format!("this scream-rx was built without {what}"),
        format!("build one with it: cargo build --release -p scream-rx --features {feature}{besides}"),
    )
}

/// What to do about a sink that cannot play.
pub fn explain(error: SinkError) -> Failure {
    match &error {
        SinkError::Device { .. } => {
            Failure::environment(error, "see what there is: scream-rx devices; or record: -o wav -d FILE")
        }
        SinkError::File { path, source } => {
            let hint = match source.kind() {
                std::io::ErrorKind::StorageFull => "make room, or write elsewhere: -d FILE".to_owned(),
                _ => format!("write elsewhere: -d FILE; or see who may: ls -ld {}", parent(path).display()),
            };
            let what = error.to_string();
            let SinkError::File { source, .. } = error else { return Failure::environment(what, hint) };
            Failure::environment(what, hint).because(source)
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The text of `scream-rx devices`: what can be named with `-o` and `-d`.
///
/// Blocks while servers and devices are asked.
pub fn list() -> String {
    let mut text = String::new();
    #[cfg(feature = "pulse")]
    {
        text.push_str("-o pulse\n");
        match crate::sink::pulse::devices(None) {
            Ok(devices) => devices.iter().for_each(|d| {
                let mark = if d.is_default { "*" } else { " " };
                text.push_str(&format!("  {mark} -d {}  {} ({})\n", d.name, d.description, d.format));
            }),
            Err(reason) => text.push_str(&format!("    {reason}\n")),
        }
    }
    #[cfg(feature = "cpal")]
    {
        use crate::sink::device::{Api, DEFAULT, devices};
        let apis: &[(&str, Api)] = &[
            #[cfg(feature = "alsa")]
            ("alsa", Api::Alsa),
            #[cfg(feature = "jack")]
            ("jack", Api::Jack),
            #[cfg(feature = "pipewire")]
            ("pipewire", Api::PipeWire),
        ];
        for (word, api) in apis {
            text.push_str(&format!("-o {word}\n"));
            match devices(*api) {
                Ok(devices) => devices.iter().for_each(|d| {
                    let mark = if d.name == DEFAULT { "*" } else { " " };
                    text.push_str(&format!("  {mark} -d {d}\n"));
                }),
                Err(reason) => text.push_str(&format!("    {reason}\n")),
            }
        }
    }
    text.push_str("-o wav, -o raw\n    -d FILE\n");
    text
}
