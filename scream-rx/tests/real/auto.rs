//! Which output `auto` takes where the sound server does not answer just now and ALSA has a device that would do.

use crate::rig::{PulseRig, Running, alone, scream_rx, until};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

/// The program on `auto`, with a device of ALSA's that takes everything.
fn player(home: &Path) -> Command {
    let config = home.join("asound.conf");
    std::fs::write(
        &config,
        "pcm.!default { type plug slave { pcm { type null } format S16_LE rate 48000 channels 2 } }\n",
    )
    .unwrap();
    let mut command = scream_rx(home);
    command.env("ALSA_CONFIG_PATH", config).arg(home.join("region"));
    command
}

/// Ends it; what it said.
fn end(mut player: Running) -> String {
    player.signal("TERM");
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    player.err()
}

#[test]
fn a_service_waits_for_a_server_of_which_there_is_a_sign_and_else_takes_alsa() {
    let _alone = alone();
    let Some(mut rig) = PulseRig::start() else { return };
    rig.kill();
    let home = rig.folder.path().to_owned();
    let service = |log: &str, choose: &dyn Fn(&mut Command)| {
        let mut command = player(&home);
        choose(command.env("NOTIFY_SOCKET", home.join("nobody")));
        Running::start(&mut command, &home.join(log))
    };
    // No sign.
    let one = service("none.log", &|_| ());
    one.wait_for_line("sound goes to ALSA");
    end(one);
    // A socket that nobody serves.
    std::fs::create_dir_all(home.join("pulse")).unwrap();
    drop(UnixListener::bind(home.join("pulse/native")).unwrap());
    let one = service("socket.log", &|_| ());
    one.wait_for_line("trying again");
    assert!(!end(one).contains("ALSA"));
    // A server that is named, and comes.
    let one = service("named.log", &|command| {
        rig.serve(command);
    });
    one.wait_for_line("trying again");
    // By hand nobody is made to wait.
    let mut command = player(&home);
    let other = Running::start(rig.serve(&mut command), &home.join("hand.log"));
    other.wait_for_line("sound goes to ALSA");
    end(other);
    rig.start_server();
    one.wait_for_line("sound goes to Null Output");
    assert!(!end(one).contains("ALSA"));
}

#[test]
fn settings_that_are_saved_while_the_server_is_away_do_not_take_a_card_instead() {
    let _alone = alone();
    let Some(mut rig) = PulseRig::start() else { return };
    let home = rig.folder.path().to_owned();
    let settings = home.join("settings.toml");
    std::fs::write(&settings, "target = 40\n").unwrap();
    let mut command = player(&home);
    let one = Running::start(rig.serve(&mut command).arg("--config").arg(&settings), &home.join("player.log"));
    let said = |words: &str| one.err().matches(words).count();
    one.wait_for_line("sound goes to Null Output");
    rig.kill();
    one.wait_for_line("trying again");
    std::fs::write(&settings, "target = 60\n").unwrap();
    one.wait_for_line("the settings changed: applied");
    rig.start_server();
    until("the server", || (said("sound goes to Null Output") == 2).then_some(()));
    assert!(!end(one).contains("ALSA"));
}
