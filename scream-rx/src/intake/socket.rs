//! The socket of the UDP transport: bound, joined to its group, with room and with what the kernel knows of each
//! datagram: when it came, and by which interface. The only file that names `nix`, which has a safe form of that.
//!
//! Source of what to ask for: the wire reference of Scream 4.0, section 3.3.

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::sockopt::{
    IpAddMembership, IpDropMembership, Ipv4PacketInfo, RcvBuf, ReceiveTimestampns, ReuseAddr,
};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, IpMembershipRequest, MsgFlags, SockFlag, SockType, SockaddrIn, bind,
    getsockopt, recvmsg, setsockopt, socket,
};
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

/// Room for datagrams that is asked for; the kernel gives what `net.core.rmem_max` allows. Unit: bytes.
const ROOM_BYTES: usize = 1 << 20;
/// More interfaces than this are not joined: the kernel's own limit is 20 groups a socket.
const MAX_INTERFACES: usize = 20;

/// What to listen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The local address and port; a group's address keeps out what was sent to this host alone.
    pub local: SocketAddrV4,
    /// The group to join, if any.
    pub group: Option<Ipv4Addr>,
    /// The interface, by name or by its address. Without one a group is joined on all of them.
    pub interface: Option<String>,
}

impl Listen {
    /// Where datagrams are sent to: the group, or the address of this host.
    pub fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.group.unwrap_or(*self.local.ip()), self.local.port())
    }

    /// The same on `address`, a group or one of this host's own.
    #[must_use]
    pub fn at(self, address: SocketAddrV4) -> Listen {
        Listen { local: address, group: Some(*address.ip()).filter(Ipv4Addr::is_multicast), ..self }
    }
}

/// Why it cannot be listened. All but the last may come right by itself: an interface, an address or a port that is there
/// later.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// There is no such interface, or it has no IPv4 address.
    #[error("there is no interface {name} with an IPv4 address")]
    NoInterface {
        /// What was named.
        name: String,
    },
    /// The address cannot be bound: another program has the port, or the address is not this machine's.
    #[error("cannot listen on {local}")]
    Bind {
        /// What was asked for.
        local: SocketAddrV4,
        /// What the system said.
        source: io::Error,
    },
    /// The group cannot be joined on any interface.
    #[error("cannot join the group {group} on any interface")]
    Join {
        /// The group.
        group: Ipv4Addr,
    },
    /// The system gives no socket: a sandbox without network, or too many open files. No waiting helps.
    #[error("cannot make a socket")]
    Socket {
        /// What the system said.
        #[from]
        source: io::Error,
    },
}

impl ListenError {
    /// What the user can do.
    pub fn hint(&self) -> String {
        match self {
            ListenError::NoInterface { .. } => format!("choose one of these with -i: {}", names().join(", ")),
            ListenError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable => {
                let here: Vec<String> = interfaces().iter().map(|(_, address, _)| address.to_string()).collect();
                format!("choose an address that this host has ({}), or start what brings it", here.join(", "))
            }
            ListenError::Bind { local, source } if source.kind() == io::ErrorKind::PermissionDenied => {
                format!("choose a port above 1023 with -p (not {}), and UnicastPort in the guest", local.port())
            }
            ListenError::Bind { local, .. } => format!(
                "see who has the port: ss -ulpn 'sport = :{}'; or choose another with -p, and UnicastPort in the guest",
                local.port()
            ),
            ListenError::Join { .. } => {
                format!(
                    "choose an interface with -i ({}), or let the guest send to this host and pass -u",
                    names().join(", ")
                )
            }
            ListenError::Socket { source } => match Errno::from_raw(source.raw_os_error().unwrap_or(0)) {
                // What a unit's RestrictAddressFamilies says, and a filter of system calls.
                Errno::EAFNOSUPPORT | Errno::EPERM | Errno::EACCES => {
                    "a service has no network unless it is installed with it: scream-rx service install --network (with \
                     the guest's name, if it has one), then restart it"
                        .into()
                }
                _ => "close some programs".into(),
            },
        }
    }
}

