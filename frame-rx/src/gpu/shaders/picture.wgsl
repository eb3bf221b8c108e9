// The guest's picture, with or without its pointer, scaled into a place of the target. Colours are integers, and a
// position is one rounded product, so the result is the same on every GPU; at one pixel to one pixel it is the same as
// what the guest sent.

struct Look {
    origin: vec2<i32>,        // the place's left and top on the target
    size: vec2<u32>,          // the picture's size, upright
    step: vec2<f32>,          // pixels of the picture in one of the target
    stored_at: vec2<i32>,     // where the upright picture's first pixel lies in the texture
    stored_right: vec2<i32>,  // the step in the texture for one upright pixel to the right
    stored_down: vec2<i32>,   // the same for one down
    desktop_step: vec2<f32>,  // pixels of the guest's desktop in one of the picture
    pointer_at: vec2<i32>,    // the shape's left and top on the desktop
    pointer_size: vec2<i32>,  // the shape's size; zero for none
    pointer_kind: u32,        // 0 blend, 1 mask
    brightness: f32,          // 1 is as the guest sent it
    white_nits: f32,          // with PQ: how bright the white of SDR windows is, cd/m2
    bend: f32,                // how far the roll-off bends up towards the brightest light there is
}

// Each combination is a pipeline of its own: a software GPU would calculate both sides of a branch.
override WITH_POINTER: bool = false;
override SCALING: u32 = 0u; // 0 none, 1 the nearest pixel, 2 four pixels blended
override TRANSFER: u32 = 0u; // 0 as it is, 1 light, 2 PQ

@group(0) @binding(0) var<uniform> look: Look;
@group(0) @binding(1) var picture: texture_2d<f32>;
@group(0) @binding(2) var pointer: texture_2d<u32>;

@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    // One triangle that covers the target.
    return vec4(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

// One pixel of the shape (blue, green, red, opacity) over one of the picture. The same as `cursor::compose`.
fn compose(under: vec3<u32>, shape: vec4<u32>) -> vec3<u32> {
    let colour = shape.bgr;
    if look.pointer_kind == 1u {
        return select(under ^ colour, colour, shape.a == 0u);
    }
    return min(colour + (under * (255u - shape.a) + 127u) / 255u, vec3(255u));
}

// PQ's number to light, 1 being 10000 cd/m2. The constants are those of `tone.rs`, as is all that follows.
fn pq_to_light(number: vec3<f32>) -> vec3<f32> {
    let root = pow(clamp(number, vec3(0.0), vec3(1.0)), vec3(1.0 / 78.84375));
    return pow(max(root - 0.8359375, vec3(0.0)) / (18.8515625 - 18.6875 * root), vec3(1.0 / 0.1593017578125));
}

fn roll_off(light: vec3<f32>) -> vec3<f32> {
    let brightest = max(light.r, max(light.g, light.b));
    if brightest <= 0.8 {
        return light;
    }
    let over = (brightest - 0.8) / 0.2;
    let part = min(over * (1.0 + over * look.bend) / (1.0 + over), 1.0);
    return light * ((0.8 + 0.2 * part) / brightest);
}

// What a screen shows for a pixel, each colour 0 to 1.
fn to_screen(pixel: vec3<f32>) -> vec3<f32> {
    if TRANSFER == 0u {
        return pixel;
    }
    var light = pixel;
    if TRANSFER == 2u {
        let wide = pq_to_light(pixel) * (10000.0 / look.white_nits);
        light = vec3(
            dot(wide, vec3(1.660491, -0.5876411, -0.0728499)),
            dot(wide, vec3(-0.1245505, 1.1328999, -0.0083494)),
            dot(wide, vec3(-0.0181508, -0.1005789, 1.1187297)),
        );
    }
    light = roll_off(clamp(light, vec3(0.0), vec3(65504.0)));
    let bright = 1.055 * pow(light, vec3(1.0 / 2.4)) - 0.055;
    return clamp(select(bright, 12.92 * light, light <= vec3(0.0031308)), vec3(0.0), vec3(1.0));
}

// One pixel of the upright picture, 0 to 255; past the edge, the edge's.
fn pixel(at: vec2<i32>) -> vec3<f32> {
    let p = clamp(at, vec2(0), vec2<i32>(look.size) - 1);
    let stored = look.stored_at + p.x * look.stored_right + p.y * look.stored_down;
    let colour = to_screen(textureLoad(picture, stored, 0).rgb) * 255.0;
    if !WITH_POINTER {
        return colour;
    }
    let at_shape = vec2<i32>(floor((vec2<f32>(p) + 0.5) * look.desktop_step)) - look.pointer_at;
    if all(at_shape >= vec2(0)) && all(at_shape < look.pointer_size) {
        return vec3<f32>(compose(vec3<u32>(round(colour)), textureLoad(pointer, at_shape, 0)));
    }
    return colour;
}

@fragment
fn paint(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let i = vec2<i32>(position.xy) - look.origin;
    var colour: vec3<f32>;
    if SCALING == 0u {
        colour = pixel(i);
    } else {
        let at = (vec2<f32>(i) + 0.5) * look.step;
        if SCALING == 1u {
            colour = pixel(vec2<i32>(floor(at)));
        } else {
            let near = floor(at - 0.5);
            let part = at - 0.5 - near;
            let p = vec2<i32>(near);
            let top = mix(pixel(p), pixel(p + vec2(1, 0)), part.x);
            let bottom = mix(pixel(p + vec2(0, 1)), pixel(p + vec2(1, 1)), part.x);
            colour = mix(top, bottom, part.y);
        }
    }
    return vec4(colour * (look.brightness / 255.0), 1.0);
}
