//! Every format that a guest can choose, through feed and stream to the sink.

use core::time::Duration;
use scream_rx::channels::{Layout, MaskVerdict};
use scream_rx::counters::Counters;
use scream_rx::ending::Length;
use scream_rx::sink::{SinkFormat, Source};
use scream_rx::target::Wishes;
use scream_rx::{playout, stream};
use shm_proto::HostTime;
use shm_proto::guest_sim::tone::Tone;
use shm_proto::scream::Format;
use std::sync::Arc;

/// A tone of a second through a stream of `format` to a sink; gives the sink's channels.
fn through(format: Format, tone: Tone, sink: SinkFormat) -> (Vec<Vec<f32>>, MaskVerdict) {
    let (mut feed, mut stream, verdict) = stream::open(format, sink, 1.0).unwrap();
    let chunk = u64::from(format.chunk_frames());
    let mut pcm = vec![0; format.chunk_bytes() as usize];
    for k in 0..20 {
        tone.render(k * chunk, k, &format, &mut pcm);
        assert!(feed.push(&pcm, HostTime::from_ns(20_000_000 * (k + 1))));
    }
    stream.observe(HostTime::ZERO, |_| ());
    stream.start_at(64.0 * (f64::from(format.rate_hz()) / f64::from(sink.rate_hz)).max(1.0));
    let channels = sink.layout.channels();
    let mut out = vec![0.0; channels * sink.rate_hz as usize * 3 / 10];
    let rendered = stream.render(&mut out, 1.0, false);
    assert_eq!(rendered.missing, 0, "{format:?}");
    let out = &out[out.len() / 10 / channels * channels..];
    ((0..channels).map(|c| out.iter().skip(c).step_by(channels).copied().collect()).collect(), verdict)
}

/// The level of a tone in dB of full scale.
fn level(x: &[f32], hz: f64, rate_hz: u32) -> f64 {
    scream_rx::bed::meter::level_db(x, hz, f64::from(rate_hz))
}

#[test]
fn every_width_and_rate_arrives_at_its_level_and_pitch() {
    // The last rates are none that the driver offers; the length of a chunk reveals them.
    let rates = [44_100, 48_000, 88_200, 96_000, 176_400, 192_000, 64_000, 50_000, 47_950];
    for rate_hz in rates {
        for bits in [16, 24, 32] {
            for sink_hz in [44_100, 48_000, 96_000] {
                let format = Format::new(rate_hz, bits, 2, 3).unwrap();
                let sink = SinkFormat { rate_hz: sink_hz, layout: Layout::STEREO };
                let (out, _) = through(format, Tone::Sine { frequency_hz: 997.0, level_dbfs: -6.0 }, sink);
                for x in &out {
                    let got = level(x, 997.0, sink_hz);
                    assert!((got + 6.0).abs() < 0.01, "{rate_hz} Hz, {bits} bit -> {sink_hz} Hz: {got} dB");
                    let rest = scream_rx::bed::meter::distortion_db(x, 997.0, f64::from(sink_hz));
                    let most = if bits == 16 { -88.0 } else { -110.0 };
                    assert!(rest < most, "{rate_hz} Hz, {bits} bit -> {sink_hz} Hz: {rest} dB");
                }
            }
        }
    }
}

#[test]
fn each_channel_goes_to_its_speaker_in_the_sinks_own_order() {
    // (channels, mask, sink, for each of its channels the guest's channel that is heard there, if any), by ALSA's order
    // FL FR BL BR FC LFE SL SR.
    let alsa = Layout::alsa;
    let cases: [(u8, u16, Layout, &[Option<u8>]); 9] = [
        (1, 0x004, alsa(2), &[Some(0), Some(0)]),
        (2, 0x003, alsa(2), &[Some(0), Some(1)]),
        (2, 0x003, alsa(6), &[Some(0), Some(1), None, None, None, None]),
        (4, 0x033, alsa(4), &[Some(0), Some(1), Some(2), Some(3)]),
        (6, 0x03F, alsa(6), &[Some(0), Some(1), Some(4), Some(5), Some(2), Some(3)]),
        (6, 0x60F, alsa(6), &[Some(0), Some(1), Some(4), Some(5), Some(2), Some(3)]),
        (6, 0xFFFF, alsa(6), &[Some(0), Some(1), Some(4), Some(5), Some(2), Some(3)]),
        (8, 0x63F, alsa(8), &[Some(0), Some(1), Some(4), Some(5), Some(2), Some(3), Some(6), Some(7)]),
        (8, 0x000, alsa(8), &[Some(0), Some(1), Some(4), Some(5), Some(2), Some(3), Some(6), Some(7)]),
    ];
    for (channels, mask, layout, heard) in cases {
        let format = Format::new(48_000, 24, channels, mask).unwrap();
        let sink = SinkFormat { rate_hz: 48_000, layout };
        let (out, _) = through(format, Tone::ChannelIdentity { level_dbfs: -12.0 }, sink);
        for (to, (x, from)) in out.iter().zip(heard).enumerate() {
            for k in 0..channels {
                let got = level(x, 300.0 + 100.0 * f64::from(k), 48_000);
                let there = *from == Some(k);
                assert!(
                    if there { (got + 12.0).abs() < 0.05 } else { got < -60.0 },
                    "{channels} channels, mask {mask:#x}, sink channel {to}: channel {k} at {got:.1} dB"
                );
            }
        }
    }
}