/// The open socket. See the module.
#[derive(Debug)]
pub struct Socket {
    udp: UdpSocket,
    listen: Listen,
    /// Room for what the kernel says of a datagram.
    control: Vec<u8>,
    joined: Vec<Ipv4Addr>,
}

/// One datagram, as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its length, even if that is more than there was room for.
    pub bytes: usize,
    /// Who sent it.
    pub sender: SocketAddrV4,
    /// The number of the interface by which it came; nothing if it was not sent to a group, or if the kernel did not say.
    pub interface: Option<u32>,
    /// When the kernel had it, by the time of day since 1970; nothing if it did not say.
    pub stamp: Option<Duration>,
}

impl Socket {
    /// Opens the socket, binds it and joins the group.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn open(listen: &Listen) -> Result<Socket, ListenError> {
        match Socket::open_patiently(listen)? {
            (socket, None) => Ok(socket),
            (_, Some(missing)) => Err(missing),
        }
    }

    /// As [`Socket::open`], but what may come later is waited for: what is missing is told beside the socket, which hears
    /// nothing until [`Socket::seek`] finds it.
    ///
    /// # Errors
    /// [`ListenError::Socket`] alone.
    pub fn open_patiently(listen: &Listen) -> Result<(Socket, Option<ListenError>), ListenError> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Inet, SockType::Datagram, flags, None).map_err(io::Error::from)?;
        if listen.group.is_some() {
            // Several receivers of one group all get all of it. Without a group the last one would take it from the first.
            setsockopt(&fd, ReuseAddr, &true).map_err(io::Error::from)?;
        }
        // All are wishes: less room, no stamps and no interfaces still make sound.
        let _ = setsockopt(&fd, RcvBuf, &ROOM_BYTES);
        let _ = setsockopt(&fd, ReceiveTimestampns, &true);
        if listen.group.is_some() {
            let _ = setsockopt(&fd, Ipv4PacketInfo, &true);
        }
        // If it were too small for both, neither would come.
        let control = nix::cmsg_space!(nix::sys::time::TimeSpec, nix::libc::in_pktinfo);
        let mut socket = Socket { udp: UdpSocket::from(fd), listen: listen.clone(), control, joined: Vec::new() };
        let missing = socket.seek().err();
        Ok((socket, missing))
    }

    /// Binds the socket if that is still to be done, and joins the group on interfaces that have come since.
    ///
    /// Allocates: for the times when nothing comes.
    ///
    /// # Errors
    /// What is missing, if it hears nothing yet.
    pub fn seek(&mut self) -> Result<(), ListenError> {
        if !self.is_bound() {
            self.bind()?;
        }
        let Some(group) = self.listen.group else { return Ok(()) };
        self.join(group);
        match &self.listen.interface {
            _ if !self.joined.is_empty() => Ok(()),
            Some(name) if address_of(name).is_none() => Err(ListenError::NoInterface { name: name.clone() }),
            _ => Err(ListenError::Join { group }),
        }
    }

    /// Whether anything can come: it has its address, and the group on one interface at least.
    pub fn hears(&self) -> bool {
        self.is_bound() && (self.listen.group.is_none() || !self.joined.is_empty())
    }

    /// As the kernel has it: a copy of this socket may have been bound.
    fn is_bound(&self) -> bool {
        self.local().is_ok_and(|local| local.port() != 0)
    }

    fn bind(&self) -> Result<(), ListenError> {
        let mut local = self.listen.local;
        if let Some(name) = self.listen.interface.as_ref().filter(|_| self.listen.group.is_none())
            && local.ip().is_unspecified()
        {
            local.set_ip(address_of(name).ok_or_else(|| ListenError::NoInterface { name: name.clone() })?);
        }
        let address = SockaddrIn::from(local);
        bind(self.udp.as_raw_fd(), &address).map_err(|e| ListenError::Bind { local, source: e.into() })
    }

    /// Joins the group wherever it is not joined. Whether it is, only the kernel knows: a bridge that was made anew has the
    /// old one's name and address, and no members.
    fn join(&mut self, group: Ipv4Addr) {
        let wanted: Vec<Ipv4Addr> = match &self.listen.interface {
            Some(name) => address_of(name).into_iter().collect(),
            None => group_interfaces(),
        };
        // Those of interfaces that have gone would fill the kernel's list.
        for address in self.joined.extract_if(.., |address| !wanted.contains(address)) {
            let _ = setsockopt(&self.udp, IpDropMembership, &IpMembershipRequest::new(group, Some(address)));
        }
        for address in wanted {
            let request = IpMembershipRequest::new(group, Some(address));
            let is_member = matches!(setsockopt(&self.udp, IpAddMembership, &request), Ok(()) | Err(Errno::EADDRINUSE));
            if is_member && !self.joined.contains(&address) {
                self.joined.push(address);
            }
        }
    }

    /// Leaves the group; [`Socket::seek`] joins it again: switches forget members that they were not told of for some
    /// minutes.
    pub fn leave(&mut self) {
        let Some(group) = self.listen.group else { return };
        for address in self.joined.drain(..) {
            let _ = setsockopt(&self.udp, IpDropMembership, &IpMembershipRequest::new(group, Some(address)));
        }
    }

    /// Takes the next datagram into `buffer`, if there is one.
    ///
    /// Real-time safe: one system call, no allocation. Never blocks.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Option<Received> {
        let mut parts = [IoSliceMut::new(buffer)];
        // With this flag the length is the datagram's own.
        let flags = MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
        // Errors are those of datagrams that we did not send, or "not now".
        let message = recvmsg::<SockaddrIn>(self.udp.as_raw_fd(), &mut parts, Some(&mut self.control), flags).ok()?;
        let (mut stamp, mut interface) = (None, None);
        for control in message.cmsgs().ok().into_iter().flatten() {
            match control {
                ControlMessageOwned::ScmTimestampns(t) => {
                    let parts = u64::try_from(t.tv_sec()).ok().zip(u32::try_from(t.tv_nsec()).ok());
                    stamp = parts.map(|(s, ns)| Duration::new(s, ns));
                }
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    // What is sent to this host alone comes once, by whichever interface.
                    let to = Ipv4Addr::from_bits(u32::from_be(info.ipi_addr.s_addr));
                    interface = u32::try_from(info.ipi_ifindex).ok().filter(|_| to.is_multicast());
                }
                _ => {}
            }
        }
        let sender = message.address.map_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), SocketAddrV4::from);
        Some(Received { bytes: message.bytes, sender, interface, stamp })
    }

    /// The same socket once more: what one takes the other does not get.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn try_clone(&self) -> io::Result<Socket> {
        let (listen, control, joined) = (self.listen.clone(), self.control.clone(), self.joined.clone());
        Ok(Socket { udp: self.udp.try_clone()?, listen, control, joined })
    }

    /// What it listens to.
    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// What the system says.
    pub fn local(&self) -> io::Result<std::net::SocketAddr> {
        self.udp.local_addr()
    }

    /// Room for datagrams that the kernel gave, by its own account. Unit: bytes.
    pub fn room_bytes(&self) -> usize {
        getsockopt(&self.udp, RcvBuf).unwrap_or(0)
    }

    /// Interfaces on which the group is joined.
    pub fn joined(&self) -> &[Ipv4Addr] {
        &self.joined
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.udp.as_fd()
    }
}

