//! A virtual machine with one program in it: QEMU emulating a processor (no KVM needed), a Linux kernel, our guest
//! program as its only process, and one or more `ivshmem-plain` devices, each a file that the host sees too.
//!
//! The guest tells how far it is by lines on its serial console, each beginning with `RIG-`.

use crate::cpio::Archive;
use crate::luggage::Luggage;
use crate::process::{Running, tied};
use crate::{kernel, place, programs, require};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::time::Duration;

/// Longest wait for a boot. Two seconds on a free machine, twenty seen on a starved one.
pub const BOOT: Duration = Duration::from_secs(120);

/// The guest gives up by itself after this long, whatever happens to the test.
const DEAD_MAN_S: u32 = 300;

/// One shared-memory device: a file on the host, a PCI device in the guest.
#[derive(Clone, Debug)]
pub struct Device {
    /// The file. QEMU makes it if it does not exist, and leaves it there at its end.
    pub path: PathBuf,
    /// Its size. Must be a power of two and at least 1 MiB: QEMU aborts otherwise.
    pub bytes: u64,
}

/// Whether this machine can run a VM. Prints the skip if not.
///
/// # Panics
/// If it cannot and `CI=true`.
pub fn possible() -> bool {
    require::programs(&["qemu-system-x86_64"])
        && (kernel::locate().is_some() || require::skip("there is no kernel for the VM (run scripts/kernel.sh)"))
}

/// Whether this machine can run a VM with keyboards and mice, which needs modules of the kernel. Prints the skip if not.
///
/// # Panics
/// If it cannot and `CI=true`.
pub fn input_possible() -> bool {
    require::programs(&["qemu-system-x86_64"])
        && (kernel::locate_for_input().is_some()
            || require::skip("there is no kernel with modules for the VM (run scripts/kernel.sh input)"))
}

/// VMs at a time on this machine's few cores: each keeps one busy while it boots, and waits for most of the rest.
const TURNS: usize = 2;
/// Between two looks for a free turn.
const TURN_LOOK: Duration = Duration::from_millis(20);

/// What a VM needs to run, held for the length of a test, also against other test processes.
#[derive(Debug)]
pub struct Turn {
    _locks: Vec<File>,
}

/// Waits for this test's turn, beside one other VM perhaps. The longest wait is that of the tests before it, which all
/// have bounds.
///
/// # Panics
/// If a lock cannot be made.
pub fn take_turn() -> Turn {
    loop {
        let free = (0..TURNS).map(turn_file).find(|file| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok());
        if let Some(lock) = free {
            return Turn { _locks: vec![lock] };
        }
        std::thread::park_timeout(TURN_LOOK);
    }
}

/// As [`take_turn`], for a test whose machine has to answer in time or that looks at everything that is left behind: no
/// other VM runs beside it.
///
/// # Panics
/// As [`take_turn`].
pub fn take_all_turns() -> Turn {
    let locks: Vec<File> = (0..TURNS).map(turn_file).collect();
    // Everybody else holds one of them and waits for none, so this ends.
    for lock in &locks {
        flock(lock, FlockOperation::LockExclusive).expect("the lock");
    }
    Turn { _locks: locks }
}

fn turn_file(n: usize) -> File {
    let folder = programs::target_folder().join("vm");
    std::fs::create_dir_all(&folder).expect("a folder for the VM's files");
    File::create(folder.join(format!("lock{n}"))).expect("a lock file")
}

/// A running VM. Killed when dropped.
#[derive(Debug)]
pub struct Vm {
    qemu: Running,
    _folder: tempfile::TempDir,
}

impl Vm {
    /// Boots a VM with `devices`; `rig` is appended to the kernel's command line for the guest program to read.
    ///
    /// # Panics
    /// If something that [`possible`] asks for is missing.
    pub fn boot(devices: &[Device], rig: &str) -> Vm {
        let mut arguments = Vec::new();
        for (n, device) in devices.iter().enumerate() {
            let (path, bytes) = (device.path.display(), device.bytes);
            arguments.push("-object".to_owned());
            arguments.push(format!("memory-backend-file,id=shm{n},share=on,mem-path={path},size={bytes}"));
            arguments.push("-device".to_owned());
            arguments.push(format!("ivshmem-plain,memdev=shm{n},addr={:#x}", 0x10 + n));
        }
        Vm::start(&kernel::locate().expect("a kernel"), archive(), place::folder(), &arguments, rig)
    }

    /// Boots a VM that tells what arrives at its keyboards and mice (`rx-guest`'s `input`). `folder` is for sockets that
    /// `arguments` name, and goes with the VM; `what` is `keys` or `sums`.
    ///
    /// # Panics
    /// If something that [`input_possible`] asks for is missing.
    pub fn boot_for_input(folder: tempfile::TempDir, arguments: &[String], what: &str) -> Vm {
        Vm::boot_with(folder, arguments, what, &Luggage::new())
    }

