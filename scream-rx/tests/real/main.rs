//! The real program against a real PulseAudio, alsa-lib, files and pipes. What needs punctual threads is checked strictly
//! only when the program itself reports that nothing was late: a machine that runs tests may stall at any time.

#[cfg(all(feature = "alsa", feature = "pulse"))]
mod alsa_trouble;
#[cfg(all(feature = "alsa", feature = "pulse"))]
mod auto;
mod conformance;
mod doctor;
mod files;
#[cfg(any(feature = "alsa", feature = "pulse"))]
mod machine;
#[cfg(any(feature = "jack", feature = "pipewire"))]
mod native;
mod network;
#[cfg(feature = "pulse")]
mod pulse;
#[cfg(feature = "pulse")]
mod pulse_returns;
#[cfg(feature = "pulse")]
mod pulse_trouble;
#[cfg(feature = "alsa")]
mod reload;
#[cfg(feature = "pulse")]
mod rest;
mod rig;
#[cfg(feature = "pulse")]
mod service;
#[cfg(feature = "pulse")]
mod soak;
mod status;
mod terminal;
mod tone;
