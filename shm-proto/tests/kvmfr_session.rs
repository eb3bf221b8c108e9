//! User data: the producer's name and the records behind it, honest and spoiled.

use proptest::prelude::*;
use shm_proto::kvmfr::session::{MAX_TEXT_BYTES, Os};
use shm_proto::kvmfr::wire::V20;
use shm_proto::kvmfr::{Identity, SessionInfo};

fn honest() -> Identity {
    Identity {
        producer: "B7-1-g27fe47cb".into(),
        features: 1,
        uuid: [7; 16],
        capture: "D12".into(),
        cpus: (16, 8, 1),
        model: "AMD Ryzen 7 (an odd length)".into(),
        os: Os::Windows,
        os_name: "Windows 11 Pro".into(),
    }
}

#[test]
fn kvmfr_records_are_read_wherever_they_start() {
    // The length of the first text decides where the second record starts: every remainder of 4 is met.
    for extra in 0..8 {
        let mut identity = honest();
        identity.model.push_str(&"x".repeat(extra));
        let info = SessionInfo::parse(&identity.encode(&V20), &V20).unwrap();
        assert_eq!((info.lgmp, info.kvmfr, info.producer.as_str()), (6, 20, "B7-1-g27fe47cb"));
        assert!(info.can_set_cursor() && !info.cut_short);
        let vm = info.vm.unwrap();
        assert_eq!((vm.uuid, vm.capture.as_str(), vm.model), (Some([7; 16]), "D12", identity.model));
        assert_eq!((vm.cpus, vm.cores, vm.sockets), (16, 8, 1));
        let os = info.os.unwrap();
        assert_eq!((os.os, os.name.as_str()), (Os::Windows, "Windows 11 Pro"));
    }
    let unknown = Identity { uuid: [0; 16], ..honest() };
    assert_eq!(SessionInfo::parse(&unknown.encode(&V20), &V20).unwrap().vm.unwrap().uuid, None);
}

#[test]
fn kvmfr_bad_records_end_the_list_and_spoil_nothing() {
    let whole = honest().encode(&V20);
    let parse = |data: &[u8]| SessionInfo::parse(data, &V20).unwrap();
    for (what, at, value) in [
        ("size of 4 GiB", 52, u32::MAX),
        ("size one too large", 52, whole.len() as u32 - 56 + 1),
        ("size below the fixed part", 52, 50),
        ("size 0", 52, 0),
    ] {
        let mut data = whole.clone();
        data[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
        let info = parse(&data);
        assert!(info.cut_short && info.vm.is_none() && info.os.is_none(), "{what}: {info:?}");
        assert_eq!(info.producer, "B7-1-g27fe47cb", "{what}");
    }
    let mut unknown = whole.clone();
    unknown[48] = 99;
    let info = parse(&unknown);
    assert!(!info.cut_short && info.vm.is_none() && info.os.is_some(), "unknown records are skipped");
    let info = parse(&whole[..48]);
    assert!(!info.cut_short && info.vm.is_none(), "records are optional");
    let info = parse(&whole[..whole.len() - 1]);
    assert!(info.cut_short && info.vm.is_some() && info.os.is_none());
    assert!(SessionInfo::parse(&whole[..47], &V20).is_err(), "the header must be whole");
}

#[test]
fn kvmfr_texts_without_an_end_stop_at_their_field() {
    let mut data = honest().encode(&V20);
    data[12..44].fill(b'A');
    data[56 + 16..56 + 48].fill(0x1B);
    let info = SessionInfo::parse(&data, &V20).unwrap();
    assert_eq!(info.producer, "A".repeat(32));
    assert!(!info.vm.unwrap().capture.contains('\x1B'), "no control characters");
}

proptest! {
    #[test]
    fn kvmfr_no_user_data_panics_or_gives_long_or_dangerous_text(
        changes in prop::collection::vec((0usize..300, any::<u8>()), 0..40), cut in 0usize..400,
    ) {
        let mut data = honest().encode(&V20);
        for (at, value) in changes { if let Some(b) = data.get_mut(at) { *b = value; } }
        data.truncate(cut);
        if let Ok(info) = SessionInfo::parse(&data, &V20) {
            let vm = info.vm.unwrap_or_default();
            for text in [info.producer, vm.capture, vm.model, info.os.map(|o| o.name).unwrap_or_default()] {
                prop_assert!(text.chars().count() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control));
            }
        }
    }
}
