//! Pixels on a real (software) GPU against a processor's calculation: formats, turns, scaling, pointers, words.
//! Everything that is said to be exact is compared byte by byte.

mod rig;

use frame_rx::cursor::{CursorKind, Pointer, Shape, compose};
use frame_rx::damage::Damage;
use frame_rx::gpu::scene::{Filter, Look};
use frame_rx::offscreen::ScreenshotError;
use frame_rx::picture::{PictureFormat, PixelFormat, Rect, Rotation, Size};
use frame_rx::text;
use frame_rx::turn::Turning;
use frame_rx::view::{self, Place, Scale};
use rig::{Bench, gpu_lock};

type Rgb = [u8; 3];

impl Bench {
    fn send(&mut self, picture: &Picture, changed: &Damage) {
        self.publish(picture.format, changed, &picture.bytes());
    }

    fn show(&mut self, picture: &Picture) {
        self.put(picture.format, &picture.bytes());
    }

    fn shot(&mut self, size: Size, look: &Look) -> Vec<Rgb> {
        let rgba = self.screen.render(size, look).unwrap();
        assert_eq!(rgba.len() as u32, size.width * size.height * 4);
        assert!(rgba.chunks(4).all(|p| p[3] == 255), "a window has no holes");
        rgba.chunks(4).map(|p| [p[0], p[1], p[2]]).collect()
    }
}

/// A picture whose every pixel is another.
struct Picture {
    format: PictureFormat,
    rgb: Vec<Rgb>,
}

impl Picture {
    fn new(format: PictureFormat, seed: u32) -> Picture {
        let count = format.stored.width * format.stored.height;
        let mix = |i: u32| (i ^ seed << 20).wrapping_mul(0x9E37_79B1).rotate_left(13).wrapping_mul(0x85EB_CA77);
        let rgb = (0..count).map(|i| mix(i).to_le_bytes()).map(|b| [b[1], b[2], b[3]]).collect();
        Picture { format, rgb }
    }

    fn bytes(&self) -> Vec<u8> {
        let order = |p: &Rgb| match self.format.pixel {
            PixelFormat::Rgba8 => [p[0], p[1], p[2], 0x99],
            PixelFormat::Bgra8 => [p[2], p[1], p[0], 0x99],
            other => panic!("{other:?} has its own tests"),
        };
        self.rgb.iter().flat_map(order).collect()
    }

    /// The upright pixel, past the edge the edge's.
    fn upright(&self, x: i64, y: i64) -> Rgb {
        let (shown, s) = (self.format.shown(), self.format.stored);
        let x = x.clamp(0, i64::from(shown.width) - 1) as u32;
        let y = y.clamp(0, i64::from(shown.height) - 1) as u32;
        let (sx, sy) = match self.format.rotation {
            Rotation::None => (x, y),
            Rotation::Quarter => (y, s.height - 1 - x),
            Rotation::Half => (s.width - 1 - x, s.height - 1 - y),
            Rotation::ThreeQuarters => (s.width - 1 - y, x),
        };
        self.rgb[(sy * s.width + sx) as usize]
    }
}

/// What the GPU should show, calculated without it.
struct Expected<'a> {
    picture: &'a Picture,
    pointer: Option<(&'a Shape, Pointer)>,
}

