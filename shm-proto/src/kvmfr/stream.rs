//! The viewer a receiver uses. It hides versions, sessions and places in queues: [`Viewer::poll`] says where things
//! stand, [`Viewer::take_frame`] and [`Viewer::take_cursor`] give what is new.
//!
//! Nothing in here waits but for a bounded number of pauses at a lock; nothing allocates but at the start of a session.
//! A frame is acknowledged the moment its copy is finished, whatever happens to the copy afterwards.

use super::cursor::{self, CursorShape, CursorState};
use super::frame::{Frame, PayloadPlace, PictureFormat};
use super::message;
use super::session::{Header, SessionInfo};
use super::state::{Counters, State, Step};
use super::wire::{
    CURSOR_HEADER_BYTES, FRAME_HEADER_BYTES, FRAME_QUEUE, Layout, MAX_SHAPE_BYTES, POINTER_QUEUE, Snapshot,
    cursor_flags, layout,
};
use crate::guest::Corrupt;
use crate::lgmp::mailbox::{self, MailSerial};
use crate::lgmp::probe::{Finding, Prober};
use crate::lgmp::subscription::Message;
use crate::lgmp::{Client, Status, Subscription, Trouble};
use crate::raw::map::{Access, Region};
use crate::span::{AccessError, Purpose};
use crate::time::HostTime;
use core::ops::Range;
use core::time::Duration;

/// The smallest region that can carry a picture.
pub const MIN_REGION_BYTES: u64 = 1 << 20;
/// How long after a failed step the next try is made.
const RETRY: Duration = Duration::from_millis(5);
/// How long after a session that made no sense the next one is tried.
const RETRY_CORRUPT: Duration = Duration::from_millis(100);
/// Cursor messages taken in one call; a stock ring holds 20.
const MAX_CURSOR_MESSAGES: u32 = 64;
/// From when on a held lock is reported.
const LOCK_HELD: Duration = Duration::from_millis(500);

/// Why a region cannot be watched at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewerError {
    /// Too small for a header and a picture. A larger file helps.
    #[error("{len} bytes of shared memory are too few for a picture; at least {MIN_REGION_BYTES} are needed")]
    TooSmall {
        /// Its length.
        len: u64,
    },
    /// Viewers acknowledge what they read, so they must write.
    #[error("the region is mapped read-only, but a viewer acknowledges what it reads")]
    ReadOnly,
}

/// A viewer of one region.
#[derive(Debug)]
pub struct Viewer {
    region: Region,
    seed: u64,
    prober: Prober,
    link: Link,
    state: State,
    retry_at: HostTime,
    lock_busy_since: Option<HostTime>,
    generation: u64,
    counters: Counters,
    // Nothing after a frame that was torn or given up: the receiver may have copied half of it.
    last: Option<Accepted>,
    frame: Option<Frame>,
    scratch: Box<[u8]>,
}

/// How far the connection is.
#[derive(Debug)]
enum Link {
    /// No version that is spoken.
    None,
    /// A session is being joined.
    Joining(Client),
    /// Subscribed; a place that was lost is empty until it is taken anew.
    Joined { client: Client, wire: &'static Layout, info: Box<SessionInfo>, frames: Place, pointer: Place },
}

/// A place in a queue, or the need for one.
type Place = Option<Subscription>;

/// How a joined session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// We go: give the places back.
    Polite,
    /// The heartbeat stands: write nothing, keep looking at it.
    Silent,
    /// Another session is there, or none, or nonsense: write nothing, look for a version anew.
    Over,
}

/// The frame taken last, for telling repeated from new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Accepted {
    serial: u32,
    format_ver: u32,
    format: PictureFormat,
}

/// What became of a frame that was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The copy is whole.
    Accepted,
    /// The producer went on to the next frame while this one was copied: drop the copy.
    Torn,
    /// The session ended meanwhile: drop the copy.
    SessionLost,
}

impl Viewer {
    /// A viewer of `region`, which must be mapped for writing. `seed` decides the names it draws; pass something from
    /// the system's random source. Allocates what it will ever need but for the texts of a session.
    ///
    /// # Errors
    /// [`ViewerError`].
    pub fn new(region: Region, seed: u64) -> Result<Viewer, ViewerError> {
        let len = region.len();
        if len < MIN_REGION_BYTES {
            return Err(ViewerError::TooSmall { len });
        }
        if region.access() != Access::ReadWrite {
            return Err(ViewerError::ReadOnly);
        }
        Ok(Viewer {
            region,
            seed,
            prober: Prober::new(),
            link: Link::None,
            state: State::NoProducer,
            retry_at: HostTime::ZERO,
            lock_busy_since: None,
            generation: 0,
            counters: Counters::default(),
            last: None,
            frame: None,
            scratch: vec![0; MAX_SHAPE_BYTES as usize].into_boxed_slice(),
        })
    }

