//! What `frame-rx` adds to a report of a mouse, in a machine whose clock counts instructions instead of time: the figures
//! are those of the program and the kernel below it, whatever else this host does.

use super::*;

/// A mouse that the machine makes itself.
const MOUSE: &str = "rig mouse";
/// What QEMU is told, and how long an instruction takes then. Unit: ns.
const COUNTED: (&str, u64) = ("-icount shift=3", 8);
/// What the program may add to the barest reader, from the kernel's stamp of a report to its own write. Unit: instructions.
const ADDED_MAX: u64 = 5000;
/// What each report of a fast mouse may cost in all, the kernel's part for the program included. Unit: instructions. 8000 a
/// second are 3 % of a processor that does 3.2 thousand million a second.
const EACH_MAX: u64 = 12_000;
/// Reports that are looked at one by one; so far apart that each is sent by itself.
const REPORTS: (u64, u64) = (500, 1000);
/// A fast mouse: reports a second, and how many.
const FAST: (u64, u64) = (8000, 8000);

struct Bed {
    vm: Vm,
    control: UnixStream,
}

impl Bed {
    fn boot(program: &Path) -> Bed {
        let folder = place::folder();
        let port = folder.path().join("port");
        let serial = format!("-chardev socket,id=port,path={},server=on,wait=off -serial chardev:port", port.display());
        let arguments: Vec<String> =
            [serial.as_str(), "-m 640", COUNTED.0].iter().flat_map(|a| a.split(' ')).map(str::to_owned).collect();
        let vm = Vm::boot_with(folder, &arguments, "nothing", &Luggage::new().program("bin/frame-rx", program));
        vm.wait("RIG-READY", BOOT);
        let control = UnixStream::connect(&port).expect("the second serial port");
        Bed { vm, control }
    }

    /// Asks, and waits for the answer.
    fn ask(&mut self, line: &str, answer: &str) -> String {
        let mark = self.vm.mark();
        writeln!(self.control, "{line}").expect("the second serial port");
        self.vm.wait_after(mark, answer, SOON)
    }

    fn moves(&mut self, (rate, count): (u64, u64)) {
        self.ask(&format!("move {rate} {count}"), "RIG-MOVED");
    }

    /// For how long the program has run in the machine. Unit: instructions.
    fn ran(&mut self, id: &str) -> u64 {
        let told = self.ask(&format!("cpu {id}"), "RIG-CPU");
        numbers(&told).last().copied().expect("a number") / COUNTED.1
    }
}

/// All whole numbers in a line.
fn numbers(line: &str) -> Vec<u64> {
    line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

/// The numbers of a line of figures: half within, 99 % within, at most. Unit: us.
fn spread(line: &str) -> [u64; 3] {
    let (_, after) = line.split_once("median").unwrap_or_else(|| panic!("no figures: {line}"));
    let all = numbers(&after.replace("99 %", ""));
    all.try_into().unwrap_or_else(|_| panic!("not three figures: {line}"))
}

#[test]
fn a_report_costs_few_instructions_more_than_the_barest_reader_of_it() {
    if !vm::input_possible() {
        return;
    }
    let program = programs::release("frame-rx");
    let _turn = vm::take_turn();
    let mut bed = Bed::boot(&program);
    bed.ask(&format!("mouse {MOUSE}"), "RIG-MOUSE");
    let reports = REPORTS.1;
    bed.ask(&format!("run bare /init bare {reports} {MOUSE}"), "RIG-BARE reads");
    let mark = bed.vm.mark();
    bed.moves(REPORTS);
    let bare = bed.vm.wait_after(mark, "RIG-BARE read after", SOON);
    println!("{bare}");
    let bare = numbers(&bare);
    let (read, written) = (bare[0], bare[3]);
    let proxy = "/bin/frame-rx input-proxy --evdev name=rig --take-at-start --input-stats";
    bed.ask(&format!("run proxy {proxy}"), "reads rig mouse");
    bed.moves(REPORTS);
    let mark = bed.vm.mark();
    bed.ask("signal proxy 15", "RIG-ENDED proxy exit status: 0");
    let told = |what: &str| bed.vm.lines_after(mark, what).pop().unwrap_or_else(|| panic!("{}", bed.vm.console()));
    let (heard, added) = (spread(&told("input devices")), spread(&told("input delay")));
    println!("read after {heard:?} us, sent after {added:?} us");
    let in_instructions = |us: u64| us * 1000 / COUNTED.1;
    let with_write = in_instructions(added[0].saturating_sub(read));
    let more = with_write.saturating_sub(in_instructions(written));
    println!(
        "half of the reports: {more} instructions more than the barest reader, {with_write} with the write itself"
    );
    bed.ask(&format!("run proxy {proxy}"), "reads rig mouse");
    let before = bed.ran("proxy");
    bed.moves(FAST);
    let each = (bed.ran("proxy") - before) / FAST.1;
    println!("at {} reports a second: {each} instructions each, in all", FAST.0);
    assert!(more <= ADDED_MAX && each <= EACH_MAX, "{more} instructions, {each} each");
}
