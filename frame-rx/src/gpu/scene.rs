//! What is drawn: the picture at its place, the pointer on it, words over it. The same into a window and into memory.

use super::Gpu;
use super::direct::Copy;
use super::pipelines::{PicturePipelines, Scaling};
use super::scaler::{self, Method, Scaler};
use super::shape::PointerTexture;
use super::upload::PictureTexture;
use super::words::{Anchor, Words, WordsPipeline};
use crate::cursor::{CursorKind, Pointer, Shape};
use crate::picture::{PictureFormat, Rotation, Size, Transfer};
use crate::text::TextBox;
use crate::tone;
use crate::turn::{self, Turning};
use crate::view::Place;

/// How pixels between the picture's pixels are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Filter {
    /// The nearest pixel: hard edges.
    Nearest,
    /// Four pixels blended: soft edges. Where one pixel is one pixel, the same as nearest; shrunk to less than half, as area.
    #[default]
    Linear,
    /// Enlarged along edges and sharpened, as FSR 1 does; shrunk as with area.
    Sharp,
    /// The mean of the area under each pixel: for shrinking.
    Area,
}

/// How the picture is shown this time.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Where, in pixels of the target.
    pub place: Place,
    /// How pixels in between are made.
    pub filter: Filter,
    /// Where the guest's pointer is on its desktop; it shows if it is visible and has a shape.
    pub pointer: Option<Pointer>,
    /// 255 is as the guest sent it, 0 is black.
    pub brightness: u8,
    /// How the user wants the picture turned. The place is that of the turned one.
    pub turning: Turning,
}

/// What is drawn into: a window, or a band of one.
pub(super) struct Target<'a> {
    /// Its pixels.
    pub view: &'a wgpu::TextureView,
    /// How many there are.
    pub size: Size,
    /// The size of the window that it is, or is a band of.
    pub window: Size,
    /// The row of the window that is its first.
    pub top: u32,
    /// The texture behind the view, if pictures may be copied into it as they are, their fourth byte included.
    pub copy_to: Option<&'a wgpu::Texture>,
}

/// As `struct Look` in `picture.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct LookUniform {
    origin: [i32; 2],
    size: [u32; 2],
    step: [f32; 2],
    stored_at: [i32; 2],
    stored_right: [i32; 2],
    stored_down: [i32; 2],
    desktop_step: [f32; 2],
    pointer_at: [i32; 2],
    pointer_size: [i32; 2],
    pointer_kind: u32,
    brightness: f32,
    white_nits: f32,
    bend: f32,
}

/// Everything that is needed to draw into targets of one format.
#[derive(Debug)]
pub struct Scene {
    pictures: PicturePipelines,
    words_pipeline: WordsPipeline,
    look: wgpu::Buffer,
    pointer: PointerTexture,
    /// A sentence, and figures.
    words: [Option<Words>; 2],
    bound: Option<Bound>,
    /// Made when it is first needed.
    scaler: Option<Scaler>,
    format: wgpu::TextureFormat,
}

/// The bind group of the picture, kept until the picture's or the pointer's texture is another.
#[derive(Debug)]
struct Bound {
    bind: wgpu::BindGroup,
    generation: u64,
    pointer_room: Size,
}

