//! The table of all messages: each has its message id, its levels and its fields.
//!
//! An id never changes its meaning and a field never its name, because alerts and scripts at sites depend
//! on them. `systemd/outstation.catalog` explains each message, `docs/fleet/journal.md` is generated from
//! this table, and `tests/tidy` checks that the messages in the code match it.

/// One kind of message, as the documentation describes it.
#[derive(Clone, Copy, Debug)]
pub struct MessageKind {
    pub message_id: &'static str,
    pub name: &'static str,
    /// The levels it is written at, mostly one. WARN: nothing was lost. ERROR: something was lost, or a
    /// person is needed.
    pub levels: &'static [&'static str],
    pub fields: &'static [&'static str],
}

macro_rules! message_kinds {
    ($($name:ident $id:literal [$($level:ident)+] [$($field:ident)*],)+) => {
        $(
            #[allow(dead_code, reason = "a build may lack the sink that says it")]
            pub(crate) const $name: &str = $id;
        )+

        /// All kinds of messages, in the order of their ids.
        pub const ALL: &[MessageKind] = &[$(MessageKind {
            message_id: $id,
            name: stringify!($name),
            levels: &[$(stringify!($level)),+],
            fields: &[$(stringify!($field)),*],
        }),+];
    };
}

message_kinds! {
    PANICKED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1000" [error] [],
    STARTED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1001" [info] [version device],
    STOPPED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1002" [info] [],
    CONFIG_DOUBTFUL "7d2f9e0ab14c4c6b9d6d8f5a3e7c1003" [warn] [],
    MESSAGES_DROPPED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1004" [warn error] [count errors],
    FAILED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1005" [error] [],
    LOG_OPENED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1010" [info] [path epoch next_seq],
    LOG_TROUBLE "7d2f9e0ab14c4c6b9d6d8f5a3e7c1011" [error] [path reason remedy],
    LOG_HEALED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1012" [info] [path],
    SEGMENT_DAMAGED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1013" [error] [first_seq last_seq count],
    READINGS_UNSAVED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1014" [error] [count],
    LOG_UNREADABLE "7d2f9e0ab14c4c6b9d6d8f5a3e7c1015" [error] [path reason],
    LOG_BEGAN "7d2f9e0ab14c4c6b9d6d8f5a3e7c1016" [info] [path epoch reason],
    LOG_SALVAGED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1017" [error] [path aside reason kept count ranges],
    READINGS_EVICTED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1018" [error] [lane first_seq last_seq count from_ms to_ms],
    READINGS_GIVEN_UP "7d2f9e0ab14c4c6b9d6d8f5a3e7c1019" [error] [reason count],
    LOG_VANISHED "7d2f9e0ab14c4c6b9d6d8f5a3e7c101a" [warn] [path],
    READINGS_SKIPPED "7d2f9e0ab14c4c6b9d6d8f5a3e7c101e" [warn] [sink first_seq last_seq],
    PORT_OPENED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1020" [info] [port path],
    PORT_ABSENT "7d2f9e0ab14c4c6b9d6d8f5a3e7c1021" [warn] [port reason],
    PORT_FAULTS "7d2f9e0ab14c4c6b9d6d8f5a3e7c1022" [warn] [port reason count faults],
    READINGS_OVERFLOWED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1023" [error] [port count reason],
    SENSOR_SAID "7d2f9e0ab14c4c6b9d6d8f5a3e7c1024" [info warn] [port],
    SENSOR_CROWDED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1025" [error] [port sensor],
    TAIL_RECOVERED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1026" [info] [port count bytes],
    TAIL_UNWRITTEN "7d2f9e0ab14c4c6b9d6d8f5a3e7c1027" [warn] [port path reason],
    TAIL_RECORDS_AGAIN "7d2f9e0ab14c4c6b9d6d8f5a3e7c1028" [info] [port],
    TAIL_OUTDATED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1029" [error] [port bytes reason],
    TAIL_DAMAGED "7d2f9e0ab14c4c6b9d6d8f5a3e7c102a" [error] [port bytes reason],
    TAIL_GIVEN_UP "7d2f9e0ab14c4c6b9d6d8f5a3e7c102b" [error] [port bytes attempts reason],
    BREAKER_OPENED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1030" [warn] [sink endpoint breaker reason retry_in_s],
    SINK_MISCONFIGURED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1031" [error] [sink endpoint reason remedy],
    BREAKER_CLOSED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1032" [info] [sink endpoint breaker],
    BREAKER_RECALLED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1038" [warn] [sink endpoint reason retry_in_s],
    ACTOR_CRASHED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1040" [error] [actor restart_in_s],
    ACTOR_STUCK "7d2f9e0ab14c4c6b9d6d8f5a3e7c1041" [error] [actor],
    STAGE_LATE "7d2f9e0ab14c4c6b9d6d8f5a3e7c1042" [error] [actors deadline_s],
    LOCAL_PORT_OPENED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1050" [info] [address],
    LOCAL_PORT_REFUSES "7d2f9e0ab14c4c6b9d6d8f5a3e7c1051" [warn] [address reason],
    LOCAL_PORT_ABSENT "7d2f9e0ab14c4c6b9d6d8f5a3e7c1052" [warn] [reason],
    CLIENTS_REFUSED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1053" [warn] [count address],
    LOCAL_PORT_FILES_UNUSABLE "7d2f9e0ab14c4c6b9d6d8f5a3e7c1054" [error] [reason],
    LOCAL_PORT_ANNOUNCED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1055" [info] [device],
    LOCAL_PORT_UNANNOUNCED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1056" [warn] [reason],
    SINK_HELD_BACK "7d2f9e0ab14c4c6b9d6d8f5a3e7c1060" [info warn] [sink reason retry_in_s],
    SINK_GOES_ON "7d2f9e0ab14c4c6b9d6d8f5a3e7c1061" [info] [sink],
    QUIET_HOURS_UNKNOWN "7d2f9e0ab14c4c6b9d6d8f5a3e7c1062" [warn] [sink],
    EVENT_REFUSED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1063" [warn] [sink event position reason],
    READINGS_QUARANTINED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1080" [warn] [sink first_seq last_seq count reason],
    READINGS_DISCARDED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1081" [error] [sink first_seq last_seq count reason],
    QUARANTINE_CHANGED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1082" [info] [sink count],
    CONTROL_ABSENT "7d2f9e0ab14c4c6b9d6d8f5a3e7c1083" [warn] [path reason],
    ENDPOINTS_FOUND "7d2f9e0ab14c4c6b9d6d8f5a3e7c1090" [info] [sink endpoints],
    ENDPOINTS_UNKNOWN "7d2f9e0ab14c4c6b9d6d8f5a3e7c1091" [warn] [sink service kept],
    READINGS_FOUND "7d2f9e0ab14c4c6b9d6d8f5a3e7c10b0" [info] [sink count],
    MESSAGES_UNHEARD "7d2f9e0ab14c4c6b9d6d8f5a3e7c10b1" [warn] [sink topic],
    VALUES_OMITTED "7d2f9e0ab14c4c6b9d6d8f5a3e7c10e0" [warn] [sink values readings],
    TLS_FILES_UNUSABLE "7d2f9e0ab14c4c6b9d6d8f5a3e7c10e1" [warn] [url],
    CONFIG_RELOADED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1100" [info] [started stopped],
    CONFIG_REFUSED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1101" [error] [],
    ACTOR_DROPPED "7d2f9e0ab14c4c6b9d6d8f5a3e7c1102" [error] [actor deadline_s],
}

