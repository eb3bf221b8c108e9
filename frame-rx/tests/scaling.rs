//! The scalers on a real (software) GPU: against a calculation on the processor, and against what they are for. Turns by
//! the user, against the same turn by the guest.

mod rig;

use frame_rx::cursor::{CursorKind, Pointer, Shape};
use frame_rx::gpu::scene::{Filter, Look};
use frame_rx::picture::{PictureFormat, PixelFormat, Rotation, Size};
use frame_rx::turn::{self, Turned, Turning};
use frame_rx::view::{self, Scale};
use rig::{Bench, gpu_lock};

type Rgb = [f32; 3];

/// Pixels from 0 to 1.
#[derive(Clone)]
struct Image {
    size: Size,
    rgb: Vec<Rgb>,
}

impl Image {
    fn make(width: u32, height: u32, pixel: impl Fn(f32, f32) -> Rgb) -> Image {
        let at = |i: u32| pixel((i % width) as f32 + 0.5, (i / width) as f32 + 0.5);
        let round = |c: f32| (c.clamp(0.0, 1.0) * 255.0).round() / 255.0;
        Image { size: Size::new(width, height), rgb: (0..width * height).map(|i| at(i).map(round)).collect() }
    }

    /// Discs, stripes, letters' strokes: what a desktop has of edges.
    fn drawing(width: u32, height: u32) -> Image {
        Image::make(width, height, |x, y| {
            let (u, v) = (x / width as f32, y / height as f32);
            let disc = ((u - 0.3).hypot(v - 0.5) < 0.22) as u8 as f32;
            let stripe = ((u * 9.0 + v * 4.0).fract() < 0.35) as u8 as f32;
            let stroke = ((u - 0.7).abs() < 0.03 || (v - 0.8).abs() < 0.04) as u8 as f32;
            [0.15 + 0.6 * disc, 0.2 + 0.7 * stripe * u, 0.9 - 0.8 * stroke]
        })
    }

    fn noise(width: u32, height: u32) -> Image {
        Image::make(width, height, |x, y| {
            let i = (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
            let b = i.wrapping_mul(0xC2B2_AE35).rotate_left(11).to_le_bytes();
            [b[0], b[1], b[2]].map(|c| f32::from(c) / 255.0)
        })
    }

    fn at(&self, x: i64, y: i64) -> Rgb {
        let x = x.clamp(0, i64::from(self.size.width) - 1);
        let y = y.clamp(0, i64::from(self.size.height) - 1);
        self.rgb[(y * i64::from(self.size.width) + x) as usize]
    }

    fn bytes(&self) -> Vec<u8> {
        self.rgb.iter().flat_map(|p| p.map(|c| (c * 255.0).round() as u8)).collect()
    }
}

impl Bench {
    fn show(&mut self, image: &Image, rotation: Rotation) {
        let mut format = PictureFormat::upright(image.size, PixelFormat::Rgba8);
        format.rotation = rotation;
        format.desktop = format.shown();
        let pixels: Vec<u8> = image.bytes().chunks(3).flat_map(|p| [p[0], p[1], p[2], 0]).collect();
        self.put(format, &pixels);
    }

