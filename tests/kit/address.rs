//! Addresses of this machine for servers that come and go during a test.

use std::fmt;
use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port of the loopback that the kernel gives to nobody else while this lives. A server that sets
/// `SO_REUSEADDR`, as they all do, may listen there, end, and listen there again.
#[derive(Debug)]
pub(crate) struct Reserved {
    _bound: TcpSocket,
    address: SocketAddr,
}

impl Reserved {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("make a socket");
        socket.set_reuseaddr(true).expect("share an address");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("bind");
        let address = socket.local_addr().expect("its address");
        Self { _bound: socket, address }
    }
}

impl fmt::Display for Reserved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(formatter)
    }
}
