//! Plays into nothing, at the pace of the clock. For measurements and tests.

use super::paced::{self, Going, Manner, Pacer};
use super::{Control, Notice, Sink, SinkError, SinkFormat, Source};
use core::time::Duration;

/// The delay that this sink pretends to have, which is how late it may be.
const AHEAD: Duration = Duration::from_millis(10);

/// The null sink.
pub struct NullSink {
    /// What it pretends to play.
    pub format: SinkFormat,
    /// Its clock.
    pub pacer: Box<dyn Pacer + Send>,
}

impl Sink for NullSink {
    fn run(&mut self, mut source: Box<dyn Source>, control: &Control) -> Result<(), SinkError> {
        control.tell(Notice::Open { name: "nowhere".into(), format: self.format });
        let mut swallow = |_: &[f32], _, _| Ok(Going::On);
        let manner = Manner { ahead: AHEAD, late: AHEAD, ..Manner::FILE };
        paced::run(&mut *source, self.format, manner, &mut *self.pacer, control, &mut swallow)
    }
}

impl core::fmt::Debug for NullSink {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NullSink").field("format", &self.format).finish_non_exhaustive()
    }
}