    fn shot(&mut self, window: Size, look: &Look) -> Vec<u8> {
        let rgba = self.screen.render(window, look).unwrap();
        rgba.chunks(4).flat_map(|p| [p[0], p[1], p[2]]).collect()
    }
}

fn look(picture: Size, window: Size, filter: Filter) -> Look {
    let place = view::place(picture, window, Scale::Stretch);
    Look { place, filter, pointer: None, brightness: 255, turning: Turning::default() }
}

fn farthest(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

/// The mean of the area under each pixel, in doubles.
fn mean(from: &Image, on: Size) -> Image {
    let step = (f64::from(from.size.width) / f64::from(on.width), f64::from(from.size.height) / f64::from(on.height));
    Image::make(on.width, on.height, |x, y| {
        let (x, y) = (f64::from(x - 0.5), f64::from(y - 0.5));
        let (mut sum, mut weight) = ([0.0; 3], 0.0);
        for sy in (y * step.1) as i64..=((y + 1.0) * step.1) as i64 {
            for sx in (x * step.0) as i64..=((x + 1.0) * step.0) as i64 {
                let wide = ((x + 1.0) * step.0).min(sx as f64 + 1.0) - (x * step.0).max(sx as f64);
                let tall = ((y + 1.0) * step.1).min(sy as f64 + 1.0) - (y * step.1).max(sy as f64);
                let part = wide.max(0.0) * tall.max(0.0);
                weight += part;
                let pixel = from.at(sx, sy);
                sum = core::array::from_fn(|i| sum[i] + part * f64::from(pixel[i]));
            }
        }
        sum.map(|s| (s / weight) as f32)
    })
}

fn luma(p: Rgb) -> f32 {
    p[1] + (p[0] + p[2]) / 2.0
}

/// The published edge-adaptive enlargement, written as its description goes: four crosses, one direction, twelve taps.
fn enlarged(from: &Image, on: Size) -> Image {
    let step = (from.size.width as f32 / on.width as f32, from.size.height as f32 / on.height as f32);
    Image::make(on.width, on.height, |x, y| {
        let (px, py) = (x * step.0 - 0.5, y * step.1 - 0.5);
        let (bx, by) = (px.floor(), py.floor());
        let (fx, fy) = (px - bx, py - by);
        let tap = |dx: i64, dy: i64| from.at(bx as i64 + dx, by as i64 + dy);
        let (mut dir, mut len) = ([0.0f32; 2], 0.0f32);
        for (dx, dy, w) in
            [(0, 0, (1.0 - fx) * (1.0 - fy)), (1, 0, fx * (1.0 - fy)), (0, 1, (1.0 - fx) * fy), (1, 1, fx * fy)]
        {
            let here = luma(tap(dx, dy));
            for (axis, (ax, ay)) in [(1, 0), (0, 1)].into_iter().enumerate() {
                let (before, after) = (luma(tap(dx - ax, dy - ay)), luma(tap(dx + ax, dy + ay)));
                let change = after - before;
                let steepest = (after - here).abs().max((here - before).abs()).max(1e-5);
                dir[axis] += change * w;
                len += (change.abs() / steepest).clamp(0.0, 1.0).powi(2) * w;
            }
        }
        let strength = dir[0] * dir[0] + dir[1] * dir[1];
        let dir = if strength < 1.0 / 32768.0 { [1.0, 0.0] } else { dir.map(|d| d / strength.sqrt()) };
        let len = (len / 2.0).powi(2);
        let stretch = (dir[0] * dir[0] + dir[1] * dir[1]) / dir[0].abs().max(dir[1].abs());
        let (along, across) = (1.0 + (stretch - 1.0) * len, 1.0 - 0.5 * len);
        let lobe = 0.5 + (0.21 - 0.5) * len;
        let (mut sum, mut weight) = ([0.0; 3], 0.0);
        for dy in -1..=2i64 {
            for dx in -1..=2i64 {
                if [-1, 2].contains(&dx) && [-1, 2].contains(&dy) {
                    continue;
                }
                let (ox, oy) = (dx as f32 - fx, dy as f32 - fy);
                let turned = [(ox * dir[0] + oy * dir[1]) * along, (oy * dir[0] - ox * dir[1]) * across];
                let d = (turned[0] * turned[0] + turned[1] * turned[1]).min(1.0 / lobe);
                let (a, b) = (lobe * d - 1.0, 2.0 / 5.0 * d - 1.0);
                let w = (25.0 / 16.0 * b * b - (25.0 / 16.0 - 1.0)) * a * a;
                sum = core::array::from_fn(|i| sum[i] + w * tap(dx, dy)[i]);
                weight += w;
            }
        }
        core::array::from_fn(|i| {
            let middle = [tap(0, 0)[i], tap(1, 0)[i], tap(0, 1)[i], tap(1, 1)[i]];
            let (low, high) = (middle.iter().copied().fold(1.0, f32::min), middle.iter().copied().fold(0.0, f32::max));
            (sum[i] / weight).clamp(low, high)
        })
    })
}

/// The published sharpening by contrast.
fn sharpened(from: &Image) -> Image {
    Image::make(from.size.width, from.size.height, |x, y| {
        let (x, y) = (x as i64, y as i64);
        let here = from.at(x, y);
        let cross = [from.at(x, y - 1), from.at(x - 1, y), from.at(x + 1, y), from.at(x, y + 1)];
        let room: [f32; 3] = core::array::from_fn(|i| {
            let (low, high) = cross.iter().fold((1.0f32, 0.0f32), |(l, h), p| (l.min(p[i]), h.max(p[i])));
            let down = low.min(here[i]) / (4.0 * high).max(1e-5);
            let up = (1.0 - high.max(here[i])) / (4.0 - 4.0 * low).max(1e-5);
            down.min(up)
        });
        let lobe = -room.into_iter().fold(0.25 - 1.0 / 16.0, f32::min) * (-0.2f32).exp2();
        core::array::from_fn(|i| {
            let around: f32 = cross.iter().map(|p| p[i]).sum();
            (here[i] + around * lobe) / (1.0 + 4.0 * lobe)
        })
    })
}

/// How near two pictures are, in decibels: more is nearer.
fn nearness(a: &[u8], b: &[u8]) -> f64 {
    let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
    let error = a.iter().zip(b).map(square).sum::<f64>() / a.len() as f64;
    10.0 * (255.0 * 255.0 / error.max(1e-9)).log10()
}

#[test]
fn area_is_the_mean_of_what_lies_under_each_pixel() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    for image in [Image::noise(160, 90), Image::drawing(160, 90)] {
        bench.show(&image, Rotation::None);
        for (w, h) in [(80, 45), (53, 30), (97, 61), (1, 1), (159, 89), (100, 200)] {
            let window = Size::new(w, h);
            let got = bench.shot(window, &look(image.size, window, Filter::Area));
            let off = farthest(&got, &mean(&image, window).bytes());
            assert!(off <= 1, "{w}x{h} is off by {off}");
        }
    }
}

#[test]
fn sharp_is_the_published_algorithm() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    for (name, image) in [("noise", Image::noise(96, 54)), ("drawing", Image::drawing(96, 54))] {
        bench.show(&image, Rotation::None);
        for (w, h) in [(192, 108), (125, 70), (160, 135), (288, 162)] {
            let window = Size::new(w, h);
            let got = bench.shot(window, &look(image.size, window, Filter::Sharp));
            let want = sharpened(&enlarged(&image, window)).bytes();
            // Where a direction is undecided, a float's last bit decides; sharpening makes more of it.
            let far = got.iter().zip(&want).filter(|(a, b)| a.abs_diff(**b) > 3).count();
            assert!(far * 1000 <= got.len(), "{name} {w}x{h}: {far} of {} are off by more than 3", got.len());
        }
    }
}

