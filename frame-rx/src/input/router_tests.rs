//! Tests of the router: each way in which input changes hands, and that nothing is left pressed on any of them.

use super::*;

const A: u16 = 30;
const B: u16 = 48;
const SCROLL_LOCK: u16 = 70;
const LEFT_CTRL: u16 = 29;
const RIGHT_CTRL: u16 = 97;
const SECOND: SourceId = SourceId(1);

/// A router with a sink, its acts, and a clock.
struct Rig {
    router: Router,
    acts: Vec<Act>,
    now: HostTime,
}

impl Rig {
    fn new(chord: &str) -> Rig {
        let mut router = Router::new(chord.parse().unwrap(), usual_keep());
        router.sink_up();
        Rig { router, acts: Vec::new(), now: HostTime::ZERO + Duration::from_secs(1) }
    }

    /// A rig whose guest has the input.
    fn captured() -> Rig {
        let mut rig = Rig::new("leftctrl+rightctrl");
        rig.router.take(rig.now, &mut rig.acts);
        assert_eq!((rig.router.phase(), rig.told().as_slice()), (Phase::Guest, &["grab".to_owned()][..]));
        rig
    }

    fn key_of(&mut self, source: SourceId, number: u16, is_down: bool) {
        self.now = self.now + Duration::from_millis(1);
        let frame = InputFrame::edge(self.now, Code::new(number).unwrap(), is_down);
        self.router.frame(self.now, source, &frame, &mut self.acts);
    }

    fn key(&mut self, number: u16, is_down: bool) {
        self.key_of(SourceId::WINDOW, number, is_down);
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
        self.router.tick(self.now, &mut self.acts);
    }

    /// What was to be done since the last look: `30+`, `30-`, `grab`, `ungrab`, `move`.
    fn told(&mut self) -> Vec<String> {
        let text = |act| match act {
            Act::Send(_, Step::Edge(e)) => format!("{}{}", e.code.number(), if e.is_down { '+' } else { '-' }),
            Act::Send(_, Step::Move(_)) => "move".to_owned(),
            Act::Grab => "grab".to_owned(),
            Act::Ungrab => "ungrab".to_owned(),
            Act::Want => "want".to_owned(),
            Act::Own(number) => format!("own {number}"),
        };
        self.acts.drain(..).map(text).collect()
    }
}

#[test]
fn the_host_keeps_what_the_guest_was_not_given() {
    let mut rig = Rig::new("leftctrl+rightctrl");
    rig.key(A, true);
    rig.key(A, false);
    assert_eq!((rig.told(), rig.router.phase()), (vec![], Phase::Host));
}

#[test]
fn the_guest_gets_the_input_only_when_no_key_is_down() {
    let mut rig = Rig::new("leftctrl+rightctrl");
    rig.key(A, true);
    rig.router.take(rig.now, &mut rig.acts);
    rig.key(B, true);
    assert_eq!(rig.told(), [""; 0]);
    rig.key(A, false);
    rig.key(B, false);
    assert_eq!(rig.told(), ["grab"]);
}

#[test]
fn a_key_that_stays_down_is_waited_for_not_for_ever_and_never_reaches_the_guest() {
    let mut rig = Rig::new("leftctrl+rightctrl");
    rig.key(A, true);
    rig.router.take(rig.now, &mut rig.acts);
    rig.wait(2499);
    assert_eq!(rig.told(), [""; 0]);
    rig.wait(1);
    rig.key(A, false);
    rig.key(A, true);
    rig.key(A, false);
    assert_eq!(rig.told(), ["grab", "30+", "30-"]);
}

#[test]
fn the_chord_releases_everything_before_the_host_gets_the_input() {
    let mut rig = Rig::captured();
    rig.key(A, true);
    rig.key(LEFT_CTRL, true);
    rig.key(RIGHT_CTRL, true);
    // The key that completes the chord never reaches the guest.
    assert_eq!(rig.told(), ["30+", "29+", "29-", "30-"]);
    rig.key(RIGHT_CTRL, false);
    rig.key(LEFT_CTRL, false);
    assert_eq!(rig.told(), [""; 0]);
    rig.key(A, false);
    assert_eq!((rig.told(), rig.router.phase()), (vec!["ungrab".to_owned()], Phase::Host));
}

