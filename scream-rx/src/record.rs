//! `--dump-timing FILE`: takes what the engine tells from its tap, on the main thread, and writes it. The sound never
//! waits for the disk: what is not taken in time is counted in the file, and a disk that is full ends the record alone.

use crate::sink;
use crate::timing::{self, Event, Tap, Writer};
use rtrb::Consumer;
use rx_host::exit::Failure;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

/// A record that is being written.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    writer: Option<Writer<BufWriter<File>>>,
    events: Option<Consumer<Event>>,
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
        Ok(Record { path: path.to_owned(), writer: Some(writer), events: None })
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
        let (Some(writer), Some(events)) = (&mut self.writer, &mut self.events) else { return };
        if let Err(e) = write(writer, events) {
            tracing::warn!("cannot write {} any more: {e}; the sound goes on", self.path.display());
            self.writer = None;
        }
    }

    /// Writes the rest and the last line. What fails was told or is told here: a record never fails a run.
    pub fn finish(mut self) {
        self.round();
        if let Some(writer) = self.writer.take() {
            match writer.finish() {
                Ok(_) => tracing::info!("when sound came is in {}", self.path.display()),
                Err(e) => tracing::warn!("cannot write {} to its end: {e}", self.path.display()),
            }
        }
    }
}

fn write(writer: &mut Writer<BufWriter<File>>, events: &mut Consumer<Event>) -> io::Result<()> {
    // No more than were there at the start: an engine that tells faster than the disk writes is met at the next round.
    for _ in 0..events.slots() {
        let Ok(event) = events.pop() else { break };
        if !writer.write(&event)? {
            break;
        }
    }
    writer.flush()
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