impl Expected<'_> {
    fn pixel(&self, x: i64, y: i64) -> Rgb {
        let under = self.picture.upright(x, y);
        let Some((shape, pointer)) = self.pointer else { return under };
        let (shown, desktop) = (self.picture.format.shown(), self.picture.format.desktop);
        let x = x.clamp(0, i64::from(shown.width) - 1);
        let y = y.clamp(0, i64::from(shown.height) - 1);
        let dx = (2 * x + 1) * i64::from(desktop.width) / (2 * i64::from(shown.width)) - i64::from(pointer.x);
        let dy = (2 * y + 1) * i64::from(desktop.height) / (2 * i64::from(shown.height)) - i64::from(pointer.y);
        let inside = (0..i64::from(shape.size.width)).contains(&dx) && (0..i64::from(shape.size.height)).contains(&dy);
        if !inside {
            return under;
        }
        let at = (dy as usize * shape.size.width as usize + dx as usize) * 4;
        let [b, g, r] = compose(shape.kind, [under[2], under[1], under[0]], shape.bgra[at..at + 4].try_into().unwrap());
        [r, g, b]
    }

    fn at(&self, place: Place, filter: Filter, x: i64, y: i64) -> [f64; 3] {
        let shown = self.picture.format.shown();
        let (x, y) = (x - i64::from(place.x), y - i64::from(place.y));
        let (w, h) = (i64::from(place.size.width), i64::from(place.size.height));
        if !(0..w).contains(&x) || !(0..h).contains(&y) {
            return [0.0; 3];
        }
        let (pw, ph) = (i64::from(shown.width), i64::from(shown.height));
        if filter == Filter::Nearest {
            let near = |i: i64, of: i64, on: i64| ((i as f32 + 0.5) * (of as f64 / on as f64) as f32).floor() as i64;
            return self.pixel(near(x, pw, w), near(y, ph, h)).map(f64::from);
        }
        let px = (x as f64 + 0.5) * pw as f64 / w as f64 - 0.5;
        let py = (y as f64 + 0.5) * ph as f64 / h as f64 - 0.5;
        let (fx, fy) = (px - px.floor(), py - py.floor());
        let (nx, ny) = (px.floor() as i64, py.floor() as i64);
        let corner = |i, j| self.pixel(nx + i, ny + j).map(f64::from);
        let mix = |a: [f64; 3], b: [f64; 3], t: f64| std::array::from_fn(|i| a[i] * (1.0 - t) + b[i] * t);
        mix(mix(corner(0, 0), corner(1, 0), fx), mix(corner(0, 1), corner(1, 1), fx), fy)
    }
}

fn compare(name: &str, got: &[Rgb], window: Size, look: &Look, expected: &Expected<'_>, tolerance: f64) {
    for (i, pixel) in got.iter().enumerate() {
        let (x, y) = (i as i64 % i64::from(window.width), i as i64 / i64::from(window.width));
        let want = expected.at(look.place, look.filter, x, y);
        let near = pixel.iter().zip(want).all(|(g, w)| (f64::from(*g) - w).abs() <= tolerance);
        assert!(near, "{name}: at {x},{y} is {pixel:?}, should be {want:?}");
    }
}

fn look(picture: Size, window: Size, scale: Scale, filter: Filter) -> Look {
    Look {
        place: view::place(picture, window, scale),
        filter,
        pointer: None,
        brightness: 255,
        turning: Turning::default(),
    }
}

fn upright(width: u32, height: u32, pixel: PixelFormat) -> PictureFormat {
    PictureFormat::upright(Size::new(width, height), pixel)
}

#[test]
fn both_byte_orders_and_odd_widths_arrive_pixel_for_pixel() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    for pixel in [PixelFormat::Bgra8, PixelFormat::Rgba8] {
        for (w, h) in [(640, 360), (1, 1), (63, 7), (64, 3), (65, 130), (333, 129), (1366, 20), (1, 300)] {
            let picture = Picture::new(upright(w, h, pixel), w);
            bench.show(&picture);
            let window = Size::new(w, h);
            let got = bench.shot(window, &look(window, window, Scale::OneToOne, Filter::Linear));
            assert!(got == picture.rgb, "{w}x{h} {pixel:?}");
        }
    }
}

#[test]
fn only_damaged_rectangles_change() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let format = upright(200, 100, PixelFormat::Bgra8);
    let size = format.stored;
    let mut shown = Picture::new(format, 1);
    bench.show(&shown);
    let rects = [
        Rect { x: 3, y: 5, width: 1, height: 1 },
        Rect { x: 66, y: 40, width: 65, height: 17 },
        Rect { x: 190, y: 90, width: 10, height: 10 },
    ];
    for (seed, rect) in (2..).zip(rects) {
        let new = Picture::new(format, seed);
        let mut damage = Damage::none();
        damage.add(rect);
        bench.send(&new, &damage);
        for y in rect.y..rect.bottom() {
            for x in rect.x..rect.right() {
                shown.rgb[(y * 200 + x) as usize] = new.rgb[(y * 200 + x) as usize];
            }
        }
        // The second of the three is fetched late, with the third.
        if seed != 3 {
            bench.screen.take(&bench.outlet, 0).unwrap().unwrap();
            if seed == 4 {
                // The rectangle of the skipped picture holds the newest pixels there, as the guest has them.
                for y in rects[1].y..rects[1].bottom() {
                    for x in rects[1].x..rects[1].right() {
                        shown.rgb[(y * 200 + x) as usize] = new.rgb[(y * 200 + x) as usize];
                    }
                }
            }
            let got = bench.shot(size, &look(size, size, Scale::OneToOne, Filter::Nearest));
            assert!(got == shown.rgb, "after picture {seed}");
        }
    }
}

