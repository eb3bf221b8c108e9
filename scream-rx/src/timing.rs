//! What `--dump-timing` writes and a replay reads: when sound came and what the engine made of it, and no sound. Text,
//! one event a line, so that a complaint can be looked at, cut and sent. Pure: [`Writer`] and [`Reader`] take any stream.
//!
//! ```text
//! scream-rx timing, schema 1
//! # kind,at_ns,... (comments begin with #)
//! sink,AT_NS,RATE_HZ,CHANNELS                          a sink opened
//! stream,AT_NS,ID,RATE_HZ,BITS,CHANNELS,MASK           a stream of the guest reached the engine
//! came,AT_NS,ID,START,FRAMES,STORED,QUIET              frames START.. of it; 1 if kept; 1 if digital silence
//! fill,AT_NS,FRAMES,SINK_DELAY_NS,PHASE,DELAY_NS,TARGET_NS,RATIO_PPB,MISSING
//! move,AT_NS,FRAMES                                    the place was moved by so many guest frames
//! lost,AT_NS,COUNT                                     so many events that nobody had time to write
//! end,AT_NS
//! ```
//! All times are nanoseconds since the engine was made; `RATIO_PPB` is how far the ratio is from 1. A file that somebody sends is
//! as little trusted as a guest: lines, numbers and counts have limits, and what is wrong is an error with its line.
//!
//! The engine puts [`Event`]s into a [`Tap`] (real-time safe); another thread takes them out of the other end and writes.

use core::fmt;
use rtrb::{Consumer, Producer, RingBuffer};
use shm_proto::scream::Format;
use std::io::{self, BufRead, Read, Write};

/// The first line of every file.
pub const HEADER: &str = "scream-rx timing, schema 1";
/// What it begins with whatever the schema.
const HEADER_START: &str = "scream-rx timing, schema ";
/// Explains the columns to whoever opens the file.
const LEGEND: &str = "# times in ns since the start; no sound is recorded
# sink,at,rate_hz,channels
# stream,at,id,rate_hz,bits,channels,mask
# came,at,id,start_frame,frames,stored,quiet
# fill,at,frames,sink_delay_ns,phase,delay_ns,target_ns,ratio_ppb,missing_frames
# move,at,guest_frames
# lost,at,events
";
/// The longest line that is read. The longest that is written has 130 bytes.
const MAX_LINE: u64 = 256;
/// The latest instant: thirty years. Unit: nanoseconds.
const MAX_AT_NS: u64 = 1 << 60;
/// The longest delay or target. Unit: nanoseconds.
const MAX_DELAY_NS: u64 = 60_000_000_000;
/// The most frames in one piece: a second at the highest rate.
const MAX_FRAMES: u64 = 768_000;
/// Events between the engine and the writer: some ten seconds of them.
const MAX_WAITING: usize = 8192;
/// What a file may grow to: about two days of playing. Unit: bytes.
pub const MAX_BYTES: u64 = 4 << 30;

/// What the engine did at a fill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing played.
    #[default]
    Idle,
    /// A stream played.
    Playing,
    /// A stream faded out.
    Leaving,
}

/// One fill of the sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Frames that the sink asked for.
    pub frames: u32,
    /// How much sound lay before them, as the sink said. Unit: nanoseconds.
    pub sink_delay_ns: u64,
    /// What the engine did.
    pub phase: Phase,
    /// From the guest playing the first frame to its being heard; 0 while nothing plays. Unit: nanoseconds.
    pub delay_ns: u64,
    /// The delay aimed at. Unit: nanoseconds.
    pub target_ns: u64,
    /// How far the resampling ratio is from 1. Unit: parts per billion.
    pub ratio_ppb: i64,
    /// Guest frames that had to be made up.
    pub missing: u32,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// A sink opened.
    Sink {
        /// Its rate.
        rate_hz: u32,
        /// Its channels.
        channels: u8,
    },
    /// A stream of the guest reached the engine. The next one has the next `id`.
    Stream {
        /// Its number.
        id: u32,
        /// What the guest writes.
        format: Format,
    },
    /// Sound of a stream became visible.
    Came {
        /// The stream's number.
        id: u32,
        /// The first frame, in the guest's count.
        start: u64,
        /// How many.
        frames: u32,
        /// The ring had room for it.
        stored: bool,
        /// All of it was digital silence.
        quiet: bool,
    },
    /// The sink asked.
    Fill(Fill),
    /// The place in the sound was moved.
    Move {
        /// By so many guest frames; negative: back.
        frames: i64,
    },
    /// So many events are not in the file.
    Lost {
        /// How many.
        events: u64,
    },
    /// The recording ended as it should.
    End,
}

