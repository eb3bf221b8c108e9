//! Recordings, hashes and the selftest: what was kept is what was shown, and is shown the same again.

use crate::guest::GuestThread;
use crate::program::{frame_rx, run};
use crate::{gpu, json};
use shm_proto::guest_sim::picture::PictureConfig;
use shm_proto::guest_sim::pointer::PointerMode;

#[test]
fn a_recording_holds_the_pictures_that_were_hashed_and_can_be_replayed() {
    let Some(_gpu) = gpu() else { return };
    let mut config = PictureConfig::new(320, 180);
    config.pointer = PointerMode::Hidden;
    let guest = GuestThread::start(config);
    let dir = tempfile::tempdir().unwrap();
    let line = "--headless --frames 12 --hashes h.txt --record rec --stats s.json";
    let (code, text) = run(frame_rx(dir.path(), None).arg("-f").arg(&guest.path).args(line.split(' ')));
    assert_eq!(code, 0, "{text}");
    let hashes = std::fs::read_to_string(dir.path().join("h.txt")).unwrap();
    let rows: Vec<Vec<&str>> = hashes.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(rows.len(), 12, "{hashes}");
    let numbers: Vec<u64> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    let ms: Vec<f64> = rows.iter().map(|row| row[1].parse().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b) && ms.is_sorted(), "{hashes}");
    assert!(rows.iter().all(|row| row[2] == "320x180"), "{hashes}");
    let stats = json(&dir.path().join("s.json"));
    assert_eq!(stats["picture_hash"], rows[11][3], "the last line is the last picture");
    let (recorded, lost) = (stats["frames_recorded"].as_u64().unwrap(), stats["frames_unrecorded"].as_u64().unwrap());
    assert!(recorded >= 1 && recorded + lost == 12, "{stats}");
    // What was recorded is what the guest drew.
    let file = std::fs::File::open(dir.path().join("rec").join(frame_rx::record::FILE_NAME)).unwrap();
    let mut player = frame_rx::record::Player::open(file).unwrap();
    let mut count = 0;
    while let Some(frame) = player.next_frame().unwrap() {
        let rgb: Vec<u8> = frame.rows.chunks_exact(4).flat_map(|p| [p[2], p[1], p[0]]).collect();
        assert!(guest.stamp_of(&rgb, 320, 180).is_some(), "picture {}", frame.number);
        assert!(numbers.contains(&frame.number));
        count += 1;
    }
    assert_eq!(count, recorded);
    let mut replay = frame_rx(dir.path(), None);
    let done = replay.args(["selftest", "--replay", "rec", "--gpu", "software"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(said.trim(), format!("rec/{}: {recorded} pictures exact", frame_rx::record::FILE_NAME));
    // A recording is not written over.
    let (code, text) = run(frame_rx(dir.path(), None).arg("-f").arg(&guest.path).args(line.split(' ')));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("cannot record to rec/"), "{text}");
    // A damaged one is told.
    std::fs::write(dir.path().join("rec").join(frame_rx::record::FILE_NAME), b"RXFRAMES").unwrap();
    let (code, text) = run(frame_rx(dir.path(), None).args(["selftest", "--replay", "rec"]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("cannot replay rec/"), "{text}");
}

#[test]
fn the_selftest_finds_this_machine_exact() {
    let Some(_gpu) = gpu() else { return };
    let dir = tempfile::tempdir().unwrap();
    let done = frame_rx(dir.path(), None).args(["selftest", "--gpu", "software"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.lines().count() >= 6 && said.lines().all(|l| l.contains("5 pictures exact on")), "{said}");
}