#[test]
fn every_turn_stands_upright() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    for rotation in [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters] {
        let mut format = upright(70, 33, PixelFormat::Rgba8);
        format.rotation = rotation;
        format.desktop = format.shown();
        let picture = Picture::new(format, 9);
        bench.show(&picture);
        let window = format.shown();
        let look = look(window, window, Scale::OneToOne, Filter::Nearest);
        let got = bench.shot(window, &look);
        compare(&format!("{rotation:?}"), &got, window, &look, &Expected { picture: &picture, pointer: None }, 0.0);
    }
}

#[test]
fn a_copied_picture_is_the_drawn_one_pixel_for_pixel() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let picture = Picture::new(upright(300, 170, PixelFormat::Rgba8), 6);
    bench.show(&picture);
    let shot = |bench: &mut Bench, copies: bool, size, look: &Look| {
        bench.screen.take_copies(copies);
        let rgba = bench.screen.render(size, look).unwrap();
        let opacity = rgba.chunks(4).filter(|p| p[3] == 0x99).count();
        (rgba.chunks(4).map(|p| [p[0], p[1], p[2]]).collect::<Vec<Rgb>>(), opacity)
    };
    // The same size, bars around, cut off, and both.
    for (w, h) in [(300, 170), (420, 333), (97, 50), (512, 60), (301, 171)] {
        let window = Size::new(w, h);
        for (name, shape) in shapes() {
            bench.screen.set_shape(&shape);
            for pointer in [None, Some((40, 20)), Some((-5, -9)), Some((290, 160))] {
                let pointer = pointer.map(|(x, y)| Pointer { x, y, visible: true });
                let look = Look { pointer, ..look(Size::new(300, 170), window, Scale::OneToOne, Filter::Nearest) };
                let (drawn, _) = shot(&mut bench, false, window, &look);
                let (copied, with_guests_opacity) = shot(&mut bench, true, window, &look);
                assert!(drawn == copied, "{w}x{h} {name} {pointer:?}");
                assert!(with_guests_opacity > 1000, "{w}x{h} {name} {pointer:?} was not copied");
            }
        }
    }
    // Where a calculation is needed, there is one.
    let window = Size::new(300, 170);
    let plain = look(window, window, Scale::OneToOne, Filter::Nearest);
    let larger = look(window, Size::new(600, 340), Scale::Fit, Filter::Nearest);
    for (what, size, look) in
        [("dimmed", window, Look { brightness: 90, ..plain }), ("scaled", Size::new(600, 340), larger)]
    {
        let (drawn, _) = shot(&mut bench, false, size, &look);
        let (other, with_guests_opacity) = shot(&mut bench, true, size, &look);
        assert!(drawn == other && with_guests_opacity == 0, "{what}");
    }
}

#[test]
fn each_way_of_scaling_shows_the_calculated_pixels() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let picture = Picture::new(upright(160, 90, PixelFormat::Bgra8), 4);
    bench.show(&picture);
    let expected = Expected { picture: &picture, pointer: None };
    for (w, h) in [(160, 90), (640, 360), (500, 333), (97, 201), (161, 91), (320, 180)] {
        let window = Size::new(w, h);
        for scale in [Scale::Fit, Scale::Integer, Scale::OneToOne, Scale::Stretch] {
            // Hard edges are exact; soft ones are calculated in floats, so they may round the other way.
            for (filter, tolerance) in [(Filter::Nearest, 0.0), (Filter::Linear, 0.51)] {
                let look = look(Size::new(160, 90), window, scale, filter);
                let got = bench.shot(window, &look);
                compare(&format!("{w}x{h} {scale:?} {filter:?}"), &got, window, &look, &expected, tolerance);
            }
        }
    }
}

fn shapes() -> Vec<(&'static str, Shape)> {
    let noise = |count: usize| (0..count as u32).map(|i| i.wrapping_mul(0x9E37_79B1).to_le_bytes()[3]);
    let mut shapes = Vec::new();
    let mut blend = Shape::with_room();
    let colours: Vec<u8> = noise(24 * 17 * 4).collect();
    blend.set_colour(CursorKind::Blend, Size::new(24, 17), 96, &colours).unwrap();
    shapes.push(("blended", blend));
    let mut mask = Shape::with_room();
    let modes: Vec<u8> =
        colours.chunks(4).flat_map(|p| [p[0], p[1], p[2], if p[3] & 1 == 0 { 0 } else { 255 }]).collect();
    mask.set_colour(CursorKind::Mask, Size::new(24, 17), 96, &modes).unwrap();
    shapes.push(("masked", mask));
    let mut bits = Shape::with_room();
    bits.set_monochrome(Size::new(35, 20), 5, &noise(200).collect::<Vec<_>>()).unwrap();
    shapes.push(("monochrome", bits));
    let mut large = Shape::with_room();
    large.set_colour(CursorKind::Mask, Size::new(100, 90), 400, &noise(36_000).collect::<Vec<_>>()).unwrap();
    shapes.push(("large", large));
    shapes
}

