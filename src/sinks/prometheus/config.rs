//! `kind = "prometheus"`: remote write.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use crate::config::part::http_access::{self, Access};
use crate::config::part::tls_files;
use crate::config::part::url::Scheme;
use crate::config::reader::keys::{Key, Keys, key};
use crate::config::reader::kind::{Kind, Refusal, found};
use crate::config::reader::print::{Printer, quoted};
use crate::config::reader::section::Section;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PrometheusConfig {
    /// In front of every metric name.
    pub(super) metric_prefix: String,
    /// On every series.
    pub(super) labels: BTreeMap<String, String>,
    pub(super) access: Access,
}

pub(super) const KEYS: Keys = &[OWN_KEYS, http_access::KEYS, tls_files::KEYS];

#[rustfmt::skip]
const OWN_KEYS: &[Key] = &[
    key("sink.metric_prefix", "\"\"", "in front of every metric name of a prometheus sink"),
    key("sink.labels", "no further labels", "labels on every series of a prometheus sink"),
];

pub(super) const SCHEME: Scheme = Scheme {
    names: &["http", "https"],
    path: "/api/v1/write",
    allowed: "an absolute http or https URL, such as \"https://prometheus.example.com/api/v1/write\"",
};

/// The labels that say where a reading is from.
const OWN_LABELS: [&str; 5] = ["channel", "device", "port", "sensor", "unit"];

const LABELS_MAX: usize = 16;
const LABEL_BYTES_MAX: usize = 256;

impl PrometheusConfig {
    pub(super) fn read(from: &Section<'_>) -> Self {
        Self {
            metric_prefix: from.or("metric_prefix", String::new(), &metric_prefix()),
            labels: from.or("labels", BTreeMap::new(), &labels()),
            access: Access::read(from),
        }
    }

    pub(super) fn print(&self, to: &mut Printer) {
        to.text("metric_prefix", &self.metric_prefix);
        match self.labels.is_empty() {
            true => to.unset("labels", "series carry no further labels"),
            false => {
                let label =
                    |(name, value): (&String, &String)| format!("{name} = {}", quoted(value));
                let labels: Vec<_> = self.labels.iter().map(label).collect();
                to.bare("labels", format!("{{ {} }}", labels.join(", ")));
            }
        }
        self.access.print(to);
    }
}

fn metric_prefix() -> Kind<String> {
    Kind::text("the beginning of a metric name: A-Z a-z 0-9 _ :, no digit first", |text| {
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b':');
        let begins = !text.starts_with(|c: char| c.is_ascii_digit());
        (text.len() <= 64 && begins && text.bytes().all(plain)).then(|| text.to_owned())
    })
}

fn labels() -> Kind<BTreeMap<String, String>> {
    let allowed = format!("up to {LABELS_MAX} labels, such as {{ site = \"north\" }}");
    let read = |value: &DeValue<'_>| {
        let table = value.as_table().filter(|table| table.len() <= LABELS_MAX);
        let table = table.ok_or(Refusal::NotAllowed)?.iter();
        let label = |(name, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
            let name = label_name(name.get_ref())?;
            let value = label_value(&name, value.get_ref())?;
            Ok((name, value))
        };
        table.map(label).collect()
    };
    Kind { allowed, read: Box::new(read) }
}

fn label_name(name: &str) -> Result<String, Refusal> {
    if OWN_LABELS.contains(&name) {
        return Err(Refusal::Because(format!(
            "found a label {name:?}, which every series has already; allowed: other names"
        )));
    }
    let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let begins = !name.starts_with(|c: char| c.is_ascii_digit()) && !name.starts_with("__");
    let good = (1..=LABEL_BYTES_MAX).contains(&name.len()) && begins && name.bytes().all(plain);
    let refused = || {
        Refusal::Because(format!(
            "found {} as the name of a label; allowed: A-Z a-z 0-9 _, beginning with neither a \
             digit nor \"__\"",
            found(&DeValue::String(name.into()))
        ))
    };
    good.then(|| name.to_owned()).ok_or_else(refused)
}

fn label_value(name: &str, value: &DeValue<'_>) -> Result<String, Refusal> {
    let text = value.as_str().filter(|text| (1..=LABEL_BYTES_MAX).contains(&text.len()));
    let refused = || {
        Refusal::Because(format!(
            "found {} as the value of label {name:?}; allowed: 1 to {LABEL_BYTES_MAX} bytes of text",
            found(value)
        ))
    };
    text.map(str::to_owned).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use crate::domain::policy::lanes::Order;
    use crate::test_kit::config::{parse, problems};

    #[test]
    fn a_prometheus_sink_goes_by_the_order_of_the_log_and_is_told_no_events() {
        let sink =
            "[[sink]]\nname = \"tsdb\"\nkind = \"prometheus\"\nurl = \"http://[::1]:9090/write\"\n";
        let config = parse(sink);
        assert_eq!(config.sinks[0].pace.lanes.order, Order::AsStored);
        assert!(!config.sinks[0].events);
        assert_eq!(parse(&config.to_toml()), config, "{}", config.to_toml());
        let rest =
            "events = true\nencoding = \"json\"\nmetric_prefix = \"9_\"\nlabels = { a = \"\" }\n";
        assert_eq!(
            problems(&format!("{sink}{rest}")),
            [
                "line 5: sink[0].events: found true; allowed: false, because this kind of sink or encoding can only \
                 say readings",
                "line 6: sink[0].encoding: does not apply to this kind of sink; allowed: only with \
                 kind = \"http\"",
                "line 7: sink[0].metric_prefix: found \"9_\"; allowed: the beginning of a metric name: \
                 A-Z a-z 0-9 _ :, no digit first",
                "line 8: sink[0].labels: found \"\" as the value of label \"a\"; allowed: 1 to 256 bytes \
                 of text",
            ]
        );
        for (labels, message) in [
            ("{ device = \"x\" }", "found a label \"device\", which every series has already"),
            ("{ __x = \"x\" }", "found \"__x\" as the name of a label"),
            ("{ \"a-b\" = \"x\" }", "found \"a-b\" as the name of a label"),
            ("{ a = 1 }", "found 1 as the value of label \"a\""),
            ("\"x\"", "found \"x\"; allowed: up to 16 labels"),
        ] {
            let found = problems(&format!("{sink}labels = {labels}\n"));
            assert!(found.len() == 1 && found[0].contains(message), "{found:?}");
        }
    }
}
