//! A GPU that was lost under the window is opened again, when [`crate::recovery`] says so.

use super::App;
use crate::gpu::GpuError;
use crate::headless::explain_gpu;
use crate::pace::Cause;
use rx_host::clock;
use rx_host::exit::Failure;
use shm_proto::HostTime;

impl App {
    /// Nothing can be drawn. When to try to mend that.
    ///
    /// # Errors
    /// What to tell, if it was tried long enough.
    pub(super) fn lost(&mut self, error: GpuError) -> Result<HostTime, Failure> {
        let Some(at) = self.recovery.failed(clock::now()) else { return Err(explain_gpu(error)) };
        tracing::warn!("{error}: it is opened again");
        self.reopen_at = Some(at);
        Ok(at)
    }

    /// Opens a GPU again if one was lost and it is time to. When it will be time, if it is not.
    ///
    /// # Errors
    /// As [`App::lost`].
    pub(super) fn reopen(&mut self, now: HostTime) -> Result<Option<HostTime>, Failure> {
        let (Some(at), Some(painter)) = (self.reopen_at, &mut self.painter) else { return Ok(None) };
        if now < at {
            return Ok(Some(at));
        }
        self.reopen_at = None;
        if let Err(error) = painter.reopen(&self.link) {
            return self.lost(error).map(Some);
        }
        tracing::info!("drawing again, with {}", painter.screen.gpu().info());
        self.recovery.opened(clock::now());
        self.set_interval();
        self.pace.note(Cause::Window);
        Ok(None)
    }
}