#[test]
fn every_kind_of_pointer_is_drawn_exactly_wherever_it_is() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let size = Size::new(160, 90);
    let picture = Picture::new(upright(160, 90, PixelFormat::Bgra8), 5);
    bench.show(&picture);
    for (name, shape) in shapes() {
        bench.screen.set_shape(&shape);
        for (x, y) in [(0, 0), (40, 30), (-7, -9), (150, 80), (500, 20), (-32768, 32767)] {
            let pointer = Pointer { x, y, visible: true };
            for (window, scale) in [(size, Scale::OneToOne), (Size::new(480, 270), Scale::Integer)] {
                let look = Look { pointer: Some(pointer), ..look(size, window, scale, Filter::Nearest) };
                let got = bench.shot(window, &look);
                let expected = Expected { picture: &picture, pointer: Some((&shape, pointer)) };
                compare(&format!("{name} at {x},{y}"), &got, window, &look, &expected, 0.0);
            }
        }
    }
}

#[test]
fn a_pointer_moves_and_vanishes_without_a_new_picture() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let size = Size::new(80, 60);
    let picture = Picture::new(upright(80, 60, PixelFormat::Bgra8), 6);
    bench.show(&picture);
    let (_, shape) = shapes().remove(2);
    bench.screen.set_shape(&shape);
    let mut at = |pointer: Option<Pointer>| {
        bench.shot(size, &Look { pointer, ..look(size, size, Scale::OneToOne, Filter::Nearest) })
    };
    let here = at(Some(Pointer { x: 5, y: 5, visible: true }));
    let there = at(Some(Pointer { x: 9, y: 20, visible: true }));
    assert!(here != there && here != picture.rgb);
    assert!(at(Some(Pointer { x: 5, y: 5, visible: false })) == picture.rgb);
    assert!(at(None) == picture.rgb);
}

#[test]
fn an_inverted_pixel_drawn_twice_is_the_picture_again() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let size = Size::new(64, 32);
    let picture = Picture::new(upright(64, 32, PixelFormat::Rgba8), 7);
    bench.show(&picture);
    let mut all = Shape::with_room();
    all.set_monochrome(size, 8, &[0xFF; 512]).unwrap();
    bench.screen.set_shape(&all);
    let pointer = Some(Pointer { x: 0, y: 0, visible: true });
    let got = bench.shot(size, &Look { pointer, ..look(size, size, Scale::OneToOne, Filter::Linear) });
    let back: Vec<Rgb> = got.iter().map(|p| p.map(|c| !c)).collect();
    assert!(back == picture.rgb);
}

#[test]
fn a_pointer_is_scaled_with_a_picture_that_the_guest_scaled_down() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let mut format = upright(160, 90, PixelFormat::Bgra8);
    format.desktop = Size::new(320, 180);
    let picture = Picture::new(format, 8);
    bench.show(&picture);
    let size = format.stored;
    let pointer = Pointer { x: 101, y: 57, visible: true };
    for (name, shape) in shapes() {
        bench.screen.set_shape(&shape);
        let look = Look { pointer: Some(pointer), ..look(size, size, Scale::OneToOne, Filter::Nearest) };
        let got = bench.shot(size, &look);
        compare(name, &got, size, &look, &Expected { picture: &picture, pointer: Some((&shape, pointer)) }, 0.0);
    }
}

#[test]
fn a_pointer_on_a_softly_scaled_picture_is_part_of_it() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let picture = Picture::new(upright(100, 60, PixelFormat::Bgra8), 10);
    bench.show(&picture);
    let pointer = Pointer { x: 31, y: 17, visible: true };
    for (name, shape) in shapes() {
        bench.screen.set_shape(&shape);
        let window = Size::new(233, 141);
        let look = Look { pointer: Some(pointer), ..look(Size::new(100, 60), window, Scale::Fit, Filter::Linear) };
        let got = bench.shot(window, &look);
        compare(name, &got, window, &look, &Expected { picture: &picture, pointer: Some((&shape, pointer)) }, 0.51);
    }
}

