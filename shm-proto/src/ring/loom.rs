//! Every interleaving of the protocol in small rings, weak memory included. Run with
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p shm-proto --lib --release --target-dir target/loom ring::loom
//! ```
//!
//! The steps are those of `protocol.rs`, the very code that runs on a region; only the memory is loom's, with every
//! load and store relaxed, so that nothing but the protocol's own fences keeps order. The mutants live in the memory:
//! a mutant memory leaves out one operation. For each test there are mutants that loom must catch, which shows that
//! the test can fail.

use super::protocol::{self, Alter, Got, Look, Miss, Position, Word};
use core::convert::Infallible;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use std::cell::Cell;

const SLOTS: u32 = 2;

/// What a mutant memory leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Omit {
    Nothing,
    /// The writer's odd mark.
    OddMark,
    /// The writer's n-th fence of a call, counted from 0.
    Release(u32),
    /// The reader's n-th fence of a call.
    Acquire(u32),
    /// The reader's second look at a sequence word: it sees again what it saw first.
    SecondLook,
    /// The reader's look at the generation after the copy.
    LookAtGeneration,
    /// The writer's odd generation.
    OddGeneration,
    /// The writer's count.
    Count,
}

/// The ring's words and, per slot, a payload of two words.
struct Model {
    generation: AtomicU64,
    published: AtomicU64,
    sequence: [AtomicU64; SLOTS as usize],
    payload: [[AtomicU64; 2]; SLOTS as usize],
    /// Stands for the header: two words that belong together.
    header: [AtomicU64; 2],
}

/// One thread's way to the model.
struct Memory {
    model: Arc<Model>,
    omit: Omit,
    fences: Cell<u32>,
    first_look: Cell<Option<u64>>,
    generation: Cell<Option<u64>>,
}

impl Memory {
    fn new(model: &Arc<Model>, omit: Omit) -> Memory {
        let (fences, first_look, generation) = (Cell::new(0), Cell::new(None), Cell::new(None));
        Memory { model: model.clone(), omit, fences, first_look, generation }
    }

    /// A call of the protocol begins: counts its fences anew.
    fn begin(&self) {
        self.fences.set(0);
        self.first_look.set(None);
    }

    fn word(&self, word: Word) -> &AtomicU64 {
        match word {
            Word::Generation => &self.model.generation,
            Word::Published => &self.model.published,
            Word::Sequence(slot) => &self.model.sequence[slot as usize],
        }
    }

    fn fence_unless(&self, omitted: impl Fn(u32) -> Omit, order: Ordering) {
        let n = self.fences.replace(self.fences.get() + 1);
        if self.omit != omitted(n) {
            fence(order);
        }
    }

    fn write(&self, slot: u32, value: u64) -> Result<(), Infallible> {
        self.model.payload[slot as usize].iter().for_each(|word| word.store(value, Ordering::Relaxed));
        Ok(())
    }

    fn copy(&self, slot: u32) -> Result<[u64; 2], Infallible> {
        let [a, b] = &self.model.payload[slot as usize];
        Ok([a.load(Ordering::Relaxed), b.load(Ordering::Relaxed)])
    }

    fn publish(&self, number: u64, value: u64) {
        self.begin();
        let Ok(()) = protocol::publish(self, SLOTS, number, |slot| self.write(slot, value));
    }
}

impl Look for Memory {
    type Error = Infallible;
    type Found = Word;

    fn find(&self, word: Word) -> Result<Word, Infallible> {
        Ok(word)
    }

    fn load(&self, word: Word) -> u64 {
        match (self.omit, word) {
            (Omit::SecondLook, Word::Sequence(_)) => self.first_look.take().unwrap_or_else(|| {
                let first = self.word(word).load(Ordering::Relaxed);
                self.first_look.set(Some(first));
                first
            }),
            (Omit::LookAtGeneration, Word::Generation) => {
                let first = self.generation.get().unwrap_or_else(|| self.word(word).load(Ordering::Relaxed));
                self.generation.set(Some(first));
                first
            }
            _ => self.word(word).load(Ordering::Relaxed),
        }
    }

    fn acquire(&self) {
        self.fence_unless(Omit::Acquire, Ordering::Acquire);
    }
}

impl Alter for Memory {
    type Place = Word;

    fn place(&self, word: Word) -> Result<Word, Infallible> {
        Ok(word)
    }

    fn store(&self, word: Word, value: u64) {
        let is_odd = value % 2 == 1;
        match (self.omit, word) {
            (Omit::OddMark, Word::Sequence(_)) | (Omit::OddGeneration, Word::Generation) if is_odd => {}
            (Omit::Count, Word::Published) => {}
            _ => self.word(word).store(value, Ordering::Relaxed),
        }
    }

    fn release(&self) {
        self.fence_unless(Omit::Release, Ordering::Release);
    }
}

