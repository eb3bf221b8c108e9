//! `rx-guest sound --udp`: a guest whose Scream driver sends datagrams, through a real socket.

use crate::place::seconds;
use crate::simulate::Simulator;
use anyhow::Context;
use clap::Args;
use rustix::net::sockopt;
use shm_proto::HostTime;
use shm_proto::guest_sim::dice;
use shm_proto::guest_sim::network::{Event, NetworkGuest, Way};
use shm_proto::scream::Format;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

/// The largest payload of UDP over IPv4. Unit: bytes.
const MAX_UDP_BYTES: u64 = 65_507;

/// Options of the network.
#[derive(Clone, Debug, Args)]
pub struct NetworkArgs {
    /// Send datagrams; FILE is then the address: 239.255.77.77:4010, or that of a host
    #[arg(long)]
    pub udp: bool,
    /// The guest's own address, and so the interface it sends through
    #[arg(long, value_name = "ADDRESS", default_value_t = Ipv4Addr::UNSPECIFIED)]
    from: Ipv4Addr,
    /// Send nothing after so many quiet samples, as the driver's SilenceThreshold has it; 0: send always
    #[arg(long, value_name = "SAMPLES", default_value_t = 0)]
    silence_threshold: u64,
    /// Play digital silence for every other stretch of so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    mute_every: Option<Duration>,
    /// Change between the format and its 32-bit form every so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    switch_every: Option<Duration>,
    /// So many of a million datagrams are lost
    #[arg(long, value_name = "N", default_value_t = 0)]
    lose: u32,
    /// So many datagrams in a row are lost each time
    #[arg(long, value_name = "N", default_value_t = 1)]
    lose_run: u32,
    /// Each datagram is under way for a random time up to this, in ms
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    late: f64,
    /// Send so many datagrams of rubbish, up to 64 KiB long, with each one of sound
    #[arg(long, value_name = "N", default_value_t = 0)]
    junk: u32,
}

/// What happens every so often.
#[derive(Debug)]
struct Every {
    length: Duration,
    at: HostTime,
    second: bool,
}

impl Every {
    fn new(length: Option<Duration>, now: HostTime) -> Option<Every> {
        length.map(|length| Every { length, at: now + length, second: false })
    }

    /// Whether it is time again; if so, whether it is the other one's turn.
    fn turn(&mut self, now: HostTime) -> Option<bool> {
        (now >= self.at).then(|| {
            self.at = self.at + self.length;
            self.second = !self.second;
            self.second
        })
    }
}

/// The running guest.
#[derive(Debug)]
pub struct Network {
    guest: NetworkGuest,
    socket: UdpSocket,
    to: SocketAddrV4,
    mute: Option<Every>,
    switch: Option<Every>,
    formats: [Format; 2],
    junk: u32,
    junk_sent: u64,
    sent: u64,
    refused: u64,
}

impl NetworkArgs {
    /// Opens the socket; the first datagram comes with the first call of [`Simulator::act`].
    pub fn open(&self, to: &str, guest: NetworkGuest, now: HostTime) -> anyhow::Result<Network> {
        let to: SocketAddrV4 = to.parse().with_context(|| format!("{to} is no address such as 239.255.77.77:4010"))?;
        let socket = UdpSocket::bind((self.from, 0)).with_context(|| format!("cannot send from {}", self.from))?;
        if to.ip().is_multicast() && !self.from.is_unspecified() {
            sockopt::set_ip_multicast_if(&socket, &self.from).context("cannot send through this interface")?;
        }
        let late = Duration::try_from_secs_f64(self.late / 1e3).context("a time that is too long or negative")?;
        let way = Way { lost_per_million: self.lose, lost_in_a_row: self.lose_run, late, seed: 1 };
        let format = guest.format();
        let wide = Format::new(format.rate_hz(), 32, format.channels(), format.mask())?;
        Ok(Network {
            guest: guest.way(way).silence_threshold(self.silence_threshold),
            socket,
            to,
            mute: Every::new(self.mute_every, now),
            switch: Every::new(self.switch_every, now),
            formats: [format, wide],
            junk: self.junk,
            junk_sent: 0,
            sent: 0,
            refused: 0,
        })
    }
}

impl Network {
    /// Datagrams of any length: empty, short, of the right length with a wrong header, too long, huge.
    fn send_junk(&mut self) {
        for _ in 0..self.junk {
            let n = self.junk_sent;
            let length = match n % 4 {
                0 => dice::roll_below(1, n, 8),
                1 => 1157,
                2 => 1187,
                _ => dice::roll_below(2, n, MAX_UDP_BYTES),
            };
            let mut bytes = vec![0; length as usize];
            dice::fill(n, &mut bytes);
            if let Some(bits) = bytes.get_mut(1) {
                // Never by chance a header that makes sense.
                *bits = 17;
            }
            self.junk_sent += 1;
            let _ = self.socket.send_to(&bytes, self.to);
        }
    }
}

impl Simulator for Network {
    fn describe(&self) -> String {
        let from = self.socket.local_addr().map_or_else(|e| e.to_string(), |a| a.to_string());
        format!("sound {} from {from} to {}", self.guest.format(), self.to)
    }

    fn due(&self, now: HostTime) -> Option<HostTime> {
        let events = [&self.mute, &self.switch].into_iter().flatten().map(|every| every.at);
        events.chain([self.guest.next_due().unwrap_or(now)]).min()
    }

    fn act(&mut self, now: HostTime) -> anyhow::Result<()> {
        if let Some(muted) = self.mute.as_mut().and_then(|every| every.turn(now)) {
            self.guest.perform(if muted { Event::Mute } else { Event::Unmute }, now);
        }
        if let Some(second) = self.switch.as_mut().and_then(|every| every.turn(now)) {
            self.guest.perform(Event::Switch(self.formats[usize::from(second)]), now);
        }
        let Network { guest, socket, to, sent, refused, .. } = self;
        let before = *sent;
        // A host on which nobody listens answers, and the next call fails: a driver does not care.
        guest.advance(now, |_, bytes| match socket.send_to(bytes, *to) {
            Ok(_) => *sent += 1,
            Err(_) => *refused += 1,
        });
        if self.sent > before {
            self.send_junk();
        }
        Ok(())
    }

    fn finish(&mut self, _: HostTime) -> anyhow::Result<()> {
        Ok(())
    }

    fn summary(&self) -> String {
        let Network { sent, refused, junk_sent, .. } = self;
        format!(
            "sound: {} datagrams made, {sent} sent, {refused} refused, {junk_sent} of rubbish",
            self.guest.datagrams()
        )
    }
}
