//! Every lie of the simulated guest against the viewer: told while it watches, and told before it comes. Whatever was
//! told, a good producer afterwards is shown within a second.

use crate::screen::{MS, Screen, ms};
use Effect::{Drops, GivesUp, LosesPlaces, OnlyRepeats, Says, Shows, Survives};
use shm_proto::guest_sim::lies::LIES;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest};
use shm_proto::kvmfr::Version;
use shm_proto::{HostTime, Region};
use std::time::Duration;

/// What a lie does to a viewer.
#[derive(Clone, Copy, Debug)]
enum Effect {
    /// The picture goes on.
    Shows,
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
use Effect::DropsCursor;

/// The lie, what it does to a viewer that watches, what it does to one that comes later.
const EFFECTS: &[(&str, Effect, Effect)] = &[
    ("queues-1000", Shows, Says("numQueues is 1000")),
    ("queues-none", Shows, Says("is starting")),
    ("ring-of-0", Shows, Says("numMessages is 0")),
    ("ring-of-1", Shows, Says("numMessages is 1")),
    ("ring-of-4-billion", Shows, Says("numMessages is 4294967295")),
    ("ring-in-header", Shows, Says("messagesOffset is 64")),
    ("ring-outside", Shows, Says("messagesOffset is 4294967280")),
    ("ring-unaligned", Shows, Says("messagesOffset is 8193")),
    ("position-3", Says("position is 3"), Says("position is 3")),
    ("position-garbage", Says("position is 2147483648"), Says("position is 2147483648")),
    ("start-garbage", Shows, Shows),
    ("count-65", Says("count is 65"), Says("count is 65")),
    ("count-garbage", Says("count is 2147483648"), Says("count is 2147483648")),
    ("count-0", Survives, Survives),
    ("nobody-subscribed", LosesPlaces, LosesPlaces),
    ("everybody-subscribed", Survives, Says("places for viewers are taken")),
    ("everybody-bad", LosesPlaces, Says("places for viewers are taken")),
    ("pointer-bad", Shows, Says("places for viewers are taken")),
    ("place-renamed", Survives, Survives),
    ("max-time-0", Shows, Shows),
    ("lock-held", Survives, Says("held a lock")),
    ("pointer-lock-held", Shows, Says("held a lock")),
    ("mail-lock-held", Shows, Shows),
    ("mail-position-1000", Shows, Shows),
    ("mail-free-1000", Shows, Shows),
    ("mail-full", Shows, Shows),
    ("magic-gone", Says("waiting for the host application"), Says("waiting for the host application")),
    ("version-0", Says("waiting for the host application"), Says("waiting for the host application")),
    ("session-changes", Survives, Shows),
    ("udata-4-gib", Shows, Says("udataSize is 4294967295")),
    ("udata-none", Shows, Says("no picture")),
    ("udata-47", Shows, Says("features is 47")),
    ("kvmfr-magic", Shows, Says("no picture")),
    ("kvmfr-version", Shows, Says("with KVMFR 99, which is not supported")),
    ("version-text", Shows, Shows),
    ("record-size", Shows, Shows),
    ("record-size-10", Shows, Shows),
    ("heartbeat-stands", Survives, Says("is not running")),
    ("type-0", Drops("type"), Drops("type")),
    ("type-7", Drops("type"), Drops("type")),
    ("type-garbage", Drops("type"), Drops("type")),
    ("offset-0", Drops("offset"), Drops("offset")),
    ("offset-unaligned", Drops("offset"), Drops("offset")),
    ("offset-outside", Drops("offset"), Drops("offset")),
    ("height-0", Drops("frameHeight"), Drops("frameHeight")),
    ("height-garbage", Drops("frameHeight"), Drops("frameHeight")),
    ("data-height-16384", Shows, Shows),
    ("both-heights-16384", GivesUp, GivesUp),
    ("width-0", Drops("frameWidth"), Drops("frameWidth")),
    ("width-garbage", Drops("frameWidth"), Drops("frameWidth")),
    ("screen-garbage", Drops("screenWidth"), Drops("screenWidth")),
    ("pitch-0", Drops("pitch"), Drops("pitch")),
    ("pitch-short", Drops("pitch"), Drops("pitch")),
    ("pitch-garbage", Drops("pitch"), Drops("pitch")),
    ("stride-garbage", Shows, Shows),
    ("damage-65", Shows, Shows),
    ("damage-0x80000000", Shows, Shows),
    ("damage-outside", Shows, Shows),
    ("rotation-garbage", Shows, Shows),
    ("flags-garbage", Shows, Shows),
    ("format-ver-0", Shows, Shows),
    ("serial-stands", OnlyRepeats, OnlyRepeats),
    ("frame-outside", Drops("message offset + size"), Drops("message offset + size")),
    ("frame-unaligned", Drops("message offset"), Drops("message offset")),
    ("frame-tiny", Drops("message size"), Drops("message size")),
    ("frame-header-only", Drops("type"), Drops("type")),
    ("frame-whole-memory", Drops("message offset + size"), Drops("message offset + size")),
    ("write-pointer-stands", GivesUp, GivesUp),
    ("write-pointer-large", Shows, Shows),
    ("write-pointer-odd", GivesUp, GivesUp),
    ("ignores-viewers", Shows, Shows),
    ("restart-in-frame", Shows, Shows),
    ("magic-first", Shows, Shows),
    ("cursor-type-3", DropsCursor("cursor type"), DropsCursor("cursor type")),
    ("cursor-width-0", DropsCursor("cursor width"), DropsCursor("cursor width")),
    ("cursor-width-garbage", DropsCursor("cursor width"), DropsCursor("cursor width")),
    ("cursor-height-garbage", DropsCursor("cursor height"), DropsCursor("cursor height")),
    ("cursor-height-odd", DropsCursor("cursor height"), DropsCursor("cursor height")),
    ("cursor-pitch-0", DropsCursor("cursor pitch"), DropsCursor("cursor pitch")),
    ("cursor-pitch-garbage", DropsCursor("cursor pitch"), DropsCursor("cursor pitch")),
    ("cursor-too-many-bytes", DropsCursor("cursor pitch x height"), DropsCursor("cursor pitch x height")),
    ("cursor-hotspot", Shows, Shows),
    ("pointer-outside", DropsCursor("message offset + size"), DropsCursor("message offset + size")),
    ("pointer-tiny", DropsCursor("message size"), DropsCursor("message size")),
    ("garbage-header", Survives, Survives),
    ("garbage-everywhere", Survives, Survives),
];

fn picture_every_lie_told_to_a_watching_viewer(version: Version) {
    check_all(version, Duration::from_millis(300), |row| row.1);
}

fn picture_every_lie_told_before_the_viewer_comes(version: Version) {
    check_all(version, Duration::ZERO, |row| row.2);
}

/// The rows of the wire reference's table 4.1, what a guest can write there, and the lies that write it. What a lie cannot
/// tell is named with the test that does.
const TRUST: &[(&str, &[&str])] = &[
    ("numQueues", &["queues-1000", "queues-none"]),
    (
        "queue numMessages, messagesOffset",
        &["ring-of-0", "ring-of-1", "ring-of-4-billion", "ring-in-header", "ring-outside", "ring-unaligned"],
    ),
    (
        "position, start, count",
        &["position-3", "position-garbage", "start-garbage", "count-65", "count-garbage", "count-0"],
    ),
    (
        "message offset, size",
        &[
            "frame-outside",
            "frame-unaligned",
            "frame-tiny",
            "frame-header-only",
            "frame-whole-memory",
            "pointer-outside",
            "pointer-tiny",
        ],
    ),
    (
        "subs, clientID, timeout",
        &["nobody-subscribed", "everybody-subscribed", "everybody-bad", "pointer-bad", "place-renamed", "max-time-0"],
    ),
    ("timestamp", &["heartbeat-stands"]),
    (
        "udataSize and records",
        &["udata-4-gib", "udata-none", "udata-47", "kvmfr-magic", "kvmfr-version", "record-size", "record-size-10"],
    ),
    ("frame type", &["type-0", "type-7", "type-garbage"]),
    (
        "frame offset, dataHeight, pitch",
        &[
            "offset-0",
            "offset-unaligned",
            "offset-outside",
            "height-0",
            "height-garbage",
            "data-height-16384",
            "both-heights-16384",
            "pitch-0",
            "pitch-short",
            "pitch-garbage",
        ],
    ),
    ("dimensions", &["width-0", "width-garbage", "screen-garbage"]),
    ("stride", &["stride-garbage"]),
    ("damageRectsCount", &["damage-65", "damage-0x80000000", "damage-outside"]),
    ("rotation, flags, formatVer", &["rotation-garbage", "flags-garbage", "format-ver-0", "serial-stands"]),
    ("wp", &["write-pointer-stands", "write-pointer-large", "write-pointer-odd"]),
    (
        "cursor height x pitch",
        &[
            "cursor-type-3",
            "cursor-width-0",
            "cursor-width-garbage",
            "cursor-height-garbage",
            "cursor-height-odd",
            "cursor-pitch-0",
            "cursor-pitch-garbage",
            "cursor-too-many-bytes",
        ],
    ),
    ("hotspot, position", &["cursor-hotspot"]),
    // Sending into such a mailbox: `lgmp_queues`, mailbox limits are kept on both sides.
    ("cMsgWPos, cMsgAvail", &["mail-position-1000", "mail-free-1000", "mail-full"]),
    ("locks", &["lock-held", "pointer-lock-held", "mail-lock-held"]),
    // What a terminal must not get: `kvmfr::session`, text of a guest cannot move the terminal.
    ("version text, names", &["version-text"]),
    // Not a field but the session as a whole, which section 4.2 speaks of.
    (
        "races: sessions and slots",
        &[
            "magic-gone",
            "version-0",
            "session-changes",
            "ignores-viewers",
            "restart-in-frame",
            "magic-first",
            "garbage-header",
            "garbage-everywhere",
        ],
    ),
];

#[test]
fn picture_every_row_of_the_trust_table_has_lies_and_every_lie_a_row() {
    assert_eq!(TRUST.len(), 19 + 1, "the rows of the table, and the races below it");
    let mut told: Vec<&str> = TRUST.iter().flat_map(|(_, lies)| *lies).copied().collect();
    let mut known: Vec<&str> = LIES.iter().map(|lie| lie.name).collect();
    told.sort_unstable();
    known.sort_unstable();
    assert_eq!(told, known);
}

#[test]
fn picture_every_lie_has_its_row() {
    let named: Vec<_> = EFFECTS.iter().map(|row| row.0).collect();
    let known: Vec<_> = LIES.iter().map(|lie| lie.name).collect();
    assert_eq!(named, known);
}

fn check_all(version: Version, honest_for: Duration, expected: fn(&(&str, Effect, Effect)) -> Effect) {
    for (lie, row) in LIES.iter().zip(EFFECTS) {
        let config = PictureConfig::new(160, 100).speaking(version);
        let region = Region::memfd("picture", config.region_bytes()).expect("memfd");
        let mut guest = PictureGuest::start(&region, config, ms(0)).unwrap();
        let mut screen = Screen::new(&region);
        let now = screen.run(&mut guest, ms(0), honest_for);
        let taken = screen.frames.len();
        let before = *screen.viewer.counters();
        guest.lie(Some(lie), now).unwrap();
        // Some lies begin with a session, which is joined with its heartbeat.
        let joining = Duration::from_millis(2 * version.lgmp().manner.heartbeat_every_ms);
        let now = screen.run(&mut guest, now, Duration::from_millis(1500) + joining);
        let frames = screen.frames.len() - taken;
        check_effect(&screen, expected(row), frames, &before, lie.name);
        recovers(&mut screen, &mut guest, now, lie.name);
    }
}

fn check_effect(screen: &Screen, effect: Effect, frames: usize, before: &shm_proto::kvmfr::Counters, name: &str) {
    let counters = screen.viewer.counters();
    let state = screen.viewer.state();
    let said = state.to_string();
    let case = format!("{name}: {frames} frames, \"{said}\", {counters:?}");
    let corrupt = screen.viewer.last_corrupt().map(|c| c.field);
    match effect {
        Shows => assert!(frames > 70 && state.is_live(), "{case}"),
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

fn recovers(screen: &mut Screen, guest: &mut PictureGuest, now: HostTime, name: &str) {
    guest.lie(None, now).unwrap();
    guest.restart(now).unwrap();
    let taken = screen.frames.len();
    let now = screen.run(guest, now, Duration::from_millis(1000));
    assert!(screen.viewer.state().is_live() && screen.frames.len() > taken + 30, "{name}: {}", screen.viewer.state());
    screen.run(guest, now, MS);
    screen.assert_shows(guest);
}

in_every_version!([
    picture_every_lie_told_to_a_watching_viewer
    picture_every_lie_told_before_the_viewer_comes
]);
