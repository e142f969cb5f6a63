//! Why an order on the quarantine was not carried out, in words for the person who gave it.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    #[error("nothing such is in quarantine; `outstation quarantine list` shows what is")]
    NothingSuch,
    #[error(
        "the sink `{0}` is not configured, so nobody would take them; configure it, or drop them with \
         `--sink {0}`"
    )]
    NoSuchSink(String),
    #[error("it is done as soon as the log can be written: {0}")]
    NotStored(String),
    #[error("{}: {trouble}; repeat it when that is mended", so_far(*.readings))]
    Unfinished { readings: u64, trouble: String },
    #[error("another order is being carried out; repeat this one when that is done")]
    Busy,
    #[error("the log is not open yet ({0}); try again when it is")]
    NotOpen(String),
}

fn so_far(readings: u64) -> String {
    match readings {
        0 => "nothing was changed".to_owned(),
        readings => format!("no more than {readings} readings were changed"),
    }
}
