// A finished picture of one size, shown in another. Three ways, each a pipeline of its own.
//
// Enlarging and sharpening follow AMD's published description of FidelityFX Super Resolution 1 (2021, MIT licence): an
// edge-adaptive kernel, then a sharpening that looks at the contrast of the neighbours. Written anew from that text.

struct Sheet {
    origin: vec2<i32>,   // the place's left and top on the target
    size: vec2<i32>,     // of the source
    step: vec2<f32>,     // pixels of the source in one of the target
    brightness: f32,     // 1 is as it is
    sharpness: f32,      // 0 none, 1 the most that does not overshoot
}

override METHOD: u32 = 0u; // 0 the mean of the area, 1 enlarge along edges, 2 sharpen

@group(0) @binding(0) var<uniform> sheet: Sheet;
@group(0) @binding(1) var source: texture_2d<f32>;

@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    return vec4(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

// One pixel of the source; past the edge, the edge's.
fn texel(at: vec2<i32>) -> vec3<f32> {
    return textureLoad(source, clamp(at, vec2(0), sheet.size - 1), 0).rgb;
}

// The mean of all that lies under one pixel of the target, each pixel of the source by the part that is under it.
fn mean(at: vec2<i32>) -> vec3<f32> {
    let low = vec2<f32>(at) * sheet.step;
    let high = min(low + sheet.step, vec2<f32>(sheet.size));
    let first = vec2<i32>(floor(low));
    let last = vec2<i32>(ceil(high)) - 1;
    var sum = vec3(0.0);
    var weight = 0.0;
    for (var y = first.y; y <= last.y; y++) {
        let tall = min(high.y, f32(y + 1)) - max(low.y, f32(y));
        for (var x = first.x; x <= last.x; x++) {
            let part = tall * (min(high.x, f32(x + 1)) - max(low.x, f32(x)));
            sum += texel(vec2(x, y)) * part;
            weight += part;
        }
    }
    return sum / max(weight, 1e-6);
}

// Brightness as the eye takes it, roughly: green counts twice.
fn luma(colour: vec3<f32>) -> f32 {
    return colour.g + 0.5 * (colour.r + colour.b);
}

// What one of the four nearest pixels says about the edge it lies on: direction (x, y) and how much it is one (z).
fn edge(up: f32, left: f32, here: f32, right: f32, down: f32) -> vec3<f32> {
    let across = vec2(right - left, down - up);
    let steepest = max(abs(vec2(right, down) - here), abs(here - vec2(left, up)));
    let straight = clamp(abs(across) / max(steepest, vec2(1e-5)), vec2(0.0), vec2(1.0));
    return vec3(across, dot(straight, straight));
}

// A window of the Lanczos kind by polynomials, zero from `reach` on (both squared).
fn kernel(distance: f32, lobe: f32, reach: f32) -> f32 {
    let d = min(distance, reach);
    let base = 0.4 * d - 1.0;
    let window = lobe * d - 1.0;
    return (1.5625 * base * base - 0.5625) * window * window;
}

// The twelve pixels around a place between four: a cross with arms of two.
const NEAR = array<vec2<i32>, 12>(
    vec2(0, -1), vec2(1, -1),
    vec2(-1, 0), vec2(0, 0), vec2(1, 0), vec2(2, 0),
    vec2(-1, 1), vec2(0, 1), vec2(1, 1), vec2(2, 1),
    vec2(0, 2), vec2(1, 2),
);

fn enlarged(at: vec2<i32>) -> vec3<f32> {
    let place = (vec2<f32>(at) + 0.5) * sheet.step - 0.5;
    let base = floor(place);
    let part = place - base;
    var near = NEAR;
    var colours: array<vec3<f32>, 12>;
    var l: array<f32, 12>;
    for (var i = 0; i < 12; i++) {
        colours[i] = texel(vec2<i32>(base) + near[i]);
        l[i] = luma(colours[i]);
    }
    // Each of the four in the middle has a say by its nearness.
    let say = vec4((1.0 - part.x) * (1.0 - part.y), part.x * (1.0 - part.y), (1.0 - part.x) * part.y, part.x * part.y);
    let found = edge(l[0], l[2], l[3], l[4], l[7]) * say.x
        + edge(l[1], l[3], l[4], l[5], l[8]) * say.y
        + edge(l[3], l[6], l[7], l[8], l[10]) * say.z
        + edge(l[4], l[7], l[8], l[9], l[11]) * say.w;
    let strength = dot(found.xy, found.xy);
    var along = vec2(1.0, 0.0);
    if strength >= 1.0 / 32768.0 {
        along = found.xy * inverseSqrt(strength);
    }
    let clear = (found.z * 0.5) * (found.z * 0.5);
    // The kernel: longer along a diagonal, narrower across a clear edge.
    let stretch = 1.0 / max(abs(along.x), abs(along.y));
    let shape = vec2(1.0 + (stretch - 1.0) * clear, 1.0 - 0.5 * clear);
    let lobe = 0.5 - 0.29 * clear;
    let reach = 1.0 / lobe;
    var sum = vec3(0.0);
    var weight = 0.0;
    for (var i = 0; i < 12; i++) {
        let off = vec2<f32>(near[i]) - part;
        let turned = vec2(dot(off, along), dot(off, vec2(-along.y, along.x))) * shape;
        let w = kernel(dot(turned, turned), lobe, reach);
        sum += colours[i] * w;
        weight += w;
    }
    // Never brighter or darker than the four in the middle: no rings.
    let low = min(min(colours[3], colours[4]), min(colours[7], colours[8]));
    let high = max(max(colours[3], colours[4]), max(colours[7], colours[8]));
    return clamp(sum / weight, low, high);
}

fn sharpened(at: vec2<i32>) -> vec3<f32> {
    let here = texel(at);
    let up = texel(at - vec2(0, 1));
    let left = texel(at - vec2(1, 0));
    let right = texel(at + vec2(1, 0));
    let down = texel(at + vec2(0, 1));
    let low = min(min(up, left), min(right, down));
    let high = max(max(up, left), max(right, down));
    // The strongest that keeps every colour between 0 and 1.
    let to_black = min(low, here) / max(4.0 * high, vec3(1e-5));
    let to_white = (1.0 - max(high, here)) / max(4.0 - 4.0 * low, vec3(1e-5));
    let room = min(to_black, to_white);
    let lobe = -min(min(room.r, min(room.g, room.b)), 0.1875) * sheet.sharpness;
    return (here + (up + left + right + down) * lobe) / (1.0 + 4.0 * lobe);
}

@fragment
fn paint(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let at = vec2<i32>(position.xy) - sheet.origin;
    var colour: vec3<f32>;
    if METHOD == 0u {
        colour = mean(at);
    } else if METHOD == 1u {
        colour = enlarged(at);
    } else {
        colour = sharpened(at);
    }
    return vec4(colour * sheet.brightness, 1.0);
}
