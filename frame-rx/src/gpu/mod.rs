//! The only place that names wgpu: which GPU is used, how rows get into a texture, how the picture and the pointer are
//! drawn, and how that reaches a window or memory.
//!
//! | file | holds |
//! |---|---|
//! | `mod` | choosing and opening a GPU, a software one included |
//! | [`upload`] | staging memory that the feed fills, and the texture it goes to |
//! | [`scene`] | picture, pointer and words, drawn into any target |
//! | `scaler` | scaling in several steps |
//! | [`present`] | a window's surface |
//! | `direct` | the picture copied into a target that shows it as it is |
//! | `shape` | the pointer's shape |
//! | `words` | boxes of text over it |
//! | [`readback`] | a target in memory, read row by row |
//! | [`grab`] | the picture's own rows, read back |

mod direct;
pub mod grab;
mod pipelines;
pub mod present;
pub mod readback;
mod scaler;
pub mod scene;
mod shape;
pub mod upload;
mod words;

use std::sync::{Arc, OnceLock};

/// Which GPU to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GpuChoice {
    /// The first that can show the window, hardware before software.
    #[default]
    Auto,
    /// The software GPU (Mesa's lavapipe).
    Software,
    /// The first whose name contains this text, in capitals or not.
    Named(String),
}

/// What a GPU is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuKind {
    /// A chip, of its own or inside the processor.
    Hardware,
    /// The GPU of another machine or a virtual one.
    Virtual,
    /// The processor draws.
    Software,
}

/// A GPU that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuInfo {
    /// As its driver calls it.
    pub name: String,
    /// What it is.
    pub kind: GpuKind,
    /// The driver's name and version.
    pub driver: String,
}

impl GpuInfo {
    fn of(adapter: &wgpu::Adapter) -> GpuInfo {
        let info = adapter.get_info();
        let kind = match info.device_type {
            wgpu::DeviceType::Cpu => GpuKind::Software,
            wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::DiscreteGpu => GpuKind::Hardware,
            wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => GpuKind::Virtual,
        };
        let driver = [info.driver, info.driver_info].join(" ").trim().to_owned();
        GpuInfo { name: info.name, kind, driver }
    }
}

impl core::fmt::Display for GpuInfo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let kind = match self.kind {
            GpuKind::Hardware => "hardware",
            GpuKind::Virtual => "virtual",
            GpuKind::Software => "software",
        };
        write!(f, "{} ({kind}, {})", self.name, self.driver)
    }
}

/// Why nothing can be drawn.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// There is no Vulkan driver at all, not even a software one.
    #[error("no Vulkan driver was found")]
    NoDriver,
    /// There are GPUs, but not the one that was asked for.
    #[error("none of the GPUs ({found}) is the one asked for ({asked})")]
    NotFound {
        /// What was asked for.
        asked: String,
        /// What there is.
        found: String,
    },
    /// None of the GPUs can show a window on this display.
    #[error("none of the GPUs ({found}) can show a window on this display")]
    NoSurface {
        /// What there is.
        found: String,
    },
    /// The GPU refused to be opened.
    #[error("cannot open the GPU {name}")]
    Open {
        /// Its name.
        name: String,
        /// What the driver said.
        source: wgpu::RequestDeviceError,
    },
    /// The window cannot be drawn into.
    #[error("cannot draw into the window")]
    Surface(#[from] wgpu::CreateSurfaceError),
    /// A picture larger than this GPU's textures.
    #[error("a picture of {width}x{height} is larger than this GPU can hold ({limit} a side)")]
    TooLarge {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// The most of either.
        limit: u32,
    },
    /// A picture for which this GPU has no memory left.
    #[error("a picture of {width}x{height} does not fit into this GPU's memory")]
    NoMemory {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The GPU or its driver failed: reset, unplugged, out of memory for what is not the guest's.
    #[error("the GPU failed: {0}")]
    Failed(String),
}

impl GpuError {
    /// Whether it is this picture that the GPU cannot hold, while all else goes on.
    pub fn is_refusal(&self) -> bool {
        matches!(self, GpuError::TooLarge { .. } | GpuError::NoMemory { .. })
    }

    /// What the user can do.
    pub fn hint(&self) -> &'static str {
        match self {
            GpuError::NoDriver => {
                "install a Vulkan driver; the software one is in mesa-vulkan-drivers (Debian, Fedora) or \
                 vulkan-swrast (Arch)"
            }
            GpuError::NotFound { .. } => "see `frame-rx doctor` for the names, or leave --gpu away",
            GpuError::NoSurface { .. } => {
                "use --headless, or install the Vulkan driver of the GPU that has the monitor"
            }
            GpuError::Open { .. } | GpuError::Surface(_) => "try --gpu software, which is slow but always works",
            GpuError::TooLarge { .. } | GpuError::NoMemory { .. } => {
                "choose a smaller mode in the guest, or another GPU with --gpu"
            }
            GpuError::Failed(_) => "start again; if it happens again, see the kernel log (dmesg) or try --gpu software",
        }
    }
}

/// The first thing that went wrong with a GPU, if anything did. Every open GPU has one of its own.
type Mark = Arc<OnceLock<String>>;

/// An open GPU.
#[derive(Debug)]
pub struct Gpu {
    instance: wgpu::Instance,
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: GpuInfo,
    fault: Mark,
}

