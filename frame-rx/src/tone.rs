//! High dynamic range on a screen that has none: decode to light, turn to the screen's primaries, roll off what is brighter
//! than the screen, encode. The definition; `picture.wgsl` does the same, and the tests compare the two. Pure.
//!
//! Light is relative to the white of the guest's SDR windows. Up to [`KNEE`] of it nothing changes, so text and desktop
//! keep their colours; above, everything up to the brightest light that the guest says there is fits between there and the
//! screen's white, by the brightest of the three colours, so hues stay. Without such a word everything up to infinity fits.
//! A film made for 400 cd/m2 is shown with the contrast it has, instead of leaving room for light that never comes.
//!
//! Sources: SMPTE ST 2084 for PQ, ITU-R BT.2087 for the primaries, IEC 61966-2-1 for sRGB, CTA-861.3 for what the guest says;
//! the roll-off is Reinhard's curve with a white point (Photographic Tone Reproduction, 2002, equation 4) above the knee.

use crate::picture::{PQ_MOST_NITS, Transfer};

/// Up to this part of SDR white, light is shown as it is.
pub const KNEE: f32 = 0.8;
/// The brightest light that is calculated with: more than a half float holds.
const MOST: f32 = 65504.0;

/// What a screen shows for a pixel, each colour 0 to 1.
pub fn to_screen(transfer: Transfer, pixel: [f32; 3]) -> [f32; 3] {
    let light = match transfer {
        Transfer::Sdr => return pixel.map(|c| c.clamp(0.0, 1.0)),
        Transfer::Linear => pixel.map(|c| c.clamp(0.0, MOST)),
        Transfer::Pq { white_nits, .. } => {
            let scale = PQ_MOST_NITS as f32 / white_nits.max(1) as f32;
            screen_primaries(pixel.map(|c| pq_to_light(c) * scale)).map(|c| c.clamp(0.0, MOST))
        }
    };
    roll_off(light, bend(transfer)).map(encode)
}

/// PQ's number to light, 1 being 10000 cd/m2.
fn pq_to_light(number: f32) -> f32 {
    const M1: f32 = 2610.0 / 16384.0;
    const M2: f32 = 2523.0 / 4096.0 * 128.0;
    const C1: f32 = 3424.0 / 4096.0;
    const C2: f32 = 2413.0 / 4096.0 * 32.0;
    const C3: f32 = 2392.0 / 4096.0 * 32.0;
    let root = number.clamp(0.0, 1.0).powf(1.0 / M2);
    ((root - C1).max(0.0) / (C2 - C3 * root)).powf(1.0 / M1)
}

/// BT.2020 to BT.709.
fn screen_primaries([r, g, b]: [f32; 3]) -> [f32; 3] {
    [
        1.660_491 * r - 0.587_641_1 * g - 0.072_849_9 * b,
        -0.124_550_5 * r + 1.132_899_9 * g - 0.008_349_4 * b,
        -0.018_150_8 * r - 0.100_578_9 * g + 1.118_729_7 * b,
    ]
}

/// How far the roll-off bends up again towards the brightest light there is: 0 if that may be anything, 1 if nothing is
/// brighter than white, which leaves all as it is.
pub fn bend(transfer: Transfer) -> f32 {
    let Transfer::Pq { white_nits, peak_nits } = transfer else { return 0.0 };
    // Both are small enough for a float.
    let peak = peak_nits as f32 / white_nits.max(1) as f32;
    let over = (peak - KNEE) / (1.0 - KNEE);
    if over > 1.0 { 1.0 / (over * over) } else { 1.0 }
}

fn roll_off(light: [f32; 3], bend: f32) -> [f32; 3] {
    let brightest = light.iter().fold(0.0_f32, |most, c| most.max(*c));
    if brightest <= KNEE {
        return light;
    }
    let over = (brightest - KNEE) / (1.0 - KNEE);
    let part = over * (1.0 + over * bend) / (1.0 + over);
    let shown = KNEE + (1.0 - KNEE) * part.min(1.0);
    light.map(|c| c * (shown / brightest))
}

