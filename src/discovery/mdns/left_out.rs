//! Stands in for multicast DNS in a build without the feature `mdns`. Every start fails, so the other
//! methods cannot be reached.

use std::convert::Infallible;
use std::net::SocketAddr;

use super::service::MdnsService;

#[derive(Debug, thiserror::Error)]
#[error("this build lacks multicast DNS: it was made without the feature `mdns`")]
pub struct MdnsError;

#[derive(Debug)]
pub struct Browser(Infallible);

impl Browser {
    pub fn start(_: &str) -> Result<Self, MdnsError> {
        Err(MdnsError)
    }

    pub async fn changed(&mut self) -> Result<Vec<MdnsService>, MdnsError> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub struct Announcement(Infallible);

impl Announcement {
    pub fn start(_: &str, _: &str, _: SocketAddr, _: &[(&str, &str)]) -> Result<Self, MdnsError> {
        Err(MdnsError)
    }

    pub async fn end(self) {
        match self.0 {}
    }
}

pub fn has_network() -> Result<bool, MdnsError> {
    Err(MdnsError)
}
