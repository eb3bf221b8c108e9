//! Scaling in several steps: the picture with its pointer is drawn upright and one to one onto a sheet of its own, and
//! that is brought to the size on the target: the mean of each area where it shrinks; along its edges, and sharpened,
//! where it grows. Pixel formats and turns are done with by then, so these shaders know neither.

use super::Gpu;
use super::pipelines::{pipeline, uniform_entry};
use super::scene::{Filter, Look};
use crate::picture::Size;
use crate::view::Place;

/// How much is sharpened after enlarging: 0 none, 1 the most. Source: the published default, a fifth of a stop less than
/// the most: 2 to the power of -0.2.
const SHARPNESS: f32 = 0.870_550_6;

/// The way from the sheet to the target; the numbers are those of the shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// The mean of the area under each pixel.
    Mean = 0,
    /// Enlarged along edges, then sharpened.
    Sharp = 1,
}

const SHARPEN: f64 = 2.0;

impl Method {
    /// How a picture of `shown` pixels is scaled, if it takes several steps.
    pub(super) fn of(look: &Look, shown: Size) -> Option<Method> {
        let on = look.place.size;
        let grows = on.width >= shown.width && on.height >= shown.height;
        // Of more than two pixels in a row, blending four leaves some out: thin lines go.
        let leaves_out = |of: u32, on: u32| u64::from(of) > 2 * u64::from(on);
        let is_small = leaves_out(shown.width, on.width) || leaves_out(shown.height, on.height);
        match look.filter {
            _ if on == shown || on.is_empty() => None,
            Filter::Linear if is_small => Some(Method::Mean),
            Filter::Nearest | Filter::Linear => None,
            Filter::Sharp if grows => Some(Method::Sharp),
            Filter::Sharp | Filter::Area => Some(Method::Mean),
        }
    }
}

/// As `struct Sheet` in `scale.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct SheetUniform {
    origin: [i32; 2],
    size: [u32; 2],
    step: [f32; 2],
    brightness: f32,
    sharpness: f32,
}

/// Pipelines and sheets.
#[derive(Debug)]
pub(super) struct Scaler {
    layout: wgpu::BindGroupLayout,
    format: wgpu::TextureFormat,
    mean: wgpu::RenderPipeline,
    enlarge: wgpu::RenderPipeline,
    sharpen: wgpu::RenderPipeline,
    /// The picture one to one.
    upright: Option<Sheet>,
    /// The enlarged one, before it is sharpened.
    large: Option<Sheet>,
}

/// A picture on the way.
#[derive(Debug)]
struct Sheet {
    size: Size,
    view: wgpu::TextureView,
    uniform: wgpu::Buffer,
    bind: wgpu::BindGroup,
}

impl Scaler {
    /// Compiles the pipelines for targets of `format`.
    pub(super) fn new(gpu: &Gpu, format: wgpu::TextureFormat) -> Scaler {
        let layout = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("sheet"),
            entries: &[
                uniform_entry(0),
                wgpu::BindGroupLayoutEntry {
                    binding: 1,
                    visibility: wgpu::ShaderStages::FRAGMENT,
                    ty: wgpu::BindingType::Texture {
                        sample_type: wgpu::TextureSampleType::Float { filterable: false },
                        view_dimension: wgpu::TextureViewDimension::D2,
                        multisampled: false,
                    },
                    count: None,
                },
            ],
        });
        let shader = gpu.device.create_shader_module(wgpu::include_wgsl!("shaders/scale.wgsl"));
        let make = |method: f64| pipeline(gpu, &shader, Some(&layout), &[("METHOD", method)], format, None);
        let (mean, enlarge) = (make(f64::from(Method::Mean as u8)), make(f64::from(Method::Sharp as u8)));
        let sharpen = make(SHARPEN);
        Scaler { layout, format, mean, enlarge, sharpen, upright: None, large: None }
    }

    /// Makes the sheets for a picture of `shown` pixels; the first is to be drawn upon.
    pub(super) fn prepare(
        &mut self,
        gpu: &Gpu,
        method: Method,
        shown: Size,
        place: Size,
    ) -> Option<&wgpu::TextureView> {
        let Scaler { layout, format, upright, large, .. } = self;
        let sheet = |at: &mut Option<Sheet>, size: Size| {
            if at.as_ref().is_none_or(|s| s.size != size) {
                *at = Some(Sheet::new(gpu, layout, *format, size));
            }
        };
        sheet(upright, shown);
        match method {
            Method::Mean => *large = None,
            Method::Sharp => sheet(large, place),
        }
        upright.as_ref().map(|s| &s.view)
    }

    /// Forgets the sheets, which are as large as pictures.
    pub(super) fn rest(&mut self) {
        (self.upright, self.large) = (None, None);
    }

    /// Enlarges from the first sheet to the second, if this is the way.
    pub(super) fn enlarge(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder) {
        let (Some(from), Some(to)) = (&self.upright, &self.large) else { return };
        let whole = Place { x: 0, y: 0, size: to.size };
        from.set(gpu, whole, 1.0);
        let mut pass = begin(encoder, &to.view);
        super::scene::paint(&mut pass, &self.enlarge, &from.bind, whole, to.size);
    }

    /// The last step: pipeline and source of what is to be painted at `place` of the target.
    pub(super) fn last_step(
        &self,
        gpu: &Gpu,
        place: Place,
        brightness: f32,
    ) -> Option<(&wgpu::RenderPipeline, &wgpu::BindGroup)> {
        let (pipeline, sheet) = match &self.large {
            Some(large) => (&self.sharpen, large),
            None => (&self.mean, self.upright.as_ref()?),
        };
        sheet.set(gpu, place, brightness);
        Some((pipeline, &sheet.bind))
    }
}

impl Sheet {
    fn new(gpu: &Gpu, layout: &wgpu::BindGroupLayout, format: wgpu::TextureFormat, size: Size) -> Sheet {
        let texture = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("sheet"),
            size: wgpu::Extent3d { width: size.width.max(1), height: size.height.max(1), depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let uniform = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("sheet"),
            size: size_of::<SheetUniform>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let bind = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("sheet"),
            layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: uniform.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::TextureView(&view) },
            ],
        });
        Sheet { size, view, uniform, bind }
    }

    fn set(&self, gpu: &Gpu, place: Place, brightness: f32) {
        let uniform = SheetUniform {
            origin: [place.x, place.y],
            size: [self.size.width, self.size.height],
            step: super::scene::steps(self.size, place.size),
            brightness,
            sharpness: SHARPNESS,
        };
        gpu.queue.write_buffer(&self.uniform, 0, bytemuck::bytes_of(&uniform));
    }
}

/// A pass that covers the whole of a sheet.
pub(super) fn begin<'e>(encoder: &'e mut wgpu::CommandEncoder, view: &wgpu::TextureView) -> wgpu::RenderPass<'e> {
    super::scene::begin_pass(encoder, view, wgpu::LoadOp::Clear(wgpu::Color::BLACK))
}