/// Light to sRGB's number.
fn encode(light: f32) -> f32 {
    if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: [f32; 3], b: [f32; 3], by: f32) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= by), "{a:?} is not {b:?}");
    }

    #[test]
    fn light_below_the_knee_is_only_encoded() {
        near(to_screen(Transfer::Linear, [0.0, 0.214_041, 0.5]), [0.0, 0.5, 0.735_357], 1e-4);
        near(to_screen(Transfer::Linear, [0.8; 3]), [0.906_332; 3], 1e-4);
    }

    #[test]
    fn brighter_light_is_brighter_and_never_more_than_white() {
        let mut last = 0.0;
        for step in 0..2000 {
            let [r, ..] = to_screen(Transfer::Linear, [step as f32 * 0.05, 0.0, 0.0]);
            assert!(r >= last && r <= 1.0, "{step}: {r} after {last}");
            last = r;
        }
        assert!(last > 0.99);
        for wild in [f32::INFINITY, f32::NAN, f32::NEG_INFINITY, -5.0] {
            let shown = to_screen(Transfer::Linear, [wild, 0.5, 0.5]);
            assert!(shown.iter().all(|c| !(*c > 1.0 || *c < 0.0)), "{wild}: {shown:?}");
        }
    }

    #[test]
    fn hues_stay_where_it_is_bright() {
        let light = roll_off([4.0, 2.0, 1.0], 0.01);
        assert!((light[0] / light[1] - 2.0).abs() < 1e-5 && (light[1] / light[2] - 2.0).abs() < 1e-5, "{light:?}");
    }

    #[test]
    fn the_numbers_of_pq_are_those_of_the_standard() {
        // 100 cd/m2 is 0.508078 and 1000 cd/m2 is 0.751827. Source: ITU-R BT.2408, table of PQ values.
        for (number, nits) in [(0.0, 0.0), (0.508_078, 100.0), (0.751_827, 1000.0), (1.0, 10_000.0)] {
            let light = pq_to_light(number) * 10_000.0;
            assert!((light - nits).abs() <= nits * 0.001, "{number}: {light}");
        }
        // Grey stays grey: the rows of the matrix add up to one.
        near(screen_primaries([0.3; 3]), [0.3; 3], 1e-5);
        // SDR white of the guest is white minus the roll-off, whatever it is in cd/m2.
        for (white_nits, number) in [(100, 0.508_078), (1000, 0.751_827)] {
            let pq = Transfer::Pq { white_nits, peak_nits: PQ_MOST_NITS };
            near(to_screen(pq, [number; 3]), to_screen(Transfer::Linear, [1.0; 3]), 2e-3);
        }
    }

    /// PQ's number for light. Source: SMPTE ST 2084, the other way round.
    fn pq_of(nits: f64) -> f32 {
        let y = (nits / 10_000.0).powf(2610.0 / 16384.0);
        let (c1, c2, c3) = (3424.0 / 4096.0, 2413.0 / 128.0, 2392.0 / 128.0);
        ((c1 + c2 * y) / (1.0 + c3 * y)).powf(2523.0 / 32.0) as f32
    }

    #[test]
    fn the_brightest_light_there_is_is_the_screens_white() {
        // White at 200 cd/m2. Of a film made for 1000, what is over the knee (160) is part x of what white is over it:
        // x (1 + x / 21^2) / (1 + x) of it is shown, 21 being 1000's part.
        for (peak_nits, nits, shown) in [
            (1000, 100.0, 0.5),
            (1000, 160.0, 0.8),
            (1000, 200.0, 0.8 + 0.2 * 0.501_134),
            (1000, 400.0, 0.8 + 0.2 * 0.868_805),
            (1000, 1000.0, 1.0),
            (1000, 4000.0, 1.0),
            // Nothing brighter than white: as it is.
            (200, 190.0, 0.95),
            (80, 190.0, 0.95),
            (80, 300.0, 1.0),
            // Nothing known.
            (PQ_MOST_NITS, 1000.0, 0.8 + 0.2 * 0.954_877),
        ] {
            let [r, g, b] = to_screen(Transfer::Pq { white_nits: 200, peak_nits }, [pq_of(nits); 3]);
            let want = encode(shown);
            assert!([r, g, b].iter().all(|c| (c - want).abs() < 2e-3), "{nits} of {peak_nits}: {r}, not {want}");
        }
    }

    #[test]
    fn a_brighter_display_leaves_less_for_the_same_light_whatever_the_guest_says() {
        let shown = |peak_nits, nits| to_screen(Transfer::Pq { white_nits: 203, peak_nits }, [pq_of(nits); 3])[0];
        for nits in [10.0, 203.0, 500.0, 2000.0, 10_000.0] {
            let row: Vec<f32> = [0, 1, 203, 400, 1000, 4000, 10_000, u32::MAX].map(|peak| shown(peak, nits)).into();
            assert!(row.is_sorted_by(|a, b| a >= b) && row.iter().all(|c| (0.0..=1.0).contains(c)), "{nits}: {row:?}");
        }
        for peak in [0, 203, 1000, 10_000] {
            let row: Vec<f32> = (0..500).map(|i| shown(peak, f64::from(i * 20))).collect();
            assert!(row.is_sorted_by(|a, b| *a <= b + 1e-5), "for {peak}: brighter light is never darker");
        }
    }

    #[test]
    fn what_is_made_for_screens_is_left_alone() {
        near(to_screen(Transfer::Sdr, [0.0, 0.123, 1.0]), [0.0, 0.123, 1.0], 0.0);
    }
}
