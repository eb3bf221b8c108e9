//! A machine's monitor (QMP) of the test's own: it keeps what it was told, and what a guest would hold.

use super::program::until;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What came.
#[derive(Debug, Default)]
struct Told {
    /// Names of keys, and whether they went down.
    keys: Vec<(String, bool)>,
    held: BTreeSet<String>,
    /// To the right and down.
    motion: [i64; 2],
    /// When a key last went up or down.
    last_edge: Option<Instant>,
}

/// Serves one client after the other for as long as the test lasts.
pub struct Monitor {
    pub path: PathBuf,
    told: Arc<Mutex<Told>>,
}

impl Monitor {
    pub fn start(dir: &Path) -> Monitor {
        let path = dir.join("qmp");
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let told = Arc::<Mutex<Told>>::default();
        let kept = told.clone();
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                serve(client, &kept);
            }
        });
        Monitor { path, told }
    }

    /// As `--input` has it.
    pub fn way(&self) -> String {
        format!("qmp:{}", self.path.display())
    }

    /// How often the key of this name went down.
    pub fn presses(&self, qcode: &str) -> usize {
        self.told.lock().unwrap().keys.iter().filter(|(key, is_down)| key == qcode && *is_down).count()
    }

    pub fn motion(&self) -> [i64; 2] {
        self.told.lock().unwrap().motion
    }

    /// Waits until a guest would hold these and nothing else. When a key went up or down for the last time.
    pub fn holds(&self, keys: &[&str]) -> Option<Instant> {
        let wanted: BTreeSet<String> = keys.iter().map(|k| (*k).to_owned()).collect();
        let ask = || Some(self.told.lock().unwrap()).filter(|told| told.held == wanted).map(|told| told.last_edge);
        until(&format!("a guest that holds {keys:?}"), ask, || format!("{:?}", self.told.lock().unwrap()))
    }
}

fn serve(client: UnixStream, told: &Mutex<Told>) {
    let (mut say, hear) = (client.try_clone().unwrap(), BufReader::new(client));
    let _ = say.write_all(b"{\"QMP\":{}}\n");
    for line in hear.lines().map_while(Result::ok) {
        let id = if line.contains("query-mice") { "mice" } else { "other" };
        let _ = say.write_all(format!("{{\"return\":[{{\"absolute\":false}}],\"id\":\"{id}\"}}\n").as_bytes());
        let message: serde_json::Value = serde_json::from_str(&line).unwrap();
        let mut told = told.lock().unwrap();
        for event in message["arguments"]["events"].as_array().into_iter().flatten() {
            told.take(event["type"].as_str().unwrap_or_default(), &event["data"]);
        }
    }
}

impl Told {
    fn take(&mut self, kind: &str, data: &serde_json::Value) {
        let axis = usize::from(data["axis"] == "y");
        let value = data["value"].as_i64().unwrap_or_default();
        match kind {
            "rel" => self.motion[axis] += value,
            _ => {
                let name = data["key"]["data"].as_str().or(data["button"].as_str()).unwrap_or_default().to_owned();
                let is_down = data["down"] == true;
                if is_down {
                    self.held.insert(name.clone());
                } else {
                    self.held.remove(&name);
                }
                self.keys.push((name, is_down));
                self.last_edge = Some(Instant::now());
            }
        }
    }
}