/// A ring of generation 2 in which nothing was published.
fn ring() -> Arc<Model> {
    Arc::new(Model {
        generation: AtomicU64::new(2),
        published: AtomicU64::new(0),
        sequence: [AtomicU64::new(0), AtomicU64::new(0)],
        payload: [[AtomicU64::new(0), AtomicU64::new(0)], [AtomicU64::new(0), AtomicU64::new(0)]],
        header: [AtomicU64::new(2), AtomicU64::new(2)],
    })
}

/// Explores `scenario` with a memory that omits nothing, which must hold, then with each mutant, which must break.
/// `preemptions` limits how often an execution takes a thread away that could go on; without a number every execution
/// is explored.
fn explore(preemptions: Option<usize>, mutants: &[Omit], scenario: fn(Omit)) {
    assert!(!mutants.is_empty(), "a test without a mutant shows nothing");
    run(preemptions, scenario, Omit::Nothing).unwrap_or_else(|cause| std::panic::resume_unwind(cause));
    silence_mutants();
    for mutant in mutants {
        let Err(cause) = run(preemptions, scenario, *mutant) else {
            panic!("a memory with the mutant {mutant:?} was not caught")
        };
        let words = cause.downcast_ref::<String>().map_or("", String::as_str);
        assert!(words.starts_with(BROKEN), "{mutant:?} was caught for another reason: {words}");
    }
}

/// How the assertions of the scenarios begin, to tell them from any other panic.
const BROKEN: &str = "protocol broken: ";
const MUTANT_THREAD: &str = "mutant";

fn run(preemptions: Option<usize>, scenario: fn(Omit), omit: Omit) -> std::thread::Result<()> {
    // Each exploration has its own thread: a mutant that is caught leaves loom's thread-local state behind.
    let name = if omit == Omit::Nothing { "protocol" } else { MUTANT_THREAD };
    let exploration = move || {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = preemptions;
        builder.check(move || scenario(omit));
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(exploration).expect("a thread").join()
}

/// A mutant's panic is what we want; it is not shown.
fn silence_mutants() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() != Some(MUTANT_THREAD) {
                shown(info);
            }
        }));
    });
}

/// What the payload of a publication holds in both words.
fn value_of(generation: u64, number: u64) -> u64 {
    generation * 100 + number
}

/// A reader as it goes along, with what it has seen.
struct Follower {
    memory: Memory,
    at: Position,
    last: u64,
    taken: u64,
    lapped: u64,
}

impl Follower {
    fn new(model: &Arc<Model>, omit: Omit) -> Follower {
        let memory = Memory::new(model, omit);
        memory.load(Word::Generation);
        let Ok(at) = Position::before_newest(&memory, 2, SLOTS);
        Follower { memory, at, last: 0, taken: 0, lapped: 0 }
    }

    fn next(&mut self) -> Option<Miss> {
        self.memory.begin();
        let Ok(outcome) = self.at.next(&self.memory, |slot| self.memory.copy(slot));
        self.judge(outcome)
    }

    fn newest(&mut self) -> Option<Miss> {
        self.memory.begin();
        let Ok(outcome) = self.at.newest(&self.memory, |slot| self.memory.copy(slot));
        self.judge(outcome)
    }

    /// What every reader may rely on: whole payloads, of the publication named, in order; and an honest writer is
    /// never called corrupt.
    fn judge(&mut self, outcome: Result<Got<[u64; 2]>, Miss>) -> Option<Miss> {
        match outcome {
            Ok(got) => {
                let expected = value_of(2, got.number);
                assert!(got.value == [expected; 2], "{BROKEN}took {:?} as publication {}", got.value, got.number);
                assert!(got.number > self.last, "{BROKEN}took {} after {}", got.number, self.last);
                self.last = got.number;
                self.taken += 1;
                self.lapped += got.lapped;
                self.at.accept(got.number);
                None
            }
            Err(Miss::Corrupt(corrupt)) => panic!("{BROKEN}an honest writer was called corrupt: {corrupt}"),
            Err(miss) => Some(miss),
        }
    }
}

fn write_three(model: &Arc<Model>, omit: Omit) -> loom::thread::JoinHandle<()> {
    let writer = Memory::new(model, omit);
    loom::thread::spawn(move || (1..=3).for_each(|number| writer.publish(number, value_of(2, number))))
}

#[test]
fn a_reader_that_is_lapped_takes_whole_payloads_only() {
    fn scenario(omit: Omit) {
        let model = ring();
        let mut reader = Follower::new(&model, omit);
        let writing = write_three(&model, omit);
        reader.next();
        reader.next();
        writing.join().unwrap();
    }
    let writer = [Omit::OddMark, Omit::Release(0), Omit::Release(1)];
    // Fences of the reader: behind the first look, behind the copy, before the count that follows a torn copy.
    let reader = [Omit::Acquire(0), Omit::Acquire(1), Omit::Acquire(2), Omit::SecondLook];
    explore(None, &[&writer[..], &reader[..]].concat(), scenario);
}

