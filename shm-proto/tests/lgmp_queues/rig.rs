//! A producer with one queue in virtual time, and what a viewer does with it.

use shm_proto::lgmp::host::{Block, Host, MagicOrder, QueueHandle};
use shm_proto::lgmp::host_queue::Posted;
use shm_proto::lgmp::queue::QueueWords;
use shm_proto::lgmp::wire::Layout;
use shm_proto::lgmp::{Client, Status, Subscription, Trouble};
use shm_proto::{HostTime, Region};

pub const ID: u32 = 7;
pub const KEEP_MS: u64 = 1000;

pub fn ms(n: u64) -> HostTime {
    HostTime::from_ns(n * 1_000_000)
}

pub struct Rig {
    pub region: Region,
    pub layout: &'static Layout,
    pub host: Host,
    pub queue: QueueHandle,
    pub payload: Block,
    pub now_ms: u64,
}

impl Rig {
    pub fn in_small(layout: &'static Layout, region: Region) -> Rig {
        let mut host = Host::start(&region, layout, MagicOrder::First, 1, b"", 1).unwrap();
        let queue = host.add_queue(ID, 2, 1000).unwrap();
        Rig { region, layout, host, queue, payload: Block { offset: 0, size: 4 }, now_ms: 1 }
    }

    pub fn new(layout: &'static Layout, length: u32) -> Rig {
        Rig::in_region(layout, Region::memfd("lgmp", 1 << 20).unwrap(), length, 1)
    }

    pub fn in_region(layout: &'static Layout, region: Region, length: u32, seed: u32) -> Rig {
        let mut host = Host::start(&region, layout, MagicOrder::Last, seed, b"user data", 1).unwrap();
        let queue = host.add_queue(ID, length, KEEP_MS as u32).unwrap();
        let payload = host.allocate(4096, 4).unwrap();
        host.open().unwrap();
        Rig { region, layout, host, queue, payload, now_ms: 1 }
    }

    pub fn beat_for(&mut self, duration_ms: u64) {
        for _ in 0..duration_ms / 10 {
            self.now_ms += 10;
            self.host.beat(self.now_ms).unwrap();
        }
    }

    pub fn post(&mut self, udata: u32) -> Posted {
        let (now, payload) = (self.now_ms, self.payload);
        let (queue, region, layout) = self.host.queue(self.queue).unwrap();
        queue.post(region, layout, udata.into(), payload, now).unwrap()
    }

    /// As many beats as a stored heartbeat takes.
    pub fn heartbeat(&mut self) {
        self.beat_for(self.layout.manner.heartbeat_every_ms.max(10));
    }

    pub fn unfinished(&mut self) -> u32 {
        let (queue, region, layout) = self.host.queue(self.queue).unwrap();
        queue.unfinished(region, layout).unwrap()
    }

    pub fn joined(&mut self, seed: u64) -> Client {
        let mut client = Client::new(self.region.clone(), self.layout, seed);
        assert_eq!(client.poll(ms(self.now_ms)), Ok(Status::Waiting));
        self.heartbeat();
        assert_eq!(client.poll(ms(self.now_ms)), Ok(Status::Joined));
        client
    }

    /// What becomes of a message that nobody listens to; where it is posted all the same, nobody has to read it.
    pub fn unheard(&self) -> Posted {
        if self.layout.manner.posts_to_nobody { Posted::Sent } else { Posted::NobodyListens }
    }

    pub fn words(&self) -> QueueWords<'_> {
        QueueWords::new(&self.region, self.layout, 0).unwrap()
    }
}

/// Reads everything that waits, in order.
pub fn drain(client: &Client, place: &mut Subscription) -> Result<Vec<u32>, Trouble> {
    let mut seen = Vec::new();
    while let Some(message) = place.peek(client)? {
        seen.push(message.udata.distrusted() as u32);
        place.acknowledge(client)?;
    }
    Ok(seen)
}