impl Scene {
    /// Pipelines for targets of `format`. Compiles the shaders; takes some milliseconds.
    pub(super) fn new(gpu: &Gpu, format: wgpu::TextureFormat) -> Scene {
        let uniform = |label, size| {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        Scene {
            pictures: PicturePipelines::new(gpu, format),
            words_pipeline: WordsPipeline::new(gpu, format),
            look: uniform("look", size_of::<LookUniform>() as u64),
            pointer: PointerTexture::new(gpu, Size::new(64, 64)),
            words: [None, None],
            bound: None,
            scaler: None,
            format,
        }
    }

    /// From now on the pointer looks like this.
    pub fn set_shape(&mut self, shape: &Shape) {
        self.pointer.set(shape);
    }

    /// How the pointer looks, before any turn.
    pub fn shape(&self) -> &Shape {
        self.pointer.shape()
    }

    /// From now on these words are shown, or none.
    pub fn set_words(&mut self, gpu: &Gpu, words: Option<&TextBox>) {
        self.words[0] = words.map(|words| self.words_pipeline.make(gpu, words, Anchor::Middle));
    }

    /// From now on these figures are shown, or none.
    pub fn set_figures(&mut self, gpu: &Gpu, figures: Option<&TextBox>) {
        self.words[1] = figures.map(|figures| self.words_pipeline.make(gpu, figures, Anchor::Corner));
    }

    /// Draws everything into `target`. What the picture does not cover is black. Returns whether the picture was copied
    /// there as it is.
    pub(super) fn draw(
        &mut self,
        gpu: &Gpu,
        target: &Target<'_>,
        picture: Option<(&PictureTexture, u64)>,
        look: &Look,
    ) -> bool {
        let size = target.size;
        let mut pipelines = [None, None];
        let (mut copy, mut method, mut shown) = (None, None, Size::default());
        let place = above(look.place, target.top);
        let mut pointer_place = Place::default();
        if let Some((picture, generation)) = picture {
            let format = turn::format(picture.format(), look.turning.on(picture.format().rotation));
            let look = &self.turn_pointer(gpu, picture.format(), look);
            self.bind_picture(gpu, picture, generation);
            let transfer = format.transfer;
            method = Method::of(look, format.shown());
            // In several steps, the picture is drawn one to one onto a sheet first.
            let on_sheet = Look { place: Place { x: 0, y: 0, size: format.shown() }, brightness: u8::MAX, ..*look };
            let (look, top) = if method.is_some() { (&on_sheet, 0) } else { (look, target.top) };
            let scaling = Scaling::of(look, format.shown());
            copy = Copy::of(target, picture, &format, look, place).filter(|_| method.is_none());
            if copy.is_none() {
                pipelines[0] = Some(self.pictures.get(gpu, false, scaling, transfer));
            }
            if let Some(on_target) = self.pointer_place(&format, look) {
                pointer_place = above(on_target, top);
                pipelines[1] = Some(self.pictures.get(gpu, true, scaling, transfer));
            }
            let uniform = self.uniform(&format, look, top);
            gpu.queue.write_buffer(&self.look, 0, bytemuck::bytes_of(&uniform));
            shown = format.shown();
        }
        let words_at = self.words.each_ref().map(|w| w.as_ref().map(|w| w.place(gpu, target.window, target.top)));
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let black = wgpu::LoadOp::Clear(wgpu::Color::BLACK);
        if let Some(copy) = &copy {
            if copy.leaves_bars() {
                begin_pass(&mut encoder, target.view, black);
            }
            copy.record(&mut encoder);
        }
        let steps = method
            .map(|method| self.draw_on_sheet(gpu, &mut encoder, &pipelines, pointer_place, (method, shown, look)));
        if method.is_none()
            && let Some(scaler) = &mut self.scaler
        {
            scaler.rest();
        }
        if copy.is_none() || pipelines[1].is_some() || words_at.iter().any(Option::is_some) {
            let load = if copy.is_some() { wgpu::LoadOp::Load } else { black };
            let mut pass = begin_pass(&mut encoder, target.view, load);
            if steps.is_some() {
                pipelines = [None, None];
                let brightness = f32::from(look.brightness) / 255.0;
                let last = self.scaler.as_ref().and_then(|s| s.last_step(gpu, place, brightness));
                if let Some((pipeline, bind)) = last {
                    paint(&mut pass, pipeline, bind, place, size);
                }
            }
            // First all of it, then once more where the pointer is.
            for (pipeline, place) in pipelines.iter().zip([place, pointer_place]) {
                if let (Some(pipeline), Some(bound)) = (pipeline, &self.bound) {
                    paint(&mut pass, pipeline, &bound.bind, place, size);
                }
            }
            for (words, at) in self.words.iter().zip(words_at) {
                if let (Some(words), Some(at)) = (words, at) {
                    self.words_pipeline.paint(&mut pass, words, at, size);
                }
            }
        }
        gpu.queue.submit([encoder.finish()]);
        copy.is_some()
    }

    /// The same look with the pointer's place on the turned desktop; its shape is turned, too.
    fn turn_pointer(&mut self, gpu: &Gpu, format: &PictureFormat, look: &Look) -> Look {
        let turn = look.turning.on(format.rotation).desktop;
        self.pointer.turn_to(gpu, turn);
        let size = self.pointer.shape().size;
        Look { pointer: look.pointer.map(|p| turn::pointer(p, size, format.desktop, turn)), ..*look }
    }

    /// Draws picture and pointer one to one onto a sheet, and enlarges it if that is the way.
    fn draw_on_sheet(
        &mut self,
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        pipelines: &[Option<wgpu::RenderPipeline>; 2],
        pointer: Place,
        (method, shown, look): (Method, Size, &Look),
    ) {
        let scaler = self.scaler.get_or_insert_with(|| Scaler::new(gpu, self.format));
        let Some(view) = scaler.prepare(gpu, method, shown, look.place.size) else { return };
        {
            let mut pass = scaler::begin(encoder, view);
            let whole = Place { x: 0, y: 0, size: shown };
            for (pipeline, place) in pipelines.iter().zip([whole, pointer]) {
                if let (Some(pipeline), Some(bound)) = (pipeline, &self.bound) {
                    paint(&mut pass, pipeline, &bound.bind, place, shown);
                }
            }
        }
        scaler.enlarge(gpu, encoder);
    }

    fn bind_picture(&mut self, gpu: &Gpu, picture: &PictureTexture, generation: u64) {
        let pointer_room = self.pointer.room;
        if self.bound.as_ref().is_some_and(|b| b.generation == generation && b.pointer_room == pointer_room) {
            return;
        }
        let pointer = self.pointer.texture.create_view(&wgpu::TextureViewDescriptor::default());
        let bind = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("picture"),
            layout: &self.pictures.layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: self.look.as_entire_binding() },
                view_entry(1, picture.view()),
                view_entry(2, &pointer),
            ],
        });
        self.bound = Some(Bound { bind, generation, pointer_room });
    }

    fn uniform(&self, format: &PictureFormat, look: &Look, top: u32) -> LookUniform {
        let shown = format.shown();
        let pointer = look.pointer.filter(|p| p.visible);
        let far = [side(format.stored.width) - 1, side(format.stored.height) - 1];
        // The turn is clockwise: after a quarter, the first row stands at the right, from top to bottom.
        let (stored_at, stored_right, stored_down) = match format.rotation {
            Rotation::None => ([0, 0], [1, 0], [0, 1]),
            Rotation::Quarter => ([0, far[1]], [0, -1], [1, 0]),
            Rotation::Half => (far, [-1, 0], [0, -1]),
            Rotation::ThreeQuarters => ([far[0], 0], [0, 1], [-1, 0]),
        };
        LookUniform {
            origin: [look.place.x, above(look.place, top).y],
            size: [shown.width, shown.height],
            step: steps(shown, look.place.size),
            stored_at,
            stored_right,
            stored_down,
            desktop_step: steps(format.desktop, shown),
            pointer_at: pointer.map_or([0, 0], |p| [p.x.into(), p.y.into()]),
            pointer_size: pointer.map_or([0, 0], |_| [side(self.pointer.size.width), side(self.pointer.size.height)]),
            pointer_kind: match self.pointer.kind {
                CursorKind::Blend => 0,
                CursorKind::Mask => 1,
            },
            brightness: f32::from(look.brightness) / 255.0,
            white_nits: match format.transfer {
                // At most 10000, which a float holds.
                Transfer::Pq { white_nits, .. } => white_nits.max(1) as f32,
                Transfer::Sdr | Transfer::Linear => 1.0,
            },
            bend: tone::bend(format.transfer),
        }
    }

    /// The part of the target that the pointer touches, rather too large; nothing without a pointer.
    fn pointer_place(&self, format: &PictureFormat, look: &Look) -> Option<Place> {
        let pointer = look.pointer.filter(|p| p.visible && !self.pointer.size.is_empty())?;
        let (shown, desktop, place) = (format.shown(), format.desktop, look.place);
        let span = |at: i16, len: u32, desktop: u32, shown: u32, place_at: i32, place_len: u32, limit: u32| {
            let to_picture = f64::from(shown) / f64::from(desktop.max(1));
            let to_target = f64::from(place_len) / f64::from(shown.max(1));
            // A blended pixel reaches one pixel of the picture further.
            let from = (f64::from(at) * to_picture - 1.0) * to_target;
            let to = ((f64::from(at) + f64::from(len)) * to_picture + 1.0) * to_target;
            // Within the place, whose numbers fit.
            let from = (from.floor() - 1.0).clamp(0.0, f64::from(limit)) as i32;
            let to = (to.ceil() + 1.0).clamp(0.0, f64::from(limit)) as i32;
            (place_at.saturating_add(from), u32::try_from(to - from).unwrap_or(0))
        };
        let size = self.pointer.size;
        let (x, width) =
            span(pointer.x, size.width, desktop.width, shown.width, place.x, place.size.width, place.size.width);
        let (y, height) =
            span(pointer.y, size.height, desktop.height, shown.height, place.y, place.size.height, place.size.height);
        Some(Place { x, y, size: Size::new(width, height) })
    }
}