#[test]
fn every_count_of_channels_folds_down_to_two_without_loss_or_clipping() {
    for channels in 1..=8u8 {
        for mask in [0, 3, 0x3F, 0x60F, 0x63F, 0xFFFF] {
            let format = Format::new(48_000, 16, channels, mask).unwrap();
            let sink = SinkFormat { rate_hz: 48_000, layout: Layout::STEREO };
            let (out, _) = through(format, Tone::ChannelIdentity { level_dbfs: 0.0 }, sink);
            let peak = out.iter().flatten().fold(0f32, |p, x| p.max(x.abs()));
            assert!(peak < 1.02, "{channels} channels, mask {mask:#x}: {peak}");
            for k in 0..channels {
                let hz = 300.0 + 100.0 * f64::from(k);
                let loudest = out.iter().map(|x| level(x, hz, 48_000)).fold(f64::MIN, f64::max);
                assert!(loudest > -20.0, "{channels} channels, mask {mask:#x}: channel {k} is gone: {loudest:.1} dB");
            }
        }
    }
}

#[test]
fn a_hundred_changes_of_format_a_second_do_no_harm_and_the_last_one_is_heard() {
    let sink = SinkFormat { rate_hz: 48_000, layout: Layout::STEREO };
    let counters = Arc::<Counters>::default();
    let (mut engine, mut streams) =
        playout::engine(HostTime::ZERO, Wishes::default(), Length::Endless, Arc::clone(&counters));
    engine.open(sink);
    let formats = [(48_000, 16, 2, 3), (44_100, 24, 6, 0x3F), (96_000, 32, 8, 0x63F), (192_000, 16, 1, 4)];
    let tone = Tone::Sine { frequency_hz: 440.0, level_dbfs: -6.0 };
    let (mut feed, mut next, mut pcm, mut heard) = (None::<stream::Feed>, 0, Vec::new(), Vec::new());
    for ms in (0..6000u64).step_by(5) {
        let now = HostTime::ZERO + Duration::from_millis(1000 + ms);
        // Three seconds of storm; the format after it stays.
        if ms % 10 == 0 && ms <= 3000 {
            let (rate_hz, bits, channels, mask) = formats[(ms / 10) as usize % formats.len()];
            let format = Format::new(rate_hz, bits, channels, mask).unwrap();
            // Its end tells the engine that nothing more will come of the one before.
            drop(feed.take());
            streams.collect();
            let (new, made, _) = stream::open(format, sink, 0.3).unwrap();
            streams.send(made);
            (feed, next) = (Some(new), 0);
        }
        let Some(feed) = feed.as_mut() else { continue };
        if ms % 10 == 0 {
            let format = feed.format();
            let frames = u64::from(format.rate_hz() / 100);
            pcm.resize(frames as usize * format.frame_bytes() as usize, 0);
            tone.render(next, 0, &format, &mut pcm);
            feed.push(&pcm, now);
            next += frames;
        }
        let mut out = [9.0; 2 * 240];
        engine.fill(&mut out, now, Duration::from_millis(10));
        heard.extend(out.iter().step_by(2).copied());
    }
    assert!(heard.iter().all(|x| x.abs() <= 1.0), "nothing is louder than full scale");
    let (storm, after) = heard.split_at(3 * 48_000);
    let click = |x: &[f32]| scream_rx::bed::meter::glitches(x, x, 440.0, 48_000.0).worst_click_db;
    assert!(storm.iter().all(|x| x.abs() < 0.01) || click(storm) < -46.0, "no edges: {}", click(storm));
    let sounds = after.iter().position(|x| x.abs() > 0.25).expect("the last format is heard");
    assert!(sounds < 48_000 / 4, "soon: after {} ms", sounds / 48);
    let calm = &after[48_000..];
    assert!((level(&calm[..48_000], 440.0, 48_000) + 6.0206).abs() < 0.1, "at its level");
    assert!(click(calm) < -60.0, "and clean: {}", click(calm));
    println!("{} starts, sound after {} ms", counters.playout.starts.get(), sounds / 48);
}