#[test]
fn a_reader_that_comes_late_takes_the_newest_at_once() {
    fn scenario(omit: Omit) {
        let model = ring();
        let writing = write_three(&model, omit);
        let mut reader = Follower::new(&model, omit);
        // Only how it comes is in question here, so it reads with every fence.
        reader.memory.omit = Omit::Nothing;
        let counted = reader.at.taken() + 1;
        let miss = reader.next();
        let is_empty = counted == 1;
        assert!(is_empty || miss.is_none(), "{BROKEN}{counted} was counted but not there: {miss:?}");
        writing.join().unwrap();
    }
    explore(None, &[Omit::Release(2), Omit::Acquire(0)], scenario);
}

#[test]
fn a_reader_of_the_newest_takes_whole_payloads_only() {
    fn scenario(omit: Omit) {
        let model = ring();
        let mut reader = Follower::new(&model, omit);
        let writing = write_three(&model, omit);
        reader.newest();
        reader.newest();
        writing.join().unwrap();
    }
    // Fences of the reader: behind the count, behind the first look, behind the copy. The one before the even mark is
    // not in the list: who comes by the count is served by the one before the count.
    let writer = [Omit::OddMark, Omit::Release(0), Omit::Release(2)];
    let reader = [Omit::Acquire(0), Omit::Acquire(2), Omit::SecondLook];
    explore(Some(5), &[&writer[..], &reader[..]].concat(), scenario);
}

#[test]
fn every_publication_is_taken_or_counted_as_lapped() {
    fn scenario(omit: Omit) {
        let model = ring();
        let mut reader = Follower::new(&model, omit);
        let writing = write_three(&model, omit);
        reader.next();
        writing.join().unwrap();
        // Nobody writes any more: a reader ends at the newest after a few calls, and has accounted for each.
        let end = (0..4).find_map(|_| reader.next());
        assert!(end == Some(Miss::NotYet), "{BROKEN}the reader ends with {end:?}");
        assert!(reader.last == 3, "{BROKEN}the reader ends at {}", reader.last);
        assert!(reader.taken + reader.lapped == 3, "{BROKEN}{} taken, {} lapped", reader.taken, reader.lapped);
    }
    explore(None, &[Omit::Count], scenario);
}

#[test]
fn an_honest_writer_never_looks_like_one_that_broke_the_rules() {
    fn scenario(omit: Omit) {
        let model = ring();
        let mut reader = Follower::new(&model, omit);
        let writing = write_three(&model, omit);
        for _ in 0..2 {
            reader.next();
            reader.memory.begin();
            let Ok(lost) = reader.at.resynchronise(&reader.memory);
            assert!(lost.is_none(), "{BROKEN}an honest writer was found lost: {lost:?}");
        }
        writing.join().unwrap();
    }
    explore(Some(4), &[Omit::Release(2), Omit::Acquire(0)], scenario);
}

/// Begins generation 4 where other words lie where payload was: the rewriting scribbles over it.
fn restart(writer: &Memory) {
    writer.begin();
    let Ok(()) = protocol::restart(writer, 4, || {
        let model = &writer.model;
        model.payload.iter().flatten().chain(&model.header).for_each(|word| word.store(4, Ordering::Relaxed));
        writer.store(Word::Published, 0);
        (0..SLOTS).for_each(|slot| writer.store(Word::Sequence(slot), 0));
        Ok::<_, Infallible>(())
    });
}

#[test]
fn a_reader_takes_nothing_of_another_generation() {
    fn scenario(omit: Omit) {
        let model = ring();
        let writer = Memory::new(&model, omit);
        writer.publish(1, value_of(2, 1));
        let mut reader = Follower::new(&model, omit);
        let writing = loom::thread::spawn(move || {
            restart(&writer);
            writer.publish(1, value_of(4, 1));
        });
        reader.next();
        reader.newest();
        writing.join().unwrap();
        let end = reader.next();
        assert!(end == Some(Miss::Restarted), "{BROKEN}the reader missed the restart: {end:?}");
    }
    explore(Some(3), &[Omit::OddGeneration, Omit::Release(0), Omit::Acquire(1), Omit::LookAtGeneration], scenario);
}

#[test]
fn a_header_is_read_whole_and_belongs_to_its_generation() {
    fn scenario(omit: Omit) {
        let model = ring();
        let (writer, reader) = (Memory::new(&model, omit), Memory::new(&model, omit));
        let writing = loom::thread::spawn(move || restart(&writer));
        for _ in 0..2 {
            reader.begin();
            reader.generation.set(None);
            let read = || Ok::<_, Infallible>([0, 1].map(|i: usize| reader.model.header[i].load(Ordering::Relaxed)));
            let Ok(found) = protocol::snapshot(&reader, read);
            if let Some((generation, header)) = found {
                assert!(header == [generation; 2], "{BROKEN}generation {generation} has the header {header:?}");
            }
        }
        writing.join().unwrap();
    }
    let writer = [Omit::OddGeneration, Omit::Release(0), Omit::Release(1)];
    let reader = [Omit::Acquire(0), Omit::Acquire(1), Omit::LookAtGeneration];
    explore(None, &[&writer[..], &reader[..]].concat(), scenario);
}