#[test]
fn sharp_comes_nearer_to_a_larger_original_than_linear_does() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let original = Image::drawing(384, 216);
    let small = mean(&original, Size::new(192, 108));
    bench.show(&small, Rotation::None);
    let mut by =
        |filter| nearness(&bench.shot(original.size, &look(small.size, original.size, filter)), &original.bytes());
    let (sharp, linear, nearest) = (by(Filter::Sharp), by(Filter::Linear), by(Filter::Nearest));
    assert!(sharp > linear + 0.5 && sharp > nearest, "sharp {sharp:.1} linear {linear:.1} nearest {nearest:.1} dB");
}

#[test]
fn plain_surfaces_stay_as_they_are_and_one_to_one_is_exact_by_every_filter() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let plain = Image::make(64, 36, |_, _| [0.2, 0.5, 1.0]);
    bench.show(&plain, Rotation::None);
    for (filter, w, h) in [(Filter::Sharp, 150, 80), (Filter::Area, 33, 20), (Filter::Sharp, 30, 90)] {
        let window = Size::new(w, h);
        let got = bench.shot(window, &look(plain.size, window, filter));
        assert!(got.chunks(3).all(|p| p == [51, 128, 255]), "{filter:?} {w}x{h}: {:?}", &got[..3]);
    }
    let noise = Image::noise(70, 41);
    bench.show(&noise, Rotation::None);
    for filter in [Filter::Sharp, Filter::Area, Filter::Linear, Filter::Nearest] {
        assert!(bench.shot(noise.size, &look(noise.size, noise.size, filter)) == noise.bytes(), "{filter:?}");
    }
}

