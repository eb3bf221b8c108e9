//! Tests of the input's thread as a whole, with a monitor that is played here: what is typed arrives, what is held is
//! released on every way out, and a lost sink comes back by itself.

use super::*;
use crate::input::{Code, InputFrame};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// Longest wait for what takes no time.
const SOON: Duration = Duration::from_secs(30);

/// For so long a test waits for what a machine that was held up may have missed.
const LATE: Duration = Duration::from_secs(2);

/// What a monitor that takes a client and says nothing hands over of it.
const TAKEN: &str = "taken";
/// And of one that it has left.
const LEFT: &str = "left";

/// A monitor that serves one client after the other and hands over each command. To clients for whose number
/// `is_silent` says so it says nothing.
fn monitor(path: &Path, is_silent: fn(usize) -> bool) -> (mpsc::Receiver<(usize, String)>, mpsc::Sender<()>) {
    let listener = UnixListener::bind(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
    let (tell, lines) = mpsc::channel();
    let (hang_up, hung_up) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        for n in 0.. {
            let Ok((client, _)) = listener.accept() else { return };
            let (mut say, mut hear) = (client.try_clone().unwrap(), BufReader::new(client.try_clone().unwrap()));
            let (tell, tell_left) = (tell.clone(), tell.clone());
            let reader = std::thread::spawn(move || {
                let mut line = String::new();
                if is_silent(n) {
                    let _ = tell.send((n, TAKEN.to_owned()));
                    return;
                }
                let _ = say.write_all(b"{\"QMP\":{}}\n");
                while matches!(hear.read_line(&mut line), Ok(1..)) {
                    let id = if line.contains("query-mice") { "mice" } else { "other" };
                    let _ =
                        say.write_all(format!("{{\"return\":[{{\"absolute\":false}}],\"id\":\"{id}\"}}\n").as_bytes());
                    let _ = tell.send((n, core::mem::take(&mut line)));
                }
            });
            if hung_up.recv().is_err() {
                return;
            }
            let _ = client.shutdown(std::net::Shutdown::Both);
            let _ = reader.join();
            let _ = tell_left.send((n, LEFT.to_owned()));
        }
    });
    (lines, hang_up)
}

/// The threads that the program starts.
fn run((capture, connector, handle): (Capture, Connector, Handle)) -> (Handle, JoinHandle<()>) {
    std::thread::spawn(move || connector.run());
    (handle, std::thread::spawn(move || capture.run()))
}

/// The chord, and how long it took until the host had the input.
fn chord(handle: &Handle) -> Duration {
    let start = clock::now();
    for is_down in [true, false] {
        for number in [29, 97] {
            handle.frame(InputFrame::edge(clock::now(), Code::new(number).unwrap(), is_down));
        }
    }
    while handle.is_grabbed() {
        assert!(clock::now().since(start) < SOON, "the chord does nothing");
        std::thread::yield_now();
    }
    clock::now().since(start)
}

struct Rig {
    _folder: tempfile::TempDir,
    handle: Handle,
    stop: Stop,
    thread: JoinHandle<()>,
    lines: mpsc::Receiver<(usize, String)>,
    hang_up: mpsc::Sender<()>,
}

impl Rig {
    fn start() -> Rig {
        let rig = Rig::start_with(InputSettings::default());
        rig.take();
        rig
    }

    /// With a way to the guest, and whoever has the input at first.
    fn start_with(settings: InputSettings) -> Rig {
        Rig::start_beside(settings, |_| false)
    }

