//! The keys of `kind = "prometheus"` (remote write). The keys that all sinks share are in `config/sink.rs`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::json;
use toml::Spanned;
use toml::de::DeValue;

use crate::config::part::http_access::Access;
use crate::config::part::url::Scheme;
use crate::config::reader::field::{collection, default};
use crate::config::reader::print::table;
use crate::config::reader::syntax::{Refusal, Syntax, found};
use crate::config::reader::table::settings;

settings! {
    /// Prometheus remote write 1.0: Prometheus with `--web.enable-remote-write-receiver`, VictoriaMetrics and
    /// others. A channel becomes a metric of its name with the labels device, port, sensor and unit (and
    /// channel, where the name had to be changed); true is 1, false is 0, and text is left out and counted.
    /// Readings leave in stored order and wait until the clock is set. Prometheus takes nothing much older than
    /// what it has (one hour) unless its `storage.tsdb.out_of_order_time_window` allows it: set that to the
    /// longest outage that must lose nothing. Otherwise older readings go to quarantine, and beyond
    /// `quarantine_readings` they are lost and counted. After an outage a series `outstation_write_probe` may
    /// appear.
    pub(super) struct PrometheusConfig {
        /// In front of every metric name.
        pub(super) metric_prefix: String = default(String::new(), metric_prefix());

        /// Labels on every series.
        pub(super) labels: BTreeMap<String, String> =
            collection("series carry no further labels", labels()).example("{ site = \"north\" }");

        in pub(super) access: Access;
    }
}

pub(super) const SCHEME: Scheme = Scheme {
    names: &["http", "https"],
    path: "/api/v1/write",
    allowed: "an absolute http or https URL, such as \"https://prometheus.example.com/api/v1/write\"",
    example: "\"https://prometheus.example.com/api/v1/write\"",
};

/// The labels that identify the origin of a reading.
const OWN_LABELS: [&str; 5] = ["channel", "device", "port", "sensor", "unit"];

const LABELS_MAX: usize = 16;
const LABEL_BYTES_MAX: usize = 256;

fn metric_prefix() -> Syntax<String> {
    let read = |text: &str| {
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b':');
        let begins = !text.starts_with(|c: char| c.is_ascii_digit());
        (text.len() <= 64 && begins && text.bytes().all(plain)).then(|| text.to_owned())
    };
    let allowed = "the beginning of a metric name: A-Z a-z 0-9 _ :, no digit first";
    Syntax::text(allowed, read, String::clone)
}

fn labels() -> Syntax<BTreeMap<String, String>> {
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
    let schema = json!({
        "type": "object", "maxProperties": LABELS_MAX,
        "additionalProperties": { "type": "string", "minLength": 1, "maxLength": LABEL_BYTES_MAX },
    });
    Syntax { allowed, read: Box::new(read), write: Box::new(|labels| table(labels)), schema }
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
        assert_eq!(config.sinks[0].pace.order, Order::AsStored);
        assert!(!config.sinks[0].events);
        assert_eq!(parse(&config.to_toml()), config, "{}", config.to_toml());
        let rest =
            "events = true\nencoding = \"json\"\nmetric_prefix = \"9_\"\nlabels = { a = \"\" }\n";
        assert_eq!(
            problems(&format!("{sink}{rest}")),
            [
                "line 5: sink[0].events: found true; allowed: false, because this kind of sink or encoding can only \
                 say readings",
                "line 6: sink[0].encoding: does not apply to kind = \"prometheus\"; allowed: only with \
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
