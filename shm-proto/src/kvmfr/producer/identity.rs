//! The user data a producer publishes: the KVMFR header, a VMINFO and an OSINFO record. For guests of ours.

use super::super::session::Os;
use super::super::wire::{Layout, MAGIC, RECORD_OS, RECORD_VM};

/// What a producer tells about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its own version; cut at 31 bytes.
    pub producer: String,
    /// Feature bits, see [`features`](crate::kvmfr::wire::features).
    pub features: u32,
    /// The machine's UUID; all zero if it is not known.
    pub uuid: [u8; 16],
    /// How the screen is captured; cut at 31 bytes.
    pub capture: String,
    /// Logical processors, cores, sockets.
    pub cpus: (u8, u8, u8),
    /// Model of the processor.
    pub model: String,
    /// The operating system.
    pub os: Os,
    /// Its name.
    pub os_name: String,
}

impl Default for Identity {
    fn default() -> Self {
        Identity {
            producer: "simulated guest".into(),
            features: super::super::wire::features::SET_CURSOR_POSITION,
            uuid: [0; 16],
            capture: "test picture".into(),
            cpus: (4, 2, 1),
            // An odd length, so that the second record is unaligned.
            model: "Test CPU (odd)".into(),
            os: Os::Other,
            os_name: "simulated".into(),
        }
    }
}

impl Identity {
    /// The user data.
    pub fn encode(&self, layout: &Layout) -> Vec<u8> {
        let (h, r) = (&layout.header, &layout.record);
        let mut data = vec![0; h.size];
        put(&mut data, 0, &MAGIC);
        put(&mut data, h.version, &layout.version.to_le_bytes());
        put(&mut data, h.producer, cut(&self.producer, h.producer_bytes - 1));
        put(&mut data, h.features, &self.features.to_le_bytes());
        let mut vm = vec![0; r.vm_model];
        put(&mut vm, r.vm_uuid, &self.uuid);
        put(&mut vm, r.vm_capture, cut(&self.capture, r.vm_capture_bytes - 1));
        put(&mut vm, r.vm_cpus, &[self.cpus.0]);
        put(&mut vm, r.vm_cores, &[self.cpus.1]);
        put(&mut vm, r.vm_sockets, &[self.cpus.2]);
        vm.extend_from_slice(self.model.as_bytes());
        vm.push(0);
        let mut os = vec![0; r.os_name];
        let number = match self.os {
            Os::Linux => 0,
            Os::Bsd => 1,
            Os::Mac => 2,
            Os::Windows => 3,
            Os::Other => 4,
        };
        put(&mut os, r.os_kind, &[number]);
        os.extend_from_slice(self.os_name.as_bytes());
        os.push(0);
        for (kind, body) in [(RECORD_VM, vm), (RECORD_OS, os)] {
            let mut head = vec![0; r.size];
            put(&mut head, r.kind, &[kind]);
            put(&mut head, r.length, &u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
            data.extend(head);
            data.extend(body);
        }
        data
    }
}

fn cut(text: &str, max: usize) -> &[u8] {
    let bytes = text.as_bytes();
    bytes.get(..max).unwrap_or(bytes)
}

fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = into.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
