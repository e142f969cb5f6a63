//! What the targets of serial lines have in common: any bytes, in any pieces, and the books.

use outstation::config::Config;
use outstation::domain::model::ledger::Ledger;
use outstation::protocols::{Decoder, Framing, Outbox};
use outstation_codec::FaultStage;

/// What a port speaks whose keys are these.
pub(crate) fn framing(keys: &str) -> Framing {
    let text = format!("[[port]]\nname = \"p\"\npath = \"/dev/p\"\n{keys}\n");
    Config::parse(&text, "the target").expect("it is one").ports.remove(0).framing
}

/// Feeds all of it in pieces of this size; with an interruption after each, if told so.
fn feed(decoder: &mut Decoder, bytes: &[u8], piece: usize, interrupted: bool) -> Outbox {
    let mut out = Outbox::default();
    for piece in bytes.chunks(piece.max(1)) {
        decoder.feed(piece, 1_000, &mut out);
        if interrupted {
            decoder.interrupted(&mut out);
        }
        check(decoder, &out);
    }
    out
}

/// Whatever has come, every byte and every frame is in the books once.
fn check(decoder: &Decoder, out: &Outbox) {
    let (partial, intake) = (decoder.partial(), &out.intake);
    let bytes = intake.frame_bytes + intake.fault_bytes + intake.padding_bytes;
    assert_eq!(intake.bytes, bytes + partial.bytes, "bytes = frame + fault + padding + partial");
    let frames = intake.accepted + intake.control + intake.faults.total(FaultStage::Decode);
    assert_eq!(intake.frames, frames + partial.frames, "frames = accepted + control + faults + partial");
}

/// The first byte says how the rest arrives.
pub(crate) fn examine(new: impl Fn() -> Decoder, bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let whole = feed(&mut new(), bytes, bytes.len(), false);
    let pieces = feed(&mut new(), bytes, usize::from(how >> 1), false);
    assert_eq!(whole.intake, pieces.intake, "pieces make no difference to the books");
    let readings = |out: &Outbox| format!("{:?}", out.readings);
    assert_eq!(readings(&whole), readings(&pieces), "pieces make no difference to the readings");
    if how & 1 == 1 {
        let mut decoder = new();
        let out = feed(&mut decoder, bytes, usize::from(how >> 1), true);
        assert_eq!(decoder.partial().bytes, 0, "what was interrupted is over");
        let ledger = Ledger { uncommitted: out.intake.accepted, intake: out.intake, ..Ledger::default() };
        let frames_partial = decoder.partial().frames;
        assert!(frames_partial > 0 || ledger.imbalances().is_empty(), "{:?}", ledger.imbalances());
    }
}
