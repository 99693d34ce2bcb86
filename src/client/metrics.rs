//! A gateway's `/metrics`, read back: the OpenMetrics text as samples, histograms as quantiles.

use std::collections::BTreeMap;

/// The samples of a scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// A histogram: how many observations, and the bounds that they lie below.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Histogram {
    /// (upper bound in seconds, observations up to it), by bound.
    buckets: Vec<(f64, f64)>,
}

impl Metrics {
    /// Reads a scrape. A line that is no sample is passed over: what a person is shown must not fail on a line of a
    /// later version.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self { samples: lines.filter_map(sample).collect() }
    }

    /// What was counted since an earlier scrape. One that is lower began anew: all of it counts. Gauges come to nonsense.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let known: BTreeMap<_, _> =
            earlier.samples.iter().map(|sample| ((&sample.name, &sample.labels), sample.value)).collect();
        let grown = self.samples.iter().map(|sample| {
            let before = known.get(&(&sample.name, &sample.labels)).copied().unwrap_or(0.0);
            let value = if sample.value >= before { sample.value - before } else { sample.value };
            Sample { value, ..sample.clone() }
        });
        Self { samples: grown.collect() }
    }

    /// The samples of a name: the labels and the value of each.
    pub(crate) fn of<'m>(
        &'m self,
        name: &'m str,
    ) -> impl Iterator<Item = (&'m BTreeMap<String, String>, f64)> + 'm {
        let named = self.samples.iter().filter(move |sample| sample.name == name);
        named.map(|sample| (&sample.labels, sample.value))
    }

    /// The values that a label takes in a histogram's samples, in the order of the scrape.
    pub(crate) fn label_values(&self, histogram: &str, label: &str) -> Vec<String> {
        let name = format!("{histogram}_bucket");
        let mut values: Vec<String> = Vec::new();
        for (labels, _) in self.of(&name) {
            if let Some(value) = labels.get(label).filter(|value| !values.contains(value)) {
                values.push(value.clone());
            }
        }
        values
    }

    /// A histogram, of the samples with this label.
    pub(crate) fn histogram(&self, name: &str, label: &str, value: &str) -> Histogram {
        let name = format!("{name}_bucket");
        let with_label = self.of(&name).filter(|(labels, _)| labels.get(label).is_some_and(|is| is == value));
        let bounded = with_label.filter_map(|(labels, count)| {
            let bound = labels.get("le")?;
            Some((if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? }, count))
        });
        let mut buckets: Vec<(f64, f64)> = bounded.collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Histogram { buckets }
    }
}

impl Histogram {
    /// How many observations there are.
    pub(crate) fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    /// The value that a share of the observations lies below, in seconds: interpolated within its bucket; the last
    /// finite bound if it lies beyond. Nothing without observations.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let total = self.count();
        if total <= 0.0 {
            return None;
        }
        let rank = share * total;
        let (mut below, mut before) = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            if *count >= rank && *count > before {
                if bound.is_infinite() {
                    return Some(below);
                }
                return Some(below + (bound - below) * ((rank - before) / (count - before)).clamp(0.0, 1.0));
            }
            (below, before) = (if bound.is_finite() { *bound } else { below }, *count);
        }
        Some(below)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Reads `a="b",c="d"}` and gives what follows.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, after) = unquote(quoted)?;
        labels.insert(name.to_owned(), value);
        rest = after;
    }
}

/// Reads up to the closing quote, escapes resolved.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCRAPE: &str = "# HELP frazil_x X\n# TYPE frazil_x counter\n\
        frazil_store_requests_total{op=\"put\",result=\"ok\"} 12\n\
        frazil_store_requests_total{op=\"get\",result=\"not_found\"} 3 1700000000\n\
        frazil_up 1\nodd{a=\"x\\\"y\\\\z\\n\"} 2.5\n\
        s_bucket{le=\"0.01\",op=\"put\"} 50\ns_bucket{le=\"0.1\",op=\"put\"} 90\ns_bucket{le=\"+Inf\",op=\"put\"} 100\n\
        s_sum{op=\"put\"} 4\ns_count{op=\"put\"} 100\n# EOF\n";

    #[test]
    fn samples_are_read_with_their_labels() {
        let metrics = Metrics::parse(SCRAPE);
        let requests: Vec<_> = metrics
            .of("frazil_store_requests_total")
            .map(|(labels, value)| (labels["op"].as_str(), labels["result"].as_str(), value))
            .collect();
        assert_eq!(requests, [("put", "ok", 12.0), ("get", "not_found", 3.0)]);
        assert_eq!(metrics.of("frazil_up").map(|(_, value)| value).collect::<Vec<_>>(), [1.0]);
        assert_eq!(metrics.of("odd").next().map(|(labels, _)| labels["a"].as_str()), Some("x\"y\\z\n"));
        assert_eq!(metrics.label_values("s", "op"), ["put"]);
    }

    #[test]
    fn a_quantile_is_interpolated_within_its_bucket() {
        let put = Metrics::parse(SCRAPE).histogram("s", "op", "put");
        assert!((put.count() - 100.0).abs() < 1e-9);
        let close = |share: f64, expected: f64| {
            let found = put.quantile(share).unwrap();
            assert!((found - expected).abs() < 1e-9, "p{share}: {found}, not {expected}");
        };
        close(0.25, 0.005);
        close(0.5, 0.01);
        close(0.7, 0.055);
        close(0.99, 0.1);
        assert_eq!(Metrics::parse(SCRAPE).histogram("s", "op", "get").quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn no_scrape_panics(text in "(x|\\{|\\}|\"|=|,| |\\\\|1|\n){0,60}") {
            let metrics = Metrics::parse(&text);
            prop_assert!(metrics.samples.len() <= text.lines().count());
        }
    }
}
