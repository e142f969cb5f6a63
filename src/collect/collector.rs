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
    /// The bearer token that senders must show; `None` admits every sender.
    pub token: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    #[error("failed to listen on `{address}`")]
    Listen { address: SocketAddr, source: io::Error },
}

/// A receiver that has bound its address and does not answer yet.
#[derive(Debug)]
pub struct Collector {
    listener: TcpListener,
    address: SocketAddr,
    service: Arc<server::CollectorService>,
}

impl Collector {
    /// Binds the address; with `SO_REUSEADDR`, so that the address of a stopped collector can be bound
    /// again.
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

    /// Answers until `stop` resolves; then drops the open connections and returns at once. A commit in
    /// progress still completes without an answer: to its sender this is a lost reply like any other.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        server::serve(self.listener, self.service, stop).await;
    }
}
