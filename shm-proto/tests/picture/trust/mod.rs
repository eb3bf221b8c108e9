//! Table 4.1 of the wire reference, row by row: what a guest can write there, and what becomes of a viewer. One test for
//! each row and version; each tells every lie of that row, the last value that is still good and the first that is not, to
//! a viewer that watches and to one that comes later. After each the next honest session is shown within a second, and
//! nothing that the guest wrote made the viewer's memory grow.
//!
//! The list below is the table: row, test, where its cases stand. The last row is none of the table's: no field, but the
//! session as a whole, which section 4.2 speaks of.

mod cursor;
mod frame;
mod queues;
mod session;

use crate::screen::{MS, Screen, ms};
use shm_proto::guest_sim::lies::{How, LIES, Lie};
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest};
use shm_proto::kvmfr::{Counters, Version};
use shm_proto::{HostTime, Region};
use std::time::Duration;

/// Makes the list of rows, and a test of each in every version.
macro_rules! rows {
    ($($row:literal: $name:ident = $cases:path;)*) => {
        const ROWS: &[(&str, fn(Version) -> Vec<Case>)] = &[$(($row, $cases)),*];
        $(fn $name(version: Version) {
            row(version, $cases(version));
        })*
        in_every_version!([$($name)*]);
    };
}

rows! {
    "numQueues": picture_num_queues_beyond_the_table_is_refused = queues::num_queues;
    "queue numMessages, messagesOffset": picture_ring_that_cannot_be_is_refused_when_a_place_is_taken = queues::rings;
    "position, start, count": picture_position_and_count_outside_the_ring_end_the_session = queues::positions;
    "message offset, size": picture_message_outside_the_memory_is_dropped = queues::messages;
    "subs, clientID, timeout": picture_places_are_believed_only_about_our_own = queues::places;
    "timestamp": picture_timestamp_counts_only_by_changing = session::timestamp;
    "udataSize and records": picture_user_data_is_capped_and_its_records_too = session::user_data;
    "frame type": picture_of_a_type_that_is_not_known_is_dropped = frame::types;
    "frame offset, dataHeight, pitch": picture_rows_outside_their_payload_are_never_read = frame::rows;
    "dimensions": picture_of_an_impossible_size_is_dropped = frame::dimensions;
    "stride": picture_stride_is_not_looked_at = frame::stride;
    "damageRectsCount": picture_damage_that_cannot_be_is_everything = frame::damage;
    "rotation, flags, formatVer": picture_flags_that_are_not_known_are_masked = frame::flags;
    "wp": picture_write_pointer_is_at_least_and_never_a_length = frame::write_pointer;
    "cursor height x pitch": picture_cursor_larger_than_its_payload_is_dropped = cursor::shapes;
    "hotspot, position": picture_cursor_may_be_anywhere = cursor::places;
    "cMsgWPos, cMsgAvail": picture_mailbox_that_cannot_be_is_not_written = session::mailbox;
    "locks": picture_lock_that_is_held_is_given_up_on = session::locks;
    "version text, names": picture_texts_are_cut_and_cleaned = session::texts;
    "races": picture_session_that_changes_under_the_viewer_is_survived = session::races;
}

/// What a session may allocate: 64 KiB of user data, a client, some texts.
const SESSION_BYTES: i64 = 256 << 10;

