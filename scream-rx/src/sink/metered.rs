//! A source that notes how far ahead of the ear its sink asks: what the sink costs of the delay. Changes nothing.

use super::{Filled, SinkFormat, Source};
use crate::counters::Counters;
use core::time::Duration;
use shm_proto::HostTime;
use std::sync::Arc;

/// `source`, with what the sink asks of it noted in `counters`.
pub struct Metered {
    /// What is asked.
    pub source: Box<dyn Source>,
    /// Where it is noted.
    pub counters: Arc<Counters>,
    samples_per_s: f64,
    /// The longest that was seen, forgotten slowly. Unit: seconds.
    longest_s: f64,
}

/// How much of the longest is forgotten each time a sink asks: after some ten seconds it follows a sink that got faster.
const FORGET: f64 = 0.9995;

impl Metered {
    /// Nothing seen yet.
    pub fn new(source: Box<dyn Source>, counters: Arc<Counters>) -> Metered {
        Metered { source, counters, samples_per_s: 0.0, longest_s: 0.0 }
    }
}

impl Source for Metered {
    fn open(&mut self, format: SinkFormat) {
        self.samples_per_s = f64::from(format.rate_hz) * format.layout.channels() as f64;
        self.longest_s = 0.0;
        self.source.open(format);
    }

    fn fill(&mut self, out: &mut [f32], now: HostTime, sink_delay: Duration) -> Filled {
        let need_s = sink_delay.as_secs_f64() + out.len() as f64 / self.samples_per_s.max(1.0);
        self.longest_s = (self.longest_s * FORGET).max(need_s);
        self.counters.sink.need_us.set((self.longest_s * 1e6) as i64);
        self.source.fill(out, now, sink_delay)
    }

    fn keep_up(&mut self, now: HostTime) -> bool {
        self.source.keep_up(now)
    }

    fn finish(&mut self) {
        self.source.finish();
    }

    fn guest_bits(&self) -> Option<u8> {
        self.source.guest_bits()
    }
}

impl core::fmt::Debug for Metered {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Metered").field("longest_s", &self.longest_s).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::Layout;

    struct Silence;

    impl Source for Silence {
        fn open(&mut self, _: SinkFormat) {}
        fn fill(&mut self, out: &mut [f32], _: HostTime, _: Duration) -> Filled {
            out.fill(0.0);
            Filled { frames: out.len() / 2, sounding: false }
        }
        fn keep_up(&mut self, _: HostTime) -> bool {
            true
        }
        fn finish(&mut self) {}
        fn guest_bits(&self) -> Option<u8> {
            Some(16)
        }
    }

    #[test]
    fn the_longest_way_to_the_ear_is_noted_and_slowly_forgotten() {
        let counters = Arc::<Counters>::default();
        let mut metered = Metered::new(Box::new(Silence), Arc::clone(&counters));
        metered.open(SinkFormat { rate_hz: 48_000, layout: Layout::STEREO });
        let mut ask = |ms| {
            let filled = metered.fill(&mut [1.0; 480], HostTime::ZERO, Duration::from_millis(ms));
            assert_eq!(filled, Filled { frames: 240, sounding: false });
            counters.sink.need_us.get()
        };
        assert_eq!(ask(10), 15_000, "the delay, and the five milliseconds it asks for");
        assert!(ask(2) > 14_900);
        assert!((0..5000).map(|_| ask(2)).last().unwrap() < 8_000);
    }
}
