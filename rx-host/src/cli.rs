//! What both command lines have in common: shell completions and the manual page, made from the very definition that
//! parses the flags, and printed to stdout.

use crate::exit::{self, StdoutError};
use clap::Command;
use clap_complete::Shell;

/// Prints the completions of `command` for one shell. The name the shell completes is the command's own.
///
/// # Errors
/// [`StdoutError`].
pub fn print_completions(shell: Shell, command: Command) -> Result<(), StdoutError> {
    exit::print(completions(shell, command))
}

/// Prints the manual page of `command`, in roff: `scream-rx man | man -l -`.
///
/// # Errors
/// [`StdoutError`].
pub fn print_man(command: Command) -> Result<(), StdoutError> {
    exit::print(man(command))
}

fn completions(shell: Shell, mut command: Command) -> Vec<u8> {
    let name = command.get_name().to_owned();
    // Into memory first: the generator panics when a reader of stdout has gone.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    text
}

fn man(command: Command) -> Vec<u8> {
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = clap_mangen::Man::new(command).render(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ValueEnum};

    fn command() -> Command {
        Command::new("some-rx")
            .about("plays something")
            .arg(Arg::new("latency").long("latency").value_name("MS").help("How much to hold"))
            .subcommand(Command::new("doctor").about("Finds what is wrong"))
    }

    #[test]
    fn every_shell_gets_completions_of_every_flag_and_command() {
        for shell in Shell::value_variants() {
            let text = String::from_utf8(completions(*shell, command())).unwrap();
            for word in ["some-rx", "latency", "doctor"] {
                assert!(text.contains(word), "{shell}: {word} is missing");
            }
        }
    }

    #[test]
    fn the_manual_page_names_flags_and_commands() {
        let text = String::from_utf8(man(command())).unwrap();
        for words in [".TH some-rx 1", "plays something", "latency", "How much to hold", "doctor"] {
            assert!(text.contains(words), "{words:?} is missing in\n{text}");
        }
    }
}
