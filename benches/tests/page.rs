//! The page of HTML as a browser shows it: light and dark as the reader has it, with everything inside its width. Takes
//! pictures with a Chromium where there is one; the test says when there is none, since no package of this project needs one.

use rx_tests::image::{Picture, from_png};
use rx_tests::process::{SOON, run, tied};
use rx_tests::require;
use std::io::Write;
use std::path::Path;

/// Colours of the paper. Source: the page's own style.
const LIGHT: [u8; 3] = [0xff, 0xff, 0xff];
const DARK: [u8; 3] = [0x16, 0x18, 0x1d];
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// What a reader of `scheme` (Chromium's number: 0 dark, 1 light) sees.
fn look(browser: &Path, page: &Path, scheme: u32) -> Picture {
    let folder = tempfile::tempdir().unwrap();
    let png = folder.path().join("page.png");
    let mut command = tied(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1280,1600"]);
    command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    command.arg(format!("--blink-settings=preferredColorScheme={scheme}"));
    command.arg(format!("--screenshot={}", png.display()));
    command.arg(format!("file://{}", page.display())).env("HOME", folder.path());
    let done = run("chromium", &mut command, SOON);
    assert!(png.is_file(), "no picture: {}", done.err.join("\n"));
    from_png(&png)
}

#[test]
fn the_page_is_light_or_dark_as_its_reader_has_it_and_nothing_sticks_out() {
    let Some(browser) = BROWSERS.into_iter().find_map(require::find) else {
        let _ = writeln!(std::io::stderr(), "SKIPPED the page of HTML is not looked at: no chromium here");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let mut command = tied(env!("CARGO_BIN_EXE_rx-bench"));
    command
        .args(["run", "ring-size", "--exact", "--mode", "3440x1440@144", "--virtual-seconds", "1", "--html"])
        .arg(&page);
    let done = run("rx-bench", &mut command, SOON);
    assert!(done.status.success(), "{}", done.err.join("\n"));
    for (scheme, paper) in [(1, LIGHT), (0, DARK)] {
        let picture = look(&browser, &page, scheme);
        assert_eq!(picture.pixel(2, 2), Some(paper), "scheme {scheme}");
        let column = |x| (0..picture.height).filter(|y| picture.pixel(x, *y) != Some(paper)).count();
        // Tables that are too wide scroll within the page, so its edges stay empty.
        assert_eq!(column(3) + column(picture.width - 3), 0, "something sticks out, scheme {scheme}");
        let inked = (0..picture.width).map(column).sum::<usize>();
        let share = inked as f64 / f64::from(picture.width * picture.height);
        assert!((0.02..0.6).contains(&share), "{share} of the page is not paper, scheme {scheme}");
    }
}
