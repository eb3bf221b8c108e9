//! A window's surface: how frames queue at the screen, and what happens when the window changes under it.

use super::scene::{Look, Scene, Target};
use super::upload::Uploader;
use super::{Gpu, GpuChoice, GpuError};
use crate::cursor::Shape;
use crate::picture::Size;
use core::fmt;
use std::panic::{self, AssertUnwindSafe};

/// How drawn frames reach the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum PresentChoice {
    /// Mailbox where there is one, else fifo.
    #[default]
    Auto,
    /// In step with the screen, each frame shown; one frame may wait.
    Fifo,
    /// In step with the screen, the newest frame shown.
    Mailbox,
    /// At once, with tearing.
    Immediate,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// It is on its way to the screen.
    Shown {
        /// The picture was copied there as it is; nothing but pointer and words was drawn.
        copied: bool,
    },
    /// The window was not ready; draw again soon.
    NotYet,
    /// Nobody can see the window.
    Hidden,
}

/// Makes a surface for the window again when the old one is lost.
type MakeSurface = Box<dyn Fn(&wgpu::Instance) -> Result<wgpu::Surface<'static>, wgpu::CreateSurfaceError>>;

/// A GPU that draws into a window.
pub struct Screen {
    gpu: Gpu,
    choice: GpuChoice,
    present: PresentChoice,
    make_surface: MakeSurface,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    scene: Scene,
}

impl Screen {
    /// Opens a GPU that can draw into `window`, now of `size` pixels.
    ///
    /// Blocks for the driver.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn open<W>(window: W, size: Size, choice: &GpuChoice, present: PresentChoice) -> Result<Screen, GpuError>
    where
        W: Clone + Into<wgpu::SurfaceTarget<'static>> + 'static,
    {
        let make_surface: MakeSurface = Box::new(move |instance| instance.create_surface(window.clone()));
        let instance = super::instance();
        let surface = make_surface(&instance)?;
        let gpu = Gpu::open(instance, choice, Some(&surface))?;
        let config = configuration(&gpu, &surface, size, present)?;
        surface.configure(&gpu.device, &config);
        gpu.check()?;
        let (choice, scene) = (choice.clone(), Scene::new(&gpu, config.format.remove_srgb_suffix()));
        Ok(Screen { gpu, choice, present, make_surface, surface, config, scene })
    }

    /// Opens a GPU again after this one was lost: the same, or another that can show the window by now. The scene is empty
    /// afterwards but for the pointer's shape.
    ///
    /// Blocks for the driver.
    ///
    /// # Errors
    /// [`GpuError`]; nothing can be shown then, and it may be tried again.
    pub fn reopen(&mut self) -> Result<(), GpuError> {
        let instance = super::instance();
        // The old surface goes before the window gets another swapchain.
        self.surface = (self.make_surface)(&instance)?;
        let gpu = Gpu::open(instance, &self.choice, Some(&self.surface))?;
        self.config = configuration(&gpu, &self.surface, self.size(), self.present)?;
        self.surface.configure(&gpu.device, &self.config);
        gpu.check()?;
        let mut scene = Scene::new(&gpu, self.config.format.remove_srgb_suffix());
        scene.set_shape(self.scene.shape());
        (self.gpu, self.scene) = (gpu, scene);
        Ok(())
    }

    /// The GPU, for uploads.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The scene and the GPU, to set shape and words.
    pub fn scene(&mut self) -> (&mut Scene, &Gpu) {
        (&mut self.scene, &self.gpu)
    }

    /// How the pointer looks, before any turn.
    pub fn shape(&self) -> &Shape {
        self.scene.shape()
    }

    /// The window's size in pixels, as far as it can be drawn.
    pub fn size(&self) -> Size {
        Size::new(self.config.width, self.config.height)
    }

    /// Whether frames wait for the screen, so that drawing more often than it refreshes is of no use.
    pub fn waits_for_screen(&self) -> bool {
        self.config.present_mode != wgpu::PresentMode::Immediate
    }

