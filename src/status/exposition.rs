//! Renders one page of metrics in Prometheus's text format, in the order of the table of metrics.
//!
//! `metrics-exporter-prometheus` writes the lines. Its recorder is not used, because in version 0.18 it
//! renders in the order of a hash map, so that two pages differ; its counters are whole numbers, and CPU
//! time has fractions; it keeps the largest value that a counter ever had, and a port that is configured
//! anew starts at 0; and it forgets a series by its age alone, and not when its port or sink is removed.

use std::collections::BTreeMap;
use std::fmt;

use metrics::{IntoLabels, Key, KeyName, Label};
use metrics_exporter_prometheus::LabelSet;
use metrics_exporter_prometheus::formatting::{
    write_help_line, write_metric_line, write_type_line,
};

use crate::telemetry::metric_names::{ALL, Metric, MetricKind};

/// The content of the page: each series once, by its metric and its labels.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    families: BTreeMap<KeyName, BTreeMap<Vec<Label>, MetricValue>>,
}

/// The value of a series. Counts and sizes are whole numbers, so that they stay exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum MetricValue {
    Whole(u64),
    Real(f64),
}

impl Exposition {
    /// Sets the value of a metric that has one series only.
    pub(super) fn set(&mut self, name: &'static str, value: impl Into<MetricValue>) {
        self.set_each(name, Vec::new(), value);
    }

    /// Sets the value of one of several series of a metric.
    pub(super) fn set_each(
        &mut self,
        name: &'static str,
        labels: impl IntoLabels,
        value: impl Into<MetricValue>,
    ) {
        let series = self.families.entry(KeyName::from_const_str(name)).or_default();
        series.insert(labels.into_labels(), value.into());
    }

    /// Sets a counter that events increment.
    pub(super) fn set_counted(&mut self, key: Key, count: u64) {
        let (name, labels) = key.into_parts();
        self.families.entry(name).or_default().insert(labels, count.into());
    }

    /// Shows a counter of events as 0 if it has no value yet: `increase` does not see the first event of a
    /// series that starts at 1.
    pub(super) fn begin(&mut self, name: &'static str, labels: impl IntoLabels) {
        let series = self.families.entry(KeyName::from_const_str(name)).or_default();
        series.entry(labels.into_labels()).or_insert(MetricValue::Whole(0));
    }

    /// Renders the page. A metric without a series is left out.
    pub(super) fn into_text(mut self) -> String {
        let mut text = String::new();
        for metric in ALL {
            if let Some(series) = self.families.remove(metric.name) {
                write_family(&mut text, metric, series);
            }
        }
        text
    }
}

fn write_family(text: &mut String, metric: &Metric, series: BTreeMap<Vec<Label>, MetricValue>) {
    let kind = match metric.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
    };
    write_help_line(text, metric.name, None, None, metric.help);
    write_type_line(text, metric.name, None, None, kind);
    for (labels, value) in series {
        let key = Key::from_parts(metric.name, labels);
        let labels = LabelSet::from_key_and_global(&key, &Default::default());
        write_metric_line(text, metric.name, None, &labels, None::<(_, &str)>, value, None);
    }
    text.push('\n');
}

impl From<u64> for MetricValue {
    fn from(count: u64) -> Self {
        Self::Whole(count)
    }
}

impl From<usize> for MetricValue {
    fn from(count: usize) -> Self {
        Self::Whole(count as u64)
    }
}

impl From<f64> for MetricValue {
    fn from(measured: f64) -> Self {
        Self::Real(measured)
    }
}

impl From<bool> for MetricValue {
    fn from(is: bool) -> Self {
        Self::Whole(is.into())
    }
}

impl fmt::Display for MetricValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(count) => count.fmt(f),
            Self::Real(measured) => measured.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metric_names::{CPU, PORT_BYTES, PORT_OPEN, UPTIME};

    #[test]
    fn metrics_stand_in_the_order_of_the_table_and_series_in_that_of_their_labels() {
        let mut page = Exposition::default();
        page.set(CPU, 0.25);
        for port in ["b", "a"] {
            page.set_each(PORT_BYTES, &[("port", port)], u64::MAX);
            page.set_each(PORT_OPEN, &[("port", port)], port == "a");
        }
        page.set(UPTIME, 1.5);
        let text = page.into_text();
        let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "outstation_uptime_seconds 1.5",
            "",
            "outstation_port_open{port=\"a\"} 1",
            "outstation_port_open{port=\"b\"} 0",
            "",
            "outstation_port_received_bytes_total{port=\"a\"} 18446744073709551615",
            "outstation_port_received_bytes_total{port=\"b\"} 18446744073709551615",
            "",
            "process_cpu_seconds_total 0.25",
            "",
        ];
        assert_eq!(series, expected);
        assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"), "{text}");
    }

    #[test]
    fn what_events_counted_stands_where_nothing_would() {
        let mut page = Exposition::default();
        let labels = [("port", "a")];
        page.set_counted(Key::from_parts(PORT_BYTES, &labels), 7);
        page.begin(PORT_BYTES, &labels);
        page.begin(PORT_BYTES, &[("port", "b\"\n")]);
        let text = page.into_text();
        let expected = "outstation_port_received_bytes_total{port=\"a\"} 7\n\
                        outstation_port_received_bytes_total{port=\"b\\\"\\n\"} 0\n\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