    fn start_beside(settings: InputSettings, is_silent: fn(usize) -> bool) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q");
        let (lines, hang_up) = monitor(&path, is_silent);
        let stop = Stop::new().unwrap();
        let settings = InputSettings { choice: InputChoice::Qmp(path), ..settings };
        let (handle, thread) = run(connect(settings, &stop, Box::new(|| {})).unwrap());
        let rig = Rig { _folder: folder, handle, stop, thread, lines, hang_up };
        rig.wait_for(|| rig.handle.stats().connections.get() == 1);
        rig
    }

    fn take(&self) {
        self.handle.take();
        self.wait_for(|| self.handle.is_grabbed());
    }

    fn wait_for(&self, is: impl Fn() -> bool) {
        let end = clock::now() + SOON;
        while !is() {
            assert!(clock::now() < end, "it does not happen: {:?}", self.handle);
            std::thread::yield_now();
        }
    }

    fn key(&self, number: u16, is_down: bool) {
        self.handle.frame(InputFrame::edge(clock::now(), Code::new(number).unwrap(), is_down));
    }

    /// Waits until client `n` sends that `qcode` goes up or down. Whatever comes before is passed over.
    fn expect(&self, n: usize, qcode: &str, is_down: bool) {
        assert!(self.comes(n, qcode, is_down, SOON), "{n} does not send {qcode}, down {is_down}");
    }

    /// Whether that comes in time.
    fn comes(&self, n: usize, qcode: &str, is_down: bool, within: Duration) -> bool {
        let wanted = format!("\"down\":{is_down},\"key\":{{\"type\":\"qcode\",\"data\":\"{qcode}\"}}");
        let end = clock::now() + within;
        while let Ok((from, line)) = self.lines.recv_timeout(end.since(clock::now())) {
            if from == n && line.contains(&wanted) {
                return true;
            }
        }
        false
    }

    fn end(self) {
        self.stop.request();
        self.thread.join().unwrap();
    }
}

#[test]
fn what_is_typed_arrives_and_what_is_held_is_released_at_the_end() {
    let rig = Rig::start();
    rig.key(30, true);
    rig.expect(0, "a", true);
    rig.stop.request();
    // And once more, for a guest that was too slow for the first.
    rig.expect(0, "a", false);
    rig.expect(0, "a", false);
    rig.end();
}

/// QEMU forgets the commands of a client that has gone, so the last release would be one of them.
#[test]
fn a_monitor_that_is_late_is_waited_for_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    let stop = Stop::new().unwrap();
    let settings = InputSettings { choice: InputChoice::Qmp(path), ..InputSettings::default() };
    let (handle, thread) = run(connect(settings, &stop, Box::new(|| {})).unwrap());
    let client = listener.accept().unwrap().0;
    client.set_read_timeout(Some(SOON)).unwrap();
    let (mut say, mut hear) = (client.try_clone().unwrap(), BufReader::new(client.try_clone().unwrap()));
    let mut answer = |is_last: &dyn Fn(&str) -> bool| {
        let mut line = String::new();
        while !is_last(&line) {
            line.clear();
            assert!(hear.read_line(&mut line).unwrap() > 0, "it goes before it was answered");
            let id = if line.contains("query-mice") { "mice" } else { "other" };
            say.write_all(format!("{{\"return\":[{{\"absolute\":false}}],\"id\":\"{id}\"}}\n").as_bytes()).unwrap();
        }
    };
    (&client).write_all(b"{\"QMP\":{}}\n").unwrap();
    answer(&|line| line.contains("query-status"));
    handle.take();
    let end = clock::now() + SOON;
    while !handle.is_grabbed() {
        assert!(clock::now() < end, "the guest does not get the input");
        std::thread::yield_now();
    }
    handle.frame(InputFrame::edge(clock::now(), Code::new(30).unwrap(), true));
    answer(&|line| line.contains("\"down\":true"));
    stop.request();
    // Long enough for the release and the one after it; both stand in the socket.
    std::thread::sleep(Duration::from_millis(200));
    let is_up = |line: &str| line.contains("\"down\":false") && line.contains("\"a\"");
    answer(&is_up);
    answer(&is_up);
    thread.join().unwrap();
    assert_eq!(handle.stats().losses.get(), 0);
}

/// The keys that its guest holds are not forgotten with a thread that fails.
#[test]
fn a_panic_of_the_thread_leaves_nothing_down() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    let (lines, hang_up) = monitor(&path, |_| false);
    let stop = Stop::new().unwrap();
    let settings = InputSettings { choice: InputChoice::Qmp(path), ..InputSettings::default() };
    // Told when the guest has the input, which is after what came with it was sent.
    let tell = Box::new(|| panic!("as if the window's end failed"));
    let (handle, thread) = run(connect(settings, &stop, tell).unwrap());
    let rig = Rig { _folder: folder, handle, stop, thread, lines, hang_up };
    rig.wait_for(|| rig.handle.stats().state() == SinkState::Ready);
    // Both before the bell.
    let down = InputFrame::edge(clock::now(), Code::new(30).unwrap(), true);
    for event in [Event::Take, Event::Frame(down)] {
        rig.handle.events.send(event).unwrap();
    }
    rig.handle.bell.ring();
    rig.expect(0, "a", true);
    rig.expect(0, "a", false);
    assert!(rig.thread.join().is_err());
    assert!(rig.stop.is_requested(), "the rest of the program ends, too");
}

