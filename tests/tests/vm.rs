//! A real guest: QEMU with a Linux kernel and our guest program in it, writing through ivshmem devices. One machine at a
//! time, since each keeps a core busy.

use rx_tests::place::{self, ShmName};
use rx_tests::process::SOON;
use rx_tests::vm::{self, BOOT, Device, Vm};
use shm_proto::{Access, Purpose, Region};

/// Sizes as users choose them: sound, and a picture up to 1080p.
const SOUND_BYTES: u64 = 2 << 20;
const PICTURE_BYTES: u64 = 32 << 20;

#[test]
fn guest_and_host_see_the_same_bytes() {
    if !vm::possible() {
        return;
    }
    let _turn = vm::take_turn();
    let (small, large) = (ShmName::new("small"), ShmName::new("large"));
    let devices = [
        Device { path: small.path().to_owned(), bytes: SOUND_BYTES },
        Device { path: large.path().to_owned(), bytes: PICTURE_BYTES },
    ];
    let vm = Vm::boot(&devices, "rig.0=pattern,seed=7 rig.1=pattern,seed=8");
    vm.wait("RIG-DONE", BOOT);
    assert!(vm.end(SOON).success());
    for (device, seed) in devices.iter().zip([7, 8]) {
        let region = Region::open(&device.path, Access::ReadOnly).unwrap();
        let mut seen = vec![0; usize::try_from(device.bytes).unwrap()];
        region.whole().copy_to(&mut seen, Purpose::Read).unwrap();
        let mut sent = vec![0; seen.len()];
        rx_guest::pattern::fill(seed, 0, &mut sent);
        assert!(seen == sent, "device {seed}: the bytes are not those the guest wrote");
    }
    drop((small, large));
    assert_eq!(place::left_in_shm(), Vec::<String>::new());
}
