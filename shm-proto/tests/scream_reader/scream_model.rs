//! Random sequences of what a guest does, against a model that knows every chunk ever published.
//!
//! Each chunk holds its number, counted over all streams. Whatever happens, the reader must hand out whole chunks in
//! growing order (so no chunk twice, and no sound of an older stream), in the format they were published with; its
//! counters must add up; and two chunks after the guest came to its senses it must be up to date.

use crate::scream_rig::Rig;
use proptest::prelude::*;
use shm_proto::guest_sim::{dice, sound::with_field};
use shm_proto::scream::wire::WireHeader;
use shm_proto::scream::writer::Field;
use shm_proto::scream::{Counters, Format, Poll, StoreOrder, Writer};

#[derive(Clone, Debug)]
enum Action {
    /// Chunks at their pace, with so many looks after each.
    Publish {
        chunks: u8,
        looks: u8,
    },
    /// Chunks all at once after a silence.
    Stall {
        chunks: u8,
    },
    /// Chunks at their pace while nobody looks: in eighths of the ring.
    Sleep {
        eighths: u8,
    },
    /// Nobody plays, but the reader looks now and then.
    Pause {
        looks: u8,
        each_ms: u16,
    },
    Restart,
    /// A restart that nobody sees, with chunks before and after it, all within their time.
    RestartUnseen {
        before: u8,
        after: u8,
    },
    ChangeFormat {
        to: usize,
    },
    /// The header is wiped and stays so; the guest begins again later.
    Wipe {
        looks: u8,
    },
    /// The guest dies with half a chunk written, and boots again.
    Crash {
        looks: u8,
    },
    /// A field is nonsense for a while; the sound goes on.
    TearHeader {
        field: usize,
        chunks: u8,
        looks: u8,
    },
    /// The header is rubbish for a while.
    Garbage {
        seed: u64,
        looks: u8,
    },
    /// The next chunk is half written.
    WriteAhead,
    SkipToNewest,
    Look {
        times: u8,
    },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (1..12u8, 0..3u8).prop_map(|(chunks, looks)| Action::Publish { chunks, looks }),
        2 => (1..9u8).prop_map(|chunks| Action::Stall { chunks }),
        2 => (1..40u8).prop_map(|eighths| Action::Sleep { eighths }),
        2 => (0..5u8, 1..3_000u16).prop_map(|(looks, each_ms)| Action::Pause { looks, each_ms }),
        2 => Just(Action::Restart),
        2 => (0..12u8, 0..12u8).prop_map(|(before, after)| Action::RestartUnseen { before, after }),
        2 => (0..FORMATS).prop_map(|to| Action::ChangeFormat { to }),
        1 => (0..4u8).prop_map(|looks| Action::Wipe { looks }),
        1 => (0..4u8).prop_map(|looks| Action::Crash { looks }),
        2 => (0..LIES.len(), 0..4u8, 0..4u8).prop_map(|(field, chunks, looks)| Action::TearHeader { field, chunks, looks }),
        1 => (any::<u64>(), 0..4u8).prop_map(|(seed, looks)| Action::Garbage { seed, looks }),
        1 => Just(Action::WriteAhead),
        1 => Just(Action::SkipToNewest),
        3 => (1..9u8).prop_map(|times| Action::Look { times }),
    ]
}

const FORMATS: usize = 4;

fn format(which: usize) -> Format {
    let numbers = [(48_000, 16, 2, 3), (44_100, 24, 2, 3), (48_000, 16, 2, 0xFFFF), (96_000, 16, 1, 0)];
    let (rate_hz, bits, channels, mask) = numbers[which % FORMATS];
    Format::new(rate_hz, bits, channels, mask).unwrap()
}

/// Values that no header may have.
const LIES: [(Field, u32); 8] = [
    (Field::Magic, 0x504D_474C),
    (Field::Offset, 7),
    (Field::MaxChunks, 1),
    (Field::ChunkSize, 0),
    (Field::ChunkSize, 3_841),
    (Field::SampleRate, 0x80),
    (Field::SampleSize, 12),
    (Field::Channels, 0),
];

struct World {
    rig: Rig,
    /// The format that each number was published with.
    published: Vec<Format>,
    format: Format,
    last_taken: u32,
    last_sequence: Option<u64>,
    at_start: Counters,
    /// Bytes of the region; the ring is short, so that it goes round often.
    region_bytes: u64,
}

