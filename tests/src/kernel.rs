//! The kernel of the test VM: found, and unpacked once.
//!
//! A distribution's kernel comes as a bzImage, which unpacks itself while it boots; under an emulated processor that
//! doubles the time to boot. So the ELF file inside is taken out here and kept. Where the packer is unknown or its
//! program is not installed, the bzImage itself boots too. Source of the header's fields: the kernel's documentation,
//! `arch/x86/boot`.

use crate::{programs, require};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Number of 512-byte sectors of the real-mode part, less one. Unit: sectors, one byte.
const SETUP_SECTORS: usize = 0x1f1;
/// The four bytes "HdrS".
const MAGIC: usize = 0x202;
/// Where the packed kernel starts, counted from the end of the real-mode part. Unit: bytes, 32 bits.
const PAYLOAD_OFFSET: usize = 0x248;
/// Its length, the four bytes of unpacked length at its end included. Unit: bytes, 32 bits.
const PAYLOAD_LENGTH: usize = 0x24c;

/// A kernel that QEMU can boot: the unpacked one if possible.
///
/// Looked for in this order: `$RX_VM_KERNEL`, what `scripts/kernel.sh` fetched, the kernels installed on this machine.
/// Nothing if there is none.
pub fn locate() -> Option<PathBuf> {
    let named = std::env::var_os("RX_VM_KERNEL").map(PathBuf::from);
    let fetched = programs::target_folder().join("vm/vmlinuz");
    let image = named.into_iter().chain([fetched]).chain(installed()).find(|path| File::open(path).is_ok())?;
    Some(unpacked(&image).unwrap_or(image))
}

/// A kernel with the modules of keyboards and mice.
#[derive(Debug)]
pub struct InputKernel {
    /// The kernel, unpacked if possible.
    pub image: PathBuf,
    /// Its modules, in no order.
    pub modules: Vec<PathBuf>,
    folder: PathBuf,
}

impl InputKernel {
    /// The modules of a kind of sound card, `usb-audio` or `ac97`, which only few machines have. None if there are none.
    pub fn of_card(&self, kind: &str) -> Vec<PathBuf> {
        modules_in(&self.folder.join(kind))
    }
}

fn modules_in(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    files.filter(|p| p.extension().is_some_and(|e| e == "ko")).collect()
}

/// What `scripts/kernel.sh input` fetched: the kernels for clouds have no modules for mice. Nothing if it did not.
pub fn locate_for_input() -> Option<InputKernel> {
    let folder = programs::target_folder().join("vm/input");
    let modules = modules_in(&folder);
    let image = folder.join("vmlinuz");
    if modules.is_empty() || !image.exists() {
        return None;
    }
    Some(InputKernel { image: unpacked(&image).unwrap_or(image), modules, folder })
}

fn installed() -> Vec<PathBuf> {
    let modules = fs::read_dir("/usr/lib/modules").into_iter().flatten().flatten().map(|e| e.path().join("vmlinuz"));
    let boot = fs::read_dir("/boot").into_iter().flatten().flatten().map(|e| e.path());
    let boot = boot.filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz-")));
    let mut found: Vec<_> = modules.chain(boot).collect();
    found.sort();
    found.reverse();
    found
}

/// The ELF kernel inside `image`, kept in the target folder under a name that changes with the image.
fn unpacked(image: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let meta = image.metadata().ok()?;
    let folder = programs::target_folder().join("vm");
    let kept = folder.join(format!("vmlinux-{:x}-{:x}", meta.len(), meta.mtime()));
    if kept.exists() {
        return Some(kept);
    }
    fs::create_dir_all(&folder).ok()?;
    let bytes = fs::read(image).ok()?;
    let payload = payload(&bytes)?;
    let unpacker = unpacker(payload)?;
    let mut packed = tempfile::tempfile().ok()?;
    packed.write_all(payload).ok()?;
    packed.seek(SeekFrom::Start(0)).ok()?;
    let work = tempfile::NamedTempFile::new_in(&folder).ok()?;
    // The packer complains about the four bytes after its end where it does not expect them; the ELF magic decides.
    let _ = Command::new(require::find(unpacker)?)
        .arg("-dc")
        .stdin(Stdio::from(packed))
        .stdout(work.reopen().ok()?)
        .stderr(Stdio::null())
        .status()
        .ok()?;
    if !fs::read(work.path()).ok()?.starts_with(b"\x7fELF") {
        return None;
    }
    // In one step, so that a test beside this one sees all of it or nothing.
    work.persist(&kept).ok()?;
    Some(kept)
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes: [u8; 4] = image.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    if image.get(MAGIC..MAGIC + 4)? != b"HdrS" {
        return None;
    }
    let setup = (usize::from(*image.get(SETUP_SECTORS)?) + 1) * 512;
    let start = setup.checked_add(word(PAYLOAD_OFFSET)?)?;
    let length = word(PAYLOAD_LENGTH)?.checked_sub(4)?;
    image.get(start..start.checked_add(length)?)
}

fn unpacker(payload: &[u8]) -> Option<&'static str> {
    const PACKERS: [(&[u8], &str); 4] = [
        (b"\x02\x21\x4c\x18", "lz4"),
        (b"\xfd7zXZ\x00", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x1f\x8b\x08", "gzip"),
    ];
    PACKERS.iter().find(|(magic, _)| payload.starts_with(magic)).map(|(_, program)| *program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_lies_where_the_header_says() {
        let mut image = vec![0; 4096];
        image[SETUP_SECTORS] = 1;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[PAYLOAD_OFFSET] = 16;
        image[PAYLOAD_LENGTH] = 9;
        image[1024 + 16..1024 + 21].copy_from_slice(b"\x1f\x8b\x08ab");
        let found = payload(&image).unwrap();
        assert_eq!((found, unpacker(found)), (&b"\x1f\x8b\x08ab"[..], Some("gzip")));
        image[PAYLOAD_OFFSET + 3] = 0xff;
        assert_eq!(payload(&image), None, "a payload past the end");
        assert_eq!(payload(b"\x7fELF"), None);
    }
}
