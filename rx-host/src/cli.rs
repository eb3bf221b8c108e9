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

fn completions(shell: Shell, command: Command) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut command = without_hidden(command);
    // Into memory first: the generator panics when a reader of stdout has gone.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    text
}

/// The same without the commands that nobody types: the generator would offer them, too.
fn without_hidden(command: Command) -> Command {
    if command.get_subcommands().all(|sub| !sub.is_hide_set()) {
        return command;
    }
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned();
    let mut rest = Command::new(command.get_name().to_owned())
        .args(command.get_arguments().cloned())
        .groups(command.get_groups().cloned())
        .subcommands(shown);
    if let Some(about) = command.get_about() {
        rest = rest.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        rest = rest.version(version.to_owned());
    }
    rest
}

/// One page for the program and all of its commands, whose flags stand behind its own, a section for each command.
fn man(mut command: Command) -> Vec<u8> {
    command.build();
    let mut page = Vec::new();
    // Writing to memory cannot fail.
    let _ = clap_mangen::Man::new(command.clone()).render(&mut page);
    let mut text = String::from_utf8_lossy(&page).into_owned();
    let roff = |name: &str| name.replace('-', "\\-");
    for sub in command.get_subcommands() {
        // There are no such pages; it is a section of this one.
        let (program, name) = (roff(command.get_name()), roff(sub.get_name()));
        text = text.replace(&format!("{program}\\-{name}(1)"), &format!("{program} {name}"));
    }
    // `run` is what the program does without a command: its flags stand at the front already.
    let told = |sub: &&Command| !sub.is_hide_set() && !["help", "run"].contains(&sub.get_name());
    for sub in command.get_subcommands().filter(told) {
        text.push_str(&man_section(command.get_name(), sub));
    }
    text.into_bytes()
}

fn man_section(program: &str, sub: &Command) -> String {
    let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
    let page = clap_mangen::Man::new(sub.clone());
    let mut options = Vec::new();
    let _ = page.render_options_section(&mut options);
    // A page of its own turned into a section of this one.
    let options = String::from_utf8_lossy(&options).replace(".SH ", ".SS ");
    let name = sub.get_name();
    format!(".SH \"COMMAND {}\"\n{program} {name}: {about}\n{options}", name.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ValueEnum};

    fn command() -> Command {
        Command::new("some-rx")
            .about("plays something")
            .arg(Arg::new("latency").long("latency").value_name("MS").help("How much to hold"))
            .subcommand(
                Command::new("doctor")
                    .about("Finds what is wrong")
                    .arg(Arg::new("deep").long("deep").value_name("N").help("How far to look")),
            )
            .subcommand(Command::new("inner").hide(true).about("Is started by ourselves"))
    }

    #[test]
    fn every_shell_gets_completions_of_every_flag_and_command() {
        for shell in Shell::value_variants() {
            let text = String::from_utf8(completions(*shell, command())).unwrap();
            for word in ["some-rx", "latency", "doctor"] {
                assert!(text.contains(word), "{shell}: {word} is missing");
            }
            assert!(!text.contains("inner"), "{shell}: nobody's command\n{text}");
        }
    }

    #[test]
    fn the_manual_page_names_flags_and_commands() {
        let text = String::from_utf8(man(command())).unwrap();
        for words in [
            ".TH some-rx 1",
            "plays something",
            "latency",
            "How much to hold",
            "doctor",
            "COMMAND DOCTOR",
            "How far to look",
        ] {
            assert!(text.contains(words), "{words:?} is missing in\n{text}");
        }
        assert!(!text.contains("doctor(1)"), "a page that does not exist:\n{text}");
        assert!(!text.to_lowercase().contains("inner"), "nobody's command:\n{text}");
    }
}
