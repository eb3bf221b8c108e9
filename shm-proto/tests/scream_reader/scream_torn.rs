//! Another process that writes at full speed, as no sound ever does: whatever the reader accepts must be whole.

use core::time::Duration;
use shm_proto::scream::wire::WireHeader;
use shm_proto::scream::{Format, MAX_CHUNK_BYTES, Poll, Reader, StoreOrder, Writer};
use shm_proto::{Access, HostTime, Region};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// The name of the test below, and of the variable that makes a process the writer.
const TEST: &str = "scream_torn::what_is_accepted_from_another_process_at_full_speed_is_whole";
const REGION_VARIABLE: &str = "SCREAM_TORN_REGION";
/// Bounds both processes if one of them dies.
const LIMIT: Duration = Duration::from_secs(60);

fn header() -> WireHeader {
    // Chunks that take long to copy, and few of them, so the writer is everywhere all the time.
    let format = Format::new(96_000, 32, 4, 0x33).unwrap();
    WireHeader { max_chunks: 6, ..Writer::header_for(format, 1 << 20).unwrap() }
}

/// The other process. It is gone when this is, however the test ended.
struct WriterProcess(Child);

impl WriterProcess {
    fn start(region: &Path) -> WriterProcess {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--test-threads=1"])
            .env(REGION_VARIABLE, region)
            .stdout(Stdio::null())
            .spawn();
        WriterProcess(child.unwrap())
    }
}

impl Drop for WriterProcess {
    fn drop(&mut self) {
        // Where it ended by itself, both do nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_accepted_from_another_process_at_full_speed_is_whole() {
    if let Some(path) = std::env::var_os(REGION_VARIABLE) {
        return write_until_told(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("region");
    let region = Region::create(&path, 1 << 20).unwrap();
    let mut reader = Reader::new(Region::open(&path, Access::ReadOnly).unwrap());
    let mut writer = WriterProcess::start(&path);
    let mut pcm = vec![0; MAX_CHUNK_BYTES];
    let (mut now, began, mut last) = (HostTime::from_ns(1), Instant::now(), 0);
    while reader.counters().chunks < 2_000 && began.elapsed() < LIMIT {
        // Virtual time, so that the reader takes this pace for possible, and sometimes believes that it slept long.
        now = now + Duration::from_millis([1, 90, 1_000][(reader.counters().chunks % 3) as usize]);
        if let Poll::Chunk(chunk) = reader.poll(now, &mut pcm).unwrap() {
            let number = u32::from_le_bytes(*pcm.first_chunk().unwrap());
            let whole = pcm[..chunk.bytes].chunks_exact(4).all(|word| word == number.to_le_bytes());
            assert!(whole, "chunk {number} is torn; {:?}", reader.counters());
            assert!(number > last, "chunk {number} after {last}");
            last = number;
        }
    }
    // The last word of the region tells the writer to end.
    region.whole().word::<u32>((1 << 20) - 4).unwrap().store_release(1);
    assert!(writer.0.wait().unwrap().success());
    assert!(reader.counters().chunks >= 2_000, "{:?}", reader.counters());
}

fn write_until_told(path: &Path) {
    let region = Region::open(path, Access::ReadWrite).unwrap();
    let end = region.whole().read_word::<u32>((1 << 20) - 4).unwrap();
    let mut writer = Writer::new(region.clone(), StoreOrder::HERE).unwrap();
    writer.open_as(header()).unwrap();
    let mut pcm = vec![0; header().chunk_size as usize];
    let began = Instant::now();
    let mut number = 0u32;
    while end.load_acquire() == 0 && began.elapsed() < LIMIT {
        number += 1;
        pcm.chunks_exact_mut(4).for_each(|word| word.copy_from_slice(&number.to_le_bytes()));
        writer.publish(&pcm).unwrap();
    }
}
