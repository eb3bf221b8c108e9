//! What the guest says of itself, of its pixels and of its wishes; and what it is told.

use super::*;

#[test]
fn what_pixels_mean_follows_from_their_type_and_the_flags() {
    use crate::picture::Transfer::{Linear, Pq, Sdr};
    use shm_proto::kvmfr::{FrameFlags, Version};
    let (hdr, pq) = (FrameFlags::HDR, FrameFlags::HDR | FrameFlags::HDR_PQ);
    let film = |max_nits, content_max_nits| Some(HdrMetadata { max_nits, content_max_nits, ..Default::default() });
    let shown = |white_nits, peak_nits| Pq { white_nits, peak_nits };
    for (version, pixel, flags, sdr_white, display, expected) in [
        (Version::B7, PixelType::Bgra, pq, 0, None, Sdr),
        (Version::B7, PixelType::Rgba10, 0, 0, None, Sdr),
        (Version::B7, PixelType::Rgba10, hdr, 0, None, Linear),
        (Version::B7, PixelType::Rgba10, pq, 300, film(1000, 0), shown(203, 10_000)),
        (Version::B7, PixelType::Rgba16F, hdr, 0, None, Linear),
        (Version::B6, PixelType::Rgba16F, 0, 0, None, Linear),
        (Version::Lgmp12, PixelType::Rgba10, pq, 300, None, shown(300, 10_000)),
        (Version::Lgmp12, PixelType::Rgba10, pq, 0, film(1000, 0), shown(203, 1000)),
        (Version::Lgmp12, PixelType::Rgba10, pq, 0, film(1000, 640), shown(203, 640)),
        (Version::Lgmp12, PixelType::Rgba10, pq, u32::MAX, film(0, 640), shown(203, 10_000)),
        (Version::Lgmp12, PixelType::Bgra, 0, 0, film(1000, 640), Sdr),
    ] {
        let mut config = config(128, 96).speaking(version);
        config.spec = PictureSpec { flags, sdr_white, hdr: display, ..PictureSpec::new(pixel, 128, 96) };
        let mut rig = Rig::new(config);
        rig.run_frames(1);
        assert_eq!(rig.shown.map(|f| f.transfer), Some(expected), "{version:?} {pixel} {flags} {display:?}");
        rig.checked_stamp();
    }
}

#[test]
fn the_guest_of_every_version_is_named_and_told_what_is_wanted() {
    use crate::picture::Size;
    use shm_proto::kvmfr::Version;
    use shm_proto::kvmfr::wire::features;
    for version in Version::ALL {
        let mut config = config(128, 96).speaking(version);
        config.producer.identity.features = features::SET_CURSOR_POSITION | features::WINDOW_SIZE;
        let mut rig = Rig::new(config);
        rig.run_frames(1);
        let guest = rig.stats.guest().expect("a guest");
        assert_eq!((guest.lgmp, guest.kvmfr), (version.lgmp().version, version.layout().version));
        let wishes = rig.feed.parts.wishes.clone();
        wishes.move_pointer(40, 30);
        rig.run_until("the pointer", |r| r.guest.asked_position() == Some((40, 30)));
        // A window that is dragged: the last size arrives, whatever became of those before.
        for width in 600..640 {
            wishes.follow_window(Size::new(width, 480));
            rig.step();
        }
        rig.run_until("the size", |r| r.guest.asked_size() == Some((639, 480)));
        // The next session knows nothing of it.
        rig.guest.restart(clock::now()).unwrap();
        rig.run_until("another session", |r| r.stats.sessions.get() == 2);
        rig.run_frames(1);
        rig.run_until("the size again", |r| {
            r.guest.producer().host().session_id() != 0 && r.guest.asked_size().is_some()
        });
    }
}

#[test]
fn a_guest_that_cannot_follow_is_not_told() {
    let mut config = config(128, 96);
    config.producer.identity.features = 0;
    let mut rig = Rig::new(config);
    rig.run_frames(1);
    rig.feed.parts.wishes.move_pointer(40, 30);
    rig.feed.parts.wishes.follow_window(crate::picture::Size::new(640, 480));
    rig.run_frames(20);
    assert_eq!((rig.guest.asked_position(), rig.guest.asked_size()), (None, None));
}

#[test]
fn what_a_guest_says_of_its_stages_and_its_display_is_counted_if_it_can_be() {
    let ms = Duration::from_millis;
    let honest = GuestTiming { capture: ms(1), post_process: ms(2), copy: ms(3), hold: ms(4), ..Default::default() };
    let lie = GuestTiming { copy: Duration::from_secs(3600), ..honest };
    let hdr = HdrMetadata { max_nits: 1000, white: (15_635, 16_450), ..Default::default() };
    let impossible = HdrMetadata { max_nits: 0, ..hdr };
    for (version, timing, display, counted, nits) in [
        (Version::Lgmp12, honest, hdr, true, Some(1000)),
        (Version::Lgmp12, lie, impossible, false, None),
        (Version::B7, honest, hdr, false, None),
    ] {
        let mut config = config(128, 96).speaking(version);
        (config.timing, config.spec.hdr) = (Some(timing), Some(display));
        let mut rig = Rig::new(config);
        rig.run_frames(3);
        let medians: Vec<f64> = rig.stats.guest_stages.iter().map(|h| h.summary().p50 as f64 / 1e6).collect();
        let all = rig.stats.guest_stages.iter().all(|h| h.summary().count > 0);
        assert_eq!(all, counted, "{version:?} {timing:?}");
        for (got, want) in medians.iter().zip([1.0, 2.0, 3.0, 4.0]).filter(|_| counted) {
            assert!((got - want).abs() < 0.1, "{medians:?}");
        }
        assert_eq!(rig.stats.hdr_nits(), nits, "{version:?} {display:?}");
        rig.checked_stamp();
    }
}

#[test]
fn what_the_guest_asks_of_the_desktop_is_told_and_ends_with_its_session() {
    let mut config = config(128, 96);
    config.spec.flags = FrameFlags::BLOCK_SCREENSAVER | FrameFlags::REQUEST_ACTIVATION;
    let mut rig = Rig::new(config);
    rig.run_frames(2);
    let asks = rig.feed.parts.asks.clone();
    assert_eq!((asks.wants_awake(), asks.take_attention()), (true, true));
    rig.guest.set_picture(PictureSpec::new(PixelType::Bgra, 128, 96), Motion::Bar);
    rig.run_until("no wish", |_| !asks.wants_awake());
}
