//! What the user data says about the producer: the KVMFR header and the records behind it. Read once per session.
//!
//! Records are packed without alignment, their texts need no terminator, and every byte is the guest's: texts are cut,
//! cleaned of control characters and never longer than [`MAX_TEXT_BYTES`].

use super::wire::{self, Layout, RECORD_OS, RECORD_VM, Snapshot};
use crate::guest::{Corrupt, Guest};
use crate::lgmp::probe::Prober;
use crate::lgmp::wire::MAX_USER_DATA_BYTES;
use crate::raw::map::Region;
use crate::span::Purpose;
use crate::time::HostTime;

/// The longest text that is kept, bytes.
pub const MAX_TEXT_BYTES: usize = 128;
/// The most records that are looked at.
const MAX_RECORDS: usize = 64;

/// The start of the user data.
#[derive(Clone, Copy, Debug)]
pub enum Header {
    /// A version that is spoken together with this LGMP version.
    Spoken(&'static Layout),
    /// KVMFR, but another version.
    Other(u32),
    /// Not KVMFR.
    NotKvmfr,
}

impl Header {
    /// Looks at the user data. Allocates nothing.
    pub fn look(user_data: &[u8], lgmp: u32) -> Header {
        if user_data.first_chunk::<8>() != Some(&wire::MAGIC) {
            return Header::NotKvmfr;
        }
        // The place of the version is the same in every KVMFR there was.
        let Ok(version) = Snapshot(user_data).u32("KVMFR version", wire::V20.header.version) else {
            return Header::NotKvmfr;
        };
        wire::layout(lgmp, version.distrusted()).map_or(Header::Other(version.distrusted()), Header::Spoken)
    }
}

/// The operating system a producer names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    /// Linux.
    Linux,
    /// A BSD.
    Bsd,
    /// macOS.
    Mac,
    /// Windows.
    Windows,
    /// Another, or a number that is not known.
    Other,
}

/// The virtual machine, as the producer sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmInfo {
    /// Its UUID; nothing if it is not known.
    pub uuid: Option<[u8; 16]>,
    /// How the screen is captured.
    pub capture: String,
    /// Logical processors.
    pub cpus: u8,
    /// Cores.
    pub cores: u8,
    /// Sockets.
    pub sockets: u8,
    /// Model of the processor.
    pub model: String,
}

/// The guest's operating system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsInfo {
    /// Which one.
    pub os: Os,
    /// Its name.
    pub name: String,
}

/// Everything the user data tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// LGMP version.
    pub lgmp: u32,
    /// KVMFR version.
    pub kvmfr: u32,
    /// The producer's own version text.
    pub producer: String,
    /// Feature bits, see [`wire::features`].
    pub features: u32,
    /// The virtual machine.
    pub vm: Option<VmInfo>,
    /// The operating system.
    pub os: Option<OsInfo>,
    /// Whether a record could not be read; those before it are here.
    pub cut_short: bool,
}

impl SessionInfo {
    /// Reads the user data of a version that [`Header::look`] knows. Allocates the texts.
    ///
    /// # Errors
    /// [`Corrupt`] if the header itself is not whole. A bad record only ends the list.
    pub fn parse(user_data: &[u8], layout: &Layout) -> Result<SessionInfo, Corrupt> {
        let s = Snapshot(user_data);
        let h = &layout.header;
        let mut info = SessionInfo {
            lgmp: layout.lgmp,
            kvmfr: layout.version,
            producer: clean(s.bytes("hostver", h.producer, h.producer_bytes)?),
            features: s.u32("features", h.features)?.distrusted(),
            vm: None,
            os: None,
            cut_short: false,
        };
        info.cut_short = info.records(user_data.get(h.size..).unwrap_or_default(), layout).is_err();
        Ok(info)
    }

    /// What the region tells about its last session, whether that lives or not; nothing if there is none that is spoken. For
    /// a report: nothing is joined, nothing is written. Allocates.
    pub fn peek(region: &Region) -> Option<SessionInfo> {
        let lgmp = Prober::new().look(region, HostTime::ZERO).ok()?.layout()?;
        let size = region.whole().read_word::<u32>(lgmp.header.udata_size).ok()?.load_acquire();
        let size = Guest::new(size).check("udataSize", 0..=MAX_USER_DATA_BYTES).ok()?;
        let mut user_data = vec![0; size as usize];
        region.span(lgmp.header.udata, u64::from(size)).ok()?.copy_to(&mut user_data, Purpose::Read).ok()?;
        region.check_alive().ok()?;
        match Header::look(&user_data, lgmp.version) {
            Header::Spoken(layout) => SessionInfo::parse(&user_data, layout).ok(),
            Header::Other(_) | Header::NotKvmfr => None,
        }
    }

