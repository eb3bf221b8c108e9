//! Streams from the intake thread to the engine and back again, so that they are made and freed off the playout thread.

use crate::sink::SinkCell;
use crate::stream::Stream;
use core::sync::atomic::{AtomicBool, Ordering, fence};
use rtrb::{Consumer, Producer, RingBuffer};
use rx_host::wait::Bell;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Streams that can be under way at once, from being made to being taken back.
const MAX_STREAMS: usize = 8;

/// Wakes a playout thread that rests because nothing came for a long time, as soon as something does.
#[derive(Debug)]
pub struct Alarm {
    rests: AtomicBool,
    bell: Bell,
}

impl Alarm {
    /// Nothing if the process has no file descriptor left.
    fn new() -> Option<Arc<Alarm>> {
        Some(Arc::new(Alarm { rests: AtomicBool::new(false), bell: Bell::new().ok()? }))
    }

    /// The playout thread is about to rest. It must look once more whether there is something before it does.
    pub fn set(&self) {
        self.bell.clear();
        self.rests.store(true, Ordering::Relaxed);
        // With the one in `wake`: either that sees the store, or whoever looks after this sees what came before that.
        fence(Ordering::SeqCst);
    }

    /// The playout thread does not rest any more.
    pub fn end(&self) {
        self.rests.store(false, Ordering::Relaxed);
    }

    /// Something came. A system call only if somebody rests.
    ///
    /// Real-time safe.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.rests.load(Ordering::Relaxed) && self.rests.swap(false, Ordering::Relaxed) {
            self.bell.ring();
        }
    }
}

/// Readable when something came.
impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// The intake's end of the hand-over: new streams in, old ones back.
#[derive(Debug)]
pub struct Streams {
    out: Producer<Box<Stream>>,
    back: Consumer<Box<Stream>>,
    under_way: usize,
    alarm: Option<Arc<Alarm>>,
    /// What the sink plays; nothing before it is open.
    pub sink: Arc<SinkCell>,
    /// No more than this is held of a stream. Unit: seconds.
    pub longest_s: f64,
}

/// The engine's end.
#[derive(Debug)]
pub struct Hand {
    incoming: Consumer<Box<Stream>>,
    retired: Producer<Box<Stream>>,
    alarm: Option<Arc<Alarm>>,
}

/// Both ends of an empty hand-over, for streams of which `longest_s` seconds are held.
pub fn new(longest_s: f64) -> (Hand, Streams) {
    let (out, incoming) = RingBuffer::new(MAX_STREAMS);
    let (retired, back) = RingBuffer::new(MAX_STREAMS);
    let alarm = Alarm::new();
    let streams = Streams { out, back, under_way: 0, alarm: alarm.clone(), sink: Arc::default(), longest_s };
    (Hand { incoming, retired, alarm }, streams)
}

impl Hand {
    /// What wakes the thread that takes streams.
    pub fn alarm(&self) -> Option<Arc<Alarm>> {
        self.alarm.clone()
    }

    /// The next new stream.
    ///
    /// Real-time safe.
    pub fn take(&mut self) -> Option<Box<Stream>> {
        self.incoming.pop().ok()
    }

    /// A stream that is done with; the intake thread frees it.
    ///
    /// Real-time safe.
    pub fn give_back(&mut self, stream: Box<Stream>) {
        // There is room for all streams that can be under way, so this never drops (and frees) one here.
        let _ = self.retired.push(stream);
    }
}

impl Streams {
    /// Whether another stream can be handed over now.
    pub fn has_room(&mut self) -> bool {
        self.collect();
        self.under_way < MAX_STREAMS
    }

    /// Hands a stream over; it replaces the one before once that is played out. Dropped if there is no room.
    pub fn send(&mut self, stream: Box<Stream>) {
        if self.has_room() && self.out.push(stream).is_ok() {
            self.under_way += 1;
            self.wake();
        }
    }

    /// Something came for the playout thread, which may rest.
    ///
    /// Real-time safe.
    pub fn wake(&self) {
        if let Some(alarm) = &self.alarm {
            alarm.wake();
        }
    }

    /// Frees the streams that were played out. To be called now and then; they are freed here, not on the playout thread.
    pub fn collect(&mut self) {
        while self.back.pop().is_ok() {
            self.under_way = self.under_way.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::Layout;
    use crate::sink::SinkFormat;
    use crate::stream;
    use shm_proto::scream::Format;

    fn made() -> Box<Stream> {
        let sink = SinkFormat { rate_hz: 48_000, layout: Layout::STEREO };
        stream::open(Format::new(48_000, 16, 2, 3).unwrap(), sink, 0.01).unwrap().1
    }

    #[test]
    fn an_alarm_rings_once_for_whoever_rests_and_never_else() {
        let alarm = Alarm::new().unwrap();
        let rung = || rx_host::wait::until([alarm.as_fd()], rx_host::clock::now()) == [true];
        alarm.wake();
        assert!(!rung(), "nobody rests");
        alarm.set();
        assert!(!rung());
        alarm.wake();
        assert!(rung());
        alarm.set();
        assert!(!rung(), "what rang before is over");
        alarm.end();
        alarm.wake();
        assert!(!rung(), "nobody rests any more");
    }

    #[test]
    fn no_more_streams_are_under_way_than_can_be_given_back() {
        let (mut hand, mut streams) = new(0.01);
        for _ in 0..3 * MAX_STREAMS {
            streams.send(made());
        }
        assert!(!streams.has_room());
        let taken: Vec<_> = std::iter::from_fn(|| hand.take()).collect();
        assert_eq!(taken.len(), MAX_STREAMS);
        assert!(!streams.has_room(), "they are still out there");
        taken.into_iter().for_each(|s| hand.give_back(s));
        assert!(streams.has_room());
    }
}