#[test]
fn words_lie_over_a_dimmed_picture_and_over_nothing() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let window = Size::new(400, 225);
    let words = text::paint("the guest is paused", window).unwrap();
    bench.screen.set_words(Some(&words));
    let dark = look(Size::default(), window, Scale::Fit, Filter::Nearest);
    let alone = bench.shot(window, &dark);
    let picture = Picture::new(upright(400, 225, PixelFormat::Bgra8), 11);
    bench.show(&picture);
    let dimmed = bench.shot(window, &Look { brightness: 100, ..look(window, window, Scale::Fit, Filter::Nearest) });
    let (left, top) = ((400 - words.size.width) / 2, (225 - words.size.height) / 2);
    for (i, (alone, dimmed)) in alone.iter().zip(&dimmed).enumerate() {
        let (x, y) = (i as u32 % 400, i as u32 / 400);
        let in_box = (left..left + words.size.width).contains(&x) && (top..top + words.size.height).contains(&y);
        let under = picture.rgb[i].map(|c| f64::from(c) * 100.0 / 255.0);
        let near = |got: &Rgb, want: [f64; 3]| got.iter().zip(want).all(|(g, w)| (f64::from(*g) - w).abs() < 1.01);
        if in_box {
            let at = (((y - top) * words.size.width + x - left) * 4) as usize;
            let p = &words.rgba[at..at + 4];
            assert_eq!(alone[..], p[..3], "{x},{y}");
            let through = f64::from(255 - p[3]) / 255.0;
            let want = std::array::from_fn(|c| f64::from(p[c]) + under[c] * through);
            assert!(near(dimmed, want), "{x},{y}: {dimmed:?} {want:?}");
        } else {
            assert_eq!(*alone, [0; 3], "{x},{y}");
            assert!(near(dimmed, under), "{x},{y}");
        }
    }
    bench.screen.set_words(None);
    assert!(bench.shot(window, &look(window, window, Scale::Fit, Filter::Nearest)) == picture.rgb);
}

#[test]
fn a_screenshot_is_the_picture_and_its_hash_tells_pictures_apart() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shot.png");
    assert!(matches!(bench.screen.screenshot(&file, None), Err(ScreenshotError::NoPicture)));
    assert_eq!(bench.screen.hash().unwrap(), None);
    let mut hashes = Vec::new();
    for seed in [1, 2, 1] {
        let picture = Picture::new(upright(321, 300, PixelFormat::Bgra8), seed);
        bench.show(&picture);
        bench.screen.screenshot(&file, None).unwrap();
        let mut reader =
            png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&file).unwrap())).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert!(pixels == picture.rgb.concat());
        hashes.push(bench.screen.hash().unwrap().unwrap());
    }
    assert_eq!(hashes[0], hashes[2]);
    assert_ne!(hashes[0], hashes[1]);
    bench.screen.forget_picture();
    assert_eq!(bench.screen.hash().unwrap(), None);
}

#[test]
fn a_full_disk_is_a_screenshot_error_that_leaves_nothing_behind() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    bench.show(&Picture::new(upright(64, 64, PixelFormat::Bgra8), 1));
    let error = bench.screen.screenshot(std::path::Path::new("/dev/full"), None).unwrap_err();
    assert_eq!(error.to_string(), "cannot write /dev/full: no space left");
    let error = bench.screen.screenshot(std::path::Path::new("/no/such/dir/a.png"), None).unwrap_err();
    assert!(matches!(error, ScreenshotError::Write(_)), "{error}");
}

#[test]
fn a_picture_larger_than_the_gpu_can_hold_is_refused_and_the_next_is_shown() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let wide = Picture::new(upright(40_000, 1, PixelFormat::Bgra8), 1);
    bench.send(&wide, &Damage::everything());
    let error = bench.screen.take(&bench.outlet, 0).unwrap_err();
    assert!(error.to_string().starts_with("a picture of 40000x1 is larger"), "{error}");
    let picture = Picture::new(upright(64, 64, PixelFormat::Bgra8), 1);
    bench.show(&picture);
    let size = Size::new(64, 64);
    assert!(bench.shot(size, &look(size, size, Scale::Fit, Filter::Nearest)) == picture.rgb);
}

#[test]
fn a_picture_of_an_old_session_is_never_taken() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    bench.send(&Picture::new(upright(64, 64, PixelFormat::Bgra8), 1), &Damage::everything());
    assert_eq!(bench.screen.take(&bench.outlet, 1).unwrap(), None);
    assert_eq!(bench.screen.picture(), None);
}
