//! What the host asks of the machine while it runs, line by line on the second serial port:
//!
//! `run ID PROGRAM ARGUMENTS` starts a program that writes to the console, `run-as USER ...` as the user of that number ·
//! `write FILE WORDS` makes a file of one line, with the folders above it ·
//! `mode BITS NAME` changes who may open the node of the device with that name, and tells `RIG-MODE name node` · `signal ID NUMBER` sends it one, and
//! tells `RIG-SIGNAL ID NUMBER ms`, when that was by this machine's clock ·
//! `led NAME CODE VALUE` switches a lamp of the device whose name ends so, as whoever uses it would, and tells
//! `RIG-SWITCHED name node` · `leds` tells `RIG-LED device lamp brightness` for each · `mouse NAME` plugs a virtual mouse
//! in and tells `RIG-MOUSE`, and `move RATE COUNT` moves it so many times a second, then tells `RIG-MOVED` · `cpu ID` tells for how long a
//! program has run: `RIG-CPU ID nanoseconds`. A program that ended is told: `RIG-ENDED ID status`.

use crate::mouse::Mouse;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Instant;

/// The second serial port.
const PORT: &str = "/dev/ttyS1";
const EV_LED: u16 = 0x11;

/// See the module.
#[derive(Debug)]
pub struct Control {
    port: Option<File>,
    text: String,
    children: BTreeMap<String, Child>,
    mouse: Option<Mouse>,
    begun: Instant,
}

impl Control {
    /// Without the port nothing is asked.
    pub fn open() -> Control {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
        let port = rustix::fs::open(PORT, flags, Mode::empty()).ok().map(File::from);
        Control { port, text: String::new(), children: BTreeMap::new(), mouse: None, begun: Instant::now() }
    }

    /// Readable as soon as something is asked.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.port.as_ref().map(AsFd::as_fd)
    }

    /// Does what was asked since the last call. Never waits.
    pub fn serve(&mut self) {
        let mut bytes = [0; 1024];
        while let Some(Ok(n @ 1..)) = self.port.as_mut().map(|port| port.read(&mut bytes)) {
            self.text.push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
        while let Some((line, rest)) = self.text.split_once('\n') {
            let (line, rest) = (line.trim().to_owned(), rest.to_owned());
            self.text = rest;
            if let Err(e) = self.obey(&line) {
                println!("RIG-PANIC {line}: {e:#}");
            }
        }
        self.children.retain(|id, child| match child.try_wait() {
            Ok(Some(status)) => {
                println!("RIG-ENDED {id} {status}");
                false
            }
            _ => true,
        });
    }

    fn obey(&mut self, line: &str) -> anyhow::Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["run", id, program, arguments @ ..] => {
                let child = Command::new(program).args(arguments).spawn()?;
                self.children.insert((*id).to_owned(), child);
            }
            ["run-as", user, id, program, arguments @ ..] => {
                let user = user.parse()?;
                let child = Command::new(program).args(arguments).uid(user).gid(user).spawn()?;
                self.children.insert((*id).to_owned(), child);
            }
            ["write", path, words @ ..] => {
                let path = PathBuf::from(path);
                path.parent().map(fs::create_dir_all).transpose()?;
                fs::write(&path, format!("{}\n", words.join(" ")))?;
                println!("RIG-WROTE {}", path.display());
            }
            ["mode", bits, name @ ..] => {
                let (name, bits) = (name.join(" "), u32::from_str_radix(bits, 8)?);
                let node = node_of(&name)?;
                fs::set_permissions(&node, Permissions::from_mode(bits))?;
                println!("RIG-MODE {name} {}", node.display());
            }
            ["signal", id, number] => {
                let child = self.children.get(*id).ok_or_else(|| anyhow::anyhow!("no such program"))?;
                let signal = match *number {
                    "9" => Signal::KILL,
                    "15" => Signal::TERM,
                    "18" => Signal::CONT,
                    "19" => Signal::STOP,
                    other => anyhow::bail!("no signal {other}"),
                };
                if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    kill_process(pid, signal)?;
                    println!("RIG-SIGNAL {id} {number} {}", self.begun.elapsed().as_millis());
                }
            }
            ["led", name @ .., code, value] => switch(&name.join(" "), code.parse()?, value.parse()?)?,
            ["leds"] => tell_leds()?,
            ["mouse", name @ ..] => {
                self.mouse = Some(Mouse::plug(&name.join(" "))?);
                println!("RIG-MOUSE");
            }
            ["move", rate, count] => {
                let mouse = self.mouse.as_ref().ok_or_else(|| anyhow::anyhow!("no mouse"))?;
                mouse.run(rate.parse()?, count.parse()?)?;
                println!("RIG-MOVED {count}");
            }
            ["cpu", id] => {
                let child = self.children.get(*id).ok_or_else(|| anyhow::anyhow!("no such program"))?;
                println!("RIG-CPU {id} {}", cpu_ns(child.id())?);
            }
            [] => {}
            _ => anyhow::bail!("not understood"),
        }
        Ok(())
    }
}

/// For how long all threads of a process have run. Source: the kernel's `sched-stats.rst`, the first number.
fn cpu_ns(pid: u32) -> anyhow::Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        let stat = fs::read_to_string(thread.path().join("schedstat"))?;
        sum += stat.split_whitespace().next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(sum)
}

/// The node of the device whose name ends so.
pub(crate) fn node_of(name: &str) -> anyhow::Result<PathBuf> {
    for entry in fs::read_dir("/sys/class/input")?.flatten() {
        let node = entry.file_name().to_string_lossy().into_owned();
        let is_named = fs::read_to_string(entry.path().join("device/name")).is_ok_and(|n| n.trim().ends_with(name));
        if node.starts_with("event") && is_named {
            return Ok(PathBuf::from("/dev/input").join(node));
        }
    }
    anyhow::bail!("no device {name}")
}

/// Writes an event to the device, as a user of its lamps does. The kernel stamps it.
fn switch(name: &str, code: u16, value: i32) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    for (kind, code, value) in [(EV_LED, code, value), (0, 0, 0)] {
        bytes.extend([0; 16]);
        bytes.extend(kind.to_le_bytes());
        bytes.extend(code.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    let node = node_of(name)?;
    File::options().write(true).open(&node)?.write_all(&bytes)?;
    println!("RIG-SWITCHED {name} {}", node.display());
    Ok(())
}

fn tell_leds() -> anyhow::Result<()> {
    for entry in fs::read_dir("/sys/class/leds")?.flatten() {
        let lit = fs::read_to_string(entry.path().join("brightness"))?;
        let name = fs::read_to_string(entry.path().join("device/name")).unwrap_or_default();
        println!("RIG-LED {} {} {}", name.trim(), entry.file_name().to_string_lossy(), lit.trim());
    }
    Ok(())
}
