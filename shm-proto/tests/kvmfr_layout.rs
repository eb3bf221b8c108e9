//! Every KVMFR offset, number and limit against the machine-readable reference, and the producer's memory against the
//! maps that were measured with the original library.

use serde_json::Value;
use shm_proto::kvmfr::wire::{self, LAYOUTS, Layout};
use shm_proto::kvmfr::{FrameFlags, Identity, PixelType, Producer, ProducerConfig, Rotation, ShapeKind, Version};
use shm_proto::lgmp::Client;
use shm_proto::lgmp::probe::release;
use shm_proto::lgmp::queue::QueueConfig;
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
    let (h, r, f, c, m) = (&l.header, &l.record, &l.frame, &l.cursor, &l.message);
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
        ("KVMFRFrame", "dataWidth") => return f.data_width,
        ("KVMFRFrame", "dataHeight") => return f.data_height,
        ("KVMFRFrame", "sdrWhiteLevel") => return f.sdr_white_level,
        ("KVMFRFrame", "captureTime") => f.timing?.durations,
        ("KVMFRFrame", "postProcessTime") => f.timing?.durations + 8,
        ("KVMFRFrame", "copyTime") => f.timing?.durations + 16,
        ("KVMFRFrame", "readyTime") => f.timing?.durations + 24,
        ("KVMFRFrame", "holdTime") => f.timing?.durations + 32,
        ("KVMFRFrame", "hdrDisplayPrimary") => f.hdr?,
        ("KVMFRFrame", "hdrWhitePoint") => f.hdr? + 12,
        ("KVMFRFrame", "hdrMaxDisplayLuminance") => f.hdr? + 16,
        ("KVMFRFrame", "hdrMinDisplayLuminance") => f.hdr? + 20,
        ("KVMFRFrame", "hdrMaxContentLightLevel") => f.hdr? + 24,
        ("KVMFRFrame", "hdrMaxFrameAverageLightLevel") => f.hdr? + 28,
        ("KVMFRFrame", "readyLeadTime") => f.timing?.durations + 8 * (wire::TIMING_DURATIONS - 1),
        ("KVMFRFrame", "timingSerial") => f.timing?.serial,
        ("KVMFRFrame", "timingValid") => f.timing?.valid,
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
        ("KVMFRWindowSize", "msg") => m.kind,
        ("KVMFRWindowSize", "w") => m.x,
        ("KVMFRWindowSize", "h") => m.y,
        ("FrameDamageRect", "x") => 0,
        ("FrameDamageRect", "y") => 4,
        ("FrameDamageRect", "width") => 8,
        ("FrameDamageRect", "height") => 12,
        ("FrameBuffer", "wp") => 0,
        ("FrameBuffer", "data") => wire::WRITE_POINTER_BYTES as usize,
        _ => return None,
    })
}

/// Structures of newer versions that carry what is not shown here.
const UNSPOKEN: &[&str] =
    &["KVMFRInput", "KVMFRClipboard", "KVMFRStream", "KVMFRFrameSchedule", "KVMFRR", "LGColorTransform"];

/// Fields of newer versions that are not read: when a picture is due, and what is reserved.
const UNREAD: &[&str] = &[
    "timingFlags",
    "timingReserved",
    "scheduleGeneration",
    "scheduleEpoch",
    "scheduleDeadlineSerial",
    "hdrReserved",
    "sdrWhiteLevel",
];

