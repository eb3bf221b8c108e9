//! `frame-rx doctor` and `frame-rx devices`: what is wrong and how to mend it; which GPUs and monitors there are.

use crate::app::{self, monitors};
use crate::cli::DoctorArgs;
use crate::gpu::{self, GpuError, GpuKind};
use crate::guest::GuestInfo;
use crate::settings::DEFAULT_FILE;
use rx_host::doctor::checks::{self, Expected};
use rx_host::doctor::{Doctor, Finding};
use rx_host::exit::{self, Exit};
use shm_proto::kvmfr::SessionInfo;
use shm_proto::kvmfr::stream::MIN_REGION_BYTES;
use shm_proto::{Access, Region};
use std::path::Path;

/// Looks at everything and prints what was found.
///
/// Blocks for drivers and the display.
///
/// # Errors
/// When stdout does not take it.
pub fn run(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let file = args.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    let mut doctor = Doctor::new();
    doctor.extend(checks::region(file, Access::ReadWrite, MIN_REGION_BYTES, Expected::LookingGlass));
    if let Some(guest) = guest_finding(file) {
        doctor.add(guest);
    }
    doctor.add(checks::shared_memory()).add(checks::groups()).add(checks::kvmfr());
    doctor.add(gpu_finding(&gpu::list())).add(display_finding());
    doctor.extend(checks::limits());
    if args.json {
        exit::print(format!("{:#}\n", doctor.to_json()))?;
    } else {
        exit::print(doctor.table())?;
    }
    Ok(doctor.exit())
}

/// Prints GPUs and monitors.
///
/// # Errors
/// When stdout does not take it.
pub fn devices() -> anyhow::Result<Exit> {
    let numbered =
        |lines: Vec<String>| lines.into_iter().enumerate().map(|(i, l)| format!("  {} {l}\n", i + 1)).collect();
    let gpus: String = match gpu::list() {
        gpus if gpus.is_empty() => format!("  none: {}\n", GpuError::NoDriver.hint()),
        gpus => numbered(gpus.iter().map(ToString::to_string).collect()),
    };
    let monitors: String = match monitors::list() {
        Ok(lines) => numbered(lines),
        Err(why) => format!("  none: {why}\n"),
    };
    exit::print(format!("GPUs (--gpu NAME)\n{gpus}monitors (--output NAME or number)\n{monitors}"))?;
    Ok(Exit::Done)
}

/// Who wrote into the file last, by its own words; nothing if nobody did, or nobody that is understood.
fn guest_finding(file: &Path) -> Option<Finding> {
    let region = Region::open(file, Access::ReadOnly).ok()?;
    let info = SessionInfo::peek(&region)?;
    Some(Finding::ok("guest", GuestInfo::of(&info).to_string()))
}

fn gpu_finding(gpus: &[gpu::GpuInfo]) -> Finding {
    let names = gpus.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if gpus.is_empty() {
        Finding::bad("gpu", GpuError::NoDriver.to_string(), GpuError::NoDriver.hint())
    } else if gpus.iter().all(|g| g.kind == GpuKind::Software) {
        Finding::warn(
            "gpu",
            format!("only a software GPU: {names}"),
            "install the Vulkan driver of the GPU that has the monitor",
        )
    } else {
        Finding::ok("gpu", names)
    }
}

fn display_finding() -> Finding {
    if app::has_display() {
        Finding::ok("display", "there is one")
    } else {
        Finding::warn(
            "display",
            "neither WAYLAND_DISPLAY nor DISPLAY is set",
            "start frame-rx in a desktop session, or use --headless",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rx_host::doctor::Health;

    fn gpu(kind: GpuKind) -> gpu::GpuInfo {
        gpu::GpuInfo { name: "G".into(), kind, driver: "d".into() }
    }

    #[test]
    fn the_guest_that_wrote_last_is_named() {
        use shm_proto::HostTime;
        use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest};
        use shm_proto::kvmfr::Version;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("region");
        assert_eq!(guest_finding(&path).map(|f| f.health), None);
        for version in Version::ALL {
            let region = Region::create(&path, 16 << 20).unwrap();
            assert!(guest_finding(&path).is_none(), "{version:?}: nothing was written");
            PictureGuest::start(&region, PictureConfig::new(64, 48).speaking(version), HostTime::ZERO).unwrap();
            let found = guest_finding(&path).expect("a guest");
            assert!(found.found.contains("Looking Glass host simulated guest ("), "{}", found.found);
            let numbers = format!("LGMP {} with KVMFR {}", version.lgmp().version, version.layout().version);
            assert!(found.found.contains(&numbers), "{}", found.found);
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_machine_with_only_a_software_gpu_could_do_better() {
        for (gpus, health) in [
            (vec![], Health::Bad),
            (vec![gpu(GpuKind::Software)], Health::Warn),
            (vec![gpu(GpuKind::Software), gpu(GpuKind::Hardware)], Health::Ok),
        ] {
            assert_eq!(gpu_finding(&gpus).health, health);
        }
    }
}
