//! Keyboards and mice for users who may not open them: a helper that runs as root opens devices of an administrator's
//! list, for the users that the list names, and passes the open device through a socket. Started by systemd for each
//! request, or kept running with `--listen`; nothing of it is setuid or setgid, and no user gets a group that may read
//! every key.
//!
//! One request for a connection: `frame-rx-opener 1 event3\n`. The answer is `+` with the descriptor, or `-` and why not.

pub mod client;
pub mod list;
pub mod serve;

/// Where the helper listens.
pub const SOCKET: &str = "/run/frame-rx/opener.sock";
/// What it allows.
pub const LIST: &str = "/etc/frame-rx/devices.conf";

/// How a request begins; a later version says another number.
const REQUEST: &str = "frame-rx-opener 1 ";
/// Longest request, and longest answer. Unit: bytes.
const REQUEST_MAX: usize = 64;
const ANSWER_MAX: usize = 256;
const YES: u8 = b'+';
const NO: u8 = b'-';

/// Whether this can be a device's node: `event` and a number.
fn is_node(name: &str) -> bool {
    let number = name.strip_prefix("event").unwrap_or_default();
    !number.is_empty() && number.len() <= 6 && number.bytes().all(|b| b.is_ascii_digit())
}