/// Something that happened, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Since the engine was made. Unit: nanoseconds.
    pub at_ns: u64,
    /// What happened.
    pub what: What,
}

impl fmt::Display for Event {
    /// The event's line in a file, without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at_ns;
        match self.what {
            What::Sink { rate_hz, channels } => write!(f, "sink,{at},{rate_hz},{channels}"),
            What::Stream { id, format } => {
                let (rate_hz, bits, channels) = (format.rate_hz(), format.bits().bits(), format.channels());
                write!(f, "stream,{at},{id},{rate_hz},{bits},{channels},{}", format.mask())
            }
            What::Came { id, start, frames, stored, quiet } => {
                write!(f, "came,{at},{id},{start},{frames},{},{}", u8::from(stored), u8::from(quiet))
            }
            What::Fill(Fill { frames, sink_delay_ns, phase, delay_ns, target_ns, ratio_ppb, missing }) => {
                let phase = phase as u8;
                write!(f, "fill,{at},{frames},{sink_delay_ns},{phase},{delay_ns},{target_ns},{ratio_ppb},{missing}")
            }
            What::Move { frames } => write!(f, "move,{at},{frames}"),
            What::Lost { events } => write!(f, "lost,{at},{events}"),
            What::End => write!(f, "end,{at}"),
        }
    }
}

/// The engine's end: takes events and never waits.
#[derive(Debug)]
pub struct Tap {
    out: Producer<Event>,
    lost: u64,
}

/// Both ends. The consumer belongs to whoever writes, and is to be emptied some times a second.
pub fn tap() -> (Tap, Consumer<Event>) {
    let (out, events) = RingBuffer::new(MAX_WAITING);
    (Tap { out, lost: 0 }, events)
}

impl Tap {
    /// Passes an event on, or counts it as lost if nobody took the ones before.
    ///
    /// Real-time safe.
    pub fn tell(&mut self, at_ns: u64, what: What) {
        if self.lost > 0 && self.out.slots() > 1 {
            let events = core::mem::take(&mut self.lost);
            let _ = self.out.push(Event { at_ns, what: What::Lost { events } });
        }
        if self.out.push(Event { at_ns, what }).is_err() {
            self.lost = self.lost.saturating_add(1);
        }
    }
}

