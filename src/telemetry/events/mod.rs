//! The events that the daemon writes to the journal. Each is a struct with a constant message and a stable
//! message id, by which journald's catalog and alerting rules recognise it.
//!
//! The journal shows the names of fields in capitals: PORT, SINK, REASON, COUNT, FIRST_SEQ.

mod budget;
mod local_port;
mod log;
pub mod message_ids;
#[cfg(feature = "mqtt")]
mod mqtt;
mod port;
pub mod quarantine;
mod reload;
#[cfg(feature = "prometheus")]
mod remote_write;
mod report;
mod sink;
mod supervisor;
mod tail;

pub use budget::{EventRefused, QuietHoursUnknown, SinkGoesOn, SinkHeldBack};
pub use local_port::{
    ClientRefusal, ClientsRefused, LocalPortAbsent, LocalPortAnnounced, LocalPortFilesUnusable,
    LocalPortOpened, LocalPortRefuses, LocalPortUnannounced,
};
pub use log::{
    LogBegan, LogHealed, LogOpened, LogSalvaged, LogTrouble, LogUnreadable, LogVanished,
    ReadingsEvicted, ReadingsGivenUp, ReadingsSkipped, ReadingsUnsaved, SegmentDamaged,
};
#[cfg(feature = "mqtt")]
pub use mqtt::MessagesUnheard;
pub use port::{PortAbsent, PortFaults, PortOpened, ReadingsOverflowed, SensorCrowded, SensorSaid};
pub use reload::{ActorDropped, ConfigRefused, ConfigReloaded};
#[cfg(feature = "prometheus")]
pub use remote_write::{ReadingsFound, ValuesLeftOut};
pub use report::Report;
pub use sink::{
    BreakerMoved, BreakerRecalled, EndpointsFound, EndpointsUnknown, SinkMisconfigured,
    TlsFilesUnusable, ValuesOmitted,
};
pub use supervisor::{ActorCrashed, ActorStuck, ConfigDoubtful, StageLate, Started, Stopped};
pub use tail::{
    TailDamaged, TailGivenUp, TailOutdated, TailRecordsAgain, TailRecovered, TailUnwritten,
};