/// Interfaces that are up and have an IPv4 address: name, address, flags.
fn interfaces() -> Vec<(String, Ipv4Addr, InterfaceFlags)> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    let with_address = all.filter_map(|i| {
        let address = i.address?.as_sockaddr_in()?.ip();
        i.flags.contains(InterfaceFlags::IFF_UP).then_some((i.interface_name, address, i.flags))
    });
    with_address.collect()
}

/// The address of an interface that is named, or is an address itself.
fn address_of(name: &str) -> Option<Ipv4Addr> {
    let by_address = name.parse::<Ipv4Addr>().ok();
    let all = interfaces();
    if all.is_empty() {
        // A sandbox without AF_NETLINK hides them all.
        return by_address;
    }
    let found = all.into_iter().find(|(other, address, _)| other == name || Some(*address) == by_address);
    found.map(|(_, address, _)| address)
}

/// Where a group can be joined: also on the loopback, which senders on this machine use.
fn group_interfaces() -> Vec<Ipv4Addr> {
    let useful = InterfaceFlags::IFF_MULTICAST | InterfaceFlags::IFF_LOOPBACK;
    let all = interfaces();
    if all.is_empty() {
        // Hidden by a sandbox without AF_NETLINK: the one that the kernel chooses.
        return vec![Ipv4Addr::UNSPECIFIED];
    }
    let useful = all.into_iter().filter(|(_, _, flags)| flags.intersects(useful));
    useful.map(|(_, address, _)| address).take(MAX_INTERFACES).collect()
}

