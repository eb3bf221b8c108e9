//! A thread on another processor that does one thing whenever it is asked, as a guest writes what a receiver then reads.

use crate::place::{Pinned, processors};
use anyhow::Context;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The other thread, seen from here.
#[derive(Debug)]
pub struct Elsewhere {
    ask: SyncSender<u8>,
    done: Receiver<anyhow::Result<()>>,
}

impl Elsewhere {
    /// Has the job done with this number, and waits until it is.
    ///
    /// # Errors
    /// What the job said.
    pub fn ask(&self, number: u8) -> anyhow::Result<()> {
        self.begin(number)?;
        self.end()
    }

    /// Has the job begun with this number. [`Elsewhere::end`] is due before the next one.
    ///
    /// # Errors
    /// If the other thread is gone.
    pub fn begin(&self, number: u8) -> anyhow::Result<()> {
        self.ask.send(number).context("the other thread has ended")
    }

    /// Waits until the job that was begun is done.
    ///
    /// # Errors
    /// What the job said.
    pub fn end(&self) -> anyhow::Result<()> {
        self.done.recv().context("the other thread has ended")?
    }
}

/// Runs `work` on one processor, with a thread on another one that does `job`. `None` where there is only one.
///
/// # Errors
/// What `work` said.
pub fn with<T>(
    mut job: impl FnMut(u8) -> anyhow::Result<()> + Send,
    work: impl FnOnce(Elsewhere) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let [here, other, ..] = processors()[..] else { return Ok(None) };
    std::thread::scope(|scope| {
        let (ask, asked) = sync_channel(1);
        let (tell, done) = sync_channel(1);
        // Ends when `work` has dropped its ends of the channels.
        scope.spawn(move || {
            let _pinned = Pinned::to(other);
            asked.iter().map(&mut job).try_for_each(|outcome| tell.send(outcome))
        });
        let _pinned = Pinned::to(here);
        work(Elsewhere { ask, done }).map(Some)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_job_is_done_on_another_thread_before_the_call_returns() {
        let numbers = Mutex::new(Vec::new());
        let job = |number| {
            anyhow::ensure!(number != 9, "not nine");
            numbers.lock().unwrap().push((number, std::thread::current().id()));
            Ok(())
        };
        let me = std::thread::current().id();
        let outcome = with(job, |elsewhere| {
            elsewhere.ask(4)?;
            assert!(matches!(numbers.lock().unwrap()[..], [(4, id)] if id != me));
            assert_eq!(elsewhere.ask(9).unwrap_err().to_string(), "not nine");
            elsewhere.ask(5)
        });
        assert_eq!(outcome.unwrap().is_some(), processors().len() > 1);
        assert_eq!(numbers.into_inner().unwrap().len(), if processors().len() > 1 { 2 } else { 0 });
    }
}
