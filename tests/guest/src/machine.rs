//! The virtual machine as its first process sees it: file systems, the kernel's command line, ivshmem devices, the power
//! switch. Source of the device's numbers: QEMU's documentation, `specs/ivshmem-spec`.

use anyhow::Context;
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};
use std::fs;
use std::path::{Path, PathBuf};

/// PCI vendor and device number of ivshmem.
const IVSHMEM: (&str, &str) = ("0x1af4", "0x1110");

/// Mounts what a program expects to find.
pub fn mount_file_systems() -> anyhow::Result<()> {
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        match mount(kind, at, kind, MountFlags::empty(), None) {
            // Some kernels mount /dev by themselves.
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            Err(e) => return Err(e).with_context(|| format!("cannot mount {at}")),
        }
    }
    Ok(())
}

/// Words of the kernel's command line that begin with `rig.`, as name and value.
pub fn rig_words() -> anyhow::Result<Vec<(String, String)>> {
    let line = fs::read_to_string("/proc/cmdline").context("cannot read the kernel's command line")?;
    let words = line.split_whitespace().filter_map(|word| word.strip_prefix("rig.")?.split_once('='));
    Ok(words.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The shared memory of each ivshmem device, switched on, ordered by its place on the bus: a file that can be mapped.
pub fn ivshmem_devices() -> anyhow::Result<Vec<PathBuf>> {
    let mut devices: Vec<PathBuf> = fs::read_dir("/sys/bus/pci/devices")
        .context("this machine has no PCI bus")?
        .flatten()
        .map(|e| e.path())
        .collect();
    devices.sort();
    let is = |device: &Path, file: &str, value: &str| {
        fs::read_to_string(device.join(file)).is_ok_and(|text| text.trim_end() == value)
    };
    devices.retain(|device| is(device, "vendor", IVSHMEM.0) && is(device, "device", IVSHMEM.1));
    for device in &devices {
        fs::write(device.join("enable"), "1").with_context(|| format!("cannot switch on {}", device.display()))?;
    }
    // The second base address is the shared memory itself.
    Ok(devices.into_iter().map(|device| device.join("resource2")).collect())
}

/// Loads the kernel modules that the archive brought, in whatever order they need each other.
pub fn load_modules() -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir("/modules") else { return Ok(()) };
    let mut waiting: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    waiting.sort();
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut last = None;
        waiting.retain(|path| {
            let loaded = fs::read(path).map_err(anyhow::Error::from);
            let loaded = loaded.and_then(|image| Ok(rustix::system::init_module(&image, c"")?));
            loaded.map_err(|e| last = Some(e.context(format!("cannot load {}", path.display())))).is_err()
        });
        // A module whose symbols are not there yet is loaded in a later round; a round without any is the end.
        match last {
            Some(e) if waiting.len() == before => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// Switches the machine off. Comes back only if the kernel refuses.
pub fn power_off() {
    let _ = reboot(RebootCommand::PowerOff);
}
