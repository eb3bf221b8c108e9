//! `--dump-timing FILE`: takes what the engine tells from its tap, on the main thread, and writes it. The sound never
//! waits for the disk: what is not taken in time is counted in the file, and a disk or a file that is full ends the record
//! alone.

use crate::sink;
use crate::timing::{self, Event, MAX_BYTES, Tap, Writer};
use rtrb::Consumer;
use rx_host::exit::Failure;
use rx_host::settings::units::ByteSize;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

/// A record that is being written.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    writer: Option<Writer<BufWriter<File>>>,
    events: Option<Consumer<Event>>,
    /// It is as long as it may become; what comes now is left out.
    is_full: bool,
}

impl Record {
    /// Makes the file and writes its head.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be written.
    pub fn create(path: &Path) -> Result<Record, Failure> {
        let writer = sink::create(path).and_then(|file| Writer::new(BufWriter::new(file))).map_err(|e| {
            Failure::environment(format!("cannot write {}", path.display()), "choose another file for --dump-timing")
                .because(e)
        })?;
        Ok(Record { path: path.to_owned(), writer: Some(writer), events: None, is_full: false })
    }

    /// The end for the engine, from which everything is taken from now on.
    pub fn tap(&mut self) -> Tap {
        let (tap, events) = timing::tap();
        self.events = Some(events);
        tap
    }

    /// Writes what has come since and hands it to the system. To be called some times a second.
    ///
    /// Blocks for the disk.
    pub fn round(&mut self) {
        let (Some(writer), Some(events), false) = (&mut self.writer, &mut self.events, self.is_full) else { return };
        match write(writer, events) {
            Ok(true) => {}
            Ok(false) => {
                self.is_full = true;
                tracing::warn!("{} and ends here; the sound goes on", self.limit());
            }
            Err(e) => {
                tracing::warn!("cannot write {} any more: {e}; the sound goes on", self.path.display());
                self.writer = None;
            }
        }
    }

    fn limit(&self) -> String {
        format!("{} has reached its limit of {}", self.path.display(), ByteSize(MAX_BYTES))
    }

    /// Writes the rest and the last line. What fails was told or is told here: a record never fails a run.
    pub fn finish(mut self) {
        self.round();
        if let Some(writer) = self.writer.take() {
            match writer.finish() {
                Ok(_) if self.is_full => tracing::info!("{}: what came after that is not in it", self.limit()),
                Ok(_) => tracing::info!("when sound came is in {}", self.path.display()),
                Err(e) => tracing::warn!("cannot write {} to its end: {e}", self.path.display()),
            }
        }
    }
}

/// Whether there was room for all.
fn write(writer: &mut Writer<BufWriter<File>>, events: &mut Consumer<Event>) -> io::Result<bool> {
    let mut room = true;
    // No more than were there at the start: an engine that tells faster than the disk writes is met at the next round.
    for _ in 0..events.slots() {
        let Ok(event) = events.pop() else { break };
        room = writer.write(&event)?;
        if !room {
            break;
        }
    }
    writer.flush()?;
    Ok(room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::{Fill, Reader, What};
    use std::io::BufReader;

    #[test]
    fn what_is_told_is_read_back_and_nothing_waits_for_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        let mut record = Record::create(&path).unwrap();
        let mut tap = record.tap();
        for n in 0..20_000 {
            tap.tell(n, What::Fill(Fill { frames: 240, ..Fill::default() }));
            if n == 5_000 {
                record.round();
            }
        }
        record.finish();
        let events: Vec<_> =
            Reader::new(BufReader::new(File::open(&path).unwrap())).unwrap().map(Result::unwrap).collect();
        assert!(events.len() > 10_000 && events.len() < 20_000, "{}", events.len());
        assert_eq!(events.last().unwrap().what, What::End);
    }

    #[test]
    fn a_file_that_may_grow_no_more_ends_once_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        let mut record = Record::create(&path).unwrap();
        let file = BufWriter::new(sink::create(&path).unwrap());
        record.writer = Some(Writer::with_limit(file, 2_000).unwrap());
        let mut tap = record.tap();
        tap.tell(1, What::Move { frames: 1 });
        record.round();
        assert!(!record.is_full);
        for round in 0..3 {
            (0..200).for_each(|n| tap.tell(200 * round + n, What::Move { frames: 1 }));
            record.round();
            assert!(record.is_full && record.writer.is_some(), "{round}");
        }
        assert!(record.limit().ends_with("t.csv has reached its limit of 4 GiB"), "{}", record.limit());
        record.finish();
        let length = std::fs::metadata(&path).unwrap().len();
        assert!((1_000..=2_000).contains(&length), "{length}");
        let events: Vec<_> = Reader::new(BufReader::new(File::open(&path).unwrap())).unwrap().collect();
        assert_eq!(events.last().unwrap().as_ref().unwrap().what, What::End);
        assert!(events.len() < 200, "what comes later is left out, not some of it: {}", events.len());
    }

    #[test]
    fn a_full_disk_ends_the_record_and_nothing_else() {
        let mut record = Record::create(Path::new("/dev/full")).unwrap();
        let mut tap = record.tap();
        tap.tell(1, What::Move { frames: 1 });
        record.round();
        assert!(record.writer.is_none());
        tap.tell(2, What::Move { frames: 1 });
        record.round();
        record.finish();
        assert!(Record::create(Path::new("/no/such/folder/t.csv")).is_err());
    }
}
