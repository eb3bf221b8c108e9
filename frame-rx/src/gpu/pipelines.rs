//! The pipelines of the scene: one for each way of drawing the picture, compiled when it is first needed.

use super::Gpu;
use super::scene::{Filter, Look};
use crate::picture::{Size, Transfer};

/// How the picture is scaled this time; the numbers are those of the shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scaling {
    None = 0,
    Nearest = 1,
    Blended = 2,
}

impl Scaling {
    pub(super) fn of(look: &Look, shown: Size) -> Scaling {
        match look.filter {
            _ if look.place.size == shown => Scaling::None,
            Filter::Nearest => Scaling::Nearest,
            Filter::Linear | Filter::Sharp | Filter::Area => Scaling::Blended,
        }
    }
}

/// With a pointer or without, each way of scaling, each transfer.
const PIPELINES: usize = 2 * 3 * 3;

/// The pipelines that draw the picture, each compiled when it is first needed.
#[derive(Debug)]
pub(super) struct PicturePipelines {
    shader: wgpu::ShaderModule,
    pub(super) layout: wgpu::BindGroupLayout,
    format: wgpu::TextureFormat,
    made: [Option<wgpu::RenderPipeline>; PIPELINES],
}

impl PicturePipelines {
    /// Compiles nothing yet.
    pub(super) fn new(gpu: &Gpu, format: wgpu::TextureFormat) -> Self {
        let texture = |binding, sample_type| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::FRAGMENT,
            ty: wgpu::BindingType::Texture {
                sample_type,
                view_dimension: wgpu::TextureViewDimension::D2,
                multisampled: false,
            },
            count: None,
        };
        let layout = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("picture"),
            entries: &[
                uniform_entry(0),
                texture(1, wgpu::TextureSampleType::Float { filterable: false }),
                texture(2, wgpu::TextureSampleType::Uint),
            ],
        });
        let shader = gpu.device.create_shader_module(wgpu::include_wgsl!("shaders/picture.wgsl"));
        PicturePipelines { shader, layout, format, made: [const { None }; PIPELINES] }
    }

    /// Compiles the pipeline at the first time, which takes some milliseconds.
    pub(super) fn get(
        &mut self,
        gpu: &Gpu,
        with_pointer: bool,
        scaling: Scaling,
        transfer: Transfer,
    ) -> wgpu::RenderPipeline {
        let PicturePipelines { shader, layout, format, made } = self;
        let [scaling, pointer] = [scaling as usize, usize::from(with_pointer)];
        let transfer = match transfer {
            Transfer::Sdr => 0,
            Transfer::Linear => 1,
            Transfer::Pq { .. } => 2,
        };
        let make = || {
            let constants =
                [("WITH_POINTER", pointer as f64), ("SCALING", scaling as f64), ("TRANSFER", f64::from(transfer))];
            pipeline(gpu, shader, Some(layout), &constants, *format, None)
        };
        match made.get_mut(6 * transfer as usize + 3 * pointer + scaling) {
            Some(place) => place.get_or_insert_with(make).clone(),
            None => make(),
        }
    }
}

/// A uniform buffer that the fragment shader reads.
pub(super) fn uniform_entry(binding: u32) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::FRAGMENT,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Uniform,
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    }
}

/// A pipeline that fills a target's triangle by `shader`'s `paint`.
pub(super) fn pipeline(
    gpu: &Gpu,
    shader: &wgpu::ShaderModule,
    bindings: Option<&wgpu::BindGroupLayout>,
    constants: &[(&str, f64)],
    format: wgpu::TextureFormat,
    blend: Option<wgpu::BlendState>,
) -> wgpu::RenderPipeline {
    let layout = bindings.map(|bindings| {
        gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(bindings)],
            immediate_size: 0,
        })
    });
    let options = wgpu::PipelineCompilationOptions { constants, ..Default::default() };
    gpu.device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: None,
        layout: layout.as_ref(),
        vertex: wgpu::VertexState {
            module: shader,
            entry_point: Some("corner"),
            compilation_options: options.clone(),
            buffers: &[],
        },
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: shader,
            entry_point: Some("paint"),
            compilation_options: options,
            targets: &[Some(wgpu::ColorTargetState { format, blend, write_mask: wgpu::ColorWrites::ALL })],
        }),
        multiview_mask: None,
        cache: None,
    })
}
