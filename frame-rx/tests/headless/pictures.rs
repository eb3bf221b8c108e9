//! Screenshots of the program: pixel by pixel what the guest drew, of every type, version, turn and pointer.

use crate::guest::GuestThread;
use crate::program::{frame_rx, run};
use crate::{gpu, json, png_file};
use frame_rx::picture::{PQ_MOST_NITS, Transfer};
use frame_rx::tone;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureConfig;
use shm_proto::guest_sim::pointer::{PointerMode, shape};
use shm_proto::guest_sim::stamp::{Edge, read_stamp};
use shm_proto::kvmfr::producer::ShapeSpec;
use shm_proto::kvmfr::{FrameFlags, PictureSpec, PixelType, Rotation, ShapeKind, Version};

#[test]
fn the_demo_writes_exactly_a_picture_that_its_guest_sent() {
    let Some(_gpu) = gpu() else { return };
    let dir = tempfile::tempdir().unwrap();
    let line = "demo --headless --frames 120 --screenshot out.png --stats out.json";
    let (code, text) = run(frame_rx(dir.path(), None).args(line.split(' ')));
    assert_eq!(code, 0, "{text}");
    for part in
        ["showing the guest", "wrote out.png", "frames sent", "frames shown    120", "pickup delay", "copy time"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let (width, height, rgb) = png_file::read(&dir.path().join("out.png"));
    assert_eq!((width, height), (1280, 720));
    let rgba: Vec<u8> = rgb.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 0]).collect();
    let stamp = read_stamp(&rgba, 1280 * 4, PixelType::Rgba, (1280, 720), Edge::Top).expect("a stamp");
    assert!((120..5000).contains(&stamp.frame), "{stamp:?}");
    let spec = PictureSpec::new(PixelType::Bgra, 1280, 720);
    let reference = shm_proto::guest_sim::pattern::Pattern::new(spec, Motion::Bar).reference(stamp);
    let expected: Vec<u8> = reference.chunks_exact(4).flat_map(|p| [p[2], p[1], p[0]]).collect();
    assert!(rgb == expected, "the picture differs from frame {}", stamp.frame);
    let stats = json(&dir.path().join("out.json"));
    assert_eq!((&stats["schema"], &stats["frames_shown"]), (&1.into(), &120.into()));
    for name in ["pickup_ms_p50", "copy_ms_p50", "frames_dropped", "frames_torn", "guest_frames_sent", "guest_stalls"] {
        assert!(stats[name].is_number(), "{name} in {stats}");
    }
    assert_eq!(stats["picture_hash"].as_str().map(str::len), Some(16));
    let left: Vec<_> = std::fs::read_dir("/dev/shm").unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|n| n.to_string_lossy().starts_with("frame-rx-demo")), "{left:?}");
}

#[test]
fn a_guest_in_another_process_is_shown_through_its_file() {
    let Some(_gpu) = gpu() else { return };
    for (pixel, width, height) in [(PixelType::Bgra, 640, 360), (PixelType::Rgba, 333, 201)] {
        let mut config = PictureConfig::new(width, height);
        config.spec = PictureSpec::new(pixel, width, height);
        let spec = config.spec;
        let guest = GuestThread::start(config);
        let dir = tempfile::tempdir().unwrap();
        let mut command = frame_rx(dir.path(), None);
        command.arg("-f").arg(&guest.path).args("--headless --frames 30 --screenshot a.png --stats s.json".split(' '));
        let (code, text) = run(&mut command);
        assert_eq!(code, 0, "{text}");
        let (w, h, rgb) = png_file::read(&dir.path().join("a.png"));
        assert_eq!((w, h), (width, height));
        let order = if pixel == PixelType::Rgba { [0, 1, 2] } else { [2, 1, 0] };
        let rgba: Vec<u8> = rgb.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 0]).collect();
        let stamp = read_stamp(&rgba, w as usize * 4, PixelType::Rgba, (w, h), Edge::Top).expect("a stamp");
        let reference = guest.with(|g| g.pattern().reference(stamp));
        let rows = reference.chunks_exact(spec.pitch_bytes as usize);
        let expected: Vec<u8> = rows
            .flat_map(|r| r.chunks_exact(4).take(width as usize).flat_map(|p| order.map(|i| p[i])).collect::<Vec<_>>())
            .collect();
        assert!(rgb == expected, "frame {}", stamp.frame);
        assert_eq!(json(&dir.path().join("s.json"))["frames_torn"], 0);
    }
}