    /// Whether a frame takes the place of one that waits for the screen.
    pub fn shows_newest(&self) -> bool {
        self.config.present_mode == wgpu::PresentMode::Mailbox
    }

    /// How frames reach the screen, for reports.
    pub fn present_mode(&self) -> &'static str {
        match self.config.present_mode {
            wgpu::PresentMode::Mailbox => "mailbox",
            wgpu::PresentMode::Immediate => "immediate",
            _ => "fifo",
        }
    }

    /// The window has another size.
    pub fn resize(&mut self, size: Size) {
        let limit = self.gpu.max_side();
        let (width, height) = (size.width.clamp(1, limit), size.height.clamp(1, limit));
        if (self.config.width, self.config.height) != (width, height) {
            (self.config.width, self.config.height) = (width, height);
            self.surface.configure(&self.gpu.device, &self.config);
        }
    }

    /// Draws and presents. May wait for the screen, for a second at most.
    ///
    /// # Errors
    /// [`GpuError`] when nothing can be shown any more.
    pub fn present(&mut self, uploader: &Uploader, look: &Look) -> Result<Presented, GpuError> {
        self.gpu.check()?;
        for _ in 0..2 {
            use wgpu::CurrentSurfaceTexture as Current;
            match self.surface.get_current_texture() {
                Current::Success(texture) => {
                    let copied = self.show(texture, uploader, look);
                    return self.gpu.check().map(|()| Presented::Shown { copied });
                }
                Current::Suboptimal(texture) => {
                    let copied = self.show(texture, uploader, look);
                    self.surface.configure(&self.gpu.device, &self.config);
                    return self.gpu.check().map(|()| Presented::Shown { copied });
                }
                Current::Timeout => return self.gpu.check().map(|()| Presented::NotYet),
                Current::Occluded => return Ok(Presented::Hidden),
                Current::Outdated => self.surface.configure(&self.gpu.device, &self.config),
                Current::Lost => {
                    self.surface = (self.make_surface)(&self.gpu.instance)?;
                    self.surface.configure(&self.gpu.device, &self.config);
                }
                Current::Validation => {
                    self.gpu.check()?;
                    return Ok(Presented::NotYet);
                }
            }
            self.gpu.check()?;
        }
        Ok(Presented::NotYet)
    }

    fn show(&mut self, texture: wgpu::SurfaceTexture, uploader: &Uploader, look: &Look) -> bool {
        let view_format = self.config.format.remove_srgb_suffix();
        let view = texture
            .texture
            .create_view(&wgpu::TextureViewDescriptor { format: Some(view_format), ..Default::default() });
        let size = self.size();
        let takes_copies = self.config.usage.contains(wgpu::TextureUsages::COPY_DST);
        let copy_to = takes_copies.then_some(&texture.texture);
        let target = Target { view: &view, size, window: size, top: 0, copy_to };
        let picture = uploader.picture().map(|p| (p, uploader.generation()));
        let copied = self.scene.draw(&self.gpu, &target, picture, look);
        drop(view);
        match self.gpu.check() {
            Ok(()) => self.gpu.queue.present(texture),
            Err(_) => let_go(texture),
        }
        copied
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("gpu", &self.gpu.info).field("config", &self.config).finish_non_exhaustive()
    }
}

/// Lets a frame go whose GPU was lost after the frame was begun. wgpu 30 gives it back to the surface only if its GPU works,
/// and a surface that has not got it back panics when it is dropped; it releases it plainly while a thread unwinds (its issue
/// 8243). So it is dropped by an unwinding that nobody hears of.
fn let_go(frame: wgpu::SurfaceTexture) {
    let unwound = panic::catch_unwind(AssertUnwindSafe(move || {
        let _frame = frame;
        panic::resume_unwind(Box::new(()))
    }));
    let Err::<(), _>(_nothing) = unwound else { return };
}

