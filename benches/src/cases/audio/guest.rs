//! The guest of a measurement: a position code, written into shared memory or sent over the network, on a thread of its own
//! that notes how late it was.

use anyhow::Context;
use rx_host::{clock, realtime};
use shm_proto::guest_sim::network::NetworkGuest;
use shm_proto::guest_sim::pacing::Pacing;
use shm_proto::guest_sim::sound::SoundGuest;
use shm_proto::guest_sim::tone::Tone;
use shm_proto::scream::Format;
use shm_proto::{HostTime, Region};
use std::net::{Ipv4Addr, UdpSocket};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The guest's bytes of shared memory.
const REGION_BYTES: u64 = 2 << 20;
/// How long it waits if nothing is due.
const IDLE: Duration = Duration::from_millis(20);
/// It runs before receiver and server do.
pub const PRIORITY: u8 = 25;

/// Where its datagrams may go: ports below those that the system gives to sockets that ask for none, so nobody is given
/// one by chance between the look at it and the receiver's own socket.
const PORTS: Range<u16> = 20_000..32_000;

/// A guest that has not begun.
pub struct Guest {
    file: PathBuf,
    region: Region,
    port: u16,
    pacing: Pacing,
}

/// One that plays. Ends when dropped.
pub struct Playing {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Duration>>>,
}

/// Does what is due, and says when to come again.
type Life = Box<dyn FnMut(HostTime) -> Option<HostTime> + Send>;

/// A port of this machine that nobody has. Programs that look at the same time begin at places of their own.
fn free_port() -> Option<u16> {
    let first = std::process::id() as usize * 7 % PORTS.len();
    let mut ports = PORTS.cycle().skip(first).take(PORTS.len());
    ports.find(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
}

impl Guest {
    /// One whose clock is off by `ppm` parts per million, with its file in `folder`.
    pub fn new(folder: &Path, ppm: f64) -> anyhow::Result<Guest> {
        let file = folder.join("region");
        let region = Region::create(&file, REGION_BYTES)?;
        let port = free_port().context("no free port")?;
        Ok(Guest { file, region, port, pacing: Pacing { drift_ppm: ppm, ..Pacing::CALM } })
    }

    /// The file of its shared memory.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Where its datagrams go.
    pub fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Begins, and says when that was.
    pub fn play(self, over_network: bool) -> anyhow::Result<(HostTime, Playing)> {
        let mut life = if over_network { self.over_network()? } else { self.in_memory()? };
        let over = Arc::new(AtomicBool::new(false));
        let (until, began) = (Arc::clone(&over), clock::now());
        let thread = std::thread::Builder::new().name("guest".into()).spawn(move || {
            realtime::ask_for_thread("guest", PRIORITY);
            let mut late = Vec::with_capacity(4096);
            // From the first instant on, whatever this thread took to start.
            let mut due = began;
            while !until.load(Ordering::Relaxed) {
                let now = clock::now();
                late.push(now.since(due));
                due = life(now.max(due)).unwrap_or(now + IDLE);
                clock::sleep_until(due);
            }
            late
        });
        Ok((began, Playing { over, thread: Some(thread.context("a thread for the guest")?) }))
    }

    fn in_memory(self) -> anyhow::Result<Life> {
        let mut guest = SoundGuest::builder().tone(Tone::PositionCoded).pacing(self.pacing).build_in(self.region)?;
        Ok(Box::new(move |now| {
            guest.advance(now).ok()?;
            guest.next_due()
        }))
    }

    fn over_network(self) -> anyhow::Result<Life> {
        let mut guest = NetworkGuest::new(Format::new(48_000, 16, 2, 3)?, Tone::PositionCoded, self.pacing);
        let (socket, to) = (UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?, (Ipv4Addr::LOCALHOST, self.port));
        Ok(Box::new(move |now| {
            guest.advance(now, |_, bytes| {
                // Where nobody listens any more it is lost, as on a real network.
                let _ = socket.send_to(bytes, to);
            });
            guest.next_due()
        }))
    }
}

impl Playing {
    /// Ends it. How late it was: the 99th percentile, and the most.
    pub fn end(mut self) -> [Duration; 2] {
        self.over.store(true, Ordering::Relaxed);
        let late = self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        // The first is how long the thread took to start.
        let mut late = late.get(1..).unwrap_or_default().to_vec();
        late.sort_unstable();
        let p99 = late.get(late.len() * 99 / 100).copied();
        [p99.unwrap_or(Duration::MAX), late.last().copied().unwrap_or(Duration::MAX)]
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