#[test]
fn the_chord_gives_the_input_to_the_guest_too() {
    let mut rig = Rig::new("scrolllock");
    for is_down in [true, false] {
        rig.key(70, is_down);
    }
    assert_eq!(rig.told(), ["grab"]);
    // Alone it is the chord: the guest never sees it.
    rig.key(70, true);
    rig.key(70, false);
    assert_eq!(rig.told(), ["ungrab"]);
}

#[test]
fn a_chord_of_the_mouse_works_like_one_of_keys() {
    let mut rig = Rig::new("mouse-side+mouse-extra");
    rig.router.take(rig.now, &mut rig.acts);
    rig.key(0x113, true);
    rig.key(0x114, true);
    assert_eq!(rig.told(), ["grab", "275+", "275-"]);
}

#[test]
fn a_held_chord_works_without_another_event() {
    let mut rig = Rig::new("rightctrl@500ms");
    rig.router.take(rig.now, &mut rig.acts);
    rig.key(RIGHT_CTRL, true);
    assert_eq!(rig.router.due(), Some(rig.now + Duration::from_millis(500)));
    rig.wait(500);
    assert_eq!(rig.told(), ["grab", "97+", "97-"]);
    rig.key(RIGHT_CTRL, false);
    assert_eq!(rig.told(), ["ungrab"]);
}

#[test]
fn a_key_on_two_keyboards_is_up_when_both_are() {
    let mut rig = Rig::captured();
    rig.key(42, true);
    rig.key_of(SECOND, 42, true);
    rig.key(42, false);
    assert_eq!(rig.told(), ["42+"]);
    rig.key_of(SECOND, 42, false);
    assert_eq!(rig.told(), ["42-"]);
}

#[test]
fn an_unplugged_keyboard_holds_nothing() {
    let mut rig = Rig::captured();
    rig.key_of(SECOND, A, true);
    rig.key_of(SECOND, 42, true);
    rig.key(B, true);
    rig.router.source_gone(rig.now, SECOND, &mut rig.acts);
    assert_eq!(rig.told(), ["30+", "42+", "48+", "42-", "30-"]);
    assert!(rig.router.holds_anything());
}

#[test]
fn what_was_lost_is_made_up_releases_first() {
    let mut rig = Rig::captured();
    rig.key(A, true);
    let down: CodeSet = [Code::new(B).unwrap()].into_iter().collect();
    rig.router.resync(rig.now, SourceId::WINDOW, &down, &mut rig.acts);
    assert_eq!(rig.told(), ["30+", "30-", "48+"]);
}

#[test]
fn keys_of_the_host_never_reach_the_guest() {
    let mut rig = Rig::captured();
    for power in [116, 142, 224] {
        rig.key(power, true);
        rig.key(power, false);
    }
    assert_eq!(rig.told(), [""; 0]);
}

#[test]
fn a_sink_that_comes_back_soon_goes_on_with_new_presses_only() {
    let mut rig = Rig::captured();
    rig.key(A, true);
    rig.router.sink_down(rig.now);
    assert!(matches!(rig.router.phase(), Phase::Lost { .. }) && !rig.router.holds_anything());
    rig.wait(900);
    rig.router.sink_up();
    rig.key(A, false);
    rig.key(B, true);
    assert_eq!(rig.told(), ["30+", "48+"]);
}

#[test]
fn a_sink_that_stays_away_gives_the_input_to_the_host() {
    let mut rig = Rig::captured();
    rig.router.sink_down(rig.now);
    rig.wait(1000);
    assert_eq!((rig.told(), rig.router.phase()), (vec!["ungrab".to_owned()], Phase::Host));
    // And nobody can take it before there is one.
    rig.router.take(rig.now, &mut rig.acts);
    assert_eq!(rig.router.phase(), Phase::Host);
}

#[test]
fn without_the_chord_a_trial_ends_by_itself() {
    let mut rig = Rig::new("leftctrl+rightctrl");
    rig.router.set_trial(Some(Duration::from_secs(10)));
    rig.router.take(rig.now, &mut rig.acts);
    rig.key(A, true);
    rig.wait(10_000);
    assert_eq!(rig.told(), ["grab", "30+", "30-"]);
    rig.key(A, false);
    // Whoever used the chord once knows it.
    rig.router.take(rig.now, &mut rig.acts);
    rig.key(LEFT_CTRL, true);
    rig.key(RIGHT_CTRL, true);
    assert!(!rig.router.is_on_trial());
}