/// The first picture that the program shows of a guest: width, height, red, green, blue.
fn picture_of(guest: &GuestThread, flags: &str) -> (u32, u32, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = frame_rx(dir.path(), None);
    command.arg("-f").arg(&guest.path).args("--headless --frames 5 --screenshot a.png".split(' '));
    let (code, text) = run(command.args(flags.split_whitespace()));
    assert_eq!(code, 0, "{text}");
    png_file::read(&dir.path().join("a.png"))
}

fn stamp_in(rgb: &[u8], width: u32, height: u32) -> Option<shm_proto::guest_sim::stamp::Stamp> {
    let rgba: Vec<u8> = rgb.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 0]).collect();
    read_stamp(&rgba, width as usize * 4, PixelType::Rgba, (width, height), Edge::Top)
}

#[test]
fn a_picture_of_every_type_is_written_pixel_by_pixel() {
    let Some(_gpu) = gpu() else { return };
    let (linear, pq) = (Transfer::Linear, Transfer::Pq { white_nits: 203, peak_nits: PQ_MOST_NITS });
    for (pixel, flags, transfer) in [
        (PixelType::Rgba, 0, Transfer::Sdr),
        (PixelType::Rgba10, 0, Transfer::Sdr),
        (PixelType::Bgr32, 0, Transfer::Sdr),
        (PixelType::Rgb24, 0, Transfer::Sdr),
        (PixelType::Rgba10, FrameFlags::HDR | FrameFlags::HDR_PQ, pq),
        (PixelType::Rgba10, FrameFlags::HDR, linear),
        (PixelType::Rgba16F, FrameFlags::HDR, linear),
    ] {
        let case = format!("{pixel} with {flags}");
        let mut config = PictureConfig::new(324, 201);
        config.spec = PictureSpec { flags, ..PictureSpec::new(pixel, 324, 201) };
        // Rows further apart than they need to be, and not by a round number.
        config.spec.pitch_bytes += 24;
        let guest = GuestThread::start(config);
        let (w, h, rgb) = picture_of(&guest, "");
        assert_eq!((w, h), (324, 201), "{case}");
        let stamp = stamp_in(&rgb, w, h).unwrap_or_else(|| panic!("{case}: no stamp"));
        let drawn = guest.expected(stamp);
        for (at, (shown, sent)) in rgb.chunks_exact(3).zip(drawn.chunks_exact(3)).enumerate() {
            // As the guest stores them: ten bits are the eight and the highest two again.
            let ten = |c: u8| (u32::from(c) << 2 | u32::from(c) >> 6) as f32 / 1023.0;
            let number = |c: u8| if pixel == PixelType::Rgba10 { ten(c) } else { f32::from(c) / 255.0 };
            let numbers = [sent[0], sent[1], sent[2]].map(number);
            let expected = tone::to_screen(transfer, numbers).map(|c| c * 255.0);
            // What is made for screens is exact; light goes through powers, and half floats have steps of their own.
            let allowed = match (transfer, pixel) {
                (Transfer::Sdr, PixelType::Rgba10) => 0.5,
                (Transfer::Sdr, _) => 0.01,
                _ => 1.5,
            };
            let near = shown.iter().zip(expected).all(|(s, e)| (f32::from(*s) - e).abs() <= allowed);
            assert!(near, "{case}: pixel {at} is {shown:?}, not {expected:?}, frame {}", stamp.frame);
        }
    }
}

#[test]
fn a_picture_of_every_version_is_written_pixel_by_pixel_and_its_guest_named() {
    let Some(_gpu) = gpu() else { return };
    for version in Version::ALL {
        let mut config = PictureConfig::new(320, 200).speaking(version);
        config.producer.identity.uuid = [0xAB; 16];
        let guest = GuestThread::start(config);
        let dir = tempfile::tempdir().unwrap();
        let mut command = frame_rx(dir.path(), None);
        command.arg("-f").arg(&guest.path).args("--headless --frames 5 --screenshot a.png --stats s.json".split(' '));
        let (code, text) = run(&mut command);
        assert_eq!(code, 0, "{text}");
        let numbers = (version.lgmp().version, version.layout().version);
        assert!(text.contains(&format!("LGMP {} with KVMFR {})", numbers.0, numbers.1)), "{text}");
        let (w, h, rgb) = png_file::read(&dir.path().join("a.png"));
        assert!(guest.stamp_of(&rgb, w, h).is_some(), "{version:?}: not a picture of the guest");
        let stats = json(&dir.path().join("s.json"));
        assert_eq!(stats["guest_lgmp_version"], numbers.0);
        assert_eq!(stats["guest_kvmfr_version"], numbers.1);
        assert_eq!(
            (&stats["guest_program"], &stats["guest_capture"]),
            (&"simulated guest".into(), &"test picture".into())
        );
        assert_eq!(stats["guest_uuid"], "abababab-abab-abab-abab-abababababab");
        let doctor = frame_rx(dir.path(), None).args(["doctor", "-f"]).arg(&guest.path).output().unwrap();
        let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(told.contains("UUID abababab") && told.contains("captures by test picture"), "{told}");
    }
}

