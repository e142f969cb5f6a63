//! The result of the demo: the counts of sensors, daemon and collector side by side.

use std::collections::BTreeMap;
use std::fmt;

use outstation_codec::Loss;
use serde::Serialize;

use crate::collect::Stats;
use crate::domain::model::ledger::Ledger;
use crate::status::board::StatusBoard;

/// The result of a demo. Its JSON form is stable.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub produced: u64,
    pub accepted: u64,
    pub stored: u64,
    pub delivered: u64,
    pub pending: u64,
    pub quarantined: u64,
    pub lost: BTreeMap<&'static str, u64>,
    pub faults: BTreeMap<&'static str, u64>,
    pub collector: CollectorCounts,
    pub balanced: bool,
    /// The equations that do not hold, in words.
    #[serde(skip)]
    pub complaints: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct CollectorCounts {
    pub unique: u64,
    pub repeats: u64,
    pub missing: u64,
}

impl Outcome {
    pub fn new(produced: u64, board: &StatusBoard, collected: &Stats) -> Self {
        let ledger = board.log.borrow().ledger.clone();
        let mut complaints = ledger.imbalances();
        complaints.extend(differences(produced, &ledger, collected));
        Self {
            produced,
            accepted: ledger.intake.accepted,
            stored: ledger.stored,
            delivered: ledger.delivered,
            pending: ledger.pending,
            quarantined: ledger.quarantined,
            lost: Loss::ALL.iter().map(|loss| (loss.reason(), ledger.lost(*loss))).collect(),
            faults: ledger
                .intake
                .faults
                .seen()
                .map(|(fault, count)| (fault.reason(), count))
                .collect(),
            collector: CollectorCounts {
                unique: collected.unique,
                repeats: collected.repeats,
                missing: collected.missing,
            },
            balanced: complaints.is_empty(),
            complaints,
        }
    }
}

/// Compares the counts: every reading produced must have arrived, and after removing repeats exactly once.
fn differences(produced: u64, ledger: &Ledger, collected: &Stats) -> Vec<String> {
    let equations = [
        ("produced = accepted", produced, ledger.intake.accepted),
        ("produced = delivered", produced, ledger.delivered),
        ("produced = unique at the collector", produced, collected.unique),
        ("missing at the collector = 0", collected.missing, 0),
    ];
    let broken = equations.into_iter().filter(|(_, left, right)| left != right);
    broken.map(|(name, left, right)| format!("{name}: {left} is not {right}")).collect()
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost: u64 = self.lost.values().sum();
        writeln!(formatter, "ledger")?;
        for (name, count) in [
            ("produced by the sensors", self.produced),
            ("accepted", self.accepted),
            ("stored", self.stored),
            ("delivered", self.delivered),
            ("pending", self.pending),
            ("quarantined", self.quarantined),
            ("lost", lost),
            ("at the collector, unique", self.collector.unique),
            ("at the collector, repeats", self.collector.repeats),
            ("at the collector, missing", self.collector.missing),
        ] {
            writeln!(formatter, "  {name:<26} {count:>12}")?;
        }
        for (fault, count) in &self.faults {
            writeln!(formatter, "  {:<26} {count:>12}", format!("fault: {fault}"))?;
        }
        for complaint in &self.complaints {
            writeln!(formatter, "  does not hold: {complaint}")?;
        }
        write!(formatter, "{}", if self.balanced { "balanced" } else { "NOT BALANCED" })
    }
}