#[test]
fn a_window_that_lost_the_keyboard_gives_back_at_once() {
    let mut rig = Rig::captured();
    rig.key(56, true);
    rig.router.give_back_at_once(rig.now, &mut rig.acts);
    assert_eq!((rig.told(), rig.router.phase()), (vec!["56+".into(), "56-".into(), "ungrab".into()], Phase::Host));
}

#[test]
fn a_device_that_the_host_hears_too_sends_nothing_but_has_the_chord() {
    let mut rig = Rig::captured();
    rig.router.set_silent(SECOND, true);
    rig.key_of(SECOND, A, true);
    let motion = InputFrame::new(rig.now).with_motion(crate::input::Motion { dx: 1, dy: 0 });
    rig.router.frame(rig.now, SECOND, &motion, &mut rig.acts);
    rig.key_of(SECOND, A, false);
    assert_eq!(rig.told(), Vec::<String>::new());
    for (number, is_down) in [(LEFT_CTRL, true), (RIGHT_CTRL, true), (LEFT_CTRL, false), (RIGHT_CTRL, false)] {
        rig.key_of(SECOND, number, is_down);
    }
    assert_eq!((rig.told(), rig.router.phase()), (vec!["ungrab".to_owned()], Phase::Host));
}

#[test]
fn a_chord_that_a_device_and_the_window_both_tell_counts_once() {
    let mut rig = Rig::new("leftctrl+rightctrl");
    for is_down in [true, false] {
        for number in [LEFT_CTRL, RIGHT_CTRL] {
            rig.key_of(SECOND, number, is_down);
            rig.key(number, is_down);
        }
    }
    assert_eq!((rig.told(), rig.router.phase()), (vec!["grab".to_owned()], Phase::Guest));
}

#[test]
fn a_chord_without_a_way_to_the_guest_asks_for_one() {
    let mut rig = Rig::new("scrolllock");
    rig.router.sink_down(rig.now);
    rig.key(70, true);
    rig.key(70, false);
    assert_eq!((rig.told(), rig.router.phase()), (vec!["want".to_owned()], Phase::Host));
}

/// Scroll Lock and A are the window's.
fn with_own_keys() -> Rig {
    let mut rig = Rig::captured();
    rig.router.set_own(OwnKeys::new(Code::new(SCROLL_LOCK), [None, Code::new(A)].into_iter()));
    rig
}

#[test]
fn the_windows_own_keys_are_the_windows_while_the_guest_has_the_input() {
    let mut rig = with_own_keys();
    for (number, is_down) in [(SCROLL_LOCK, true), (A, true), (A, false), (B, true), (B, false), (SCROLL_LOCK, false)] {
        rig.key(number, is_down);
    }
    assert_eq!(rig.told(), ["own 1", "48+", "48-"]);
    // Each alone is the guest's, the one to hold once it is let go.
    for (number, is_down) in [(SCROLL_LOCK, true), (SCROLL_LOCK, false), (A, true), (A, false)] {
        rig.key(number, is_down);
    }
    assert_eq!(rig.told(), ["70+", "70-", "30+", "30-"]);
    assert!(!rig.router.holds_anything());
}

#[test]
fn a_key_of_two_sources_is_the_windows_once_and_the_chord_goes_before() {
    let mut rig = with_own_keys();
    for (source, number, is_down) in [
        (SourceId::WINDOW, SCROLL_LOCK, true),
        (SECOND, SCROLL_LOCK, true),
        (SourceId::WINDOW, A, true),
        (SECOND, A, true),
        (SourceId::WINDOW, A, false),
        (SECOND, A, false),
    ] {
        rig.key_of(source, number, is_down);
    }
    let told = rig.told();
    assert_eq!(told.iter().filter(|t| *t == "own 1").count(), 1, "{told:?}");
    rig.key(LEFT_CTRL, true);
    rig.key(RIGHT_CTRL, true);
    assert!(matches!(rig.router.phase(), Phase::Draining { .. }));
    // Let go after that, it is nobody's.
    rig.told();
    for (source, number) in [(SourceId::WINDOW, SCROLL_LOCK), (SECOND, SCROLL_LOCK)] {
        rig.key_of(source, number, false);
    }
    assert!(rig.told().is_empty());
}