/// A side in pixels as a signed number; sides of textures are far below its limit.
fn side(pixels: u32) -> i32 {
    i32::try_from(pixels).unwrap_or(i32::MAX)
}

/// Pixels of `of` in one pixel of `on`, each way. Rounded once, here.
pub(super) fn steps(of: Size, on: Size) -> [f32; 2] {
    let step = |of: u32, on: u32| (f64::from(of) / f64::from(on.max(1))) as f32;
    [step(of.width, on.width), step(of.height, on.height)]
}

pub(super) fn texture(gpu: &Gpu, label: &str, size: Size, format: wgpu::TextureFormat) -> wgpu::Texture {
    gpu.device.create_texture(&wgpu::TextureDescriptor {
        label: Some(label),
        size: wgpu::Extent3d { width: size.width, height: size.height, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::TEXTURE_BINDING,
        view_formats: &[],
    })
}

/// Stores `size` pixels of four bytes in the texture's upper left corner.
pub(super) fn write(gpu: &Gpu, texture: &wgpu::Texture, size: Size, bytes: &[u8]) {
    gpu.queue.write_texture(
        texture.as_image_copy(),
        bytes,
        wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(size.width * 4), rows_per_image: None },
        wgpu::Extent3d { width: size.width, height: size.height, depth_or_array_layers: 1 },
    );
}

fn view_entry(binding: u32, view: &wgpu::TextureView) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::TextureView(view) }
}

pub(super) fn begin_pass<'e>(
    encoder: &'e mut wgpu::CommandEncoder,
    view: &wgpu::TextureView,
    load: wgpu::LoadOp<wgpu::Color>,
) -> wgpu::RenderPass<'e> {
    encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        label: Some("scene"),
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations { load, store: wgpu::StoreOp::Store },
        })],
        ..Default::default()
    })
}

/// Runs a pipeline over the part of `place` that is inside a target of `size`.
pub(super) fn paint(
    pass: &mut wgpu::RenderPass<'_>,
    pipeline: &wgpu::RenderPipeline,
    bind: &wgpu::BindGroup,
    place: Place,
    size: Size,
) {
    let (x, y, part) = place.visible(size);
    if part.is_empty() {
        return;
    }
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, bind, &[]);
    pass.set_scissor_rect(x, y, part.width, part.height);
    pass.draw(0..3, 0..1);
}

/// The same place in a band that starts `top` rows further down.
pub(super) fn above(place: Place, top: u32) -> Place {
    Place { y: place.y.saturating_sub_unsigned(top), ..place }
}