impl World {
    fn new(region_bytes: u64, order: StoreOrder, attach_late: bool) -> World {
        let mut rig = Rig::new(region_bytes);
        // Old sound: in slots that were never written, a guest that dies over slot 0 looks like one that ends in silence.
        rig.writer.region().span(24, region_bytes - 24).unwrap().fill(0x77).unwrap();
        rig.writer = Writer::new(rig.writer.region().clone(), order).unwrap();
        let mut world = World {
            rig,
            published: vec![format(0)],
            format: format(0),
            last_taken: 0,
            last_sequence: None,
            at_start: Counters::default(),
            region_bytes,
        };
        if !attach_late {
            world.look();
        }
        world.open(format(0));
        world
    }

    fn header(&self) -> WireHeader {
        Writer::header_for(self.format, self.region_bytes).unwrap()
    }

    fn open(&mut self, format: Format) {
        self.format = format;
        self.rig.writer.open_as(self.header()).unwrap();
    }

    fn publish(&mut self) {
        self.rig.publish();
        self.published.push(self.format);
    }

    fn look(&mut self) {
        match self.rig.poll() {
            Poll::Chunk(chunk) => {
                let number = self.rig.number_in(chunk);
                assert!(number > self.last_taken, "chunk {number} after {}", self.last_taken);
                self.last_taken = number;
                let format = self.rig.reader.layout().unwrap().format();
                assert_eq!(self.published.get(number as usize), Some(&format), "format of chunk {number}");
                let counters = self.rig.reader.counters();
                let passed = counters.skipped - self.at_start.skipped;
                let expected = (counters.chunks - self.at_start.chunks) + (counters.lost - self.at_start.lost) + passed;
                assert_eq!(chunk.sequence + 1, expected, "taken, lost and skipped ones add up");
                if let Some(last) = self.last_sequence {
                    assert!(chunk.sequence > last);
                    assert!(chunk.lost_before < chunk.sequence - last);
                }
                self.last_sequence = Some(chunk.sequence);
            }
            Poll::Started(_) => {
                self.last_sequence = None;
                self.at_start = self.rig.reader.counters();
            }
            Poll::Nothing(_) => {}
            Poll::Torn => panic!("nobody writes while we look"),
        }
    }

    fn looks(&mut self, times: u8) {
        for _ in 0..times {
            self.look();
        }
    }

    fn store(&self, header: WireHeader) {
        self.rig.writer.region().span(0, 24).unwrap().copy_from(&header.to_bytes()).unwrap();
    }

    fn truth(&self) {
        self.store(WireHeader { write_idx: self.rig.writer.index(), ..self.header() });
    }

    fn perform(&mut self, action: &Action) {
        match *action {
            Action::Publish { chunks, looks } => {
                for _ in 0..chunks {
                    self.rig.sleep_ms(20 - u64::from(looks));
                    self.publish();
                    self.looks(looks);
                }
            }
            Action::Stall { chunks } => {
                for _ in 0..chunks {
                    self.rig.sleep_ms(19);
                    self.look();
                }
                (0..chunks).for_each(|_| self.publish());
            }
            Action::Sleep { eighths } => {
                let chunks = u32::from(self.header().max_chunks) * u32::from(eighths) / 8;
                (0..chunks).for_each(|_| self.publish());
                self.rig.sleep_ms(u64::from(chunks) * 20);
            }
            Action::Pause { looks, each_ms } => {
                for _ in 0..looks {
                    self.rig.sleep_ms(each_ms.into());
                    self.look();
                }
            }
            Action::Restart => self.restart(self.format),
            Action::RestartUnseen { before, after } => {
                (0..before).for_each(|_| self.publish());
                self.restart(self.format);
                (0..after).for_each(|_| self.publish());
                self.rig.sleep_ms((u64::from(before) + u64::from(after)) * 20);
            }
            Action::ChangeFormat { to } => self.restart(format(to)),
            Action::Wipe { looks } => {
                self.rig.writer.close().unwrap();
                self.looks(looks);
                self.open(self.format);
            }
            Action::Crash { looks } => {
                self.rig.writer.write_ahead(&[0xAB; 600]).unwrap();
                self.rig.writer.abandon();
                self.looks(looks);
                self.open(self.format);
            }
            Action::TearHeader { field, chunks, looks } => {
                let (field, value) = LIES[field];
                let told = WireHeader { write_idx: self.rig.writer.index(), ..self.header() };
                self.store(with_field(told, field, value));
                for _ in 0..chunks {
                    self.publish();
                    self.rig.sleep_ms(20);
                }
                self.looks(looks);
                self.truth();
            }
            Action::Garbage { seed, looks } => {
                let mut bytes = [0; 24];
                dice::fill(seed, &mut bytes);
                self.store(WireHeader::from_bytes(bytes));
                self.looks(looks);
                self.truth();
            }
            Action::WriteAhead => self.rig.writer.write_ahead(&[0xCD; 1_000]).unwrap(),
            Action::SkipToNewest => self.rig.reader.skip_to_newest(),
            Action::Look { times } => self.looks(times),
        }
    }