#[test]
fn the_users_turn_looks_like_the_guests() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let image = Image::noise(66, 38);
    let mut shape = Shape::with_room();
    let pixels: Vec<u8> = (0..12 * 7 * 4u32).map(|i| (i.wrapping_mul(0x9E37_79B1) >> 24) as u8).collect();
    shape.set_colour(CursorKind::Blend, Size::new(12, 7), 48, &pixels).unwrap();
    for by in [Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters] {
        for (x, y) in [(5, 9), (-3, -2), (60, 35)] {
            // By the user: an upright guest with its pointer, all of it turned.
            let pointer = Some(Pointer { x, y, visible: true });
            bench.show(&image, Rotation::None);
            bench.screen.set_shape(&shape);
            let upright = PictureFormat::upright(image.size, PixelFormat::Rgba8);
            let window = turn::format(&upright, Turned::by_user(by)).shown();
            let turned =
                Look { pointer, turning: Turning::default().with_more(by), ..look(window, window, Filter::Nearest) };
            let users = bench.shot(window, &turned);
            // By hand: drawn upright, then turned pixel by pixel.
            let plain = bench.shot(image.size, &Look { pointer, ..look(image.size, image.size, Filter::Nearest) });
            let by_hand = Shape {
                kind: CursorKind::Mask,
                size: image.size,
                bgra: plain.chunks(3).flat_map(|p| [p[0], p[1], p[2], 0]).collect(),
            };
            let by_hand = turn::shape(&by_hand, by).bgra;
            let by_hand: Vec<u8> = by_hand.chunks(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
            assert!(users == by_hand, "{by:?} with the pointer at {x},{y}");
        }
        // The guest's own turn, without a pointer.
        bench.show(&image, by);
        let window = turn::format(&PictureFormat::upright(image.size, PixelFormat::Rgba8), Turned::by_user(by)).shown();
        let guests = bench.shot(window, &look(window, window, Filter::Nearest));
        bench.show(&image, Rotation::None);
        let users = bench
            .shot(window, &Look { turning: Turning::default().with_more(by), ..look(window, window, Filter::Nearest) });
        assert!(guests == users, "{by:?}");
    }
}

/// Keeps a picture for people to look at, if `FRAME_RX_PICTURES` names a folder.
fn keep(name: &str, size: Size, rgb: &[u8]) {
    if let Some(dir) = std::env::var_os("FRAME_RX_PICTURES") {
        let head = format!("P6 {} {} 255\n", size.width, size.height);
        std::fs::write(std::path::Path::new(&dir).join(format!("{name}.ppm")), [head.as_bytes(), rgb].concat())
            .unwrap();
    }
}

/// Dark letters on a light ground, with thin lines.
fn page(width: u32, height: u32) -> Image {
    let words = "The quick brown fox jumps over the lazy dog. 0123456789 {}[]()<>|/\\ iIl1 mM wW ".repeat(9);
    let ink = frame_rx::text::paint_small(&words, Size::new(width, height), 1).unwrap();
    Image::make(width, height, |x, y| {
        let (x, y) = (x as u32, y as u32);
        let at = ((y * ink.size.width + x) * 4) as usize;
        let is_ink = x < ink.size.width && ink.rgba.get(at).is_some_and(|level| *level > 128);
        if is_ink || y % 24 == 23 || x % 90 == 89 { [0.1, 0.1, 0.2] } else { [0.95, 0.95, 0.9] }
    })
}

fn checks(width: u32, height: u32) -> Image {
    Image::make(width, height, |x, y| if (x as u32 + y as u32).is_multiple_of(2) { [1.0; 3] } else { [0.0; 3] })
}

fn part_of(size: Size, ratio: f64) -> Size {
    let side = |side: u32| (f64::from(side) * ratio).round() as u32;
    Size::new(side(size.width), side(size.height))
}

#[test]
fn text_and_a_fine_pattern_shrink_to_their_mean_by_area_and_by_sharp() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    for (name, image) in [("page", page(480, 270)), ("checks", checks(480, 270))] {
        bench.show(&image, Rotation::None);
        keep(name, image.size, &image.bytes());
        for ratio in [0.9, 0.75, 0.5, 0.33] {
            let on = part_of(image.size, ratio);
            let want = mean(&image, on).bytes();
            for filter in [Filter::Area, Filter::Sharp, Filter::Linear] {
                let got = bench.shot(on, &look(image.size, on, filter));
                // Two pixels blended are not the mean of what lies under one; of more, none may be left out.
                let is_mean = filter != Filter::Linear || ratio < 0.5;
                assert!(!is_mean || farthest(&got, &want) <= 1, "{name} by {filter:?} at {ratio}");
            }
            keep(&format!("{name}-area-{ratio}"), on, &bench.shot(on, &look(image.size, on, Filter::Area)));
            keep(&format!("{name}-linear-{ratio}"), on, &bench.shot(on, &look(image.size, on, Filter::Linear)));
        }
    }
}

