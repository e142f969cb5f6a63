//! The receiver as a whole: it holds the address and answers until it is stopped.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::server;
use super::stats::Stats;
use super::store::Store;

#[derive(Clone, Debug)]
pub struct CollectorConfig {
    pub listen: SocketAddr,
    /// What senders must show as their bearer token; none lets everybody in.
    pub token: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    #[error("failed to listen on `{address}`")]
    Listen { address: SocketAddr, source: io::Error },
}

/// A receiver that holds its address and is not yet answering.
#[derive(Debug)]
pub struct Collector {
    listener: TcpListener,
    address: SocketAddr,
    service: Arc<server::CollectorService>,
}

impl Collector {
    /// Takes the address; with `SO_REUSEADDR`, so that a stopped collector's can be taken again.
    pub async fn bind(config: CollectorConfig, store: Store) -> Result<Self, CollectError> {
        let failed = |source| CollectError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let service = Arc::new(server::CollectorService::new(store, config.token));
        Ok(Self { listener, address, service })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub fn stats(&self) -> watch::Receiver<Stats> {
        self.service.stats()
    }

    /// Answers until `stop`; then drops the open connections and returns at once. A commit that is
    /// under way still completes, unanswered: to its sender that is a lost reply like any other.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        server::serve(self.listener, self.service, stop).await;
    }
}