fn names() -> Vec<String> {
    let mut names: Vec<_> = interfaces().into_iter().map(|(name, ..)| name).collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn loopback(group: Option<Ipv4Addr>, port: u16) -> Listen {
        let ip = group.unwrap_or(Ipv4Addr::LOCALHOST);
        Listen { local: SocketAddrV4::new(ip, port), group, interface: Some("127.0.0.1".into()) }
    }

    fn port(socket: &Socket) -> u16 {
        socket.local().unwrap().port()
    }

    /// Takes what comes first; loopback is as quick as the scheduler.
    fn receive(socket: &mut Socket, buffer: &mut [u8]) -> Received {
        for _ in 0..100_000 {
            if let Some(received) = socket.receive(buffer) {
                return received;
            }
            std::thread::yield_now();
        }
        panic!("nothing came");
    }

    #[test]
    fn a_datagram_comes_with_its_sender_its_length_and_the_kernels_stamp() {
        let mut socket = Socket::open(&loopback(None, 0)).unwrap();
        assert!(socket.room_bytes() >= 200_000, "{}", socket.room_bytes());
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = sender.local_addr().unwrap() else { panic!() };
        let mut buffer = [0; 64];
        assert_eq!(socket.receive(&mut buffer), None);
        let day = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        for length in [0, 1, 64, 65, 1157, 65_507] {
            let before = day();
            sender.send_to(&vec![7; length], ("127.0.0.1", port(&socket))).unwrap();
            let received = receive(&mut socket, &mut buffer);
            assert_eq!((received.bytes, received.sender), (length, address));
            assert_eq!(received.interface, None, "it can come but once");
            let stamp = received.stamp.expect("a stamp");
            assert!(stamp >= before && stamp <= day(), "{stamp:?} {before:?}");
        }
    }

    #[test]
    fn a_group_is_heard_on_the_loopback_by_every_receiver_that_joined() {
        let group = Ipv4Addr::new(239, 255, 77, 77);
        let mut first = Socket::open(&loopback(Some(group), 0)).unwrap();
        let port = port(&first);
        let mut second = Socket::open(&loopback(Some(group), port)).unwrap();
        assert_eq!(first.joined(), [Ipv4Addr::LOCALHOST]);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        rustix::net::sockopt::set_ip_multicast_if(&sender, &Ipv4Addr::LOCALHOST).unwrap();
        let lo = nix::net::if_::if_nametoindex("lo").unwrap();
        let mut buffer = [0; 64];
        for _ in 0..3 {
            sender.send_to(b"sound", (group, port)).unwrap();
            for socket in [&mut first, &mut second] {
                let received = receive(socket, &mut buffer);
                assert_eq!((received.bytes, received.interface), (5, Some(lo)));
                assert!(received.stamp.is_some(), "there is room for both");
            }
            first.leave();
            assert!(!first.hears());
            first.seek().unwrap();
        }
        first.seek().unwrap();
        assert_eq!(first.joined(), [Ipv4Addr::LOCALHOST], "joined once, however often it is sought");
    }

    #[test]
    fn what_cannot_be_listened_to_is_told_with_what_to_do() {
        let taken = Socket::open(&loopback(None, 0)).unwrap();
        let e = Socket::open(&loopback(None, port(&taken))).unwrap_err();
        assert!(matches!(e, ListenError::Bind { .. }) && e.hint().contains(&port(&taken).to_string()), "{e:?}");
        for group in [None, Some(Ipv4Addr::new(239, 255, 77, 77))] {
            let listen = Listen { interface: Some("no-such0".into()), ..loopback(group, 0) };
            let listen = Listen { local: SocketAddrV4::new(group.unwrap_or(Ipv4Addr::UNSPECIFIED), 0), ..listen };
            let e = Socket::open(&listen).unwrap_err();
            assert!(matches!(e, ListenError::NoInterface { .. }) && e.hint().contains("lo"), "{e:?} {}", e.hint());
        }
        let nobodys =
            Listen { local: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 250), 0), group: None, interface: None };
        let e = Socket::open(&nobodys).unwrap_err();
        assert!(matches!(e, ListenError::Bind { .. }) && e.hint().contains("an address that this host has"), "{e:?}");
    }

    #[test]
    fn a_sandbox_without_network_is_told_from_a_lack_of_descriptors() {
        for (errno, words) in
            [(Errno::EAFNOSUPPORT, "--network"), (Errno::EPERM, "--network"), (Errno::EMFILE, "close")]
        {
            let e = ListenError::from(io::Error::from(errno));
            assert!(e.hint().contains(words), "{errno}: {}", e.hint());
        }
    }

    #[test]
    fn an_address_or_interface_that_is_not_there_yet_is_waited_for() {
        // Another program has the port, until it ends.
        let taken = Socket::open(&loopback(None, 0)).unwrap();
        let (mut socket, missing) = Socket::open_patiently(&loopback(None, port(&taken))).unwrap();
        assert!(matches!(missing, Some(ListenError::Bind { .. })) && !socket.hears(), "{missing:?}");
        let mut buffer = [0; 64];
        assert!(socket.seek().is_err() && socket.receive(&mut buffer).is_none());
        let port = port(&taken);
        let mut copy = socket.try_clone().unwrap();
        drop(taken);
        socket.seek().unwrap();
        copy.seek().unwrap();
        assert!(socket.hears() && copy.hears(), "a copy is the same socket");
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"sound", ("127.0.0.1", port)).unwrap();
        assert_eq!(receive(&mut socket, &mut buffer).bytes, 5);
        for group in [None, Some(Ipv4Addr::new(239, 255, 77, 77))] {
            let local = SocketAddrV4::new(group.unwrap_or(Ipv4Addr::UNSPECIFIED), 0);
            let listen = Listen { local, group, interface: Some("no-such0".into()) };
            let (mut socket, missing) = Socket::open_patiently(&listen).unwrap();
            assert!(matches!(missing, Some(ListenError::NoInterface { .. })) && !socket.hears(), "{missing:?}");
            assert!(matches!(socket.seek(), Err(ListenError::NoInterface { .. })));
        }
    }

    #[test]
    fn an_interface_is_known_by_name_and_by_address() {
        assert_eq!(address_of("lo"), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(address_of("127.0.0.1"), Some(Ipv4Addr::LOCALHOST));
        assert_eq!((address_of("lo0"), address_of("10.255.254.253"), address_of("")), (None, None, None));
        assert!(group_interfaces().contains(&Ipv4Addr::LOCALHOST));
    }
}
