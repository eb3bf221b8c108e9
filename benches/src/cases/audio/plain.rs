//! What the receiver is measured beside: a player with nothing in it. It looks for a chunk every millisecond and hands it to
//! `pacat`, which keeps a buffer of a fixed length in the server, at the rate that the guest says it has.

use anyhow::Context;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rx_host::clock;
use rx_tests::process::{Running, tied};
use rx_tests::pulse::{CHANNELS, PulseRig, RATE_HZ, SINK};
use shm_proto::scream::{MAX_CHUNK_BYTES, Poll, Reader};
use shm_proto::{Access, Region};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Length of its buffer. Unit: ms.
pub const BUFFER_MS: u32 = 50;
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The part of it that reads. Ends when dropped.
pub struct Plain {
    over: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
    thread_id: i32,
}

impl Plain {
    /// Starts one that plays what the guest writes into the file at `region`, and its `pacat`; `folder` has room for a pipe.
    pub fn start(rig: &PulseRig, region: &Path, folder: &Path) -> anyhow::Result<(Running, Plain)> {
        let pipe = folder.join("plain");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).context("a pipe for the plain player")?;
        let mut command = tied("pacat");
        rig.serve(&mut command);
        command.args(["--playback", "--raw", "--format=s16le", "--client-name=plain"]).arg(format!("--rate={RATE_HZ}"));
        command.arg(format!("--channels={CHANNELS}")).arg(format!("--latency-msec={BUFFER_MS}"));
        let pacat = Running::start("pacat", command.arg(format!("--device={SINK}")).arg(&pipe));
        // Open both ways: it is there before the other end is. What finds no room is lost, and nobody waits.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let pipe = File::options().read(true).write(true).custom_flags(flags).open(&pipe);
        let pipe = pipe.context("the pipe of the plain player")?;
        let reader = Reader::new(Region::open(region, Access::ReadOnly).context("the guest's file")?);
        let over = Arc::new(AtomicBool::new(false));
        let (until, (tell, told)) = (Arc::clone(&over), mpsc::channel());
        let reader = std::thread::Builder::new().name("plain player".into()).spawn(move || {
            let _ = tell.send(rustix::thread::gettid().as_raw_nonzero().get());
            hand_on(reader, pipe, &until);
        });
        let reader = Some(reader.context("a thread for the plain player")?);
        let thread_id = told.recv().context("the plain player's thread")?;
        Ok((pacat, Plain { over, reader, thread_id }))
    }

    /// The thread that reads, in this process.
    pub fn thread_id(&self) -> i32 {
        self.thread_id
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn hand_on(mut reader: Reader, mut pipe: File, over: &AtomicBool) {
    let mut pcm = vec![0; MAX_CHUNK_BYTES];
    while !over.load(Ordering::Relaxed) {
        while let Ok(Poll::Chunk(chunk)) = reader.poll(clock::now(), &mut pcm) {
            let _ = pipe.write_all(pcm.get(..chunk.bytes).unwrap_or_default());
        }
        clock::sleep_until(clock::now() + LOOK_EVERY);
    }
}
