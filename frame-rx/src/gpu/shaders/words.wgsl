// A box of ready pixels, laid over whatever is there.

struct Box {
    origin: vec2<i32>, // left and top on the target
}

@group(0) @binding(0) var<uniform> box: Box;
@group(0) @binding(1) var words: texture_2d<f32>;

@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    return vec4(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn paint(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    return textureLoad(words, vec2<i32>(position.xy) - box.origin, 0);
}
