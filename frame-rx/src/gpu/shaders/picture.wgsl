// The guest's picture with its pointer, scaled into a place of the target. All positions and colours are integers, so
// that the result is the same on every GPU, and at one pixel to one pixel the same as what the guest sent.

struct Look {
    origin: vec2<i32>,       // the place's left and top on the target
    size: vec2<u32>,         // the place's size on the target
    picture: vec2<u32>,      // the upright picture's size
    stored: vec2<u32>,       // the texture's size
    desktop: vec2<u32>,      // the size in which the pointer's place is given
    pointer_at: vec2<i32>,   // the shape's left and top on the desktop
    pointer_size: vec2<u32>, // the shape's size; zero for none
    quarters: u32,           // quarter turns clockwise from stored to upright
    linear: u32,             // 0 takes the nearest pixel, 1 blends four
    pointer_kind: u32,       // 0 blend, 1 mask
    brightness: u32,         // 0 to 255
}

@group(0) @binding(0) var<uniform> look: Look;
@group(0) @binding(1) var picture: texture_2d<f32>;
@group(0) @binding(2) var pointer: texture_2d<u32>;

@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    // One triangle that covers the target.
    return vec4(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

// Where an upright pixel lies in the texture.
fn stored_at(p: vec2<u32>) -> vec2<u32> {
    let far = look.stored - 1u;
    switch look.quarters {
        case 1u: { return vec2(p.y, far.y - p.x); }
        case 2u: { return far - p; }
        case 3u: { return vec2(far.x - p.y, p.x); }
        default: { return p; }
    }
}

// One pixel of the shape (blue, green, red, opacity) over one of the picture. The same as `cursor::compose`.
fn compose(under: vec3<u32>, shape: vec4<u32>) -> vec3<u32> {
    let colour = shape.bgr;
    if look.pointer_kind == 1u {
        if shape.a == 0u {
            return colour;
        }
        return under ^ colour;
    }
    return min(colour + (under * (255u - shape.a) + 127u) / 255u, vec3(255u));
}

// One pixel of the upright picture with the pointer on it; past the edge, the edge's.
fn pixel(at: vec2<i32>) -> vec3<u32> {
    let p = vec2<u32>(clamp(at, vec2(0), vec2<i32>(look.picture) - 1));
    var colour = vec3<u32>(round(textureLoad(picture, stored_at(p), 0).rgb * 255.0));
    let on_desktop = vec2<i32>(((2u * p + 1u) * look.desktop) / (2u * look.picture)) - look.pointer_at;
    if all(on_desktop >= vec2(0)) && all(on_desktop < vec2<i32>(look.pointer_size)) {
        colour = compose(colour, textureLoad(pointer, on_desktop, 0));
    }
    return colour;
}

@fragment
fn paint(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let i = vec2<i32>(position.xy) - look.origin;
    let size = vec2<i32>(look.size);
    let full = vec2<i32>(look.picture);
    var colour: vec3<f32>;
    if look.linear == 0u {
        colour = vec3<f32>(pixel(((2 * i + 1) * full) / (2 * size)));
    } else {
        // The centre of this pixel lies between four of the picture; `n` counts in halves of a target pixel.
        let n = (2 * i + 1) * full - size + 2 * size;
        let near = n / (2 * size) - 1;
        let part = vec2<f32>(n % (2 * size)) / vec2<f32>(2 * size);
        let top = mix(vec3<f32>(pixel(near)), vec3<f32>(pixel(near + vec2(1, 0))), part.x);
        let bottom = mix(vec3<f32>(pixel(near + vec2(0, 1))), vec3<f32>(pixel(near + vec2(1, 1))), part.x);
        colour = mix(top, bottom, part.y);
    }
    return vec4(colour * (f32(look.brightness) / (255.0 * 255.0)), 1.0);
}
