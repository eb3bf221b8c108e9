//! Parse, measure, report, exit code. See the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    rx_host::exit::run("rx-bench", rx_bench::cli::main)
}
