//! Tests against a monitor that is played here. The real one is a QEMU, in the tests of whole programs.

use super::*;
use crate::input::frame::{Motion, Wheel};
use rx_host::signals::Stop;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;

const GREETING: &str = r#"{"QMP":{"version":{},"capabilities":["oob"]}}"#;
const BOTH: &str = r#"{"return":[{"absolute":true,"current":true},{"absolute":false}],"id":"mice"}"#;

struct Monitor {
    _folder: tempfile::TempDir,
    path: PathBuf,
    thread: JoinHandle<()>,
}

impl Monitor {
    fn start(serve: impl FnOnce(BufReader<UnixStream>) + Send + 'static) -> Monitor {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q");
        let listener = UnixListener::bind(&path).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let thread = std::thread::spawn(move || serve(BufReader::new(listener.accept().unwrap().0)));
        Monitor { _folder: folder, path, thread }
    }

    fn connect(&self) -> Result<QmpSink, SinkError> {
        QmpSink::connect(&self.path, &Patience::new(Duration::from_secs(20), &Stop::new().unwrap()))
    }
}

fn say(client: &mut BufReader<UnixStream>, line: &str) {
    client.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn line(client: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    line
}

/// The conversation up to the first input.
fn greet(client: &mut BufReader<UnixStream>) {
    say(client, GREETING);
    assert!(line(client).contains("qmp_capabilities"));
    say(client, r#"{"return":{}}"#);
    assert!(line(client).contains("query-mice"));
    say(client, BOTH);
    assert!(line(client).contains("query-status"));
}

#[test]
fn commands_are_those_that_qemu_documents() {
    let monitor = Monitor::start(|mut client| {
        greet(&mut client);
        let mut command = || -> Value {
            let value: Value = serde_json::from_str(&line(&mut client)).unwrap();
            assert_eq!(value["execute"], "input-send-event");
            value["arguments"]["events"].clone()
        };
        assert_eq!(
            command(),
            serde_json::json!([{"type":"key","data":{"down":true,"key":{"type":"qcode","data":"ctrl_r"}}}])
        );
        assert_eq!(command(), serde_json::json!([{"type":"btn","data":{"down":true,"button":"side"}}]));
        assert_eq!(
            command(),
            serde_json::json!([
                {"type":"abs","data":{"axis":"x","value":1}}, {"type":"abs","data":{"axis":"y","value":32767}},
                {"type":"rel","data":{"axis":"y","value":-7}}
            ])
        );
        for down in [true, false] {
            assert_eq!(command(), serde_json::json!([{"type":"btn","data":{"down":down,"button":"wheel-left"}}]));
        }
    });
    let mut sink = monitor.connect().unwrap();
    assert!(sink.caps().position && sink.caps().motion);
    let moved = Move {
        motion: Motion { dx: 0, dy: -7 },
        position: Some(Position { x: 1, y: 32_767 }),
        wheel: Wheel { vertical: 0, horizontal: -1 },
    };
    let edge = |number| Step::Edge(Edge { code: Code::new(number).unwrap(), is_down: true });
    for step in [edge(97), edge(0x113), Step::Move(moved)] {
        assert_eq!(sink.send(&step, HostTime::ZERO).unwrap(), Sent::Taken);
    }
    assert_eq!(sink.send(&edge(85), HostTime::ZERO).unwrap(), Sent::Unknown, "Zenkaku has no name in QEMU");
    monitor.thread.join().unwrap();
}

#[test]
fn what_the_client_before_was_to_hear_is_passed_over() {
    let monitor = Monitor::start(|mut client| {
        say(&mut client, r#"{"event":"SPICE_DISCONNECTED","timestamp":{}}"#);
        say(&mut client, r#"{"return":{}}"#);
        greet(&mut client);
    });
    assert!(monitor.connect().unwrap().caps().motion);
    monitor.thread.join().unwrap();
}

#[test]
fn a_machine_that_stops_and_goes_on_is_news() {
    let monitor = Monitor::start(|mut client| {
        greet(&mut client);
        say(&mut client, r#"{"return":{"running":false},"id":"status"}"#);
        say(&mut client, r#"{"event":"RESUME","timestamp":{}}"#);
        say(&mut client, r#"{"event":"NIC_RX_FILTER_CHANGED"}"#);
        say(&mut client, r#"{"event":"STOP"}"#);
    });
    let mut sink = monitor.connect().unwrap();
    let mut news = Vec::new();
    let end = loop {
        if let Err(e) = sink.pump(HostTime::ZERO, &mut |n| news.push(n)) {
            break e;
        }
    };
    assert!(matches!(end, SinkError::Closed));
    assert_eq!(news, [News::Stopped, News::Running, News::Stopped]);
    monitor.thread.join().unwrap();
}

#[test]
fn bad_monitors_are_told_apart() {
    for (says, is) in [
        (
            "{\"QMP\":{}}\n{\"error\":{}}\n".to_owned(),
            (|e| matches!(e, SinkError::Garbage(_))) as fn(&SinkError) -> bool,
        ),
        ("{\"hello\":1}\n".to_owned(), |e| matches!(e, SinkError::Garbage(_))),
        ("no json\n".to_owned(), |e| matches!(e, SinkError::Garbage(_))),
        ("x".repeat(100_000), |e| matches!(e, SinkError::TooLarge { .. })),
        (String::new(), |e| matches!(e, SinkError::Closed)),
        ("[".repeat(60_000) + "\n", |e| matches!(e, SinkError::Garbage(_))),
    ] {
        let start = says.chars().take(12).collect::<String>();
        let monitor = Monitor::start(move |mut client| {
            let _ = client.get_mut().write_all(says.as_bytes());
            let _ = client.get_mut().shutdown(std::net::Shutdown::Write);
            while matches!(client.read_line(&mut String::new()), Ok(1..)) {}
        });
        let error = monitor.connect().unwrap_err();
        assert!(is(&error), "{start}: {error}");
        monitor.thread.join().unwrap();
    }
}
