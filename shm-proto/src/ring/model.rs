//! The ring against a model: any sequence of publications, restarts and readers' calls; and against a writer that writes
//! anything anywhere.

use super::*;
use crate::raw::map::Region;
use crate::time::HostTime;
use proptest::prelude::*;

const READERS: usize = 2;
const REGION_BYTES: u64 = 16 << 10;
const BUFFER_BYTES: usize = 1 << 12;

#[derive(Clone, Debug)]
enum Action {
    Publish {
        kind: usize,
        len: usize,
    },
    PublishMany(u32),
    Restart {
        slots: u32,
        payload_bytes: u32,
    },
    Next(usize),
    Newest(usize),
    Poll(usize),
    /// A lie: these bytes at this place.
    Scribble {
        place: Place,
        value: u64,
    },
}

/// Where a liar writes: the words that steer a reader, or anywhere.
#[derive(Clone, Debug)]
enum Place {
    Header(u64),
    SlotHeader(u32, u64),
    Anywhere(u64),
}

fn honest_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0..4usize, 0..1100usize).prop_map(|(kind, len)| Action::Publish { kind, len }),
        2 => (1..20u32).prop_map(Action::PublishMany),
        1 => (2..9u32, 1..1000u32).prop_map(|(slots, payload_bytes)| Action::Restart { slots, payload_bytes }),
        4 => (0..READERS).prop_map(Action::Next),
        3 => (0..READERS).prop_map(Action::Newest),
        2 => (0..READERS).prop_map(Action::Poll),
    ]
}

fn lie() -> impl Strategy<Value = Action> {
    let place = prop_oneof![
        (0..24u64).prop_map(Place::Header),
        (0..8u32, 0..5u64).prop_map(|(slot, word)| Place::SlotHeader(slot, word)),
        (0..REGION_BYTES - 8).prop_map(Place::Anywhere),
    ];
    let value = prop_oneof![
        0..20u64,
        Just(u64::MAX),
        Just(wire::MAX_NUMBER),
        Just(wire::MAX_NUMBER + 1),
        (0..64u32).prop_map(|bit| 1 << bit),
        any::<u64>(),
    ];
    (place, value).prop_map(|(place, value)| Action::Scribble { place, value })
}

/// One reader and what it must know.
struct Reader {
    consumer: Consumer,
    generation: u64,
    taken: u64,
}

/// The ring and its model: lengths and kinds of everything published in this generation.
struct World {
    region: Region,
    producer: Producer,
    published: Vec<(Kind, usize)>,
    readers: Vec<Reader>,
}

/// The payload of a publication, recognisable by its number.
fn payload(number: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (number.wrapping_mul(37) ^ i.wrapping_mul(11)) as u8).collect()
}

impl World {
    fn new() -> World {
        let region = Region::memfd("ring-model", REGION_BYTES).unwrap();
        let producer = Producer::create(&region, Geometry::new(4, 500).unwrap()).unwrap();
        let reader = || Reader { consumer: Consumer::attach(&region).unwrap(), generation: 0, taken: 0 };
        let readers = (0..READERS).map(|_| reader()).collect();
        World { producer, published: Vec::new(), readers, region }
    }

    fn publish(&mut self, kind: Kind, len: usize) {
        let number = self.producer.published() + 1;
        let room = self.producer.geometry().payload_bytes();
        let outcome = self.producer.publish_bytes(kind, Durations::default(), &payload(number, len));
        if len > room as usize {
            assert_eq!(outcome, Err(PublishError::TooLong { len_bytes: len as u64, room_bytes: room }));
        } else {
            assert_eq!(outcome, Ok(number));
            self.published.push((kind, len));
        }
    }

    fn restart(&mut self, slots: u32, payload_bytes: u32) {
        self.producer = Producer::create(&self.region, Geometry::new(slots, payload_bytes).unwrap()).unwrap();
        self.published.clear();
    }

    fn poll(&mut self, reader: usize) {
        let reader = &mut self.readers[reader];
        let state = reader.consumer.poll(HostTime::ZERO);
        assert!(matches!(state, State::Following { generation, .. } if generation == self.producer.generation()));
        if reader.generation != self.producer.generation() {
            reader.generation = self.producer.generation();
            reader.taken = (self.published.len() as u64).saturating_sub(1);
        }
    }

