//! Listening sockets: the front door, shared by all lanes, and each lane's own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use crate::session::Door;

/// A socket that is listened on. Shared: the front door's is in every lane's hands.
#[derive(Clone)]
pub struct Listener {
    pub door: Door,
    pub socket: Arc<Socket>,
    pub address: SocketAddr,
}

impl Listener {
    /// Opens a listening socket.
    ///
    /// # Errors
    /// What the system answers, above all that the address is in use.
    pub fn open(door: Door, address: SocketAddr, backlog: u32) -> io::Result<Self> {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Inherited by every accepted socket, which saves a call each.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        let address = socket.local_addr()?.as_socket().expect("bound to an IP address");
        Ok(Self { door, socket: Arc::new(socket), address })
    }

    /// Lets nobody in any more; every lane's accepting ends.
    pub fn stop(&self) {
        // It may have been stopped by another lane already.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// The doors that one lane accepts at.
pub struct Doors {
    pub listeners: Vec<Listener>,
}

/// The peer's and the own address of an accepted socket.
pub fn addresses(socket: &impl AsRawFd) -> io::Result<(SocketAddr, SocketAddr)> {
    // SAFETY: borrowed for these two calls, while the caller holds the socket.
    let socket = unsafe { std::os::fd::BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    let socket = socket2::SockRef::from(&socket);
    let ip = |address: socket2::SockAddr| {
        address.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
    };
    Ok((ip(socket.peer_addr()?)?, ip(socket.local_addr()?)?))
}

/// Sets the keep-alive probes of an accepted socket: after so many idle seconds.
pub fn keep_alive(socket: &impl AsRawFd, seconds: u32) {
    // SAFETY: as above.
    let socket = unsafe { std::os::fd::BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    let probes = socket2::TcpKeepalive::new()
        .with_time(std::time::Duration::from_secs(u64::from(seconds)))
        .with_interval(std::time::Duration::from_secs(u64::from((seconds / 3).max(1))))
        .with_retries(3);
    // Without probes the connection still works; its loss is only noticed later.
    let _ = socket2::SockRef::from(&socket).set_tcp_keepalive(&probes);
}

/// Whether an address is of this machine itself.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