/// What a lie does to a viewer.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// The picture goes on.
    Shows,
    /// The session stays; frames may be lost.
    Lives,
    /// No frame is taken; each is counted as corrupt, because of this field.
    Drops(&'static str),
    /// Cursor messages are counted as corrupt because of this field; the picture goes on.
    DropsCursor(&'static str),
    /// No frame is taken; the viewer stays connected and gives each one up.
    GivesUp,
    /// At most one frame is taken, the others count as posted again.
    OnlyRepeats,
    /// No frame is taken; places are taken again and again, not too often.
    LosesPlaces,
    /// The session ends or does not begin; the sentence for the user contains this.
    Says(&'static str),
    /// Nothing can be said but that it is survived.
    Survives,
}

/// How a case is told.
enum Tell {
    /// By the simulated guest.
    Guest(&'static Lie),
    /// By the test, after each step of the guest, which is counted.
    Each(fn(&Region, Version, u64)),
}

/// Something that a guest writes.
pub struct Case {
    what: String,
    /// Whether it is one of the named lies.
    is_named: bool,
    tell: Tell,
    watching: Effect,
    coming: Effect,
    check: fn(&Screen),
}

impl Case {
    /// Looks at the viewer, too, as long as the lie is told.
    fn and(mut self, check: fn(&Screen)) -> Case {
        self.check = check;
        self
    }
}

/// A lie that has a name.
fn lie(name: &str, watching: Effect, coming: Effect) -> Case {
    let lie = Lie::by_name(name).unwrap_or_else(|| panic!("there is no lie {name}"));
    Case { what: name.to_owned(), is_named: true, tell: Tell::Guest(lie), watching, coming, check: |_| {} }
}

/// One that has none, told from the beginning or to a viewer that watches already.
fn told_to(what: &str, how: How, watching: Effect, coming: Effect) -> Case {
    let lie = Box::leak(Box::new(Lie { name: "of a row", how }));
    Case { what: what.to_owned(), is_named: false, tell: Tell::Guest(lie), watching, coming, check: |_| {} }
}

/// One that does the same to every viewer.
fn told(what: &str, how: How, effect: Effect) -> Case {
    told_to(what, how, effect, effect)
}

/// One that the test tells.
fn each(what: &str, tell: fn(&Region, Version, u64), watching: Effect, coming: Effect) -> Case {
    Case { what: what.to_owned(), is_named: false, tell: Tell::Each(tell), watching, coming, check: |_| {} }
}

fn config(version: Version) -> PictureConfig {
    PictureConfig::new(160, 100).speaking(version)
}

/// Goes through a row's cases.
fn row(version: Version, cases: impl IntoIterator<Item = Case>) {
    for case in cases {
        run(version, &case, Duration::from_millis(300), case.watching);
        run(version, &case, Duration::ZERO, case.coming);
    }
}

fn run(version: Version, case: &Case, honest_for: Duration, effect: Effect) {
    let config = config(version);
    let region = Region::memfd("trust", config.region_bytes()).expect("memfd");
    let mut guest = PictureGuest::start(&region, config, ms(0)).unwrap();
    let mut screen = Screen::new(&region);
    let mut now = screen.run(&mut guest, ms(0), honest_for);
    let (taken, before) = (screen.frames.len(), *screen.viewer.counters());
    screen.cost = Default::default();
    // Some lies begin with a session, which is joined with its heartbeat.
    let joining = Duration::from_millis(2 * version.lgmp().manner.heartbeat_every_ms);
    let lasting = Duration::from_millis(1500) + joining;
    match case.tell {
        Tell::Guest(lie) => {
            guest.lie(Some(lie), now).unwrap();
            now = screen.run(&mut guest, now, lasting);
        }
        Tell::Each(tell) => {
            for step in 0..lasting.as_millis() as u64 {
                guest.advance(now).unwrap();
                tell(&region, version, step);
                now = screen.run_round(&mut guest, now);
            }
        }
    }
    let name = format!("{}, {}", case.what, if honest_for.is_zero() { "told before it came" } else { "watched" });
    check_effect(&screen, effect, screen.frames.len() - taken, &before, &name);
    check_cost(&screen, &before, &name);
    (case.check)(&screen);
    recovers(&mut screen, &mut guest, now, &name);
}

fn check_effect(screen: &Screen, effect: Effect, frames: usize, before: &Counters, name: &str) {
    use Effect::{Drops, DropsCursor, GivesUp, Lives, LosesPlaces, OnlyRepeats, Says, Shows, Survives};
    let counters = screen.viewer.counters();
    let state = screen.viewer.state();
    let said = state.to_string();
    let case = format!("{name}: {frames} frames, \"{said}\", {counters:?}");
    let corrupt = screen.viewer.last_corrupt().map(|c| c.field);
    match effect {
        Shows => assert!(frames > 70 && state.is_live(), "{case}"),
        Lives => assert!(state.is_live() && counters.corrupt_sessions == before.corrupt_sessions, "{case}"),
        Drops(field) => {
            assert!(frames == 0 && state.is_live() && counters.corrupt - before.corrupt > 70, "{case}");
            assert_eq!(corrupt, Some(field), "{case}");
        }
        DropsCursor(field) => {
            assert!(frames > 70 && state.is_live() && counters.corrupt - before.corrupt > 70, "{case}");
            assert_eq!(corrupt, Some(field), "{case}");
        }
        GivesUp => assert!(frames == 0 && state.is_live() && counters.abandoned - before.abandoned > 70, "{case}"),
        OnlyRepeats => assert!(frames <= 1 && counters.repeated - before.repeated > 70, "{case}"),
        LosesPlaces => {
            let taken = counters.resubscribed - before.resubscribed;
            assert!(frames == 0 && (10..=150).contains(&taken), "{case}");
        }
        Says(sentence) => assert!(frames == 0 && said.contains(sentence), "{case}"),
        Survives => {}
    }
}

/// A session allocates a few texts when it is joined. Nothing else does, and nothing stays that is not given back.
fn check_cost(screen: &Screen, before: &Counters, name: &str) {
    let (cost, counters) = (&screen.cost, screen.viewer.counters());
    let tried = counters.sessions + counters.corrupt_sessions + counters.sessions_ended;
    let tried_before = before.sessions + before.corrupt_sessions + before.sessions_ended;
    if before.sessions > 0 && tried == tried_before && screen.viewer.session().is_some() {
        assert_eq!(cost.allocations, 0, "{name}: {cost:?}");
    }
    assert!(cost.most_bytes < SESSION_BYTES, "{name}: {cost:?}");
}

fn recovers(screen: &mut Screen, guest: &mut PictureGuest, now: HostTime, name: &str) {
    guest.lie(None, now).unwrap();
    guest.restart(now).unwrap();
    let taken = screen.frames.len();
    let now = screen.run(guest, now, Duration::from_millis(1000));
    assert!(screen.viewer.state().is_live() && screen.frames.len() > taken + 30, "{name}: {}", screen.viewer.state());
    screen.run(guest, now, MS);
    screen.assert_shows(guest);
}

#[test]
fn picture_every_lie_is_told_in_one_row_of_the_trust_table_and_every_row_has_some() {
    assert_eq!(ROWS.len(), 19 + 1, "the rows of the table, and the races below it");
    let mut told = Vec::new();
    for (name, cases) in ROWS {
        let named: Vec<String> = cases(Version::B7).into_iter().filter(|c| c.is_named).map(|c| c.what).collect();
        assert!(!named.is_empty(), "{name}");
        told.extend(named);
    }
    let mut known: Vec<&str> = LIES.iter().map(|lie| lie.name).collect();
    told.sort_unstable();
    known.sort_unstable();
    assert_eq!(told, known);
}