    /// Looks where things stand and takes the next step. Call it every few milliseconds, and at least every 500.
    /// Real-time safe while [`State::Live`]; the start of a session allocates some short texts.
    pub fn poll(&mut self, now: HostTime) -> State {
        if self.region.is_gone() {
            self.link = Link::None;
            self.state = State::Gone;
        } else if now >= self.retry_at || matches!(self.state, State::Live) {
            let step = self.step(now);
            self.settle(step, now);
        }
        self.state
    }

    /// Where things stood at the last poll.
    pub fn state(&self) -> State {
        self.state
    }

    /// What the producer tells about itself, while a session is joined.
    pub fn session(&self) -> Option<&SessionInfo> {
        match &self.link {
            Link::Joined { info, .. } => Some(info),
            _ => None,
        }
    }

    /// Grows by one with every session that is joined.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The newest frame, if there is one that was not yet taken. Older ones are acknowledged unread. A frame that the
    /// producer only posted again is acknowledged and not given. Real-time safe.
    ///
    /// Damage is relative to the frame accepted before; it is everything whenever that cannot be said. The pixels may
    /// still be on their way: see [`PendingFrame::ready_rows`].
    pub fn take_frame(&mut self, now: HostTime) -> Option<PendingFrame<'_>> {
        match self.next_frame() {
            Ok(Some(message)) => Some(PendingFrame { viewer: self, message, now, done: false }),
            Ok(None) => None,
            Err(trouble) => {
                self.settle(Err(trouble), now);
                None
            }
        }
    }

    /// Takes all waiting cursor messages into `cursor`; whether it changed. Each is acknowledged at once, for the
    /// producer overwrites shapes without asking. Real-time safe.
    pub fn take_cursor(&mut self, now: HostTime, cursor: &mut CursorState) -> bool {
        let mut changed = cursor.generation != self.generation && cursor.clear(self.generation);
        if !matches!(self.link, Link::Joined { .. }) {
            return cursor.clear(self.generation) || changed;
        }
        // Whoever posts faster than this reads is met at the next call.
        for _ in 0..MAX_CURSOR_MESSAGES {
            match self.next_cursor(cursor) {
                Ok(Some(new)) => changed |= new,
                Ok(None) => break,
                Err(trouble) => {
                    self.settle(Err(trouble), now);
                    break;
                }
            }
        }
        changed
    }

    /// Asks the guest to move its pointer, in pixels of its screen. Needs [`SessionInfo::can_set_cursor`].
    ///
    /// # Errors
    /// See [`mailbox::send`]; [`Trouble::SessionEnded`] while not connected.
    pub fn send_cursor_position(&mut self, x: i32, y: i32) -> Result<MailSerial, Trouble> {
        let (client, wire, place) = self.pointer()?;
        mailbox::send(client, place, &message::encode_set_cursor(wire, x, y))
    }

    /// Whether the guest has handled a message.
    ///
    /// # Errors
    /// [`Trouble::SessionEnded`] if the session of the message is over.
    pub fn is_handled(&self, serial: MailSerial) -> Result<bool, Trouble> {
        let (client, _, place) = self.pointer()?;
        mailbox::is_handled(client, place, serial)
    }

    /// Gives both places back. Bounded; what cannot be had (a held lock) is left to the producer to clear up.
    pub fn close(mut self) {
        self.drop_link(End::Polite);
    }

    fn pointer(&self) -> Result<(&Client, &'static Layout, &Subscription), Trouble> {
        match &self.link {
            Link::Joined { client, wire, pointer: Some(place), .. } => Ok((client, wire, place)),
            _ => Err(Trouble::SessionEnded),
        }
    }

    /// One step of the connection.
    fn step(&mut self, now: HostTime) -> Result<State, Trouble> {
        match &mut self.link {
            Link::None => {
                let found = self.prober.look(&self.region, now)?;
                let Some(table) = found.layout() else { return Ok(unspoken(found)) };
                self.seed = self.seed.wrapping_add(0x632B_E59B_D9B4_E019);
                self.link = Link::Joining(Client::new(self.region.clone(), table, self.seed));
                self.step(now)
            }
            Link::Joining(client) => match client.poll(now)? {
                Status::Absent => {
                    self.link = Link::None;
                    Ok(State::NoProducer)
                }
                Status::Waiting => Ok(State::Starting(Step::Heartbeat)),
                Status::Frozen => Ok(frozen(self.prober.look(&self.region, now)?)),
                Status::Joined => self.join(),
            },
            Link::Joined { client, frames, pointer, .. } => {
                if client.poll(now)? != Status::Joined {
                    self.drop_link(End::Silent);
                    return Ok(State::Frozen);
                }
                let mut taken = 0;
                for (id, place) in [(POINTER_QUEUE, pointer), (FRAME_QUEUE, frames)] {
                    if place.is_none() {
                        *place = Some(Subscription::take(client, id)?);
                        taken += 1;
                    }
                }
                self.counters.resubscribed += taken;
                Ok(State::Live)
            }
        }
    }

    /// The session is joined: look what it carries and take the places.
    fn join(&mut self) -> Result<State, Trouble> {
        let Link::Joining(client) = &mut self.link else { return Ok(self.state) };
        let (session, lgmp) = (client.session().ok_or(Trouble::SessionEnded)?, client.layout().version);
        // Queues first: a producer makes them after its user data, so what is read afterwards is not half-made.
        let queues = client.find_queue(POINTER_QUEUE).and_then(|_| client.find_queue(FRAME_QUEUE));
        let user_data = client.snapshot_user_data()?;
        let wire = match Header::look(user_data, lgmp) {
            Header::Spoken => Snapshot(user_data).u32("KVMFR version", super::wire::V20.header.version)?,
            Header::Other(kvmfr) => {
                let place = client.layout().header.magic;
                return Ok(State::OtherVersion { lgmp, kvmfr: Some(kvmfr), place });
            }
            // A stock producer writes its user data after the magic.
            Header::NotKvmfr => {
                return Ok(if queues.is_ok() { State::NotKvmfr } else { State::Starting(Step::UserData) });
            }
        };
        let Some(wire) = layout(lgmp, wire.distrusted()) else { return Ok(State::Starting(Step::UserData)) };
        queues?;
        let pointer = Subscription::take(client, POINTER_QUEUE)?;
        let frames = match Subscription::take(client, FRAME_QUEUE) {
            Ok(frames) => frames,
            Err(trouble) => {
                // Do not leave half a viewer behind at every try.
                let _best_effort = pointer.unsubscribe(client);
                return Err(trouble);
            }
        };
        let info = Box::new(SessionInfo::parse(client.user_data(), wire)?);
        client.check_session(session)?;
        let Link::Joining(client) = core::mem::replace(&mut self.link, Link::None) else { return Ok(self.state) };
        self.link = Link::Joined { client, wire, info, frames: Some(frames), pointer: Some(pointer) };
        self.generation += 1;
        self.counters.sessions += 1;
        self.last = None;
        Ok(State::Live)
    }

    /// Turns the outcome of a step into a state, and cleans up behind a failed one.
    fn settle(&mut self, step: Result<State, Trouble>, now: HostTime) {
        let (state, retry) = match step {
            Ok(state) => (state, if state.is_live() { Duration::ZERO } else { RETRY }),
            Err(trouble) => self.recover(trouble, now),
        };
        if !matches!(state, State::Starting(Step::Lock) | State::LockHeld) {
            self.lock_busy_since = None;
        }
        self.state = state;
        self.retry_at = now + retry;
    }

    fn recover(&mut self, trouble: Trouble, now: HostTime) -> (State, Duration) {
        match trouble {
            Trouble::SessionEnded => {
                self.drop_link(End::Over);
                (State::Starting(Step::Heartbeat), Duration::ZERO)
            }
            Trouble::NoSuchQueue { .. } => (State::Starting(Step::Queues), RETRY),
            Trouble::QueueFull { places, .. } => (State::Full { places }, RETRY),
            Trouble::LockBusy { .. } => {
                self.counters.lock_busy += 1;
                let since = *self.lock_busy_since.get_or_insert(now);
                let held = now.since(since) >= LOCK_HELD;
                (if held { State::LockHeld } else { State::Starting(Step::Lock) }, RETRY)
            }
            Trouble::TimedOut { id } | Trouble::PlaceLost { id } => {
                self.forget_place(id);
                // The next poll takes a new one; the picture on the screen is still right.
                (State::Live, Duration::ZERO)
            }
            Trouble::Corrupt(corrupt) => {
                self.counters.corrupt_sessions += 1;
                self.drop_link(End::Over);
                (State::Corrupt(corrupt), RETRY_CORRUPT)
            }
            Trouble::Access(_) => {
                self.drop_link(End::Over);
                (State::Gone, RETRY)
            }
            // Faults of a sender; they end nothing.
            Trouble::MailboxFull { .. } | Trouble::MessageTooLong { .. } => (self.state, Duration::ZERO),
        }
    }

    fn forget_place(&mut self, id: u32) {
        if let Link::Joined { frames, pointer, .. } = &mut self.link {
            let place = if id == FRAME_QUEUE { frames } else { pointer };
            if let Some(lost) = place.take() {
                self.counters.not_ours += lost.not_ours();
            }
        }
    }

    /// Ends what was joined. The client is kept unless the session is over, for it knows the heartbeat.
    fn drop_link(&mut self, end: End) {
        self.last = None;
        self.frame = None;
        let Link::Joined { client, frames, pointer, .. } = core::mem::replace(&mut self.link, Link::None) else {
            return;
        };
        self.counters.sessions_ended += 1;
        for place in [frames, pointer].into_iter().flatten() {
            self.counters.not_ours += place.not_ours();
            if end == End::Polite {
                let _best_effort = place.unsubscribe(&client);
            }
        }
        if end == End::Silent {
            self.link = Link::Joining(client);
        }
    }

    /// The newest frame that is worth taking; its checked header is in `self.frame`.
    fn next_frame(&mut self) -> Result<Option<Message>, Trouble> {
        let Link::Joined { client, wire, frames: Some(place), .. } = &mut self.link else { return Ok(None) };
        let Some(message) = place.peek_newest(client, &mut self.counters.skipped)? else { return Ok(None) };
        let mut frame = match read_frame(&self.region, wire, &message) {
            Ok(frame) => frame,
            Err(Trouble::Corrupt(_)) => {
                self.counters.corrupt += 1;
                place.acknowledge(client)?;
                return Ok(None);
            }
            Err(trouble) => return Err(trouble),
        };
        let (serial, format_ver, format) = (frame.serial(), frame.format_ver(), frame.format());
        match self.last {
            Some(last) if last == (Accepted { serial, format_ver, format }) => {
                self.counters.repeated += 1;
                place.acknowledge(client)?;
                return Ok(None);
            }
            Some(last)
                if last.serial.wrapping_add(1) == serial && last.format_ver == format_ver && last.format == format => {}
            _ => frame.damage_all(),
        }
        self.frame = Some(frame);
        Ok(Some(message))
    }

    /// One cursor message; whether it changed the cursor, or nothing if there is none.
    fn next_cursor(&mut self, cursor: &mut CursorState) -> Result<Option<bool>, Trouble> {
        let Link::Joined { client, wire, pointer: Some(place), .. } = &mut self.link else { return Ok(None) };
        let Some(message) = place.peek(client)? else { return Ok(None) };
        self.counters.cursor_messages += 1;
        let taken = read_cursor(&self.region, wire, &message, &mut self.scratch);
        place.acknowledge(client)?;
        let news = match taken {
            Ok(news) => news,
            Err(Trouble::Corrupt(_)) => {
                self.counters.corrupt += 1;
                return Ok(Some(false));
            }
            Err(trouble) => return Err(trouble),
        };
        let mut changed = cursor.visible != news.visible;
        cursor.visible = news.visible;
        if let Some(position) = news.position {
            changed |= cursor.position != Some(position);
            cursor.position = Some(position);
        }
        match news.shape {
            Shape::None => {}
            Shape::Torn => self.counters.cursor_torn += 1,
            Shape::New(shape) => {
                core::mem::swap(&mut cursor.pixels, &mut self.scratch);
                cursor.shape = Some(shape);
                cursor.shape_serial += 1;
                self.counters.cursor_shapes += 1;
                changed = true;
            }
        }
        Ok(Some(changed))
    }
}

