//! Writes the archive that a Linux kernel unpacks as its first file system: cpio in the "newc" form, not compressed.
//! Source: the kernel's documentation, `driver-api/early-userspace/buffer-format`.

const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive under construction.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// An archive without entries.
    pub fn new() -> Archive {
        Archive::default()
    }

    /// Adds a folder. Parents must come first.
    #[must_use]
    pub fn folder(self, name: &str) -> Archive {
        self.entry(name, FOLDER | 0o755, (0, 0), &[])
    }

    /// Adds an executable file.
    #[must_use]
    pub fn program(self, name: &str, contents: &[u8]) -> Archive {
        self.entry(name, REGULAR | 0o755, (0, 0), contents)
    }

    /// Adds a file that is no program.
    #[must_use]
    pub fn file(self, name: &str, contents: &[u8]) -> Archive {
        self.entry(name, REGULAR | 0o644, (0, 0), contents)
    }

    /// Adds a character device.
    #[must_use]
    pub fn device(self, name: &str, major: u32, minor: u32) -> Archive {
        self.entry(name, CHARACTER_DEVICE | 0o600, (major, minor), &[])
    }

    /// The finished archive.
    pub fn finish(self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]).bytes
    }

    fn entry(mut self, name: &str, mode: u32, (major, minor): (u32, u32), contents: &[u8]) -> Archive {
        self.entries += 1;
        let size = u32::try_from(contents.len()).expect("a file below 4 GiB");
        let name_size = u32::try_from(name.len()).expect("a name below 4 GiB") + 1;
        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_contents_start_at_multiples_of_four() {
        let bytes = Archive::new().folder("dev").program("init", b"12345").finish();
        assert_eq!(bytes.len() % 4, 0);
        let starts: Vec<_> = (0..bytes.len()).filter(|i| bytes[*i..].starts_with(b"070701")).collect();
        // 110 bytes of header and the name with its zero, padded; then the contents, padded.
        assert_eq!(starts, [0, 116, 116 + 116 + 8]);
        assert_eq!(&bytes[116 + 116..][..5], b"12345");
    }
}