#[test]
fn a_way_that_goes_just_before_the_end_is_found_once_more_to_release_what_was_held() {
    // A machine that is held up for as long as the way is sought gets another try.
    for _ in 0..3 {
        let rig = Rig::start();
        rig.key(30, true);
        rig.expect(0, "a", true);
        rig.hang_up.send(()).unwrap();
        rig.wait_for(|| rig.lines.try_recv().is_ok_and(|(from, line)| (from, line.as_str()) == (0, LEFT)));
        let begun = clock::now();
        rig.stop.request();
        rig.wait_for(|| rig.thread.is_finished());
        let took = clock::now().since(begun);
        println!("the end took {took:?}");
        let within = if took < CONNECT_AT_END { SOON } else { LATE };
        let is_released = rig.comes(1, "a", false, within);
        rig.end();
        if is_released {
            return;
        }
        assert!(took >= CONNECT_AT_END, "it was not found, and the machine was not late");
    }
    panic!("three times it was not found, and each time the machine was late");
}

#[test]
fn a_window_that_loses_the_keyboard_releases_and_gives_back() {
    let rig = Rig::start();
    rig.key(56, true);
    rig.expect(0, "alt", true);
    rig.handle.focus_lost();
    rig.expect(0, "alt", false);
    rig.wait_for(|| !rig.handle.is_grabbed());
    rig.end();
}

#[test]
fn the_chord_works_while_the_window_does_nothing() {
    let rig = Rig::start();
    for number in [42, 29, 97] {
        rig.key(number, true);
    }
    rig.expect(0, "shift", false);
    for number in [97, 29, 42] {
        rig.key(number, false);
    }
    rig.wait_for(|| !rig.handle.is_grabbed());
    rig.end();
}