/// A line that moves by one pixel of the guest's is as bright as before, wherever it stands on the screen's pixels.
#[test]
fn a_thin_line_that_moves_over_a_shrunk_picture_does_not_flicker() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let size = Size::new(360, 24);
    for ratio in [0.9, 0.75, 0.5, 0.33] {
        let on = part_of(size, ratio);
        let mut light = |filter| -> Vec<u32> {
            let row = |at: u32, bench: &mut Bench| {
                let line =
                    Image::make(size.width, size.height, |x, _| if x as u32 == at { [1.0; 3] } else { [0.0; 3] });
                bench.show(&line, Rotation::None);
                let shot = bench.shot(on, &look(size, on, filter));
                shot[..on.width as usize * 3].iter().map(|c| u32::from(*c)).sum()
            };
            (100..112).map(|at| row(at, &mut bench)).collect()
        };
        let spread = |light: &[u32]| light.iter().max().unwrap() - light.iter().min().unwrap();
        let (area, linear) = (light(Filter::Area), light(Filter::Linear));
        println!("{ratio}: light of a line, area {area:?}, linear {linear:?}");
        // Each colour of the two pixels that it may lie on is rounded.
        assert!(spread(&area) <= 6, "{ratio}: {area:?}");
        assert!(ratio > 0.5 || spread(&linear) <= 6, "{ratio}: {linear:?}");
    }
}

/// How far `got` leaves the colours that the four by four nearest pixels of `from` have.
fn rings(from: &Image, on: Size, got: &[u8]) -> u8 {
    let step = (f64::from(from.size.width) / f64::from(on.width), f64::from(from.size.height) / f64::from(on.height));
    let mut most = 0;
    for (i, pixel) in got.chunks(3).enumerate() {
        let (x, y) = ((i as u32 % on.width) as f64, (i as u32 / on.width) as f64);
        let (bx, by) = (((x + 0.5) * step.0 - 0.5).floor() as i64, ((y + 0.5) * step.1 - 0.5).floor() as i64);
        for (channel, level) in pixel.iter().enumerate() {
            let near = (-1..=2).flat_map(|dy| (-1..=2).map(move |dx| (dx, dy)));
            let (low, high) = near.fold((1.0f32, 0.0f32), |(low, high), (dx, dy)| {
                let level = from.at(bx + dx, by + dy)[channel];
                (low.min(level), high.max(level))
            });
            let (low, high) = ((low * 255.0).round() as u8, (high * 255.0).round() as u8);
            most = most.max(low.saturating_sub(*level)).max(level.saturating_sub(high));
        }
    }
    most
}

#[test]
fn an_enlarged_edge_has_rings_no_stronger_than_the_sharpening_and_none_at_the_pictures_border() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    let (inner, pad) = (Size::new(200, 120), 20);
    let shapes = Image::drawing(inner.width, inner.height);
    for (name, image) in [("page", page(inner.width, inner.height)), ("drawing", shapes)] {
        for (tenths, ratio) in [(11, 1.1), (15, 1.5), (20, 2.0), (30, 3.0)] {
            let on = part_of(image.size, ratio);
            bench.show(&image, Rotation::None);
            let got = bench.shot(on, &look(image.size, on, Filter::Sharp));
            keep(&format!("{name}-sharp-{ratio}"), on, &got);
            let rings = rings(&image, on, &got);
            println!("{name} {ratio}: at most {rings} of 255 beyond the pixels around");
            assert!(rings <= 40, "{name} {ratio}: {rings}");
            // The same picture with its border's pixels going on.
            let wide = Size::new(inner.width + 2 * pad, inner.height + 2 * pad);
            let at = |x: f32, y: f32| image.at(x as i64 - i64::from(pad), y as i64 - i64::from(pad));
            let wide = Image::make(wide.width, wide.height, at);
            bench.show(&wide, Rotation::None);
            let wide_on = part_of(wide.size, ratio);
            let goes_on = bench.shot(wide_on, &look(wide.size, wide_on, Filter::Sharp));
            let skip = (pad * tenths / 10) as usize;
            let rows = goes_on.chunks(wide_on.width as usize * 3).skip(skip).take(on.height as usize);
            let cut: Vec<u8> = rows.flat_map(|row| &row[skip * 3..][..on.width as usize * 3]).copied().collect();
            // Where a direction is undecided, a float's last bit decides.
            let far = got.iter().zip(&cut).filter(|(a, b)| a.abs_diff(**b) > 3).count();
            assert!(far * 1000 <= got.len(), "{name} {ratio}: {far} of {} differ at the border", got.len());
        }
    }
}
