//! stub
pub mod fetch;
pub mod status {
    use crate::event_log::LogStatus;
    use crate::ingest::PortStatus;
    use crate::upload::SinkStatus;
    use std::sync::Arc;
    use tokio::sync::watch;
    #[derive(Clone, Debug)]
    pub struct StatusBoard {
        pub device: Arc<str>,
        pub version: &'static str,
        pub clock: crate::clock::Clock,
        pub rounds: crate::supervisor::pulse::Rounds,
        pub log: watch::Receiver<LogStatus>,
        pub ports: Vec<watch::Receiver<PortStatus>>,
        pub sinks: Vec<watch::Receiver<SinkStatus>>,
    }
    impl StatusBoard {
        pub fn summary_line(&self) -> String {
            String::new()
        }
    }
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct HttpError;
#[derive(Debug)]
pub struct LocalPort;
impl LocalPort {
    pub async fn bind(_: std::net::SocketAddr, _: usize) -> Result<Self, HttpError> {
        Ok(Self)
    }
    pub fn local_addr(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], 1).into()
    }
    pub async fn run(
        self: std::sync::Arc<Self>,
        _: status::StatusBoard,
        _: crate::telemetry::metrics::Metrics,
        mut stop: crate::supervisor::Stop,
        _: crate::supervisor::pulse::Pulse,
    ) -> Result<(), HttpError> {
        stop.requested().await;
        Ok(())
    }
}
