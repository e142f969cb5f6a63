//! Delivers by remote write, and distinguishes a refusal of bad samples from one of samples that are there
//! already. `repeats` and `past` examine a refusal.

use std::sync::OnceLock;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::Instant;

use super::in_doubt::{SharedInDoubt, UnresolvedRequest};
use super::labels;
use outstation_codec::Batch;

use super::config::PrometheusConfig;
use super::past::{Horizon, is_all_refused, is_all_too_old};
use super::probe::{GuardSample, Objection, Probe, headers};
use super::repeats::RepeatCheck;
use super::samples::{Samples, encoded};
use crate::clock::Clock;
use crate::domain::model::endpoint::Endpoint;
use crate::domain::policy::breaker::Cause;
use crate::domain::policy::lanes::Order;
use crate::sinks::kind::SinkContext;
use crate::telemetry::events::{ReadingsFound, Report, ValuesLeftOut};
use crate::transport::http_client::{HttpClient, Unsuccessful};
use crate::upload::{
    Class, Deliver, DeliveryError, Reason, Receipt, Rejection, SinkRefusal, Unencoded,
};

/// The size in bytes of a reading with one or two channels in a request.
pub(crate) const BYTES_PER_READING: u64 = 24;
/// How long after the clock was set the log may take to date the readings of this boot. Readings without a
/// date after that are from a boot that ended without one.
const DATING: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct PrometheusSink {
    name: String,
    config: PrometheusConfig,
    client: HttpClient,
    clock: Clock,
    repeats: RepeatCheck,
    horizon: Horizon,
    dating: Dating,
}

/// When undated readings can be dated.
#[derive(Debug)]
struct Dating {
    was_set: bool,
    set_at: OnceLock<Instant>,
}

impl PrometheusSink {
    pub(crate) fn new(
        config: &PrometheusConfig,
        endpoint: &Endpoint,
        context: &SinkContext,
        in_doubt: SharedInDoubt,
    ) -> Self {
        let clock = context.clock.clone();
        Self {
            name: context.sink.clone(),
            config: config.clone(),
            client: HttpClient::new(
                endpoint.url.clone(),
                config.access.clone(),
                context.wire.clone(),
            ),
            repeats: RepeatCheck {
                in_doubt,
                in_order: context.order == Order::AsStored,
                clock: clock.clone(),
            },
            horizon: Horizon::default(),
            dating: Dating { was_set: clock.anchor().set, set_at: OnceLock::new() },
            clock,
        }
    }
}

/// How one request ended, if it got an answer about its samples.
enum Outcome {
    Stored,
    Objected { objection: Objection, reason: Reason },
}

impl Deliver for PrometheusSink {
    async fn deliver(&self, batch: &Batch) -> Result<Receipt, SinkRefusal> {
        let mut bytes = 0;
        loop {
            let samples = self.samples(batch)?;
            self.dated(batch, &samples)?;
            if let Some(known) = self.horizon.about(&samples) {
                return Err(rejected_for_time(known.all && samples.is_whole(batch), known.reason));
            }
            if samples.is_empty() {
                return Ok(self.accepted(batch, &samples, bytes));
            }
            let body = samples.body();
            bytes += body.len() as u64;
            match self.write(&samples, body).await? {
                Outcome::Stored => return Ok(self.accepted(batch, &samples, bytes)),
                // The readings that were found are left out of the next request.
                Outcome::Objected { objection, .. }
                    if objection.may_be_of_a_repeat()
                        && self.repeats.are_among(&self.client, &samples).await? => {}
                Outcome::Objected { objection, reason } => {
                    return Err(self.rejected(batch, &samples, objection, reason).await);
                }
            }
        }
    }
}

impl PrometheusSink {
    fn samples(&self, batch: &Batch) -> Result<Samples, SinkRefusal> {
        Ok(Samples::of(batch, &self.config, &self.repeats.in_doubt.there())
            .map_err(Unencoded::new)?)
    }

