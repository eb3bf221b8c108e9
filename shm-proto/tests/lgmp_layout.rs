//! Every LGMP offset in the tables against the machine-readable reference. A further version is a further row of
//! `LAYOUTS`; nothing has to be added here.

use serde_json::Value;
use shm_proto::lgmp::probe::{PLACES, USER_DATA, recovery, release};
use shm_proto::lgmp::wire::{LAYOUTS, Layout, MAGIC, RingRule};

fn reference() -> Value {
    serde_json::from_str(include_str!("data/lgmp-kvmfr-layouts.json")).expect("the reference is JSON")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// Our offset of every field of a structure; holes and nothing else may be missing.
fn ours(layout: &Layout, structure: &str, field: &str) -> Option<u64> {
    let (h, q, e, m) = (&layout.header, &layout.queue, &layout.entry, &layout.mail);
    Some(match (structure, field) {
        ("LGMPHeader", "magic") => h.magic,
        ("LGMPHeader", "version") => h.version,
        ("LGMPHeader", "sessionID") => h.session_id,
        ("LGMPHeader", "timestamp") => h.timestamp,
        ("LGMPHeader", "numQueues") => h.num_queues,
        ("LGMPHeader", "queues") => h.queues,
        ("LGMPHeader", "udataSize") => h.udata_size,
        ("LGMPHeader", "udata") => h.udata,
        ("LGMPHeader", "nextClientID") => return h.next_client_id,
        ("LGMPHeaderQueue", "queueID") => q.queue_id,
        ("LGMPHeaderQueue", "numMessages") => q.num_messages,
        ("LGMPHeaderQueue", "newSubCount") => q.new_sub_count,
        ("LGMPHeaderQueue", "maxTime") => q.max_time,
        ("LGMPHeaderQueue", "position") => q.position,
        ("LGMPHeaderQueue", "messagesOffset") => q.messages_offset,
        ("LGMPHeaderQueue", "timeout") => q.timeout,
        ("LGMPHeaderQueue", "clientID") => q.client_id,
        ("LGMPHeaderQueue", "lock") => q.lock,
        ("LGMPHeaderQueue", "subs") => q.subs,
        ("LGMPHeaderQueue", "start") => q.start,
        ("LGMPHeaderQueue", "msgTimeout") => q.msg_timeout,
        ("LGMPHeaderQueue", "count") => q.count,
        ("LGMPHeaderQueue", "cMsgLock") => q.mail_lock,
        ("LGMPHeaderQueue", "cMsgAvail") => q.mail_avail,
        ("LGMPHeaderQueue", "cMsgWPos") => q.mail_write_pos,
        ("LGMPHeaderQueue", "cMsgWSerial") => q.mail_write_serial,
        ("LGMPHeaderQueue", "cMsgRSerial") => q.mail_read_serial,
        ("LGMPHeaderQueue", "cMsgs") => q.mail_slots,
        ("LGMPHeaderMessage", "udata") => e.udata,
        ("LGMPHeaderMessage", "size") => e.payload_size,
        ("LGMPHeaderMessage", "offset") => e.payload_offset,
        ("LGMPHeaderMessage", "pendingSubs") => e.pending,
        ("LGMPClientMessage", "size") => m.length,
        ("LGMPClientMessage", "data") => m.data,
        ("LGMPClientMessage", "clientID") => return m.sender,
        _ => return None,
    })
}

#[test]
fn lgmp_offsets_and_sizes_equal_the_reference_in_every_version_spoken() {
    let all = reference();
    assert!(!LAYOUTS.is_empty());
    for layout in LAYOUTS {
        let structs = &all["lgmp"][layout.version.to_string()]["structs"];
        let sizes = [
            ("LGMPHeader", layout.header.size, 8),
            ("LGMPHeaderQueue", layout.queue.size, 19),
            ("LGMPHeaderMessage", layout.entry.size, 4),
            ("LGMPClientMessage", layout.mail.size, 2),
        ];
        assert_eq!(structs.as_object().map(|s| s.len()), Some(sizes.len()), "version {}", layout.version);
        for (name, size, min_fields) in sizes {
            let structure = &structs[name];
            assert_eq!(number(&structure["size"]), size, "size of {name} in version {}", layout.version);
            let fields = structure["fields"].as_array().expect("fields");
            assert!(fields.len() >= min_fields, "{name} has only {} fields", fields.len());
            for field in fields {
                let field_name = field["name"].as_str().expect("a name");
                let case = format!("{name}.{field_name} in version {}", layout.version);
                let offset = ours(layout, name, field_name);
                if !field_name.starts_with("_pad") {
                    assert_eq!(offset, Some(number(&field["offset"])), "{case}");
                }
                let width = match (name, field_name) {
                    ("LGMPHeaderQueue", "lock" | "cMsgLock") => layout.queue.lock_width,
                    ("LGMPHeaderQueue", "subs") => layout.queue.subs_width,
                    ("LGMPHeaderMessage", "udata") => layout.entry.udata_width,
                    _ => continue,
                };
                assert_eq!(width.bytes(), number(&field["size"]), "{case}");
            }
        }
    }
}

#[test]
fn lgmp_limits_and_masks_equal_the_reference() {
    let all = reference();
    assert_eq!(number(&all["magic_probe"]["magic_u32"]), u64::from(MAGIC));
    for layout in LAYOUTS {
        let version = &all["lgmp"][layout.version.to_string()];
        let constant = |name: &str| number(&version["constants"][name]);
        assert_eq!(constant("LGMP_PROTOCOL_VERSION"), u64::from(layout.version));
        assert_eq!(constant("LGMP_MSGS_MAX"), u64::from(layout.mail.slots));
        assert_eq!(constant("LGMP_MSGS_SIZE"), layout.mail.data_bytes);
        assert_eq!(constant("LGMP_MAX_QUEUES"), u64::from(layout.header.max_queues));
        assert_eq!(constant("LGMP_MAX_CLIENTS"), u64::from(layout.queue.places));
        let timeout = shm_proto::lgmp::heartbeat::ALIVE_FOR.as_millis();
        assert_eq!(u128::from(constant("LGMP_HEARTBEAT_TIMEOUT_MS")), timeout);
        let mask = &version["subs_mask"];
        assert_eq!(mask["subs_type"], format!("u{}", 8 * layout.queue.subs_width.bytes()));
        assert_eq!(number(&mask["on_shift"]), u64::from(layout.on_shift));
        assert_eq!(number(&mask["bad_shift"]), u64::from(layout.bad_shift));
        let rule = match layout.ring {
            RingRule::OneSpare => "queue length + 1",
            RingRule::PowerOfTwo => "queue length (power of two, at least 2)",
        };
        assert_eq!(version["header_numMessages"], rule);
    }
}

#[test]
fn lgmp_ring_rules_give_the_lengths_in_the_reference() {
    for (_, queues) in reference()["queues"].as_object().expect("queues") {
        for name in ["POINTER", "FRAME"] {
            let queue = &queues[name];
            if let Some(entries) = queue["header_numMessages"].as_u64() {
                let length = number(&queue["length"]) as u32;
                let rule = if u64::from(length) == entries { RingRule::PowerOfTwo } else { RingRule::OneSpare };
                assert_eq!(rule.entries(length).map(u64::from), Some(entries), "{name}");
                assert_eq!(rule.capacity(entries as u32), length, "{name}");
            }
        }
    }
}

#[test]
fn lgmp_magic_is_looked_for_at_every_place_in_the_reference() {
    let all = reference();
    let positions: Vec<u64> =
        all["magic_probe"]["positions"].as_array().expect("positions").iter().map(|p| number(&p["offset"])).collect();
    assert_eq!(PLACES.map(|p| p.magic_at).to_vec(), positions);
    for (version, description) in all["lgmp"].as_object().expect("versions") {
        let version: u32 = version.parse().expect("a number");
        let fields = description["structs"]["LGMPHeader"]["fields"].as_array().expect("fields");
        let offset = |name: &str| {
            number(&fields.iter().find(|f| f["name"] == name).unwrap_or_else(|| panic!("{name}"))["offset"])
        };
        let place = PLACES.iter().find(|p| p.magic_at == offset("magic")).expect("a place for each version");
        assert!((place.versions.0..=place.versions.1).contains(&version), "version {version}");
        assert_eq!(offset("version"), place.magic_at + 4, "version {version}");
        assert_eq!(offset("timestamp"), place.timestamp_at, "version {version}");
        assert!(USER_DATA.contains(&(version, offset("udata"))), "version {version}");
    }
}

#[test]
fn lgmp_recovery_block_lies_where_the_reference_says() {
    let all = reference();
    let block = &all["magic_probe"]["recovery_block"];
    assert_eq!(number(&block["offset_from_end"]), recovery::FROM_END);
    assert_eq!(block["magic_ascii"].as_str().map(str::as_bytes), Some(&recovery::MAGIC[..]));
    assert_eq!(number(&block["abiVersion_offset"]), recovery::ABI);
    assert_eq!(number(&block["lgmpVersion_offset"]), recovery::LGMP_VERSION);
    assert_eq!(number(&block["kvmfrVersion_offset"]), recovery::KVMFR_VERSION);
    assert_eq!(number(&block["ready_offset"]), recovery::READY);
    let header = all["kvmfr"]["34"]["structs"]["KVMFRRHeader"]["fields"].as_array().expect("fields");
    let heartbeat = header.iter().find(|f| f["name"] == "heartbeat").expect("a heartbeat");
    assert_eq!(number(&heartbeat["offset"]), recovery::HEARTBEAT);
    assert_eq!(number(&all["kvmfr_constants"]["recovery_region_bytes"]), recovery::FROM_END);
}

#[test]
fn lgmp_every_release_in_the_matrix_has_a_name() {
    for row in reference()["version_matrix"].as_array().expect("rows") {
        if let (Some(lgmp), Some(kvmfr)) = (row["lgmp"].as_u64(), row["kvmfr"].as_u64()) {
            let name = release(lgmp as u32, kvmfr as u32).unwrap_or_else(|| panic!("{row}"));
            let upstream = row["name"].as_str().expect("a name");
            let tag = upstream.split(['.', '-']).next().expect("a tag");
            assert!(name == tag || upstream.starts_with("git") && name.contains("development"), "{upstream}: {name}");
        }
    }
    assert_eq!(release(6, 19), None);
}