/// A frame that waits to be copied. Whatever becomes of it, it is acknowledged when this ends.
#[derive(Debug)]
pub struct PendingFrame<'v> {
    viewer: &'v mut Viewer,
    message: Message,
    now: HostTime,
    done: bool,
}

impl PendingFrame<'_> {
    /// The frame's header, checked.
    pub fn frame(&self) -> &Frame {
        match &self.viewer.frame {
            Some(frame) => frame,
            None => unreachable!("a pending frame is made after its header was checked"),
        }
    }

    /// How many rows from the top are in memory by now, at most [`Frame::rows`]. Ask again until they are enough, with
    /// pauses of your own and an end: after 500 ms at most give the frame up. Real-time safe.
    pub fn ready_rows(&self) -> u32 {
        let frame = self.frame();
        let word = self.viewer.region.whole().read_word::<u32>(frame.write_pointer_at());
        // Acquire: the rows below the write pointer were stored before it.
        let bytes = word.map_or(0, |w| w.load_acquire());
        (bytes / frame.pitch_bytes()).min(frame.rows())
    }

    /// Copies `rows` into `dst`, whose rows are `dst_pitch_bytes` apart and whose first row is the first of `rows`. With
    /// equal pitches it is one copy and what lies between the rows comes along; otherwise the gaps are left alone.
    /// Real-time safe.
    ///
    /// # Errors
    /// [`AccessError::OutOfBounds`] if `rows` are not all in [`Frame::rows`], or `dst` or its pitch is too small;
    /// [`AccessError::Gone`].
    pub fn copy_rows(
        &self,
        rows: Range<u32>,
        dst: &mut [u8],
        dst_pitch_bytes: usize,
        purpose: Purpose,
    ) -> Result<(), AccessError> {
        copy_rows(&self.viewer.region, self.frame(), rows, dst, dst_pitch_bytes, purpose)
    }

    /// Ends the frame: looks whether the copy is whole, then acknowledges. Real-time safe.
    pub fn finish(mut self) -> Outcome {
        self.done = true;
        let viewer = &mut *self.viewer;
        let whole = viewer.is_whole(&self.message);
        let acknowledged = viewer.acknowledge_frame();
        let outcome = match (whole, acknowledged) {
            (Ok(true), Ok(())) => Outcome::Accepted,
            (Ok(false), Ok(())) => Outcome::Torn,
            (Err(trouble), _) | (_, Err(trouble)) => {
                viewer.settle(Err(trouble), self.now);
                match trouble {
                    Trouble::SessionEnded | Trouble::Corrupt(_) | Trouble::Access(_) => Outcome::SessionLost,
                    _ => Outcome::Torn,
                }
            }
        };
        match (outcome, viewer.frame.take()) {
            (Outcome::Accepted, Some(frame)) => viewer.accept(&frame),
            (Outcome::Torn, _) => {
                viewer.counters.torn += 1;
                viewer.last = None;
            }
            _ => {}
        }
        outcome
    }
}

