//! Every pixel format and transfer on a real (software) GPU against the processor's definition in `tone`. What is made for
//! screens is exact; high dynamic range goes through powers, which GPUs round their own way: one step of 255 is allowed.

mod rig;

use frame_rx::gpu::scene::{Filter, Look};
use frame_rx::picture::{PQ_MOST_NITS, PictureFormat, PixelFormat, Size, Transfer};
use frame_rx::tone;
use frame_rx::turn::Turning;
use frame_rx::view::{self, Scale};
use rig::{Bench, gpu_lock};

const SIZE: Size = Size::new(131, 97);
const PQ: Transfer = Transfer::Pq { white_nits: 203, peak_nits: PQ_MOST_NITS };

/// What a guest says of a film: its white, and its brightest pixel.
const fn film(white_nits: u32, peak_nits: u32) -> Transfer {
    Transfer::Pq { white_nits, peak_nits }
}

/// Numbers without a pattern.
fn mix(i: u32) -> u32 {
    (i ^ 0x5BD1_E995).wrapping_mul(0x9E37_79B1).rotate_left(13).wrapping_mul(0x85EB_CA77)
}

/// A half float as a number.
fn number(half: u16) -> f32 {
    let (exponent, fraction) = (i32::from(half >> 10 & 0x1F), f32::from(half & 0x3FF));
    let size = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 => f32::INFINITY,
        e => (1.0 + fraction / 1024.0) * 2f32.powi(e - 15),
    };
    if half >> 15 == 0 { size } else { -size }
}

/// The bytes of one pixel and the numbers they stand for.
fn pixel(format: PixelFormat, i: u32) -> (Vec<u8>, [f32; 3]) {
    let [a, b, c] = [mix(i), mix(i + 77_777), mix(i + 999_999)].map(|v| v >> 7);
    let bytes = [a as u8, b as u8, c as u8];
    let eighths = bytes.map(|v| f32::from(v) / 255.0);
    match format {
        PixelFormat::Rgba8 | PixelFormat::Rgb24 => ([&bytes[..], &[0x99]].concat(), eighths),
        PixelFormat::Bgra8 | PixelFormat::Bgr24 => (vec![bytes[2], bytes[1], bytes[0], 0x99], eighths),
        PixelFormat::Rgb10 => {
            let [r, g, b] = [a & 1023, b & 1023, c & 1023];
            ((r | g << 10 | b << 20 | 2 << 30).to_le_bytes().to_vec(), [r, g, b].map(|v| v as f32 / 1023.0))
        }
        PixelFormat::Rgba16F => {
            // From tiny numbers to about 60 times SDR white; some are negative.
            let halves = [a, b, c].map(|v| (v % 0x5380) as u16 | if v % 61 == 0 { 0x8000 } else { 0 });
            let all = [halves[0], halves[1], halves[2], 0x3C00];
            (all.iter().flat_map(|h| h.to_le_bytes()).collect(), halves.map(number))
        }
    }
}

#[test]
fn every_format_and_transfer_shows_what_the_definition_says() {
    let _gpu = gpu_lock();
    let Some(mut bench) = Bench::new() else { return };
    for (pixels, transfer, tolerance) in [
        (PixelFormat::Bgra8, Transfer::Sdr, 0.5),
        (PixelFormat::Rgba8, Transfer::Sdr, 0.5),
        (PixelFormat::Bgr24, Transfer::Sdr, 0.5),
        (PixelFormat::Rgb24, Transfer::Sdr, 0.5),
        (PixelFormat::Rgb10, Transfer::Sdr, 0.51),
        (PixelFormat::Rgb10, Transfer::Linear, 1.5),
        (PixelFormat::Rgb10, PQ, 1.5),
        (PixelFormat::Rgb10, film(80, PQ_MOST_NITS), 1.5),
        (PixelFormat::Rgb10, film(203, 1000), 1.5),
        (PixelFormat::Rgb10, film(203, 400), 1.5),
        (PixelFormat::Rgb10, film(203, 100), 1.5),
        (PixelFormat::Rgba16F, Transfer::Linear, 1.5),
        (PixelFormat::Rgba16F, PQ, 1.5),
    ] {
        let format = PictureFormat { transfer, ..PictureFormat::upright(SIZE, pixels) };
        let all: Vec<_> = (0..SIZE.width * SIZE.height).map(|i| pixel(pixels, i)).collect();
        let bytes: Vec<u8> = all.iter().flat_map(|(bytes, _)| bytes).copied().collect();
        bench.put(format, &bytes);
        let place = view::place(SIZE, SIZE, Scale::OneToOne);
        let look = Look { place, filter: Filter::Nearest, pointer: None, brightness: 255, turning: Turning::default() };
        let shown = bench.screen.render(SIZE, &look).unwrap();
        for (got, (i, (_, numbers))) in shown.chunks_exact(4).zip(all.iter().enumerate()) {
            let expected = tone::to_screen(transfer, *numbers).map(|c| c * 255.0);
            for (got, expected) in got.iter().zip(expected) {
                let off = (f32::from(*got) - expected).abs();
                assert!(off <= tolerance, "{pixels:?} {transfer:?} pixel {i}: {numbers:?} is {got}, not {expected}");
            }
        }
    }
}
