//! Who sends the picture: versions, program, machine. For reports and for people; texts were cleaned by the protocol.

use core::fmt;
use shm_proto::kvmfr::SessionInfo;
use shm_proto::lgmp::probe::release;

/// What a guest tells about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestInfo {
    /// LGMP's number.
    pub lgmp: u32,
    /// KVMFR's number.
    pub kvmfr: u32,
    /// The release that speaks both.
    pub release: Option<&'static str>,
    /// The program's own version.
    pub producer: String,
    /// How it captures the screen; empty if it does not say.
    pub capture: String,
    /// The machine's UUID, as QEMU writes it.
    pub uuid: Option<String>,
    /// The operating system's name; empty if it does not say.
    pub os: String,
    /// The processor's name; empty if it does not say.
    pub model: String,
}

impl GuestInfo {
    /// From what the protocol read.
    pub fn of(info: &SessionInfo) -> GuestInfo {
        let vm = info.vm.as_ref();
        GuestInfo {
            lgmp: info.lgmp,
            kvmfr: info.kvmfr,
            release: release(info.lgmp, info.kvmfr),
            producer: info.producer.clone(),
            capture: vm.map(|vm| vm.capture.clone()).unwrap_or_default(),
            uuid: vm.and_then(|vm| vm.uuid).map(|bytes| uuid(&bytes)),
            os: info.os.as_ref().map(|os| os.name.clone()).unwrap_or_default(),
            model: vm.map(|vm| vm.model.clone()).unwrap_or_default(),
        }
    }
}

impl fmt::Display for GuestInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Looking Glass host {}", or_unnamed(&self.producer))?;
        write!(
            f,
            " ({}LGMP {} with KVMFR {})",
            self.release.map(|r| format!("{r}: ")).unwrap_or_default(),
            self.lgmp,
            self.kvmfr
        )?;
        for (what, text) in [("captures by", &self.capture), ("on", &self.os)] {
            if !text.is_empty() {
                write!(f, ", {what} {text}")?;
            }
        }
        match &self.uuid {
            Some(uuid) => write!(f, ", UUID {uuid}"),
            None => Ok(()),
        }
    }
}

fn or_unnamed(text: &str) -> &str {
    if text.is_empty() { "without a name" } else { text }
}

fn uuid(bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let part = |range: core::ops::Range<usize>| hex.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_proto::kvmfr::{Identity, Version};

    fn info(identity: &Identity, version: Version) -> GuestInfo {
        let layout = version.layout();
        GuestInfo::of(&SessionInfo::parse(&identity.encode(layout), layout).unwrap())
    }

    #[test]
    fn a_guest_is_named_in_one_line() {
        let identity = Identity {
            producer: "B7-1-g27fe47cb".into(),
            capture: "D12".into(),
            uuid: [0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE, 0xF0, 1, 2, 3, 4, 5, 6, 7, 8],
            os_name: "Windows 11 Pro".into(),
            ..Identity::default()
        };
        assert_eq!(
            info(&identity, Version::B7).to_string(),
            "Looking Glass host B7-1-g27fe47cb (B7: LGMP 6 with KVMFR 20), captures by D12, on Windows 11 Pro, UUID \
             12345678-9abc-def0-0102-030405060708"
        );
        let silent =
            Identity { producer: "".into(), capture: "".into(), os_name: "".into(), uuid: [0; 16], ..identity };
        assert_eq!(
            info(&silent, Version::Lgmp12).to_string(),
            "Looking Glass host without a name (a development build of 2026: LGMP 12 with KVMFR 34)"
        );
    }
}
