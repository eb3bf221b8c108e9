//! Real signals to real processes.

use crate::process::{Ended, Running, command, wrapped};
use crate::system::terminal;
use rustix::process::Signal;
use std::io::Write;
use std::iter;
use std::process::Stdio;

crate::tests!(
    a_signal_ends_threads_that_wait_for_ever,
    a_hangup_is_a_reload_and_a_wake_is_a_wake,
    a_hangup_ends_who_has_nothing_to_read_again_unless_started_to_stay,
    a_terminal_that_is_gone_ends_who_reads_again_too_unless_started_to_stay,
    a_second_interrupt_ends_a_clean_end_that_hangs,
    a_repeated_terminate_never_cuts_a_clean_end_short,
    two_interrupts_before_anybody_looked_are_one,
);

fn ready(program: &str) -> Running {
    let mut process = Running::start(command(program, &[]));
    assert_eq!(process.line(), "ready");
    process
}

fn clean(stdout: &str) -> Ended {
    Ended { code: Some(0), stdout: stdout.into(), stderr: String::new() }
}

fn a_signal_ends_threads_that_wait_for_ever() {
    for signal in [Signal::INT, Signal::TERM] {
        let process = ready("threads");
        process.signal(signal);
        assert_eq!(process.end(), clean("clean\n"));
    }
}

fn a_hangup_is_a_reload_and_a_wake_is_a_wake() {
    let mut process = ready("loop");
    process.signal(Signal::HUP);
    assert_eq!(process.line(), "Reload");
    // The bell that the hangup rang is told too: a wake may come once too often, never once too little.
    assert_eq!(process.line(), "Wake");
    process.signal(Signal::HUP);
    assert_eq!(process.line(), "Reload");
    assert_eq!(process.line(), "Wake");
    drop(process.stdin.take());
    assert_eq!(process.line(), "Wake");
    process.signal(Signal::TERM);
    assert_eq!(process.end(), clean("Stop\n"));
}

fn a_hangup_ends_who_has_nothing_to_read_again_unless_started_to_stay() {
    let process = ready("hangup");
    process.signal(Signal::HUP);
    assert_eq!(process.end(), clean("clean\n"));
    let mut process = Running::start(wrapped(&["nohup"], "hangup", &[]));
    assert_eq!(process.line(), "ready");
    process.signal(Signal::HUP);
    process.stdin.as_mut().unwrap().write_all(b"are you there?\n").unwrap();
    assert_eq!(process.line(), "still here");
    process.signal(Signal::TERM);
    assert_eq!(process.end(), clean("clean\n"));
}

fn a_terminal_that_is_gone_ends_who_reads_again_too_unless_started_to_stay() {
    for (wrapper, stays) in [(&["setsid", "--ctty"][..], false), (&["setsid", "--ctty", "nohup"], true)] {
        let (terminal, side) = terminal();
        let mut command = wrapped(wrapper, "loop", &[]);
        command.stdin(Stdio::from(side));
        let mut process = Running::start(command);
        assert_eq!(process.line(), "ready");
        process.signal(Signal::HUP);
        // While it is there. What comes from it wakes, too.
        let woken = |process: &mut Running| iter::repeat_with(|| process.line()).find(|line| line != "Wake").unwrap();
        assert_eq!(woken(&mut process), "Reload");
        drop(terminal);
        if stays {
            assert_eq!(woken(&mut process), "Reload", "{wrapper:?}");
            process.signal(Signal::TERM);
        }
        let ended = process.end();
        assert_eq!((ended.code, ended.stdout.lines().last()), (Some(0), Some("Stop")), "{wrapper:?}");
    }
}

fn a_second_interrupt_ends_a_clean_end_that_hangs() {
    for first in [Signal::INT, Signal::TERM] {
        let mut process = ready("stuck");
        process.signal(first);
        assert_eq!(process.line(), "seen");
        process.signal(Signal::INT);
        let ended = process.end();
        assert_eq!(ended, Ended { code: Some(130), ..clean("") });
    }
}

fn a_repeated_terminate_never_cuts_a_clean_end_short() {
    let mut process = ready("stuck");
    process.signal(Signal::TERM);
    assert_eq!(process.line(), "seen");
    for _ in 0..10 {
        process.signal(Signal::TERM);
    }
    // Still there to take the interrupt.
    process.signal(Signal::INT);
    assert_eq!(process.end().code, Some(130));
}

fn two_interrupts_before_anybody_looked_are_one() {
    let process = ready("unseen");
    for _ in 0..5 {
        process.signal(Signal::INT);
    }
    assert_eq!(process.end(), clean("clean\n"));
}
