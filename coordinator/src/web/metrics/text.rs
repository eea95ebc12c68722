//! The two texts that Prometheus reads: OpenMetrics, and the older form for who does not ask for it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use landfall_proto::metrics::MetricsView;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::families::{Family, Kind, Sample, Value, families};

/// How the figures are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Plain,
}

impl Format {
    /// As the client accepts; the older form where it does not say.
    pub(super) fn accepted(accept: &str) -> Self {
        let wants =
            |part: &str| part.split(';').next().is_some_and(|kind| kind.trim() == "application/openmetrics-text");
        if accept.split(',').any(wants) { Self::OpenMetrics } else { Self::Plain }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The figures as text.
pub(super) fn write(view: Arc<MetricsView>, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(view)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(match format {
        Format::OpenMetrics => text,
        Format::Plain => plain(&text),
    })
}

#[derive(Debug)]
struct Scrape(Arc<MetricsView>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        families(&self.0).iter().try_for_each(|family| describe(&mut encoder, family))
    }
}

fn describe(encoder: &mut DescriptorEncoder<'_>, family: &Family<'_>) -> fmt::Result {
    let kind = match family.kind {
        Kind::Gauge => MetricType::Gauge,
        Kind::Counter => MetricType::Counter,
    };
    let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
    for sample in &family.samples {
        if family.labels.is_empty() {
            put(&mut metric, family.kind, sample.value)?;
        } else {
            let labels = Labels { names: family.labels, sample };
            put(&mut metric.encode_family(&labels)?, family.kind, sample.value)?;
        }
    }
    Ok(())
}

fn put(metric: &mut MetricEncoder<'_>, kind: Kind, value: Value) -> fmt::Result {
    match (kind, value) {
        (Kind::Gauge, Value::Whole(value)) => metric.encode_gauge(&value),
        (Kind::Gauge, Value::Seconds(value)) => metric.encode_gauge(&value),
        (Kind::Counter, Value::Whole(value)) => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
        (Kind::Counter, Value::Seconds(value)) => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
    }
}

struct Labels<'a> {
    names: &'static [&'static str],
    sample: &'a Sample<'a>,
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let mut pairs = self.names.iter().zip(&self.sample.labels);
        pairs.try_for_each(|(name, value): (&&str, &Cow<'_, str>)| {
            (*name, value.as_ref()).encode(encoder.encode_label())
        })
    }
}

/// In the older form a counter's description bears the name of its samples, and nothing marks the end.
fn plain(text: &str) -> String {
    let counters: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut plain = String::with_capacity(text.len() + 64 * counters.len());
    for line in text.lines().filter(|line| *line != "# EOF") {
        let described = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        match described.and_then(|rest| rest.split_once(' ')) {
            Some((name, rest)) if counters.contains(&name) => {
                plain.extend([&line[..7], name, "_total ", rest]);
            }
            Some(_) | None => plain.push_str(line),
        }
        plain.push('\n');
    }
    plain
}