impl Drop for PendingFrame<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.viewer.counters.abandoned += 1;
            self.viewer.frame = None;
            self.viewer.last = None;
            if let Err(trouble) = self.viewer.acknowledge_frame() {
                self.viewer.settle(Err(trouble), self.now);
            }
        }
    }
}

impl Viewer {
    /// Whether the payload is still the frame that was announced.
    fn is_whole(&self, message: &Message) -> Result<bool, Trouble> {
        let (Link::Joined { client, wire, frames: Some(place), .. }, Some(frame)) = (&self.link, &self.frame) else {
            return Err(Trouble::SessionEnded);
        };
        if !place.still_holds(client, message)? {
            return Ok(false);
        }
        // A producer that does not wait for us writes the next header before the next pixels.
        let again = message.payload(&self.region, FRAME_HEADER_BYTES as u32)?;
        let load = |at: usize| again.read_word::<u32>(at as u64).map(|w| w.load_acquire());
        let same = load(wire.frame.serial)? == frame.serial() && load(wire.frame.format_ver)? == frame.format_ver();
        self.region.check_alive()?;
        Ok(same)
    }

    fn acknowledge_frame(&mut self) -> Result<(), Trouble> {
        match &mut self.link {
            Link::Joined { client, frames: Some(place), .. } => place.acknowledge(client),
            _ => Ok(()),
        }
    }

