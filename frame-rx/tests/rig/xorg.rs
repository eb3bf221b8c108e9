//! An X server of the test's own with monitors that come and go: Xorg with its driver for no hardware at all, and xrandr.

use super::program::until;
use super::xvfb::{Xvfb, is_there};
use std::path::Path;
use std::process::Command;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

/// Where distributions keep the driver.
const DRIVERS: [&str; 2] = ["/usr/lib/xorg/modules/drivers", "/usr/lib64/xorg/modules/drivers"];
/// Timings of 640x360 pixels; a driver without hardware takes any.
const MODE: [&str; 10] = ["plain", "17.75", "640", "664", "720", "800", "360", "363", "368", "374"];
const SETTINGS: &str = "
Section \"Device\"\n Identifier \"d\"\n Driver \"dummy\"\n VideoRam 64000\nEndSection
Section \"Monitor\"\n Identifier \"m\"\n HorizSync 5-1000\n VertRefresh 5-200\nEndSection
Section \"Screen\"\n Identifier \"s\"\n Device \"d\"\n Monitor \"m\"\n DefaultDepth 24
 SubSection \"Display\"\n Depth 24\n Virtual 1280 720\n EndSubSection\nEndSection
Section \"ServerFlags\"\n Option \"AutoAddDevices\" \"false\"\n Option \"AutoEnableDevices\" \"false\"\nEndSection\n";

/// The second monitor, to the right of the first.
pub const SECOND: &str = "DUMMY1";

/// A display with two monitors of 640x360 pixels, side by side, and a window manager; nothing, after saying so, where
/// something is missing.
pub fn two_monitors() -> Option<(MutexGuard<'static, ()>, Xvfb)> {
    let has_driver = DRIVERS.iter().any(|dir| Path::new(dir).join("dummy_drv.so").is_file());
    if !has_driver || !is_there("Xorg") || !is_there("xrandr") {
        let forbidden = std::env::var("CI").as_deref() == Ok("true");
        assert!(!forbidden, "Xorg, its dummy driver or xrandr is missing, and CI=true forbids to skip");
        eprintln!("skipped: Xorg, its dummy driver or xrandr is missing");
        return None;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may give Xorg its settings");
        return None;
    }
    let (guard, mut x) = super::xvfb::display_of(|dir| {
        let (settings, log) = (dir.join("xorg.conf"), dir.join("xorg.log"));
        std::fs::write(&settings, SETTINGS).unwrap();
        let mut server = Command::new("Xorg");
        server.arg("-config").arg(settings).arg("-logfile").arg(log);
        server.args(["-displayfd", "1", "-noreset", "-nolisten", "tcp", "-novtswitch", "-sharevts", "vt7"]);
        server
    })?;
    // Before anything changes: what changes while it starts may end it.
    x.manage();
    x.xrandr(&[&["--newmode"], &MODE[..]].concat());
    for monitor in ["DUMMY0", SECOND] {
        x.xrandr(&["--addmode", monitor, MODE[0]]);
    }
    x.xrandr(&["--output", "DUMMY0", "--mode", MODE[0], "--pos", "0x0"]);
    x.plug_in();
    // Some of them end it all the same; then there is another, which finds everything as it is.
    if !knows_both(&x) {
        x.manage();
        assert!(knows_both(&x), "there is no window manager that knows both monitors");
    }
    Some((guard, x))
}

/// Whether a window manager says soon how large both are together.
fn knows_both(x: &Xvfb) -> bool {
    let end = Instant::now() + Duration::from_secs(5);
    let says = || x.output("wmctrl", &["-d"]).is_some_and(|out| String::from_utf8_lossy(&out).contains("DG: 1280x360"));
    while !says() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

impl Xvfb {
    fn xrandr(&self, args: &[&str]) {
        // Two at once refuse each other; a window manager asks, too.
        until(&format!("xrandr {args:?}"), || self.output("xrandr", args), String::new);
    }

    pub fn plug_in(&self) {
        self.xrandr(&["--output", SECOND, "--mode", MODE[0], "--right-of", "DUMMY0"]);
    }

    pub fn unplug(&self) {
        self.xrandr(&["--output", SECOND, "--off"]);
    }
}
