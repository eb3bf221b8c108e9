//! Telling the guest what the screen's side wants of it: its pointer elsewhere, its mode like the window. Each wish goes out
//! when the guest can be told, and is kept until then.

use crate::picture::Size;
use crate::wishes::Wishes;
use core::time::Duration;
use shm_proto::HostTime;
use shm_proto::kvmfr::Viewer;

/// Between two sizes of a window that is being dragged: a guest needs longer to change its mode.
const WINDOW_EVERY: Duration = Duration::from_millis(250);
/// Between two tries to tell a guest whose mailbox is full or locked.
const AGAIN: Duration = Duration::from_millis(10);

/// What was told in this session.
#[derive(Debug, Default)]
pub(super) struct Asking {
    window: Option<Size>,
    not_before: HostTime,
    pointer_not_before: HostTime,
}

impl Asking {
    /// Tells what is wanted and not yet told. Two loads if nothing is; real-time safe.
    pub(super) fn ask(&mut self, wishes: &Wishes, viewer: &mut Viewer, now: HostTime) {
        if now >= self.pointer_not_before
            && let Some((x, y)) = wishes.take_pointer()
            && viewer.session().is_some_and(|info| info.can_set_cursor())
            && viewer.send_cursor_position(x, y).is_err()
        {
            wishes.give_back_pointer(x, y);
            self.pointer_not_before = now + AGAIN;
        }
        let wanted = wishes.window();
        if wanted == self.window || now < self.not_before {
            return;
        }
        if let Some(size) = wanted
            && viewer.session().is_some_and(|info| info.can_set_window_size())
            && viewer.send_window_size(size.width, size.height).is_err()
        {
            self.not_before = now + AGAIN;
            return;
        }
        self.window = wanted;
        self.not_before = now + WINDOW_EVERY;
    }
}
