//! Runs an uploader with the breaker states that the process before it stored. The breakers themselves are
//! in `stack/`.

use std::convert::Infallible;

use tower::Service;

use super::actor::{self, Upload};
use crate::event_log::{LogClosed, Reader, Recalled};
use crate::supervisor::Stop;
use crate::supervisor::heartbeat::Heartbeat;
use crate::upload::stack::endpoints::Endpoints;
use crate::upload::{Offer, Receipt, SinkRefusal};

/// Reads the saved breakers from the log, then runs the uploader. On an orderly stop it releases the
/// breakers.
pub(crate) async fn run<S>(
    mut upload: Upload<S>,
    mut endpoints: Endpoints,
) -> Result<(), Infallible>
where
    S: Service<Offer, Response = Receipt, Error = SinkRefusal>,
{
    let stop = upload.stop.clone();
    let recalled = recall(&upload.reader, &mut upload.stop, &mut upload.heartbeat).await;
    let Ok(Some(recalled)) = recalled else { return Ok(()) };
    endpoints.recall(recalled.breakers);
    actor::run(upload).await?;
    if stop.is_requested() {
        endpoints.release();
    }
    Ok(())
}

/// Reads the saved state. `None` if a stop is requested before the log has answered.
async fn recall(
    reader: &Reader,
    stop: &mut Stop,
    heartbeat: &mut Heartbeat,
) -> Result<Option<Recalled>, LogClosed> {
    let recalled = reader.recall();
    tokio::pin!(recalled);
    loop {
        // All arms are cancel-safe: the question is pinned outside the loop and survives it.
        tokio::select! {
            recalled = &mut recalled => return recalled.map(Some),
            () = stop.requested() => return Ok(None),
            () = heartbeat.answer() => {}
        }
    }
}