    fn accept(&mut self, frame: &Frame) {
        let (serial, format_ver, format) = (frame.serial(), frame.format_ver(), frame.format());
        if let Some(last) = self.last {
            let gap = serial.wrapping_sub(last.serial).wrapping_sub(1);
            if gap < 1 << 31 {
                self.counters.missed += u64::from(gap);
            }
        }
        self.counters.frames += 1;
        self.last = Some(Accepted { serial, format_ver, format });
    }
}

/// What a cursor message told.
struct CursorNews {
    visible: bool,
    position: Option<(i32, i32)>,
    shape: Shape,
}

enum Shape {
    None,
    Torn,
    New(CursorShape),
}

fn read_frame(region: &Region, wire: &Layout, message: &Message) -> Result<Frame, Trouble> {
    let payload = message.payload(region, FRAME_HEADER_BYTES as u32)?;
    let header = payload.read_array::<FRAME_HEADER_BYTES>(0)?;
    let place = PayloadPlace { offset: payload.offset(), len: payload.len(), region_bytes: region.len() };
    Ok(Frame::check(&header, &wire.frame, place)?)
}

fn read_cursor(region: &Region, wire: &Layout, message: &Message, into: &mut [u8]) -> Result<CursorNews, Trouble> {
    let payload = message.payload(region, CURSOR_HEADER_BYTES as u32)?;
    let header = payload.read_array::<CURSOR_HEADER_BYTES>(0)?;
    let flags = message.udata.distrusted();
    let position = match flags & cursor_flags::POSITION {
        0 => None,
        _ => Some(cursor::position(&header, &wire.cursor)?),
    };
    let mut shape = Shape::None;
    if flags & cursor_flags::SHAPE != 0 {
        let checked = CursorShape::check(&header, &wire.cursor, payload.len())?;
        let bytes = into.get_mut(..checked.bytes() as usize).ok_or(too_long(&checked))?;
        payload.sub(wire.cursor.size as u64, u64::from(checked.bytes()))?.copy_to(bytes, Purpose::Read)?;
        // Three buffers go round without anybody waiting for us; a new shape's header is written before its pixels.
        let same = payload.read_array::<CURSOR_HEADER_BYTES>(0)? == header;
        shape = if same { Shape::New(checked) } else { Shape::Torn };
    }
    Ok(CursorNews { visible: flags & cursor_flags::VISIBLE != 0, position, shape })
}

