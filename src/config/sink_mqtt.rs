//! `kind = "mqtt"`.

use std::path::PathBuf;

use toml::de::DeValue;

use super::kind::{Kind, Names, choice, path};
use super::print::Printer;
use super::section::Section;
use super::tls_files::TlsFiles;
use super::topic::{self, Topic, topic};
use super::url::Scheme;

#[derive(Clone, Debug, PartialEq)]
pub struct MqttSink {
    pub version: MqttVersion,
    /// `None`: made of the names of the device and the sink.
    pub client_id: Option<String>,
    pub payload: Payload,
    /// Of readings; with bare values one level deeper for each channel.
    pub topic: Topic,
    pub events_topic: Topic,
    /// `None`: nobody is told whether the device is connected.
    pub status_topic: Option<Topic>,
    pub login: Option<Login>,
    pub tls: TlsFiles,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    pub password_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MqttVersion {
    V3_1_1,
    V5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// One object per reading.
    Json,
    /// A message per channel, with nothing but its value.
    Value,
}

pub(super) const KEYS: &[&str] = &[
    "version",
    "client_id",
    "payload",
    "topic",
    "events_topic",
    "status_topic",
    "username",
    "password_file",
    "ca_file",
    "cert_file",
    "key_file",
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

impl MqttSink {
    pub(super) fn read(from: &Section<'_>) -> Self {
        let status = from.or("status_topic", Some(Topic::built_in(STATUS_TOPIC)), &topic_or_off());
        let username = from.optional("username", &text());
        let password_file = from.optional("password_file", &path());
        if username.is_none() {
            from.refuse(&["password_file"], "a sink without username", "username");
        }
        Self {
            version: from.or("version", MqttVersion::V5, &choice(VERSIONS)),
            client_id: from.optional("client_id", &text()),
            payload: from.or("payload", Payload::Json, &choice(PAYLOADS)),
            topic: from.or("topic", Topic::built_in(TOPIC), &topic(topic::ALL)),
            events_topic: from.or(
                "events_topic",
                Topic::built_in(EVENTS_TOPIC),
                &topic(topic::DEVICE),
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
        to.text("topic", self.topic.written());
        to.text("events_topic", self.events_topic.written());
        to.text("status_topic", self.status_topic.as_ref().map_or("off", Topic::written));
        match &self.login {
            Some(login) => to.text("username", &login.username),
            None => to.unset("username", "it connects without a name"),
        }
        let password_file = self.login.as_ref().and_then(|login| login.password_file.as_deref());
        to.file("password_file", password_file, "no password is sent");
        self.tls.print(to);
    }
}

fn topic_or_off() -> Kind<Option<Topic>> {
    let topic = topic(topic::DEVICE);
    let allowed = format!("{}; or \"off\"", topic.allowed);
    let read = move |value: &DeValue<'_>| match (topic.read)(value) {
        Ok(topic) if topic.written() == "off" => Ok(None),
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