/// The meaning of each field of a message, by the name that the journal gives it.
#[rustfmt::skip]
pub const FIELDS: &[(&str, &str)] = &[
    ("ACTOR", "The part of the daemon: `log`, `http`, `port NAME`, `sink NAME`, …"),
    ("ACTORS", "Several of them."),
    ("ADDRESS", "Address on which the local port listens, or of a client that was turned away there."),
    ("ASIDE", "Where a damaged log was put."),
    ("ATTEMPTS", "How often something was tried."),
    ("BREAKER", "State of a circuit breaker: `closed`, `open`, `half_open`."),
    ("BYTES", "How many bytes."),
    ("COUNT", "How many: readings, faults, messages."),
    ("DEADLINE_S", "How long a stop may take, in seconds."),
    ("DEVICE", "The device id."),
    ("ENDPOINT", "The address of one of a sink's servers."),
    ("ENDPOINTS", "Several of them."),
    ("EPOCH", "The epoch of the log: one life of its file."),
    ("ERRORS", "How many of the missing messages were errors."),
    ("EVENT", "Kind of an event that was published to a sink."),
    ("FAULTS", "Faults by reason, with their counts."),
    ("FIRST_SEQ", "Number of the first reading concerned."),
    ("FROM_MS", "When the first of them was taken, in Unix milliseconds (since boot, if the clock was never set)."),
    ("KEPT", "How many were kept: readings of a damaged log, endpoints found before."),
    ("LANE", "`alarm`, `live` or `backfill`."),
    ("LAST_SEQ", "Number of the last reading concerned."),
    ("LATE_S", "How long ago it happened, in seconds, if the message could not be written at once."),
    ("NEXT_SEQ", "Number of the next reading."),
    ("PATH", "The file or device."),
    ("PORT", "The port, by its configured name."),
    ("POSITION", "Number of an event."),
    ("RANGES", "Numbers of readings, as ranges."),
    ("READINGS", "How many readings."),
    ("REASON", "Why: one word where there is a list of reasons, otherwise the error."),
    ("REMEDY", "What a person can do."),
    ("REPEATS", "How many more occurrences this message stands for."),
    ("RESTART_IN_S", "When an actor is started again, in seconds."),
    ("RETRY_IN_S", "When it is tried again, in seconds."),
    ("SENSOR", "The sensor, by its name."),
    ("SERVICE", "What is looked up to find endpoints."),
    ("SINK", "The sink, by its configured name."),
    ("STARTED", "Which parts another configuration began."),
    ("STOPPED", "Which parts another configuration ended."),
    ("TOPIC", "An MQTT topic."),
    ("TO_MS", "When the last reading concerned was taken."),
    ("URL", "An address."),
    ("VALUES", "How many values."),
    ("VERSION", "Version of the program."),
];