#[test]
fn kvmfr_offsets_and_sizes_equal_the_reference_in_every_version_spoken() {
    let all = reference();
    for layout in LAYOUTS {
        let structs = all["kvmfr"][layout.version.to_string()]["structs"].as_object().expect("structs");
        for (name, structure) in structs {
            let size = match name.as_str() {
                "KVMFR" => layout.header.size,
                // Before the structures that are passed over, whose names begin alike.
                "KVMFRRecord" => layout.record.size,
                "KVMFRRecord_VMInfo" => layout.record.vm_model,
                "KVMFRRecord_OSInfo" => layout.record.os_name,
                "KVMFRFrame" => layout.frame.size,
                "KVMFRCursor" => layout.cursor.size,
                "KVMFRSetCursorPos" | "KVMFRWindowSize" => layout.message.size,
                "KVMFRMessage" => 4,
                "FrameDamageRect" => wire::RECT_BYTES,
                "FrameBuffer" => wire::WRITE_POINTER_BYTES as usize,
                // Input, clipboard, colours and timing by the viewer's display: not spoken.
                other if UNSPOKEN.iter().any(|prefix| other.starts_with(prefix)) => continue,
                other => panic!("{other} is not in the tables"),
            };
            assert_eq!(number(&structure["size"]), size as u64, "size of {name} in version {}", layout.version);
            for field in structure["fields"].as_array().expect("fields") {
                let field_name = field["name"].as_str().expect("a name");
                let offset = ours(layout, name, field_name).map(|o| o as u64);
                if offset.is_none() && UNREAD.contains(&field_name) {
                    continue;
                }
                assert_eq!(offset, Some(number(&field["offset"])), "{name}.{field_name} in {}", layout.version);
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
        ("cursor_flags", "VISIBLE_VALID (KVMFR>=23)", wire::cursor_flags::VISIBLE_VALID),
        ("frame_flags", "BLOCK_SCREENSAVER", FrameFlags::BLOCK_SCREENSAVER),
        ("frame_flags", "REQUEST_ACTIVATION", FrameFlags::REQUEST_ACTIVATION),
        ("frame_flags", "TRUNCATED", FrameFlags::TRUNCATED),
        ("frame_flags", "HDR", FrameFlags::HDR),
        ("frame_flags", "HDR_PQ", FrameFlags::HDR_PQ),
        ("frame_flags", "HDR_METADATA (KVMFR>=21)", FrameFlags::HDR_METADATA),
        ("features", "SETCURSORPOS", wire::features::SET_CURSOR_POSITION),
        ("features", "WINDOWSIZE (git>=2025-03-28)", wire::features::WINDOW_SIZE),
        ("message_type", "SETCURSORPOS", wire::MESSAGE_SET_CURSOR),
        ("message_type", "WINDOWSIZE", wire::MESSAGE_WINDOW_SIZE),
        ("record_type", "VMINFO", u32::from(wire::RECORD_VM)),
        ("record_type", "OSINFO", u32::from(wire::RECORD_OS)),
    ] {
        assert_eq!(number(&enums[group][name]), u64::from(expected), "{group}.{name}");
    }
    let constants = &all["kvmfr_constants"];
    assert_eq!(constants["magic_ascii"].as_str().map(str::as_bytes), Some(&wire::MAGIC[..]));
    assert_eq!(number(&constants["max_damage_rects"]), u64::from(wire::MAX_DAMAGE_RECTS));
    assert_eq!(number(&constants["pointer_shape_max_bytes"]), u64::from(wire::MAX_SHAPE_BYTES));
    assert_eq!(number(&constants["sdr_white_default"]), u64::from(wire::SDR_WHITE_NITS));
    for (name, layout) in [
        ("B7 (KVMFR 20, LGMP 6)", &wire::V20),
        ("git KVMFR 20, LGMP 10", &wire::V20_LGMP10),
        ("git KVMFR 34, LGMP 12 (IDD)", &wire::V34),
    ] {
        let queues = &all["queues"][name];
        let order: Vec<&str> = queues["creation_order"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(order.len(), layout.queues().count(), "{name}");
        for (queue, (id, length)) in order.iter().zip(layout.queues()) {
            assert_eq!(number(&queues[queue]["id"]), u64::from(id), "{name} {queue}");
            assert_eq!(number(&queues[queue]["length"]), u64::from(length), "{name} {queue}");
            let timeout = queues[queue]["subTimeout_ms"].as_u64().or(queues["subTimeout_ms"].as_u64());
            assert_eq!(timeout, Some(u64::from(wire::MAX_TIME_MS)), "{name} {queue}");
        }
        if let Some(buffers) = queues["frame_buffers"].as_u64() {
            assert_eq!(buffers, layout.habits.frame_buffers as u64);
        }
    }
}

#[test]
fn kvmfr_every_release_that_is_spoken_has_a_version_and_a_name() {
    let pairs: Vec<_> = Version::ALL.iter().map(|v| (v.lgmp().version, v.layout().version)).collect();
    assert_eq!(pairs, LAYOUTS.iter().map(|l| (l.lgmp, l.version)).collect::<Vec<_>>());
    for version in Version::ALL {
        assert_eq!(version.lgmp().version, version.layout().lgmp, "{version:?}");
        assert!(release(version.lgmp().version, version.layout().version).is_some(), "{version:?}");
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
fn kvmfr_memory_of_newer_versions_is_handed_out_as_in_the_maps() {
    let all = reference();
    let maps = all["example_maps"].as_array().expect("maps");
    let start = |version, align_bytes, total| {
        let region = Region::memfd("map", total).expect("memfd");
        let identity = measured_identity();
        let config = ProducerConfig { version, align_bytes, identity, ..ProducerConfig::default() };
        Producer::start(&region, &config, HostTime::ZERO).expect("room")
    };
    let ring_at = |producer: &Producer, index| {
        let (region, layout) = (producer.host().region(), producer.host().layout());
        QueueConfig::read(region, layout, index).expect("a queue").ring.at()
    };
    let map = &maps[2];
    let producer = start(Version::Lgmp10, 4096, number(&maps[0]["total"]));
    let plan = producer.plan();
    assert_eq!(number(&map["queue0"]["messagesOffset"]), ring_at(&producer, 0));
    assert_eq!(number(&map["queue1"]["messagesOffset"]), ring_at(&producer, 1));
    assert_eq!(number(&map["pointer0"]), u64::from(plan.positions[0].offset));
    for (slot, block) in plan.slots.iter().enumerate() {
        assert_eq!(number(&map["frame_offset"][slot]), u64::from(block.offset));
        assert_eq!(number(&map["frame_size"]), u64::from(block.size));
        assert_eq!(number(&map["pixels_at"][slot]), producer.pixels_at(slot));
    }
    for (shape, block) in plan.shapes.iter().enumerate() {
        assert_eq!(number(&map["shape"][shape]), u64::from(block.offset));
    }
    let map = &maps[3];
    let producer = start(Version::Lgmp12, 65536, 64 << 20);
    let plan = producer.plan();
    for (index, name) in ["id2", "id3", "id4", "id1", "id5", "id6"].iter().enumerate() {
        assert_eq!(number(&map["messagesOffset"][name]), ring_at(&producer, index as u32), "{name}");
    }
    for (shape, block) in plan.shapes.iter().enumerate() {
        assert_eq!(number(&map["shape"][shape]), u64::from(block.offset));
    }
    let other: Vec<u64> = plan.other.iter().map(|block| u64::from(block.offset)).collect();
    for (name, first) in [("color_transform", 0), ("clipboard_streams", 3 + 8 + 4 + 6)] {
        for (n, at) in map[name].as_array().unwrap().iter().enumerate() {
            assert_eq!(number(at), other[first + n], "{name} {n}");
        }
    }
    assert_eq!(number(&map["input_streams_first"]), other[3]);
    let frames_from = plan.other.last().map(|b| u64::from(b.offset) + u64::from(b.size));
    assert_eq!(Some(number(&map["frame_memory_offset"])), frames_from);
    assert_eq!(plan.slots.len(), 3);
    let end = plan.slots.iter().map(|b| u64::from(b.offset) + u64::from(b.size)).max().unwrap();
    assert!(end <= (64 << 20) - 65536, "the block at the end is left alone");
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