    fn restart(&mut self, format: Format) {
        self.rig.writer.close().unwrap();
        self.open(format);
    }

    /// Two chunks after everything went wrong, the newest one is there.
    fn recovers(&mut self) {
        for _ in 0..2 {
            self.rig.sleep_ms(16);
            self.publish();
            self.looks(4);
        }
        let mut left = u32::from(self.header().max_chunks);
        while self.rig.reader.layout().is_some() && self.last_taken != self.rig.number - 1 && left > 0 {
            self.look();
            left -= 1;
        }
        assert_eq!(self.last_taken, self.rig.number - 1, "the newest chunk arrived");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_guest_does_chunks_come_whole_in_order_and_never_from_an_older_stream(
        actions in prop::collection::vec(action(), 1..30),
        // Short rings, so that a lap is common, but none that a single burst goes round.
        ring_chunks in 18u64..26,
        spare in 0u64..60,
        order in prop::sample::select(StoreOrder::ALL.to_vec()),
        attach_late: bool,
    ) {
        let mut world = World::new(24 + 3_840 * ring_chunks + spare, order, attach_late);
        for action in &actions {
            world.perform(action);
        }
        world.recovers();
    }
}

/// Sequences that an earlier reader failed on, with the ring each needs (in chunks of the first format).
#[test]
fn sequences_that_once_went_wrong_stay_right() {
    use Action::*;
    let cases: [(&str, u64, Vec<Action>); 6] = [
        ("a lap while asleep, then a restart: slot 0 must be looked at again", 8, {
            let looked = Publish { chunks: 6, looks: 1 };
            vec![looked, Sleep { eighths: 9 }, Look { times: 2 }, Restart, Publish { chunks: 1, looks: 1 }]
        }),
        ("two changes of format unseen, and slot 0 in another format", 8, {
            let there_and_back =
                [ChangeFormat { to: 1 }, RestartUnseen { before: 8, after: 0 }, ChangeFormat { to: 0 }];
            let start = [Publish { chunks: 1, looks: 0 }, Look { times: 2 }];
            [&start[..], &there_and_back, &[Pause { looks: 1, each_ms: 1 }]].concat()
        }),
        ("a restart to the same index, with a backlog over the turn", 13, {
            let turn = [Publish { chunks: 5, looks: 0 }, Stall { chunks: 8 }, Look { times: 1 }];
            [&turn[..], &[Publish { chunks: 7, looks: 0 }, Restart]].concat()
        }),
        ("a turn and a restart to the same index, then another restart", 12, {
            let start = [Look { times: 1 }, Publish { chunks: 10, looks: 0 }, Pause { looks: 1, each_ms: 1 }];
            [&start[..], &[RestartUnseen { before: 5, after: 10 }, Look { times: 1 }, Restart]].concat()
        }),
        ("a burst of a whole ring, then death over a chunk", 12, {
            let burst = [ChangeFormat { to: 1 }, Publish { chunks: 2, looks: 1 }, Stall { chunks: 8 }];
            [&burst[..], &[Crash { looks: 0 }, Publish { chunks: 1, looks: 1 }]].concat()
        }),
        ("death over slot 0, then a restart", 18, {
            let start = [RestartUnseen { before: 0, after: 10 }, Publish { chunks: 7, looks: 1 }];
            [&start[..], &[Crash { looks: 0 }, Stall { chunks: 1 }]].concat()
        }),
    ];
    for (case, ring_chunks, actions) in cases {
        println!("{case}");
        let mut world = World::new(24 + 3_840 * ring_chunks, StoreOrder::X64, false);
        for action in &actions {
            world.perform(action);
        }
        world.recovers();
    }
}