impl Gpu {
    /// Opens a GPU for drawing into memory.
    ///
    /// Blocks for the driver.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn headless(choice: &GpuChoice) -> Result<Gpu, GpuError> {
        Gpu::open(instance(), choice, None)
    }

    fn open(
        instance: wgpu::Instance,
        choice: &GpuChoice,
        surface: Option<&wgpu::Surface<'static>>,
    ) -> Result<Gpu, GpuError> {
        let mut adapters = adapters(&instance);
        if adapters.is_empty() {
            return Err(GpuError::NoDriver);
        }
        let found = adapters.iter().map(|a| a.get_info().name).collect::<Vec<_>>().join(", ");
        if let Some(surface) = surface {
            adapters.retain(|a| a.is_surface_supported(surface));
            if adapters.is_empty() {
                return Err(GpuError::NoSurface { found });
            }
        }
        let infos: Vec<GpuInfo> = adapters.iter().map(GpuInfo::of).collect();
        let index =
            pick(&infos, choice).ok_or_else(|| GpuError::NotFound { asked: choice.name().to_owned(), found })?;
        let adapter = adapters.swap_remove(index);
        let info = GpuInfo::of(&adapter);
        let limits = adapter.limits();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("frame-rx"),
            required_limits: wgpu::Limits {
                max_buffer_size: limits.max_buffer_size,
                ..wgpu::Limits::downlevel_defaults().using_resolution(limits)
            },
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|source| GpuError::Open { name: info.name.clone(), source })?;
        let fault = watch_for_faults(&device);
        Ok(Gpu { instance, adapter, device, queue, info, fault })
    }

    /// Which GPU it is.
    pub fn info(&self) -> &GpuInfo {
        &self.info
    }

    /// The largest side of a picture, in pixels.
    pub fn max_side(&self) -> u32 {
        self.device.limits().max_texture_dimension_2d
    }

    /// An error once the GPU failed; nothing drawn after that can be trusted.
    ///
    /// # Errors
    /// [`GpuError::Failed`].
    pub fn check(&self) -> Result<(), GpuError> {
        match self.fault.get() {
            Some(fault) => Err(GpuError::Failed(fault.clone())),
            None => Ok(()),
        }
    }

    /// What went wrong: the GPU itself, if it failed, else what `told` says.
    fn failed(&self, told: impl core::fmt::Display) -> GpuError {
        self.check().err().unwrap_or_else(|| GpuError::Failed(one_line(&told.to_string())))
    }

    /// A source of staging memory, for the feed's thread.
    pub fn staging(&self) -> upload::Staging {
        upload::Staging::new(self.device.clone(), self.fault.clone())
    }
}

impl GpuChoice {
    /// The choice as it is written on the command line.
    pub fn name(&self) -> &str {
        match self {
            GpuChoice::Auto => "auto",
            GpuChoice::Software => "software",
            GpuChoice::Named(name) => name,
        }
    }
}

impl core::str::FromStr for GpuChoice {
    type Err = core::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "auto" => GpuChoice::Auto,
            "software" => GpuChoice::Software,
            name => GpuChoice::Named(name.to_owned()),
        })
    }
}

/// Every GPU that there is.
///
/// Blocks for the drivers.
pub fn list() -> Vec<GpuInfo> {
    adapters(&instance()).iter().map(GpuInfo::of).collect()
}

fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    })
}

fn adapters(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN))
}

/// The GPU to use among those found. Equal ones keep the driver's order, in which the one with the desktop is first.
fn pick(found: &[GpuInfo], choice: &GpuChoice) -> Option<usize> {
    let rank = |info: &GpuInfo| match info.kind {
        GpuKind::Hardware => 0,
        GpuKind::Virtual => 1,
        GpuKind::Software => 2,
    };
    let fits = |info: &GpuInfo| match choice {
        GpuChoice::Auto => true,
        GpuChoice::Software => info.kind == GpuKind::Software,
        GpuChoice::Named(name) => info.name.to_lowercase().contains(&name.to_lowercase()),
    };
    found.iter().enumerate().filter(|(_, info)| fits(info)).min_by_key(|(_, info)| rank(info)).map(|(i, _)| i)
}

/// Keeps the first thing that goes wrong, instead of ending the program as wgpu would.
fn watch_for_faults(device: &wgpu::Device) -> Mark {
    let fault = Mark::default();
    let kept = fault.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        let _ = kept.set(one_line(&error.to_string()));
    }));
    let kept = fault.clone();
    device.set_device_lost_callback(move |reason, text| {
        if reason != wgpu::DeviceLostReason::Destroyed {
            let _ = kept.set(format!("its device was lost: {}", one_line(&text)));
        }
    });
    fault
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, kind: GpuKind) -> GpuInfo {
        GpuInfo { name: name.into(), kind, driver: String::new() }
    }

    #[test]
    fn hardware_is_taken_before_software_in_the_drivers_order() {
        let found = [
            info("llvmpipe", GpuKind::Software),
            info("Virtio", GpuKind::Virtual),
            info("AMD Radeon", GpuKind::Hardware),
            info("Intel Arc", GpuKind::Hardware),
        ];
        let named = |name: &str| GpuChoice::Named(name.into());
        for (choice, expected) in [
            (GpuChoice::Auto, Some(2)),
            (GpuChoice::Software, Some(0)),
            (named("intel"), Some(3)),
            (named("r"), Some(2)),
            (named("nvidia"), None),
        ] {
            assert_eq!(pick(&found, &choice), expected, "{choice:?}");
        }
        assert_eq!(pick(&[], &GpuChoice::Auto), None);
    }

    #[test]
    fn a_choice_is_read_from_its_name() {
        for (text, choice) in [
            ("auto", GpuChoice::Auto),
            ("software", GpuChoice::Software),
            ("radeon", GpuChoice::Named("radeon".into())),
        ] {
            assert_eq!(text.parse(), Ok(choice));
        }
    }
}
