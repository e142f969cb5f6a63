//! `kind = "mqtt"`.

use std::path::PathBuf;

use toml::de::DeValue;

use crate::config::part::credential::secret_file;
use crate::config::part::tls_files::{self, TlsFiles};
use crate::config::part::url::Scheme;
use crate::config::reader::keys::{Key, Keys, key};
use crate::config::reader::kind::{Kind, Names, choice};
use crate::config::reader::print::Printer;
use crate::config::reader::section::Section;
use crate::domain::model::template::Template;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct MqttConfig {
    pub(super) version: MqttVersion,
    /// `None`: made of the names of the device and the sink.
    pub(super) client_id: Option<String>,
    pub(super) payload: Payload,
    /// Of readings; with bare values one level deeper for each channel.
    pub(super) topic: Template,
    pub(super) events_topic: Template,
    /// `None`: nobody is told whether the device is connected.
    pub(super) status_topic: Option<Template>,
    pub(super) login: Option<Login>,
    pub(super) tls: TlsFiles,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) username: String,
    pub(super) password_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MqttVersion {
    V3_1_1,
    V5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// One object per reading.
    Json,
    /// A message per channel, with nothing but its value.
    Value,
}

pub(super) const KEYS: Keys = &[OWN_KEYS, tls_files::KEYS];

#[rustfmt::skip]
const OWN_KEYS: &[Key] = &[
    key("sink.version", "\"5\"", "version of MQTT"),
    key("sink.client_id", "made of the names of the device and the sink", "what the broker knows the session by"),
    key("sink.payload", "\"json\"", "one JSON object per reading, or one bare value per channel"),
    key("sink.topic", "\"outstation/{device}/{port}/{sensor}\"", "topic of readings; of bare values with a level for the channel"),
    key("sink.events_topic", "\"outstation/{device}/events\"", "topic of what happens to the board, as JSON"),
    key("sink.status_topic", "\"outstation/{device}/status\"", "topic of online and offline, retained; or \"off\""),
    key("sink.username", "it connects without a name", "name to log in with"),
    key("sink.password_file", "no password is sent", "file with the password that belongs to username"),
];

pub(super) const SCHEME: Scheme = Scheme {
    names: &["mqtt", "mqtts"],
    path: "",
    allowed: "an mqtt or mqtts URL, such as \"mqtts://broker.example.com:8883\"",
};

const VERSIONS: Names<MqttVersion> = &[("3.1.1", MqttVersion::V3_1_1), ("5", MqttVersion::V5)];
const PAYLOADS: Names<Payload> = &[("json", Payload::Json), ("value", Payload::Value)];
const TOPIC: &str = "outstation/{device}/{port}/{sensor}";
const EVENTS_TOPIC: &str = "outstation/{device}/events";
const STATUS_TOPIC: &str = "outstation/{device}/status";
const OFF: &str = "off";
/// As written. With every name in it filled in it stays far below the 65,535 bytes of the protocol.
const TOPIC_BYTES_MAX: usize = 256;

impl MqttConfig {
    pub(super) fn read(from: &Section<'_>) -> Self {
        let status =
            from.or("status_topic", Some(Template::built_in(STATUS_TOPIC)), &topic_or_off());
        let username = from.optional("username", &text());
        let password_file = from.optional("password_file", &secret_file());
        if username.is_none() {
            from.refuse(&["password_file"], "a sink without username", "username");
        }
        Self {
            version: from.or("version", MqttVersion::V5, &choice(VERSIONS)),
            client_id: from.optional("client_id", &text()),
            payload: from.or("payload", Payload::Json, &choice(PAYLOADS)),
            topic: from.or("topic", Template::built_in(TOPIC), &topic()),
            events_topic: from.or(
                "events_topic",
                Template::built_in(EVENTS_TOPIC),
                &topic_of_device(),
            ),
            status_topic: status,
            login: username.map(|username| Login { username, password_file }),
            tls: TlsFiles::read(from),
        }
    }

    pub(super) fn print(&self, to: &mut Printer) {
        to.name("version", &self.version, VERSIONS);
        match &self.client_id {
            Some(id) => to.text("client_id", id),
            None => to.unset("client_id", "made of the names of the device and the sink"),
        }
        to.name("payload", &self.payload, PAYLOADS);
        to.text("topic", &self.topic);
        to.text("events_topic", &self.events_topic);
        match &self.status_topic {
            Some(topic) => to.text("status_topic", topic),
            None => to.text("status_topic", OFF),
        }
        match &self.login {
            Some(login) => to.text("username", &login.username),
            None => to.unset("username", "it connects without a name"),
        }
        let password_file = self.login.as_ref().and_then(|login| login.password_file.as_deref());
        to.file("password_file", password_file, "no password is sent");
        self.tls.print(to);
    }
}

fn topic() -> Kind<Template> {
    Kind::text(allowed_topic("{device}, {port}, {sensor}"), to_topic)
}

fn topic_of_device() -> Kind<Template> {
    let allowed = allowed_topic("{device}");
    Kind::text(allowed, |text| to_topic(text).filter(Template::is_of_device))
}

fn allowed_topic(placeholders: &str) -> String {
    format!(
        "a topic of 1 to {TOPIC_BYTES_MAX} bytes without + and #, not beginning with $; \
         placeholders: {placeholders}"
    )
}

fn to_topic(text: &str) -> Option<Template> {
    let plain = |c: char| !c.is_control() && !matches!(c, '+' | '#');
    // Topics that begin with `$` are the broker's own.
    let good = text.len() <= TOPIC_BYTES_MAX && text.chars().all(plain) && !text.starts_with('$');
    good.then(|| Template::parse(text)).flatten()
}

fn topic_or_off() -> Kind<Option<Template>> {
    let topic = topic_of_device();
    let allowed = format!("{}; or \"{OFF}\"", topic.allowed);
    let read = move |value: &DeValue<'_>| match (topic.read)(value) {
        Ok(topic) if topic.to_string() == OFF => Ok(None),
        topic => topic.map(Some),
    };
    Kind { allowed, read: Box::new(read) }
}

fn text() -> Kind<String> {
    Kind::text("1 to 128 bytes without control characters", |text| {
        let good = (1..=128).contains(&text.len()) && !text.contains(char::is_control);
        good.then(|| text.to_owned())
    })
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