/// Writes a file, up to [`MAX_BYTES`]; what comes after that is left out.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    left: u64,
    last_ns: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header. `out` should buffer; it is flushed by [`Writer::flush`] and [`Writer::finish`] alone.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(out: W) -> io::Result<Writer<W>> {
        Writer::with_limit(out, MAX_BYTES)
    }

    pub(crate) fn with_limit(mut out: W, max_bytes: u64) -> io::Result<Writer<W>> {
        write!(out, "{HEADER}\n{LEGEND}")?;
        Ok(Writer { out, left: max_bytes.saturating_sub((HEADER.len() + 1 + LEGEND.len()) as u64), last_ns: 0 })
    }

    /// Writes an event. Whether there was room for it.
    ///
    /// # Errors
    /// What the stream says.
    pub fn write(&mut self, event: &Event) -> io::Result<bool> {
        let line = format!("{event}\n");
        // Room for the last line is kept.
        let bytes = line.len() as u64;
        if self.left < bytes + MAX_LINE {
            return Ok(false);
        }
        self.left -= bytes;
        self.last_ns = event.at_ns;
        self.out.write_all(line.as_bytes())?;
        Ok(true)
    }

    /// Makes what was written so far safe from a crash of the program.
    ///
    /// # Errors
    /// What the stream says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes the last line and flushes; gives the stream back.
    ///
    /// # Errors
    /// What the stream says.
    pub fn finish(mut self) -> io::Result<W> {
        writeln!(self.out, "{}", Event { at_ns: self.last_ns, what: What::End })?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum TimingError {
    /// It is another kind of file. Another file may do.
    #[error("this is no timing file: its first line is not \"{HEADER}\"")]
    NotTiming,
    /// A newer program wrote it. A newer reader can read it.
    #[error("schema {got} is not known here, only schema 1")]
    Schema {
        /// What the file says, cut to some characters.
        got: String,
    },
    /// A line makes no sense. What came before it is good.
    #[error("line {line}: {reason}")]
    Line {
        /// Its number; the first is 1.
        line: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The system could not read it.
    #[error("cannot read it")]
    Io(#[from] io::Error),
}

/// Reads a file, event by event, in bounded memory. The iterator ends after the first error.
#[derive(Debug)]
pub struct Reader<R: BufRead> {
    from: R,
    line: u64,
    text: Vec<u8>,
    done: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// [`TimingError`].
    pub fn new(from: R) -> Result<Reader<R>, TimingError> {
        let mut reader = Reader { from, line: 0, text: Vec::with_capacity(MAX_LINE as usize), done: false };
        reader.next_line().map_err(|e| if matches!(e, TimingError::Io(_)) { e } else { TimingError::NotTiming })?;
        match core::str::from_utf8(&reader.text) {
            Ok(HEADER) => Ok(reader),
            Ok(other) => match other.strip_prefix(HEADER_START) {
                Some(got) => Err(TimingError::Schema { got: got.chars().take(16).collect() }),
                None => Err(TimingError::NotTiming),
            },
            Err(_) => Err(TimingError::NotTiming),
        }
    }

    /// Reads a line into `text`; whether there was one. A last line that was cut off is none.
    fn next_line(&mut self) -> Result<bool, TimingError> {
        self.text.clear();
        self.line += 1;
        let read = self.from.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.text)?;
        if self.text.last() == Some(&b'\n') {
            self.text.pop();
            Ok(true)
        } else if read as u64 == MAX_LINE {
            Err(self.wrong("it is too long"))
        } else {
            Ok(false)
        }
    }

    fn wrong(&self, reason: &'static str) -> TimingError {
        TimingError::Line { line: self.line, reason }
    }

    fn next_event(&mut self) -> Result<Option<Event>, TimingError> {
        while self.next_line()? {
            if !self.text.is_empty() && !self.text.starts_with(b"#") {
                let text = core::str::from_utf8(&self.text).map_err(|_| self.wrong("it is not text"))?;
                return parse(text).map(Some).map_err(|reason| self.wrong(reason));
            }
        }
        Ok(None)
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Event, TimingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let event = self.next_event();
        self.done = !matches!(event, Ok(Some(Event { what, .. })) if what != What::End);
        event.transpose()
    }
}

/// The fields of a line, each with its limit.
struct Fields<'a>(core::str::Split<'a, char>);

impl<'a> Fields<'a> {
    fn text(&mut self) -> Result<&'a str, &'static str> {
        self.0.next().ok_or("a field is missing")
    }

    /// A number up to `most`.
    fn number<T: TryFrom<u64>>(&mut self, most: u64) -> Result<T, &'static str> {
        let n = self.text()?.parse::<u64>().map_err(|_| "a field is no number")?;
        T::try_from(n).ok().filter(|_| n <= most).ok_or("a number is too large")
    }

    fn signed(&mut self, most: i64) -> Result<i64, &'static str> {
        let n = self.text()?.parse::<i64>().map_err(|_| "a field is no number")?;
        if (-most..=most).contains(&n) { Ok(n) } else { Err("a number is too large") }
    }

    fn flag(&mut self) -> Result<bool, &'static str> {
        Ok(self.number::<u8>(1)? == 1)
    }
}

fn parse(line: &str) -> Result<Event, &'static str> {
    let mut f = Fields(line.split(','));
    let kind = f.text()?;
    let at_ns = f.number(MAX_AT_NS)?;
    let what = match kind {
        "sink" => What::Sink { rate_hz: f.number(768_000)?, channels: f.number(8)? },
        "stream" => What::Stream { id: f.number(u64::MAX)?, format: parse_format(&mut f)? },
        "came" => What::Came {
            id: f.number(u64::MAX)?,
            start: f.number(1 << 60)?,
            frames: f.number(MAX_FRAMES)?,
            stored: f.flag()?,
            quiet: f.flag()?,
        },
        "fill" => What::Fill(Fill {
            frames: f.number(MAX_FRAMES)?,
            sink_delay_ns: f.number(MAX_DELAY_NS)?,
            phase: match f.number::<u8>(2)? {
                0 => Phase::Idle,
                1 => Phase::Playing,
                _ => Phase::Leaving,
            },
            delay_ns: f.number(MAX_DELAY_NS)?,
            target_ns: f.number(MAX_DELAY_NS)?,
            ratio_ppb: f.signed(100_000_000)?,
            missing: f.number(MAX_FRAMES)?,
        }),
        "move" => What::Move { frames: f.signed(1 << 40)? },
        "lost" => What::Lost { events: f.number(u64::MAX)? },
        "end" => What::End,
        _ => return Err("no such kind of event"),
    };
    if f.0.next().is_some() { Err("there are too many fields") } else { Ok(Event { at_ns, what }) }
}

