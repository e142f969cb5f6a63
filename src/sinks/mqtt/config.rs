//! The keys of `kind = "mqtt"`. The keys that all sinks share are in `config/sink.rs`.

use std::path::PathBuf;

use toml::de::DeValue;

use crate::config::part::credential::secret_file;
use crate::config::part::tls_files::TlsFiles;
use crate::config::part::url::Scheme;
use crate::config::reader::field::{default, optional};
use crate::config::reader::print::quoted;
use crate::config::reader::syntax::{Names, Syntax, choice};
use crate::config::reader::table::settings;
use crate::domain::model::template::Template;

settings! {
    /// An MQTT broker: one QoS 1 message for each reading. A batch is delivered when the broker has
    /// acknowledged every message. After an interruption only what was not acknowledged is sent again; MQTT
    /// does not remove repeats, (epoch, seq) in each JSON object tells them apart. What has no subscriber counts
    /// as delivered; with version 5 that is counted and warned of. Mosquitto acknowledges before it saves:
    /// killed, it can lose what it acknowledged. The port is 1883 with `mqtt` and 8883 with `mqtts` (TLS).
    pub(super) struct MqttConfig {
        /// Version of MQTT. `"3.1.1"` is for older brokers: those cannot say that they refuse a message, and what
        /// they refuse counts as delivered.
        pub(super) version: MqttVersion = default(MqttVersion::V5, choice(VERSIONS));

        /// What the broker knows the session by. Two connections under one name end each other.
        pub(super) client_id: Option<String> =
            optional("it is outstation-DEVICE-SINK", text()).example("\"pump-7\"");

        /// `"json"` (one object for each reading, the same as `encoding = "json"` of kind http) or `"value"` (a
        /// message with the bare value for each channel, one level below `topic`).
        pub(super) payload: Payload = default(Payload::Json, choice(PAYLOADS));

        /// Topic of readings; {device}, {port} and {sensor} are filled in. In their names `/`, `+` and `#`
        /// become `_`.
        pub(super) topic: Template = default(Template::built_in(TOPIC), topic());

        /// Topic of what happens to the board, one JSON object each. {device} is filled in.
        pub(super) events_topic: Template = default(Template::built_in(EVENTS_TOPIC), topic_of_device());

        /// Topic of whether the board is connected: a retained "online" or "offline", the latter also as the
        /// last will. {device} is filled in. Or `"off"`.
        pub(super) status_topic: Option<Template> =
            default(Some(Template::built_in(STATUS_TOPIC)), topic_or_off());

        /// Name to log in with.
        pub(super) username: Option<String> =
            optional("it connects without a name", text()).example("\"pump-7\"");

        /// File with the password that belongs to `username`, in one line.
        pub(super) password_file: Option<PathBuf> = optional("no password is sent", secret_file())
            .only_with(&["username"])
            .example("\"credential:mqtt-password\"");

        in pub(super) tls: TlsFiles;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MqttVersion {
    V3_1_1,
    V5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// One JSON object per reading.
    Json,
    /// One message per channel that contains only the value.
    Value,
}

pub(super) const SCHEME: Scheme = Scheme {
    names: &["mqtt", "mqtts"],
    path: "",
    allowed: "an mqtt or mqtts URL, such as \"mqtts://broker.example.com:8883\"",
    example: "\"mqtts://broker.example.com\"",
};

const VERSIONS: Names<MqttVersion> = &[("3.1.1", MqttVersion::V3_1_1), ("5", MqttVersion::V5)];
const PAYLOADS: Names<Payload> = &[("json", Payload::Json), ("value", Payload::Value)];
const TOPIC: &str = "outstation/{device}/{port}/{sensor}";
const EVENTS_TOPIC: &str = "outstation/{device}/events";
const STATUS_TOPIC: &str = "outstation/{device}/status";
const OFF: &str = "off";
/// The limit for a topic as it is written. With all names filled in, the topic stays far below the limit of
/// the protocol, 65,535 bytes.
const TOPIC_BYTES_MAX: usize = 256;

fn topic() -> Syntax<Template> {
    let allowed = allowed_topic("{device}, {port}, {sensor}");
    Syntax::text(allowed, to_topic, Template::to_string)
}

fn topic_of_device() -> Syntax<Template> {
    let read = |text: &str| to_topic(text).filter(Template::is_of_device);
    Syntax::text(allowed_topic("{device}"), read, Template::to_string)
}

fn allowed_topic(placeholders: &str) -> String {
    format!(
        "a topic of 1 to {TOPIC_BYTES_MAX} bytes without + and #, not beginning with $; \
         placeholders: {placeholders}"
    )
}

fn to_topic(text: &str) -> Option<Template> {
    let plain = |c: char| !c.is_control() && !matches!(c, '+' | '#');
    // Topics that begin with `$` belong to the broker.
    let good = text.len() <= TOPIC_BYTES_MAX && text.chars().all(plain) && !text.starts_with('$');
    good.then(|| Template::parse(text)).flatten()
}

fn topic_or_off() -> Syntax<Option<Template>> {
    let Syntax { allowed, read, schema, .. } = topic_of_device();
    let read = move |value: &DeValue<'_>| match read(value) {
        Ok(topic) if topic.to_string() == OFF => Ok(None),
        topic => topic.map(Some),
    };
    let write = |topic: &Option<Template>| {
        quoted(&topic.as_ref().map_or_else(|| OFF.to_owned(), Template::to_string))
    };
    let allowed = format!("{allowed}; or \"{OFF}\"");
    Syntax { allowed, read: Box::new(read), write: Box::new(write), schema }
}

fn text() -> Syntax<String> {
    let read = |text: &str| {
        let good = (1..=128).contains(&text.len()) && !text.contains(char::is_control);
        good.then(|| text.to_owned())
    };
    Syntax::text("1 to 128 bytes without control characters", read, String::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_topic_is_refused() {
        let long = "x".repeat(TOPIC_BYTES_MAX + 1);
        let bad = ["", "t/#", "t/+/x", "t/{sensors}", "t/{sensor", "t/sensor}", "t/{}", "$SYS/x"];
        for text in bad.into_iter().chain(["t\0", "t\n", &long, "{{device}}"]) {
            assert_eq!(to_topic(text), None, "{text:?}");
        }
        assert!(to_topic(&long[1..]).is_some());
    }
}