    /// Fails if the batch has readings without a date, which Prometheus would store under 1970. They wait
    /// as long as they may still be dated.
    fn dated(&self, batch: &Batch, samples: &Samples) -> Result<(), SinkRefusal> {
        if samples.undated == 0 {
            return Ok(());
        }
        if !self.clock.anchor().set {
            return Err(Undated::ClockUnset.into());
        }
        if !self.dating.is_over() {
            return Err(Undated::Dating.into());
        }
        let all = samples.undated == batch.readings();
        Err(rejected_for_time(all, Reason::new(Undated::ForEver)))
    }

    async fn write(&self, samples: &Samples, body: Vec<u8>) -> Result<Outcome, SinkRefusal> {
        let is_first = self.repeats.in_doubt.note(UnresolvedRequest::of(samples));
        let answer = match self.client.post(headers(), body).await? {
            Ok(()) => return Ok(Outcome::Stored),
            Err(answer) => answer,
        };
        let objection = Objection::in_answer(&answer);
        // An answer about the request means that its outcome is known. A server error does not.
        let judged = answer.status.is_client_error() || objection.is_some();
        if is_first && judged {
            self.repeats.in_doubt.forget(&samples.readings);
        }
        match objection {
            Some(objection) => Ok(Outcome::Objected { objection, reason: Reason::new(answer) }),
            None => Err(refused(answer)),
        }
    }

    fn accepted(&self, batch: &Batch, samples: &Samples, bytes: u64) -> Receipt {
        self.repeats.in_doubt.delivered(&batch.ranges(), samples.are_conclusive());
        let sink = self.name.as_str();
        ReadingsFound { sink, count: samples.there }.report();
        ValuesLeftOut { sink, texts: samples.texts, replaced: samples.replaced }.report();
        Receipt { bytes }
    }

    async fn rejected(
        &self,
        batch: &Batch,
        samples: &Samples,
        objection: Objection,
        reason: Reason,
    ) -> SinkRefusal {
        let probe = Probe { client: &self.client };
        let labels = encoded(&labels::of_probe(&self.config, &batch.device));
        let now_ms = self.clock.wall_ms();
        let past = match objection {
            Objection::OutOfBounds => {
                self.horizon.learn(probe, &labels, samples, now_ms, &reason).await
            }
            Objection::TooOld => is_all_too_old(probe, &labels, samples, now_ms).await,
            Objection::OutOfOrder | Objection::Duplicate => {
                is_all_refused(probe, samples, &GuardSample::Of1970).await
            }
        };
        match past {
            Ok(past) => rejected_for_time(past && samples.is_whole(batch), reason),
            Err(refusal) => refusal,
        }
    }
}

/// The refusal for an answer that is not about a sample.
fn refused(answer: Unsuccessful) -> SinkRefusal {
    match answer.status {
        // Receivers that store the good part of a request answer 409 for the rest.
        StatusCode::CONFLICT => {
            SinkRefusal::Rejected { what: Rejection::Content, reason: Reason::new(answer) }
        }
        _ => answer.into(),
    }
}

/// Rejects a batch for its time. `all` says that this applies to every reading in it.
fn rejected_for_time(all: bool, reason: Reason) -> SinkRefusal {
    let what = if all { Rejection::Time } else { Rejection::Content };
    SinkRefusal::Rejected { what, reason }
}

/// Why readings without a date are not sent.
#[derive(Debug, thiserror::Error)]
enum Undated {
    #[error(
        "the clock of this device is not set, so its readings have no date yet: they wait for it (is \
         there a time server it can reach?)"
    )]
    ClockUnset,
    #[error("the clock was set just now, and readings are being dated")]
    Dating,
    #[error(
        "these readings have no date: the device ran without ever setting its clock when they were \
         taken"
    )]
    ForEver,
}

impl DeliveryError for Undated {
    fn class(&self) -> Class {
        match self {
            Self::ClockUnset | Self::Dating => Class::retry(Cause::Misconfigured),
            Self::ForEver => Class::Rejected(Rejection::Time),
        }
    }

    fn remedy(&self) -> &'static str {
        "set the board's clock, and see that it can reach a time server"
    }
}

impl Dating {
    fn is_over(&self) -> bool {
        self.was_set || self.set_at.get_or_init(Instant::now).elapsed() >= DATING
    }
}

#[cfg(test)]
mod tests;