/// How long after a socket has come it is found, by a program that has waited for it for long.
fn found_after() -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    let stop = Stop::new().unwrap();
    let settings = InputSettings { choice: InputChoice::Qmp(path.clone()), ..InputSettings::default() };
    let (handle, thread) = run(connect(settings, &stop, Box::new(|| {})).unwrap());
    // From 5 ms on, each wait twice as long as the one before: the next one is of more than a second.
    let end = clock::now() + SOON;
    while handle.stats().losses.get() < 10 {
        assert!(clock::now() < end, "it does not try: {handle:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    let start = clock::now();
    let (_lines, _hang_up) = monitor(&path, |_| false);
    while handle.stats().connections.get() == 0 {
        assert!(clock::now() < end, "it does not find it: {handle:?}");
        std::thread::yield_now();
    }
    let took = clock::now().since(start);
    stop.request();
    thread.join().unwrap();
    took
}

/// A virtual machine that is started long after the program.
#[test]
fn a_socket_that_comes_late_is_found_at_once_and_not_at_the_next_attempt() {
    // Of several tries the quickest, since other programs have the processors, too; a try takes seconds.
    let mut times = Vec::new();
    while times.len() < 3 && times.last().is_none_or(|took| *took >= Duration::from_millis(500)) {
        times.push(found_after());
    }
    println!("found after {times:?}");
    assert!(times.iter().min().is_some_and(|least| *least < Duration::from_millis(500)), "{times:?}");
}

/// What the chord may take, of several tries the quickest: other programs have the processors, too.
const AT_ONCE: Duration = Duration::from_millis(10);

#[test]
fn the_chord_works_while_a_server_takes_clients_and_says_nothing() {
    let rig = Rig::start_beside(InputSettings::default(), |n| n % 2 == 1);
    let mut times = Vec::new();
    for n in [0, 2, 4, 6, 8] {
        rig.wait_for(|| rig.handle.stats().state() == SinkState::Ready);
        rig.take();
        rig.key(30, true);
        rig.expect(n, "a", true);
        rig.key(30, false);
        rig.hang_up.send(()).unwrap();
        rig.wait_for(|| rig.lines.try_recv().is_ok_and(|(from, line)| (from, line.as_str()) == (n + 1, TAKEN)));
        // The host has it after a second without a way to the guest, whatever is typed.
        if rig.handle.is_grabbed() {
            times.push(chord(&rig.handle));
        }
        rig.hang_up.send(()).unwrap();
    }
    println!("released after {times:?}");
    assert!(times.iter().min().is_some_and(|least| *least < AT_ONCE), "{times:?}");
    rig.end();
}

#[test]
fn the_chord_works_while_an_address_swallows_all_that_is_sent_to_it() {
    // A queue with room for one: what the next ones send is dropped.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let _first = std::net::TcpStream::connect(address).unwrap();
    assert!(std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)).is_err(), "there is room");
    let times = [(); 5].map(|()| {
        let stop = Stop::new().unwrap();
        let choice = InputChoice::UsbHid(crate::input::address::Endpoint::Tcp(address));
        let settings = InputSettings { choice, ..InputSettings::default() };
        let (mut capture, connector, handle) = connect(settings, &stop, Box::new(|| {})).unwrap();
        // As if there had been a way just now.
        capture.router.sink_up();
        capture.router.take(clock::now(), &mut capture.acts);
        let (handle, thread) = run((capture, connector, handle));
        let end = clock::now() + SOON;
        while !handle.is_grabbed() || handle.stats().state() != SinkState::Connecting {
            assert!(clock::now() < end, "it does not try: {handle:?}");
            std::thread::yield_now();
        }
        let took = chord(&handle);
        assert_eq!(handle.stats().losses.get(), 0, "the attempt was over");
        stop.request();
        thread.join().unwrap();
        took
    });
    println!("released after {times:?}");
    assert!(times.iter().min().is_some_and(|least| *least < AT_ONCE), "{times:?}");
}

/// No device of the machine is meant: it is the rest of the way that is looked at.
#[test]
fn with_devices_the_guest_gets_the_input_at_the_start_if_asked_for_and_the_chord_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("state/frame-rx/release-chord-used");
    let rig = Rig::start_with(InputSettings {
        devices: vec!["class=keys,name=there is none".parse().unwrap()],
        takes_at_start: true,
        trial_mark: Some(mark.clone()),
        ..InputSettings::default()
    });
    rig.wait_for(|| rig.handle.is_grabbed());
    assert!(!mark.exists());
    for is_down in [true, false] {
        for number in [29, 97] {
            rig.key(number, is_down);
        }
    }
    rig.wait_for(|| !rig.handle.is_grabbed() && mark.exists());
    rig.end();
}

#[test]
fn a_lost_sink_comes_back_by_itself_and_holds_nothing() {
    let rig = Rig::start();
    rig.key(30, true);
    rig.expect(0, "a", true);
    rig.hang_up.send(()).unwrap();
    // The next connection begins with everything up.
    rig.expect(1, "a", false);
    rig.key(30, false);
    rig.wait_for(|| rig.handle.stats().state() == SinkState::Ready);
    if !rig.handle.is_grabbed() {
        // It took longer than the user was made to wait.
        rig.take();
    }
    rig.key(48, true);
    rig.expect(1, "b", true);
    rig.end();
}

#[test]
fn events_that_the_thread_has_no_room_for_leave_nothing_down() {
    let stop = Stop::new().unwrap();
    let (mut capture, _connector, handle) = connect(InputSettings::default(), &stop, Box::new(|| {})).unwrap();
    capture.router.sink_up();
    capture.router.take(clock::now(), &mut capture.acts);
    let frame = |is_down| InputFrame::edge(clock::now(), Code::RIGHT, is_down);
    // The last of them is a release, and is lost.
    for n in 0..=EVENTS {
        handle.frame(frame(n % 2 == 1));
    }
    capture.hear(clock::now());
    assert!(!capture.router.holds_anything());
    assert!(capture.acts.iter().any(|act| matches!(act, Act::Send(..))), "something was sent before");
    assert_eq!(handle.stats().overflows.get(), 1);
}
