//! The program in real windows of an X server: Xvfb, the software GPU, and the window's pixels read back from the server.
//!
//! With `FRAME_RX_PICTURES=DIR` the windows are kept as PNG files for people to look at.

mod desktop;
mod economy;
#[path = "../rig/faults.rs"]
mod faults;
mod gpu_loss;
mod grab;
#[path = "../rig/guest.rs"]
mod guest;
#[path = "../rig/hang.rs"]
mod hang;
mod hostile;
mod keys;
#[path = "../rig/monitor.rs"]
mod monitor;
mod monitors;
#[path = "../rig/png.rs"]
mod png;
#[path = "../rig/program.rs"]
mod program;
#[path = "../rig/unhindered.rs"]
mod unhindered;
mod window;
#[path = "../rig/xorg.rs"]
mod xorg;
#[path = "../rig/xvfb.rs"]
mod xvfb;