    /// Whether the producer changes the guest's mode to the viewer's window when asked to.
    pub fn can_set_window_size(&self) -> bool {
        self.features & wire::features::WINDOW_SIZE != 0
    }

    /// Whether the producer moves the guest's pointer when asked to.
    pub fn can_set_cursor(&self) -> bool {
        self.features & wire::features::SET_CURSOR_POSITION != 0
    }

    fn records(&mut self, mut rest: &[u8], layout: &Layout) -> Result<(), Corrupt> {
        let r = &layout.record;
        for _ in 0..MAX_RECORDS {
            if rest.is_empty() {
                return Ok(());
            }
            let s = Snapshot(rest);
            let kind = s.u8("record type", r.kind)?.distrusted();
            let room = u32::try_from(rest.len().saturating_sub(r.size)).unwrap_or(u32::MAX);
            let length = s.u32("record size", r.length)?.check("record size", 0..=room)? as usize;
            let body = s.bytes("record", r.size, length)?;
            match kind {
                RECORD_VM => self.vm = Some(vm(Snapshot(body), layout)?),
                RECORD_OS => self.os = Some(os(Snapshot(body), layout)?),
                _ => {}
            }
            rest = rest.get(r.size + length..).unwrap_or_default();
        }
        Ok(())
    }
}

fn vm(s: Snapshot<'_>, layout: &Layout) -> Result<VmInfo, Corrupt> {
    let r = &layout.record;
    let mut uuid = [0; 16];
    uuid.copy_from_slice(s.bytes("uuid", r.vm_uuid, 16)?);
    Ok(VmInfo {
        uuid: (uuid != [0; 16]).then_some(uuid),
        capture: clean(s.bytes("capture", r.vm_capture, r.vm_capture_bytes)?),
        cpus: s.u8("cpus", r.vm_cpus)?.distrusted(),
        cores: s.u8("cores", r.vm_cores)?.distrusted(),
        sockets: s.u8("sockets", r.vm_sockets)?.distrusted(),
        model: clean(s.0.get(r.vm_model..).unwrap_or_default()),
    })
}

fn os(s: Snapshot<'_>, layout: &Layout) -> Result<OsInfo, Corrupt> {
    let r = &layout.record;
    let os = match s.u8("os", r.os_kind)?.distrusted() {
        0 => Os::Linux,
        1 => Os::Bsd,
        2 => Os::Mac,
        3 => Os::Windows,
        _ => Os::Other,
    };
    Ok(OsInfo { os, name: clean(s.0.get(r.os_name..).unwrap_or_default()) })
}

/// A guest's text for a human: up to the first zero byte, bytes that are no text replaced, control and direction
/// characters too, spaces at the ends cut.
fn clean(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len()).min(MAX_TEXT_BYTES);
    let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
    };
    let text: String = text.chars().map(|c| if hides(c) { '\u{FFFD}' } else { c }).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_guest_cannot_move_the_terminal() {
        assert_eq!(clean(b"  B7\0garbage"), "B7");
        assert_eq!(clean(b"\x1b[2J\xff\r\nx"), "\u{FFFD}[2J\u{FFFD}\u{FFFD}\u{FFFD}x");
        assert_eq!(clean("a\u{202E}b".as_bytes()), "a\u{FFFD}b");
        assert_eq!(clean(&[b'x'; 4000]).len(), MAX_TEXT_BYTES);
        assert_eq!(clean(b""), "");
    }

    #[test]
    fn the_pair_of_versions_decides() {
        let mut data = wire::MAGIC.to_vec();
        data.extend(20u32.to_le_bytes());
        assert!(matches!(Header::look(&data, 6), Header::Spoken(l) if l.version == 20));
        for lgmp in [7, 10] {
            assert!(matches!(Header::look(&data, lgmp), Header::Spoken(l) if (l.lgmp, l.version) == (lgmp, 20)));
        }
        for lgmp in [5, 12] {
            assert!(matches!(Header::look(&data, lgmp), Header::Other(20)));
        }
        data[8] = 19;
        assert!(matches!(Header::look(&data, 5), Header::Spoken(l) if l.version == 19));
        assert!(matches!(Header::look(&data, 6), Header::Other(19)));
        data[8] = 34;
        assert!(matches!(Header::look(&data, 12), Header::Spoken(l) if l.version == 34));
        assert!(matches!(Header::look(&data[..11], 6), Header::NotKvmfr));
        data[0] = b'X';
        assert!(matches!(Header::look(&data, 6), Header::NotKvmfr));
    }
}