#[test]
fn a_turned_picture_stands_upright_and_a_turn_by_hand_wins() {
    let Some(_gpu) = gpu() else { return };
    let mut config = PictureConfig::new(320, 200);
    config.spec.rotation = Rotation::Quarter;
    config.motion = Motion::Still;
    let guest = GuestThread::start(config);
    // Where a pixel of the shown picture lies in the stored one: 320 wide, 200 high, turned clockwise to be shown.
    type Place = fn(usize, usize) -> (usize, usize);
    let stored: [(&str, Place); 5] = [
        ("", |x, y| (y, 199 - x)),
        ("--rotate 0", |x, y| (x, y)),
        ("--rotate 90", |x, y| (y, 199 - x)),
        ("--rotate 180", |x, y| (319 - x, 199 - y)),
        ("--rotate 270", |x, y| (319 - y, x)),
    ];
    let mut drawn = None;
    for (flags, stored_at) in stored.iter().cycle().skip(1).take(5) {
        let dir = tempfile::tempdir().unwrap();
        let mut command = frame_rx(dir.path(), None);
        command.arg("-f").arg(&guest.path).args("--headless --frames 1 --screenshot a.png".split(' '));
        let (code, text) = run(command.args(flags.split_whitespace()));
        assert_eq!(code, 0, "{text}");
        let (w, h, rgb) = png_file::read(&dir.path().join("a.png"));
        // The first one is as it is stored, so its stamp can be read; nothing moves.
        let drawn = drawn.get_or_insert_with(|| guest.expected(stamp_in(&rgb, w, h).expect("a stamp")));
        let upright = flags.is_empty() || flags.ends_with("90") || flags.ends_with("270");
        assert_eq!((w, h), if upright { (200, 320) } else { (320, 200) }, "{flags}");
        for y in 0..h as usize {
            for x in 0..w as usize {
                let (sx, sy) = stored_at(x, y);
                let (shown, sent) = (&rgb[(y * w as usize + x) * 3..][..3], &drawn[(sy * 320 + sx) * 3..][..3]);
                assert_eq!(shown, sent, "{flags}: {x},{y}");
            }
        }
    }
}

#[test]
fn a_picture_that_does_not_fit_shows_its_top_and_says_what_is_needed() {
    let Some(_gpu) = gpu() else { return };
    let guest = GuestThread::start_in(PictureConfig::new(1280, 720), 8 << 20);
    let dir = tempfile::tempdir().unwrap();
    let mut command = frame_rx(dir.path(), None);
    command.arg("-f").arg(&guest.path).args("--headless --frames 5 --screenshot a.png".split(' '));
    let (code, text) = run(&mut command);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("too small for 1280x720") && text.contains("give the VM's device 32 MiB"), "{text}");
    let (w, h, rgb) = png_file::read(&dir.path().join("a.png"));
    let rows = guest.with(|g| {
        let spec = g.config().spec;
        g.producer().rows_that_fit(&spec)
    });
    assert_eq!((w, h), (1280, rows));
    // The stamp's size depends on the whole picture's.
    let mut whole = rgb.clone();
    whole.resize(1280 * 720 * 3, 0);
    let stamp = stamp_in(&whole, 1280, 720).expect("a stamp");
    assert!(guest.expected(stamp)[..rgb.len()] == rgb, "frame {}", stamp.frame);
}