    /// Which publication a call must give.
    fn expected(&self, reader: &Reader, newest: bool) -> Result<u64, Miss> {
        let published = self.published.len() as u64;
        let slots = u64::from(self.producer.geometry().slots());
        let wanted = reader.taken + 1;
        if reader.generation != self.producer.generation() {
            Err(Miss::NoRing)
        } else if wanted > published {
            Err(Miss::Nothing)
        } else if newest {
            Ok(published)
        } else if wanted + slots > published {
            Ok(wanted)
        } else {
            Ok((published - (slots - 1) / 2).max(wanted + 1))
        }
    }

    fn take(&mut self, reader: usize, newest: bool) {
        let expected = self.expected(&self.readers[reader], newest);
        let reader = &mut self.readers[reader];
        let mut buf = [0xAA; BUFFER_BYTES];
        let taken = if newest { reader.consumer.newest(&mut buf) } else { reader.consumer.next(&mut buf) };
        assert_eq!(taken.map(|taken| taken.seq), expected);
        if let Ok(taken) = taken {
            let (kind, len) = self.published[taken.seq as usize - 1];
            assert_eq!((taken.kind, taken.len), (kind, len));
            assert_eq!(taken.lapped, taken.seq - reader.taken - 1);
            assert!(buf[..len] == payload(taken.seq, len) && buf[len..].iter().all(|byte| *byte == 0xAA));
            reader.taken = taken.seq;
        }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Publish { kind, len } => self.publish(Kind::ALL[kind], len),
            Action::PublishMany(n) => (0..n).for_each(|_| self.publish(Kind::Audio, 1)),
            Action::Restart { slots, payload_bytes } => self.restart(slots, payload_bytes),
            Action::Next(reader) => self.take(reader, false),
            Action::Newest(reader) => self.take(reader, true),
            Action::Poll(reader) => self.poll(reader),
            Action::Scribble { .. } => unreachable!("honest worlds hold no lies"),
        }
    }

    /// The same among lies: nothing is expected but that nothing breaks.
    fn act_among_lies(&mut self, action: &Action) {
        let mut buf = [0; BUFFER_BYTES];
        let taken = match *action {
            Action::Publish { kind, len } => {
                let payload = payload(1, len.min(self.producer.geometry().payload_bytes() as usize));
                self.producer.publish_bytes(Kind::ALL[kind], Durations::default(), &payload).unwrap();
                return;
            }
            Action::PublishMany(n) => {
                for _ in 0..n {
                    self.producer.publish_bytes(Kind::Audio, Durations::default(), b"?").unwrap();
                }
                return;
            }
            Action::Restart { slots, payload_bytes } => return self.restart(slots, payload_bytes),
            Action::Scribble { ref place, value } => return self.scribble(place, value),
            Action::Poll(reader) => {
                self.readers[reader].consumer.poll(HostTime::ZERO);
                return;
            }
            Action::Next(reader) => self.readers[reader].consumer.next(&mut buf),
            Action::Newest(reader) => self.readers[reader].consumer.newest(&mut buf),
        };
        if let Ok(taken) = taken {
            let hour = Duration::from_secs(3600);
            let Durations { since_capture, since_previous, covers } = taken.durations;
            assert!(taken.len <= BUFFER_BYTES && taken.seq <= wire::MAX_NUMBER);
            assert!(since_capture <= hour && since_previous <= hour && covers <= hour);
        }
    }

    fn scribble(&mut self, place: &Place, value: u64) {
        let at = match *place {
            Place::Header(word) => word * 8,
            Place::SlotHeader(slot, word) => self.producer.geometry().slot_at(slot) + word * 8,
            Place::Anywhere(at) => at,
        };
        self.region.span(at, 8).unwrap().copy_from(&value.to_le_bytes()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn readers_get_what_the_model_says(actions in prop::collection::vec(honest_action(), 1..80)) {
        let mut world = World::new();
        actions.iter().for_each(|action| world.act(action));
    }

    #[test]
    fn no_lie_breaks_a_reader_and_a_new_start_heals_it(
        actions in prop::collection::vec(prop_oneof![honest_action(), lie()], 1..120)
    ) {
        let mut world = World::new();
        actions.iter().for_each(|action| world.act_among_lies(action));
        // One honest start on the same bytes, and everything is as the model says again.
        world.restart(3, 100);
        world.publish(Kind::Cursor, 50);
        for reader in 0..READERS {
            world.readers[reader].generation = 0;
            world.poll(reader);
            world.take(reader, false);
            world.take(reader, true);
        }
    }
}