fn parse_format(f: &mut Fields<'_>) -> Result<Format, &'static str> {
    let (rate_hz, bits, channels, mask) = (f.number(768_000)?, f.number(32)?, f.number(8)?, f.number(0xFFFF)?);
    Format::new(rate_hz, bits, channels, mask).map_err(|_| "no such format of sound")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some_of_each() -> Vec<Event> {
        let format = Format::new(44_100, 24, 6, 0x3F).unwrap();
        let fill = Fill {
            frames: 240,
            sink_delay_ns: 20_000_000,
            phase: Phase::Playing,
            delay_ns: 38_000_000,
            target_ns: 38_100_000,
            ratio_ppb: -1_500_000,
            missing: 3,
        };
        [
            What::Sink { rate_hz: 48_000, channels: 2 },
            What::Stream { id: 1, format },
            What::Came { id: 1, start: 1 << 50, frames: 882, stored: true, quiet: false },
            What::Fill(fill),
            What::Move { frames: -960 },
            What::Lost { events: 7 },
        ]
        .into_iter()
        .zip(5..)
        .map(|(what, at_ns)| Event { at_ns, what })
        .collect()
    }

    fn read(bytes: &[u8]) -> Result<Vec<Event>, TimingError> {
        Reader::new(bytes)?.collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = Writer::new(Vec::new()).unwrap();
        for event in some_of_each() {
            assert!(writer.write(&event).unwrap());
        }
        let bytes = writer.finish().unwrap();
        let events = read(&bytes).unwrap();
        assert_eq!(events[..6], some_of_each());
        assert_eq!(events[6..], [Event { at_ns: 10, what: What::End }]);
        // A program that was killed leaves half a line: it does not count.
        let cut = bytes.len() - 7 - "lost,10,7".len();
        assert_eq!(read(&bytes[..cut]).unwrap(), some_of_each()[..5]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let long = format!("{HEADER}\n{}\n", "1".repeat(300));
        let bad = |line: &str| format!("{HEADER}\n# ok\n\n{line}\n");
        for (text, expected) in [
            (String::new(), "no timing file"),
            ("kind,at\n".to_owned(), "no timing file"),
            ("x".repeat(1 << 20), "no timing file"),
            (format!("{HEADER_START}2\n"), "schema 2 is not known"),
            (long, "line 2: it is too long"),
            (bad("jump,1"), "line 4: no such kind"),
            (bad("sink"), "line 4: a field is missing"),
            (bad("sink,1,48000"), "line 4: a field is missing"),
            (bad("sink,1,48000,2,2"), "line 4: there are too many fields"),
            (bad("sink,-1,48000,2"), "line 4: a field is no number"),
            (bad("sink,1,48000,9"), "line 4: a number is too large"),
            (bad("stream,1,1,1,16,2,3"), "line 4: no such format"),
            (bad("came,1,1,0,4000000000,1,0"), "line 4: a number is too large"),
            (bad("move,1,-9223372036854775808"), "line 4: a number is too large"),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:.40}: {error}");
        }
        let error = read(&[HEADER.as_bytes(), b"\n\xFF\xFE\n"].concat()).unwrap_err().to_string();
        assert!(error.contains("not text"), "{error}");
    }

    #[test]
    fn events_that_nobody_took_are_counted() {
        let (mut tap, mut events) = tap();
        for at_ns in 0..MAX_WAITING as u64 + 5 {
            tap.tell(at_ns, What::Move { frames: 1 });
        }
        while events.pop().is_ok() {}
        tap.tell(9, What::End);
        let rest: Vec<Event> = std::iter::from_fn(|| events.pop().ok()).collect();
        assert_eq!(rest.iter().map(|e| e.what).collect::<Vec<_>>(), [What::Lost { events: 5 }, What::End]);
    }

    #[test]
    fn a_file_does_not_grow_for_ever() {
        let mut writer = Writer::with_limit(Vec::new(), 2000).unwrap();
        let written = (0..1000).filter(|_| writer.write(&some_of_each()[3]).unwrap()).count();
        let bytes = writer.finish().unwrap();
        assert!(written > 5 && bytes.len() <= 2000, "{written} events, {} bytes", bytes.len());
        assert_eq!(read(&bytes).unwrap().len(), written + 1);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..600), valid: bool) {
            let text = if valid { [HEADER.as_bytes(), b"\n", &bytes].concat() } else { bytes };
            let _ = read(&text);
        }

        #[test]
        fn no_line_breaks_the_reader(kind in "(sink|stream|came|fill|move|lost|end)", numbers in "(,-?[0-9]{1,20}){0,9}") {
            let text = format!("{HEADER}\n{kind}{numbers}\n");
            if let Ok(events) = read(text.as_bytes()) {
                // What is read can be written, and is the same.
                let mut writer = Writer::new(Vec::new()).unwrap();
                events.iter().filter(|e| e.what != What::End).for_each(|e| assert!(writer.write(e).unwrap()));
                let again = read(&writer.finish().unwrap()).unwrap();
                prop_assert_eq!(&again[..again.len() - 1], &events[..events.len().min(again.len() - 1)]);
            }
        }
    }
}
