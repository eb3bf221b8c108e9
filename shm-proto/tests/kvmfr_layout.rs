//! Every KVMFR offset, number and limit against the machine-readable reference, and the producer's memory against the
//! maps that were measured with the original library.

use serde_json::Value;
use shm_proto::kvmfr::wire::{self, LAYOUTS, Layout};
use shm_proto::kvmfr::{FrameFlags, Identity, PixelType, Producer, ProducerConfig, Rotation, ShapeKind};
use shm_proto::lgmp::Client;
use shm_proto::lgmp::wire::V6;
use shm_proto::{Guest, HostTime, Region};

fn reference() -> Value {
    serde_json::from_str(include_str!("data/lgmp-kvmfr-layouts.json")).expect("the reference is JSON")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// Our offset of every field; nothing means that the table has no such field.
fn ours(l: &Layout, structure: &str, field: &str) -> Option<usize> {
    let (h, r, f, c, m) = (&l.header, &l.record, &l.frame, &l.cursor, &l.set_cursor);
    Some(match (structure, field) {
        ("KVMFR", "magic") => 0,
        ("KVMFR", "version") => h.version,
        ("KVMFR", "hostver") => h.producer,
        ("KVMFR", "features") => h.features,
        ("KVMFRRecord", "type") => r.kind,
        ("KVMFRRecord", "size") => r.length,
        ("KVMFRRecord", "data") => r.size,
        ("KVMFRRecord_VMInfo", "uuid") => r.vm_uuid,
        ("KVMFRRecord_VMInfo", "capture") => r.vm_capture,
        ("KVMFRRecord_VMInfo", "cpus") => r.vm_cpus,
        ("KVMFRRecord_VMInfo", "cores") => r.vm_cores,
        ("KVMFRRecord_VMInfo", "sockets") => r.vm_sockets,
        ("KVMFRRecord_VMInfo", "model") => r.vm_model,
        ("KVMFRRecord_OSInfo", "os") => r.os_kind,
        ("KVMFRRecord_OSInfo", "name") => r.os_name,
        ("KVMFRFrame", "formatVer") => f.format_ver,
        ("KVMFRFrame", "frameSerial") => f.serial,
        ("KVMFRFrame", "type") => f.pixel_type,
        ("KVMFRFrame", "screenWidth") => f.screen_width,
        ("KVMFRFrame", "screenHeight") => f.screen_height,
        ("KVMFRFrame", "dataWidth") => f.data_width,
        ("KVMFRFrame", "dataHeight") => f.data_height,
        ("KVMFRFrame", "frameWidth") => f.frame_width,
        ("KVMFRFrame", "frameHeight") => f.frame_height,
        ("KVMFRFrame", "rotation") => f.rotation,
        ("KVMFRFrame", "stride") => f.stride,
        ("KVMFRFrame", "pitch") => f.pitch,
        ("KVMFRFrame", "offset") => f.offset,
        ("KVMFRFrame", "damageRectsCount") => f.damage_count,
        ("KVMFRFrame", "damageRects") => f.damage,
        ("KVMFRFrame", "flags") => f.flags,
        ("KVMFRCursor", "x") => c.x,
        ("KVMFRCursor", "y") => c.y,
        ("KVMFRCursor", "type") => c.kind,
        ("KVMFRCursor", "hx") => c.hotspot_x,
        ("KVMFRCursor", "hy") => c.hotspot_y,
        ("KVMFRCursor", "width") => c.width,
        ("KVMFRCursor", "height") => c.height,
        ("KVMFRCursor", "pitch") => c.pitch,
        ("KVMFRSetCursorPos", "msg") => m.kind,
        ("KVMFRSetCursorPos", "x") => m.x,
        ("KVMFRSetCursorPos", "y") => m.y,
        ("KVMFRMessage", "type") => m.kind,
        ("FrameDamageRect", "x") => 0,
        ("FrameDamageRect", "y") => 4,
        ("FrameDamageRect", "width") => 8,
        ("FrameDamageRect", "height") => 12,
        ("FrameBuffer", "wp") => 0,
        ("FrameBuffer", "data") => wire::WRITE_POINTER_BYTES as usize,
        _ => return None,
    })
}

#[test]
fn kvmfr_offsets_and_sizes_equal_the_reference_in_every_version_spoken() {
    let all = reference();
    for layout in LAYOUTS {
        let structs = all["kvmfr"][layout.version.to_string()]["structs"].as_object().expect("structs");
        for (name, structure) in structs {
            let size = match name.as_str() {
                "KVMFR" => layout.header.size,
                "KVMFRRecord" => layout.record.size,
                "KVMFRRecord_VMInfo" => layout.record.vm_model,
                "KVMFRRecord_OSInfo" => layout.record.os_name,
                "KVMFRFrame" => layout.frame.size,
                "KVMFRCursor" => layout.cursor.size,
                "KVMFRSetCursorPos" => layout.set_cursor.size,
                "KVMFRMessage" => 4,
                "FrameDamageRect" => wire::RECT_BYTES,
                "FrameBuffer" => wire::WRITE_POINTER_BYTES as usize,
                other => panic!("{other} is not in the tables"),
            };
            assert_eq!(number(&structure["size"]), size as u64, "size of {name} in version {}", layout.version);
            for field in structure["fields"].as_array().expect("fields") {
                let field_name = field["name"].as_str().expect("a name");
                let offset = ours(layout, name, field_name).map(|o| o as u64);
                assert_eq!(offset, Some(number(&field["offset"])), "{name}.{field_name}");
            }
        }
    }
}

#[test]
fn kvmfr_numbers_equal_the_reference() {
    let all = reference();
    let enums = &all["enums"];
    let pixel = |name: &str| PixelType::check(Guest::new(number(&enums["frame_type"][name]) as u32)).ok();
    for (name, expected) in [
        ("INVALID", None),
        ("BGRA", Some(PixelType::Bgra)),
        ("RGBA", Some(PixelType::Rgba)),
        ("RGBA10", Some(PixelType::Rgba10)),
        ("RGBA16F", Some(PixelType::Rgba16F)),
        ("BGR_32", Some(PixelType::Bgr32)),
        ("RGB_24", Some(PixelType::Rgb24)),
    ] {
        assert_eq!(pixel(name), expected, "{name}");
        if let Some(pixel) = expected {
            assert_eq!(pixel.to_string(), name);
        }
    }
    for (name, expected) in
        [("0", Rotation::None), ("90", Rotation::Quarter), ("180", Rotation::Half), ("270", Rotation::ThreeQuarters)]
    {
        assert_eq!(number(&enums["frame_rotation"][name]) as u32, expected.number(), "{name}");
        assert_eq!(Rotation::from_number(expected.number()), expected);
    }
    for (name, expected) in
        [("COLOR", ShapeKind::Color), ("MONOCHROME", ShapeKind::Monochrome), ("MASKED_COLOR", ShapeKind::MaskedColor)]
    {
        assert_eq!(number(&enums["cursor_type"][name]) as u32, expected.number(), "{name}");
        assert_eq!(ShapeKind::check(Guest::new(expected.number())), Ok(expected));
    }
    for (group, name, expected) in [
        ("cursor_flags", "POSITION", wire::cursor_flags::POSITION),
        ("cursor_flags", "VISIBLE", wire::cursor_flags::VISIBLE),
        ("cursor_flags", "SHAPE", wire::cursor_flags::SHAPE),
        ("frame_flags", "BLOCK_SCREENSAVER", FrameFlags::BLOCK_SCREENSAVER),
        ("frame_flags", "REQUEST_ACTIVATION", FrameFlags::REQUEST_ACTIVATION),
        ("frame_flags", "TRUNCATED", FrameFlags::TRUNCATED),
        ("frame_flags", "HDR", FrameFlags::HDR),
        ("frame_flags", "HDR_PQ", FrameFlags::HDR_PQ),
        ("features", "SETCURSORPOS", wire::features::SET_CURSOR_POSITION),
        ("message_type", "SETCURSORPOS", wire::MESSAGE_SET_CURSOR),
        ("record_type", "VMINFO", u32::from(wire::RECORD_VM)),
        ("record_type", "OSINFO", u32::from(wire::RECORD_OS)),
    ] {
        assert_eq!(number(&enums[group][name]), u64::from(expected), "{group}.{name}");
    }
    let constants = &all["kvmfr_constants"];
    assert_eq!(constants["magic_ascii"].as_str().map(str::as_bytes), Some(&wire::MAGIC[..]));
    assert_eq!(number(&constants["max_damage_rects"]), u64::from(wire::MAX_DAMAGE_RECTS));
    assert_eq!(number(&constants["pointer_shape_max_bytes"]), u64::from(wire::MAX_SHAPE_BYTES));
    let queues = &all["queues"]["B7 (KVMFR 20, LGMP 6)"];
    for (name, id, length) in [
        ("POINTER", wire::POINTER_QUEUE, wire::V20.pointer_length),
        ("FRAME", wire::FRAME_QUEUE, wire::V20.frame_length),
    ] {
        assert_eq!(number(&queues[name]["id"]), u64::from(id));
        assert_eq!(number(&queues[name]["length"]), u64::from(length));
        assert_eq!(number(&queues[name]["subTimeout_ms"]), u64::from(wire::MAX_TIME_MS));
    }
}

/// What the measured maps were made with.
fn measured_identity() -> Identity {
    Identity {
        model: "Test CPU".into(),
        os: shm_proto::kvmfr::session::Os::Windows,
        os_name: "Windows 11 Pro".into(),
        ..Identity::default()
    }
}

#[test]
fn kvmfr_memory_is_handed_out_as_the_original_library_did() {
    let all = reference();
    let maps = all["example_maps"].as_array().expect("maps");
    let (small, large) = (&maps[0], &maps[1]);
    for (map, align) in [(small, 4096u32), (small, 65536), (large, 65536)] {
        let total = number(&map["total"]);
        let region = Region::memfd("map", total).expect("memfd");
        let config = ProducerConfig { align_bytes: align, identity: measured_identity(), ..ProducerConfig::default() };
        let producer = Producer::start(&region, &config, HostTime::ZERO).expect("room");
        let plan = producer.plan();
        let aligned = &map[format!("align_{align}")];
        let case = format!("{total} bytes, aligned to {align}");
        for (slot, block) in plan.slots.iter().enumerate() {
            assert_eq!(number(&aligned["frame_offset"][slot]), u64::from(block.offset), "{case}");
            assert_eq!(number(&aligned["frame_size"]), u64::from(block.size), "{case}");
            assert_eq!(number(&aligned["pixels_at"][slot]), producer.pixels_at(slot), "{case}");
        }
        assert_eq!(number(&aligned["maxFrameSize"]), u64::from(plan.claimed_bytes), "{case}");
        assert_eq!(number(&aligned["pixel_capacity"]), u64::from(plan.capacity_bytes), "{case}");
        if let Some(offset) = aligned["frame_field_offset"].as_u64() {
            assert_eq!(offset, u64::from(plan.write_pointer), "{case}");
        }
    }
}

#[test]
fn kvmfr_queues_and_small_buffers_lie_where_the_original_library_put_them() {
    let all = reference();
    let map = &all["example_maps"][0];
    let region = Region::memfd("map", number(&map["total"])).expect("memfd");
    let config = ProducerConfig { identity: measured_identity(), ..ProducerConfig::default() };
    let mut producer = Producer::start(&region, &config, HostTime::ZERO).expect("room");
    let plan = producer.plan();
    assert_eq!(number(&map["pointer0"]), u64::from(plan.positions[0].offset));
    assert_eq!(number(&map["pointer19"]), u64::from(plan.positions[19].offset));
    for (shape, block) in plan.shapes.iter().enumerate() {
        assert_eq!(number(&map["shape"][shape]), u64::from(block.offset));
        assert_eq!(number(&map["shape_size"]), u64::from(block.size));
    }
    // And the parser finds the same.
    let mut client = Client::new(region.clone(), &V6, 1);
    let at = |n: u64| HostTime::from_ns(n * 1_000_000);
    client.poll(at(0)).unwrap();
    producer.beat(at(10)).unwrap();
    client.poll(at(10)).unwrap();
    for queue in [&map["queue0"], &map["queue1"]] {
        let found = client.find_queue(number(&queue["id"]) as u32).expect("a queue");
        assert_eq!(found.ring.at(), number(&queue["messagesOffset"]));
        assert_eq!(u64::from(found.ring.entries()), number(&queue["numMessages"]));
    }
    let user_data = client.snapshot_user_data().unwrap();
    assert_eq!(user_data.len() as u64, number(&map["udataSize"]));
    let second = number(&map["second_record_offset_in_udata"]) as usize;
    assert_eq!(user_data[second], wire::RECORD_OS);
}