    /// As [`Vm::boot_for_input`], with what is in `luggage`; `what` may have more words for the kernel behind it.
    ///
    /// # Panics
    /// As [`Vm::boot_for_input`].
    pub fn boot_with(folder: tempfile::TempDir, arguments: &[String], what: &str, luggage: &Luggage) -> Vm {
        let kernel = kernel::locate_for_input().expect("a kernel with its modules");
        let luggage = kernel.modules.iter().fold(luggage.clone(), |luggage, module| luggage.module(module));
        Vm::start(&kernel.image, &luggage.packed(base()).finish(), folder, arguments, &format!("rig.input={what}"))
    }

    fn start(kernel: &Path, archive: &[u8], folder: tempfile::TempDir, arguments: &[String], rig: &str) -> Vm {
        let initrd = folder.path().join("init.cpio");
        std::fs::write(&initrd, archive).expect("room for the VM's files");
        let mut command = tied("qemu-system-x86_64");
        // Virtual time counts the instructions of one thread.
        // A kernel that is held up while it measures its processor's counter may have a clock that runs at a pace of its own
        // (506 s within a test of 36, once). Where instructions are counted there is no such moment.
        let (threads, clock) = match arguments.iter().any(|a| a == "-icount") {
            true => ("single", "tsc=reliable"),
            false => ("multi", "clocksource=hpet"),
        };
        command
            .args(["-nodefaults", "-no-user-config", "-machine", "q35", "-cpu", "max"])
            .args(["-accel", &format!("tcg,thread={threads}")])
            .args(["-smp", "1", "-m", "192", "-display", "none", "-no-reboot", "-serial", "stdio"])
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(&initrd)
            .arg("-append")
            .arg(format!(
                "console=ttyS0 quiet panic=-1 mitigations=off nokaslr {clock} no_timer_check rig.dead_man_s={DEAD_MAN_S} {rig}"
            ))
            .args(arguments);
        let mut qemu = Running::start("qemu", &mut command);
        qemu.fail_on(&["RIG-PANIC", "Kernel panic"]);
        Vm { qemu, _folder: folder }
    }

    /// Waits for a line of the guest that holds `marker`, and gives it.
    ///
    /// # Panics
    /// If it does not come in time, the guest panics or QEMU ends. The message holds the console's last lines.
    pub fn wait(&self, marker: &str, within: Duration) -> String {
        self.qemu.line(marker, within)
    }

    /// How many lines the console has: the place from which [`Vm::wait_after`] can look.
    pub fn mark(&self) -> usize {
        self.qemu.mark()
    }

    /// As [`Vm::wait`], looking only at lines from `mark` on.
    ///
    /// # Panics
    /// As [`Vm::wait`].
    pub fn wait_after(&self, mark: usize, marker: &str, within: Duration) -> String {
        self.qemu.line_after(mark, marker, within)
    }

    /// All lines of the console from `mark` on that hold `marker`.
    pub fn lines_after(&self, mark: usize, marker: &str) -> Vec<String> {
        let lines = self.qemu.lines_after(mark, crate::process::Stream::Out);
        lines.into_iter().filter(|line| line.contains(marker)).collect()
    }

    /// Everything on the console so far.
    pub fn console(&self) -> String {
        self.qemu.tail()
    }

    /// Pulls the plug: the guest stops between two instructions, and what it wrote stays as it is.
    pub fn kill(self) {
        drop(self);
    }

    /// Waits until the guest has powered itself off.
    ///
    /// # Panics
    /// If it does not.
    pub fn end(mut self, within: Duration) -> ExitStatus {
        self.qemu.end(within)
    }

    /// Stops the guest's processor, as a host that is out of memory does; [`Vm::thaw`] lets it go on.
    pub fn freeze(&mut self) {
        self.qemu.signal(rustix::process::Signal::STOP);
    }

    /// Ends a [`Vm::freeze`].
    pub fn thaw(&mut self) {
        self.qemu.signal(rustix::process::Signal::CONT);
    }
}

/// The guest's file system: its program and a console.
fn archive() -> &'static [u8] {
    static ARCHIVE: OnceLock<Vec<u8>> = OnceLock::new();
    ARCHIVE.get_or_init(|| base().finish())
}

fn base() -> Archive {
    let program = std::fs::read(programs::guest()).expect("the guest's program");
    let folders = ["dev", "proc", "sys"].iter().fold(Archive::new(), |archive, name| archive.folder(name));
    folders.device("dev/console", 5, 1).program("init", &program)
}

/// The size of the file at `path`, or 0.
pub fn file_bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}
