//! A simulated guest in a thread of the test, on a file of its own; what it shows can be asked for pixel by pixel.

use rx_host::clock;
use shm_proto::Region;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest};
use shm_proto::guest_sim::stamp::{Edge, Stamp, read_stamp};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How soon the thread looks at what was done to the guest.
const LONGEST_SLEEP: Duration = Duration::from_millis(10);

/// The guest. Ends when dropped; its file stays until then.
pub struct GuestThread {
    pub path: PathBuf,
    _dir: tempfile::TempDir,
    guest: Arc<Mutex<PictureGuest>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl GuestThread {
    /// Makes a region of the right size and starts a guest in it.
    pub fn start(config: PictureConfig) -> GuestThread {
        let bytes = config.region_bytes();
        GuestThread::start_in(config, bytes)
    }

    /// The same in a region of so many bytes.
    pub fn start_in(config: PictureConfig, bytes: u64) -> GuestThread {
        // Where a VM's shared memory lies, if there is such a place.
        let shm = std::path::Path::new("/dev/shm");
        let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
        let path = dir.path().join("looking-glass");
        let region = Region::create(&path, bytes).unwrap();
        let guest = Arc::new(Mutex::new(PictureGuest::start(&region, config, clock::now()).unwrap()));
        let stop = Arc::new(AtomicBool::new(false));
        let (runs, ends) = (guest.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let next = {
                    let mut guest = runs.lock().unwrap();
                    guest.advance(clock::now()).unwrap();
                    guest.next_due(clock::now())
                };
                // A guest that was stopped is due in an hour, but may be started again at any time.
                clock::sleep_until(next.min(clock::now() + LONGEST_SLEEP));
            }
        });
        GuestThread { path, _dir: dir, guest, stop, thread: Some(thread) }
    }

    /// Does something to the guest between two of its steps.
    pub fn with<T>(&self, act: impl FnOnce(&mut PictureGuest) -> T) -> T {
        act(&mut self.guest.lock().unwrap())
    }

    /// The stamp in an image of red, green, blue, if it is one of this guest's pictures, pixel for pixel.
    pub fn stamp_of(&self, rgb: &[u8], width: u32, height: u32) -> Option<Stamp> {
        let rgba: Vec<u8> = rgb.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 0]).collect();
        let pixel_type = shm_proto::kvmfr::PixelType::Rgba;
        let stamp = read_stamp(&rgba, width as usize * 4, pixel_type, (width, height), Edge::Top)?;
        (rgb == self.expected(stamp)).then_some(stamp)
    }

    /// The picture with this stamp as red, green, blue.
    pub fn expected(&self, stamp: Stamp) -> Vec<u8> {
        self.with(|guest| {
            let pattern = guest.pattern();
            let (spec, frame) = (*pattern.spec(), pattern.frame(stamp));
            (0..spec.height).flat_map(|y| (0..spec.width).flat_map(move |x| frame.pixel(x, y))).collect()
        })
    }
}

impl Drop for GuestThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
