//! When the sound ends, if it does: counted in frames of the sink, with a fade before it. Pure.

use crate::conceal::rising;
use crate::sink::SinkFormat;

/// The fade at the very end. Unit: milliseconds.
const FADE_MS: u64 = 5;

/// How much shall be played in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Until somebody stops it.
    Endless,
    /// So many milliseconds from the first time the sink asks.
    FromStart(u64),
    /// So many milliseconds from the first sound.
    FromSound(u64),
}

/// Counts down to the end.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    length: Length,
    /// Frames that are still to be played, if there is an end.
    left: Option<u64>,
}

impl Ending {
    /// An end that has not begun to be counted.
    pub const fn new(length: Length) -> Ending {
        Ending { length, left: None }
    }

    /// The sink plays at another rate from now on; what is left keeps its length in time.
    pub fn change_rate(&mut self, from_hz: Option<u32>, to_hz: u32) {
        if let (Some(left), Some(from_hz)) = (self.left, from_hz) {
            self.left = Some(left.saturating_mul(u64::from(to_hz)) / u64::from(from_hz.max(1)));
        }
    }

    /// The end comes as soon as it can: after one fade.
    pub fn finish(&mut self, rate_hz: u32) {
        let fade = fade_frames(rate_hz);
        self.left = Some(self.left.map_or(fade, |left| left.min(fade)));
    }

    /// Fades and cuts the next frames where the end is near. Returns how many of them count.
    ///
    /// Real-time safe.
    pub fn apply(&mut self, out: &mut [f32], format: SinkFormat, sounding: bool) -> usize {
        let channels = format.layout.channels();
        let frames = out.len() / channels;
        let in_frames = |ms: u64| ms.saturating_mul(u64::from(format.rate_hz)) / 1000;
        if self.left.is_none() {
            self.left = match self.length {
                Length::FromStart(ms) => Some(in_frames(ms)),
                Length::FromSound(ms) if sounding => Some(in_frames(ms)),
                _ => None,
            };
        }
        let Some(left) = self.left else { return frames };
        let fade = usize::try_from(fade_frames(format.rate_hz)).unwrap_or(1);
        let left_frames = usize::try_from(left).unwrap_or(usize::MAX);
        if left_frames < frames.saturating_add(fade) {
            for (at, frame) in out.chunks_exact_mut(channels).enumerate() {
                let to_go = left_frames.saturating_sub(at);
                let gain = if to_go == 0 { 0.0 } else { rising(to_go - 1, fade) };
                frame.iter_mut().for_each(|x| *x *= gain);
            }
        }
        self.left = Some(left.saturating_sub(frames as u64));
        frames.min(left_frames)
    }
}

fn fade_frames(rate_hz: u32) -> u64 {
    (FADE_MS * u64::from(rate_hz) / 1000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::Layout;

    const MONO: SinkFormat = SinkFormat { rate_hz: 48_000, layout: Layout::STEREO };

    /// Plays ones in pieces of 480 frames, sounding from piece `sounds_from` on; gives the left channel.
    fn play(ending: &mut Ending, sounds_from: usize) -> Vec<f32> {
        let mut played = Vec::new();
        for piece in 0..1000 {
            let mut out = vec![1.0; 960];
            let frames = ending.apply(&mut out, MONO, piece >= sounds_from);
            played.extend(out.chunks_exact(2).take(frames).map(|f| f[0]));
            if frames < 480 {
                break;
            }
        }
        played
    }

    #[test]
    fn it_ends_to_the_frame_and_in_a_fade() {
        for (length, sounds_from, frames) in [
            (Length::FromStart(1001), 20, 48_048),
            (Length::FromSound(1001), 20, 48_048 + 20 * 480),
            (Length::FromSound(1), 0, 48),
            (Length::FromStart(0), 0, 0),
            (Length::Endless, 0, 480_000),
        ] {
            let played = play(&mut Ending::new(length), sounds_from);
            assert_eq!(played.len(), frames, "{length:?}");
            if length != Length::Endless && frames > 480 {
                assert!(played[frames - 1] < 1e-3 && played[frames - 120] > 0.4 && played[frames - 241] == 1.0);
            }
        }
    }

    #[test]
    fn a_stop_ends_after_one_fade_and_never_later_than_planned() {
        let mut ending = Ending::new(Length::Endless);
        ending.finish(48_000);
        ending.finish(48_000);
        assert_eq!(play(&mut ending, 0).len(), 240);
        let mut ending = Ending::new(Length::FromStart(10));
        let mut out = [1.0; 2 * 400];
        assert_eq!(ending.apply(&mut out, MONO, true), 400);
        ending.finish(48_000);
        assert_eq!(play(&mut ending, 0).len(), 80);
    }

    #[test]
    fn another_rate_keeps_the_time_that_is_left() {
        let mut ending = Ending::new(Length::FromStart(1000));
        assert_eq!(ending.apply(&mut [1.0; 2 * 24_000], MONO, true), 24_000);
        ending.change_rate(Some(48_000), 96_000);
        assert_eq!(ending.left, Some(48_000));
    }
}