/// How frames of `size` reach a window's surface by this GPU.
fn configuration(
    gpu: &Gpu,
    surface: &wgpu::Surface<'_>,
    size: Size,
    present: PresentChoice,
) -> Result<wgpu::SurfaceConfiguration, GpuError> {
    let capabilities = surface.get_capabilities(&gpu.adapter);
    let format =
        pick_format(&capabilities.formats).ok_or_else(|| GpuError::NoSurface { found: gpu.info.name.clone() })?;
    // Colours pass as the guest sent them: never converted, not even by the window's own format.
    let view_format = format.remove_srgb_suffix();
    let limit = gpu.max_side();
    let alpha_mode = pick_alpha(&capabilities.alpha_modes);
    // Pictures may be copied into the surface. A guest's fourth byte means nothing, so it must mean nothing to the screen
    // either.
    let takes_copies =
        capabilities.usages.contains(wgpu::TextureUsages::COPY_DST) && alpha_mode == wgpu::CompositeAlphaMode::Opaque;
    let copies = if takes_copies { wgpu::TextureUsages::COPY_DST } else { wgpu::TextureUsages::empty() };
    Ok(wgpu::SurfaceConfiguration {
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | copies,
        format,
        color_space: wgpu::SurfaceColorSpace::default(),
        width: size.width.clamp(1, limit),
        height: size.height.clamp(1, limit),
        present_mode: pick_mode(present, &capabilities.present_modes),
        desired_maximum_frame_latency: 1,
        alpha_mode,
        view_formats: if view_format == format { vec![] } else { vec![view_format] },
    })
}

/// Eight bits a colour, unconverted if there is such a format; else whatever comes first.
fn pick_format(formats: &[wgpu::TextureFormat]) -> Option<wgpu::TextureFormat> {
    use wgpu::TextureFormat as F;
    let wish = [F::Bgra8Unorm, F::Rgba8Unorm, F::Bgra8UnormSrgb, F::Rgba8UnormSrgb];
    wish.into_iter().find(|w| formats.contains(w)).or(formats.first().copied())
}

/// Fifo is always there; the others where the driver offers them.
fn pick_mode(choice: PresentChoice, offered: &[wgpu::PresentMode]) -> wgpu::PresentMode {
    use wgpu::PresentMode as P;
    let wish: &[P] = match choice {
        PresentChoice::Auto | PresentChoice::Mailbox => &[P::Mailbox],
        PresentChoice::Immediate => &[P::Immediate, P::Mailbox],
        PresentChoice::Fifo => &[],
    };
    wish.iter().copied().find(|w| offered.contains(w)).unwrap_or(P::Fifo)
}

fn pick_alpha(offered: &[wgpu::CompositeAlphaMode]) -> wgpu::CompositeAlphaMode {
    let opaque = wgpu::CompositeAlphaMode::Opaque;
    if offered.contains(&opaque) { opaque } else { wgpu::CompositeAlphaMode::Auto }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::{PresentMode as P, TextureFormat as F};

    #[test]
    fn a_mode_that_is_not_offered_falls_back_to_one_that_is() {
        let all = [P::Fifo, P::Mailbox, P::Immediate];
        for (choice, offered, expected) in [
            (PresentChoice::Auto, &all[..], P::Mailbox),
            (PresentChoice::Auto, &[P::Fifo, P::Immediate][..], P::Fifo),
            (PresentChoice::Fifo, &all[..], P::Fifo),
            (PresentChoice::Immediate, &all[..], P::Immediate),
            (PresentChoice::Immediate, &[P::Fifo, P::Mailbox][..], P::Mailbox),
            (PresentChoice::Mailbox, &[P::Fifo][..], P::Fifo),
        ] {
            assert_eq!(pick_mode(choice, offered), expected, "{choice:?} of {offered:?}");
        }
    }

    #[test]
    fn colours_are_not_converted_where_there_is_a_choice() {
        assert_eq!(pick_format(&[F::Bgra8UnormSrgb, F::Bgra8Unorm]), Some(F::Bgra8Unorm));
        assert_eq!(pick_format(&[F::Rgb10a2Unorm, F::Rgba8UnormSrgb]), Some(F::Rgba8UnormSrgb));
        assert_eq!(pick_format(&[F::Rgb10a2Unorm]), Some(F::Rgb10a2Unorm));
        assert_eq!(pick_format(&[]), None);
    }
}
