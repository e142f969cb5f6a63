//! Makes the name and labels of the series of a channel.
//!
//! The metric is named after the channel. If the channel's name is not a metric name (`bme.t`, `flow
//! rate`), unsuitable characters become `_` and a label `channel` has the original name. So two channels
//! never share a series, and a series keeps its name whatever channels come later. The unit is part of a
//! series' identity, because metres and millimetres must not mix.

use std::borrow::Cow;

use outstation_codec::{Channel, Sensor};

use super::config::PrometheusConfig;

/// The name and value of each label, sorted by name. No value is empty, because that would mean the same as
/// no label.
pub(super) type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// The labels of a channel's samples.
pub(super) fn of<'a>(
    config: &'a PrometheusConfig,
    device: &'a str,
    sensor: &'a Sensor,
    channel: &'a Channel,
) -> Labels<'a> {
    let (metric, is_renamed) = metric(&config.metric_prefix, &channel.name);
    let mut labels: Labels<'a> = vec![
        ("__name__", metric),
        ("device", device.into()),
        ("port", (&sensor.port).into()),
        ("sensor", (&sensor.name).into()),
        ("unit", (&channel.unit).into()),
    ];
    if is_renamed {
        labels.push(("channel", (&channel.name).into()));
    }
    completed(labels, config)
}

/// The labels of our own series, which shows the times that the server still accepts.
pub(super) fn of_probe<'a>(config: &'a PrometheusConfig, device: &'a str) -> Labels<'a> {
    let name = format!("{}outstation_write_probe", config.metric_prefix);
    completed(vec![("__name__", name.into()), ("device", device.into())], config)
}

fn completed<'a>(mut labels: Labels<'a>, config: &'a PrometheusConfig) -> Labels<'a> {
    labels.extend(config.labels.iter().map(|(name, value)| (name.as_str(), value.into())));
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort_unstable_by_key(|(name, _)| *name);
    labels
}

/// The name of the metric, and whether it differs from the channel's.
fn metric<'a>(prefix: &str, channel: &'a str) -> (Cow<'a, str>, bool) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let begins = !prefix.is_empty() || channel.starts_with(|c: char| !c.is_ascii_digit());
    if begins && channel.chars().all(fits) {
        return match prefix.is_empty() {
            true => (channel.into(), false),
            false => (format!("{prefix}{channel}").into(), false),
        };
    }
    let fitting = channel.chars().map(|c| if fits(c) { c } else { '_' });
    let first = if begins { "" } else { "_" };
    (prefix.chars().chain(first.chars()).chain(fitting).collect::<String>().into(), true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use outstation_codec::ValueType;
    use proptest::prelude::*;

    use super::*;

    fn channel(name: &str, unit: &str) -> Channel {
        Channel { name: name.into(), unit: unit.into(), kind: ValueType::F64 }
    }

    fn sensor() -> Sensor {
        Sensor { port: "mcu".into(), name: "roof".into(), channels: vec![] }
    }

    fn text(config: &PrometheusConfig, name: &str, unit: &str) -> String {
        let (sensor, channel) = (sensor(), channel(name, unit));
        let labels = of(config, "pump-7", &sensor, &channel);
        let shown: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        shown.join(",")
    }

    #[test]
    fn a_channel_is_a_metric_and_where_it_is_from_are_labels() {
        let config = PrometheusConfig::default();
        assert_eq!(
            text(&config, "temperature", "Cel"),
            "__name__=temperature,device=pump-7,port=mcu,sensor=roof,unit=Cel"
        );
        assert_eq!(text(&config, "n", ""), "__name__=n,device=pump-7,port=mcu,sensor=roof");
    }

    #[test]
    fn a_name_that_is_no_metric_name_is_changed_and_its_real_one_is_a_label() {
        let config = PrometheusConfig::default();
        for (name, metric) in [
            ("bme.t", "bme_t"),
            ("1wire", "_1wire"),
            ("flow rate", "flow_rate"),
            ("é°", "__"),
            ("", "_"),
        ] {
            let shown = text(&config, name, "");
            assert!(shown.starts_with(&format!("__name__={metric},")), "{shown}");
            assert_eq!(shown.contains(&format!(",channel={name},")), !name.is_empty(), "{shown}");
        }
    }

    #[test]
    fn a_prefix_and_labels_of_the_site_are_on_every_series_in_their_place() {
        let labels =
            [("site", "north"), ("ab", "c")].map(|(name, value)| (name.into(), value.into()));
        let config = PrometheusConfig {
            metric_prefix: "plc_".into(),
            labels: labels.into(),
            ..PrometheusConfig::default()
        };
        assert_eq!(
            text(&config, "1wire", ""),
            "__name__=plc_1wire,ab=c,device=pump-7,port=mcu,sensor=roof,site=north"
        );
        let probe = of_probe(&config, "pump-7");
        assert_eq!(probe[0].1, "plc_outstation_write_probe");
        assert!(probe.contains(&("site", "north".into())));
    }

    proptest! {
        #[test]
        fn labels_are_legal_sorted_unique_and_those_of_no_other_channel(
            names in prop::collection::btree_set("[a-c0._ :é-]{1,4}", 2..20),
            prefix in "([a-z_][a-z0-9_]{0,3})?",
        ) {
            let config = PrometheusConfig { metric_prefix: prefix, ..PrometheusConfig::default() };
            let (sensor, mut seen) = (sensor(), BTreeSet::new());
            for name in &names {
                let channel = channel(name, "");
                let labels = of(&config, "d", &sensor, &channel);
                prop_assert!(labels.windows(2).all(|pair| pair[0].0 < pair[1].0), "{:?}", labels);
                let metric = &labels[0].1;
                let legal = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
                prop_assert!(metric.chars().all(legal) && !metric.starts_with(|c: char| c.is_ascii_digit()));
                let shown: Vec<_> = labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
                prop_assert!(seen.insert(shown), "{:?} is taken", labels);
            }
        }
    }
}
