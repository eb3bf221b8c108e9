//! `frame-rx doctor`: what is wrong and how to mend it.

use crate::app;
use crate::cli::DoctorArgs;
use crate::devices;
use crate::gpu::{self, GpuError, GpuKind};
use crate::guest::GuestInfo;
use crate::input::address::InputChoice;
use crate::input::capture;
use crate::input::wire::Patience;
use crate::settings::DEFAULT_FILE;
use rx_host::doctor::checks::{self, Expected};
use rx_host::doctor::{Doctor, Finding};
use rx_host::exit::{self, Exit};
use rx_host::signals::Stop;
use shm_proto::kvmfr::SessionInfo;
use shm_proto::kvmfr::stream::MIN_REGION_BYTES;
use shm_proto::{Access, Region};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Longest look whether a server is there.
const LOOK: Duration = Duration::from_secs(2);

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
    doctor.add(input_finding(&args.input.clone().unwrap_or_default())?);
    doctor.extend(devices::findings(&args.evdev, args.input.as_ref()));
    doctor.extend(checks::limits());
    if args.json {
        exit::print(format!("{:#}\n", doctor.to_json()))?;
    } else {
        exit::print(doctor.table())?;
    }
    Ok(doctor.exit())
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

/// Whether there is a way to the guest for keyboard and mouse.
fn input_finding(choice: &InputChoice) -> io::Result<Finding> {
    let patience = Patience::new(LOOK, &Stop::new()?);
    Ok(match capture::look(choice, &patience) {
        Ok(()) if *choice == InputChoice::None => Finding::ok("input", "none is wanted"),
        Ok(()) if *choice == InputChoice::Uinput => Finding::ok("input", "a virtual keyboard and mouse can be made"),
        Ok(()) => Finding::ok("input", format!("something listens at {}", capture::place(choice, "spice"))),
        Err(e) => Finding::warn(
            "input",
            format!("no way to the guest at {}: {e}", capture::place(choice, "spice")),
            capture::hint(choice, &e),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_to_the_guest_that_is_not_there_or_not_safe_is_told_with_what_to_do() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let choice = InputChoice::Qmp(path.clone());
        let health = || input_finding(&choice).unwrap().health;
        assert_eq!((health(), input_finding(&InputChoice::None).unwrap().health), (Health::Warn, Health::Ok));
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        for (mode, expected) in [(0o777, Health::Warn), (0o755, Health::Ok)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(health(), expected, "{mode:o}");
        }
    }
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