#[test]
fn a_pointer_of_every_kind_is_drawn_as_its_table_says() {
    let Some(_gpu) = gpu() else { return };
    for (mode, kind) in [
        (PointerMode::Color, ShapeKind::Color),
        (PointerMode::Monochrome, ShapeKind::Monochrome),
        (PointerMode::Masked, ShapeKind::MaskedColor),
    ] {
        // Once as large as the desktop, once scaled down by the guest to half of it.
        for scaled in [1, 2] {
            let mut config = PictureConfig::new(320, 180);
            (config.motion, config.pointer, config.pointer_rate_hz) = (Motion::Still, mode, 0);
            config.spec.screen = (320 * scaled, 180 * scaled);
            let guest = GuestThread::start(config);
            guest.with(|g| g.producer().set_cursor(40, 20, true, rx_host::clock::now())).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let mut command = frame_rx(dir.path(), None);
            command.arg("-f").arg(&guest.path);
            command.args("--headless --seconds 1.5 --screenshot a.png --screenshot-pointer".split(' '));
            let (code, text) = run(&mut command);
            assert_eq!(code, 0, "{text}");
            let (w, h, rgb) = png_file::read(&dir.path().join("a.png"));
            let stamp = guest.with(|g| g.last_stamp()).expect("a picture");
            let under = guest.expected(stamp);
            let shape = shape(kind);
            for at in 0..(w * h) as usize {
                let (x, y) = (at as i64 % i64::from(w), at as i64 / i64::from(w));
                let below: [u8; 3] = under[at * 3..at * 3 + 3].try_into().unwrap();
                let scale = i64::from(scaled);
                let on_desktop = ((2 * x + 1) * scale / 2 - 40, (2 * y + 1) * scale / 2 - 20);
                let expected = pointer_pixel(&shape, on_desktop, below);
                assert_eq!(rgb[at * 3..at * 3 + 3], expected, "{kind:?} at {x},{y}, scaled by {scaled}");
            }
        }
    }
}

/// What the wire reference says becomes of a pixel under a shape.
fn pointer_pixel(shape: &ShapeSpec, (x, y): (i64, i64), below: [u8; 3]) -> [u8; 3] {
    let height = if shape.kind == ShapeKind::Monochrome { shape.stored_rows / 2 } else { shape.stored_rows };
    if !(0..i64::from(shape.width)).contains(&x) || !(0..i64::from(height)).contains(&y) {
        return below;
    }
    let (x, y, pitch) = (x as usize, y as usize, shape.pitch_bytes as usize);
    if shape.kind == ShapeKind::Monochrome {
        let bit = |row: usize| shape.pixels[row * pitch + x / 8] >> (7 - x % 8) & 1;
        return match (bit(y), bit(y + height as usize)) {
            (0, 0) => [0; 3],
            (0, _) => [255; 3],
            (_, 0) => below,
            _ => below.map(|c| !c),
        };
    }
    let [b, g, r, a] = shape.pixels[y * pitch + x * 4..][..4].try_into().unwrap();
    let colour: [u8; 3] = [r, g, b];
    std::array::from_fn(|i| match (shape.kind, a) {
        (ShapeKind::MaskedColor, 0) => colour[i],
        (ShapeKind::MaskedColor, _) => below[i] ^ colour[i],
        _ => (u32::from(colour[i]) + (u32::from(below[i]) * (255 - u32::from(a)) + 127) / 255).min(255) as u8,
    })
}

#[test]
fn a_screenshot_with_the_pointer_differs_only_where_the_pointer_is() {
    let Some(_gpu) = gpu() else { return };
    let mut config = PictureConfig::new(320, 180);
    (config.motion, config.pointer, config.pointer_rate_hz) = (Motion::Still, PointerMode::Monochrome, 0);
    let guest = GuestThread::start(config);
    let dir = tempfile::tempdir().unwrap();
    let shot = |flags: &str| {
        let mut command = frame_rx(dir.path(), None);
        command
            .arg("-f")
            .arg(&guest.path)
            .args(format!("--headless --seconds 1.5 --screenshot a.png{flags}").split(' '));
        let (code, text) = run(&mut command);
        assert_eq!(code, 0, "{text}");
        png_file::read(&dir.path().join("a.png")).2
    };
    let (without, with) = (shot(""), shot(" --screenshot-pointer"));
    assert!(guest.stamp_of(&without, 320, 180).is_some());
    let changed: Vec<(usize, usize)> = (0..320 * 180)
        .filter(|i| without[i * 3..i * 3 + 3] != with[i * 3..i * 3 + 3])
        .map(|i| (i % 320, i / 320))
        .collect();
    // The guest's pointer stands at -8, -8 and is 32 pixels wide.
    assert!(!changed.is_empty() && changed.iter().all(|(x, y)| *x < 24 && *y < 24), "{changed:?}");
}