fn too_long(shape: &CursorShape) -> Trouble {
    Trouble::Corrupt(Corrupt {
        field: "cursor pitch x height",
        value: u64::from(shape.bytes()),
        allowed: crate::guest::Allowed::Range(1, u64::from(MAX_SHAPE_BYTES)),
    })
}

fn copy_rows(
    region: &Region,
    frame: &Frame,
    rows: Range<u32>,
    dst: &mut [u8],
    dst_pitch: usize,
    purpose: Purpose,
) -> Result<(), AccessError> {
    let (count, row_bytes, pitch) = (rows.len(), frame.row_bytes() as usize, frame.pitch_bytes() as usize);
    let outside =
        |len: usize| AccessError::OutOfBounds { offset: u64::from(rows.start), len: count as u64, limit: len as u64 };
    if rows.end > frame.rows() {
        return Err(outside(frame.rows() as usize));
    }
    if count == 0 {
        return Ok(());
    }
    let need = (count - 1).checked_mul(dst_pitch).and_then(|n| n.checked_add(row_bytes));
    let dst_len = dst.len();
    let dst = need.filter(|_| dst_pitch >= row_bytes).and_then(|need| dst.get_mut(..need)).ok_or(outside(dst_len))?;
    let first = frame.pixels_at() + u64::from(rows.start) * pitch as u64;
    if dst_pitch == pitch || count == 1 {
        return region.span(first, dst.len() as u64)?.copy_to(dst, purpose);
    }
    for (row, line) in dst.chunks_mut(dst_pitch).enumerate() {
        let line = line.get_mut(..row_bytes).unwrap_or_default();
        region.span(first + (row * pitch) as u64, line.len() as u64)?.copy_to(line, purpose)?;
    }
    Ok(())
}

/// The state for a region without a version that is spoken.
fn unspoken(found: Finding) -> State {
    match found {
        Finding::Other { lgmp, kvmfr, place } => State::OtherVersion { lgmp, kvmfr, place },
        Finding::Foreign(other) => State::Foreign(other),
        Finding::Nothing | Finding::Spoken { .. } => State::NoProducer,
    }
}

/// The state for a producer that stands still: unless another one moves at another place.
fn frozen(found: Finding) -> State {
    match found {
        Finding::Other { .. } => unspoken(found),
        _ => State::Frozen,
    }
}
