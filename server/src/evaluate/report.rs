//! A run, or the comparison of two, as one HTML page that needs nothing else: style and charts are in it, it has no
//! scripts, and forbids itself to load anything.
//!
//! The templates escape all they are given; only the charts, which escape their own labels, are marked as safe.

use super::calibration::Calibration;
use super::chart::{self, Group};
use super::compare::{Comparison, MetricChange, Verdict, flatten};
use super::metrics::{self, METRICS, Unit};
use super::record::{Record, Row, StageRow, Summary};
use super::statistics::Estimate;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use std::collections::BTreeMap;

/// Worst queries shown.
const WORST: usize = 25;
/// Documents shown of each of their rankings.
const SHOWN: usize = 5;
/// Metrics that are in the table only.
const DETAILS: &[&str] = &[
    "recall@1",
    "recall@5",
    "exact_match",
    "token_f1",
    "context_recall",
    "citation_recall",
    "prompt_tokens",
    "completion_tokens",
];

/// Returns the page of a run.
///
/// # Errors
/// When the record cannot be rendered, which would be a fault of the template.
pub fn run(record: &Record) -> anyhow::Result<String> {
    let summary = &record.summary;
    let names: Vec<String> = summary
        .stages
        .iter()
        .map(|stage| stage.name.clone())
        .collect();
    let all: BTreeMap<&String, ()> = summary
        .stages
        .iter()
        .flat_map(|stage| stage.metrics.keys().map(|name| (name, ())))
        .collect();
    let metric_names = metrics::in_order(all.into_keys());
    let headline = metric_names.first().copied().unwrap_or_default();
    render(
        "run.html",
        context! {
            summary => Value::from(Serde(summary)),
            headline,
            tiles => tiles(record, &metric_names),
            legend => legend(&names),
            metrics => metric_names.iter().map(|name| described(name)).collect::<Vec<_>>(),
            stages => stage_rows(record, &metric_names),
            metrics_chart => safe(metrics_chart(record, &metric_names, &names)),
            calibration => summary.calibration.as_ref().map(|found| calibration(summary, found)),
            latency_chart => safe(chart::latencies(&summary.timings.iter()
                .map(|step| (step.name.clone(), step.latency_ms)).collect::<Vec<_>>())),
            histograms => histograms(record, headline),
            worst => worst(record, headline),
            provenance => provenance(record)?,
            duration => summary.finished_at.map(|end| duration(end.duration_since(summary.started_at).as_secs_f64())),
        },
    )
}

/// Returns the page of a comparison, with the verdicts on limits, if there are any. `base` and `candidate` are the
/// records that were compared.
///
/// # Errors
/// When it cannot be rendered, which would be a fault of the template.
pub fn comparison(
    found: &Comparison,
    verdicts: &[Verdict],
    base: &Record,
    candidate: &Record,
) -> anyhow::Result<String> {
    let (latencies, quality): (Vec<&MetricChange>, Vec<&MetricChange>) = found
        .metrics
        .iter()
        .partition(|change| change.p_value.is_none());
    let quality: Vec<MetricChange> = quality.into_iter().cloned().collect();
    let changed = query_differences(found, base, candidate);
    render(
        "compare.html",
        context! {
            found => Value::from(Serde(found)),
            verdicts => Value::from(Serde(verdicts)),
            sentence => sentence(found),
            quality => quality.iter().map(change_row).collect::<Vec<_>>(),
            latencies => latencies.into_iter().map(change_row).collect::<Vec<_>>(),
            chart => safe(chart::differences(&quality)),
            waterfall => safe(chart::waterfall(&changed, metrics::better(&found.headline))),
            n_changed => changed.len(),
        },
    )
}

fn render(name: &str, values: Value) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    // By their extension templates are HTML, so all values are escaped.
    environment.add_template("style.css", include_str!("report/style.css"))?;
    environment.add_template("run.html", include_str!("report/run.html"))?;
    environment.add_template("compare.html", include_str!("report/compare.html"))?;
    environment.add_filter("figure", |value: f64| format!("{value:.3}"));
    environment.add_filter("change", |value: f64| format!("{value:+.4}"));
    environment.add_filter("ms", chart::number);
    // A latency's difference in milliseconds, any other metric's as it is.
    environment.add_filter("change_of", |value: f64, metric: &str| {
        if metric.ends_with("_ms") {
            format!("{value:+.1}")
        } else {
            format!("{value:+.4}")
        }
    });
    environment.add_filter("gain", |value: f64| value.to_string());
    environment.add_filter("time", |text: String| {
        let time: Result<jiff::Timestamp, _> = text.parse();
        time.map_or(text, |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
    });
    Ok(environment.get_template(name)?.render(values)?)
}

fn safe(svg: String) -> Value {
    Value::from_safe_string(svg)
}

/// Returns the headline figures of the last stage.
fn tiles(record: &Record, names: &[&str]) -> Vec<Value> {
    let Some(last) = record.summary.stages.last() else {
        return Vec::new();
    };
    let mut tiles: Vec<Value> = names
        .iter()
        .filter(|name| !DETAILS.contains(name))
        .filter_map(|name| {
            let found = last.metrics.get(*name)?;
            Some(context! {
                label => *name,
                value => format!("{:.3}", found.mean),
                note => format!("{:.3} – {:.3}", found.low, found.high),
            })
        })
        .collect();
    tiles.push(context! {
        label => "p95 latency",
        value => format!("{} ms", chart::number(last.latency_ms.p95)),
        note => format!("median {} ms", chart::number(last.latency_ms.p50)),
    });
    tiles
}

fn legend(names: &[String]) -> Vec<Value> {
    let entry = |(at, name): (usize, &String)| context! { name, class => chart::series(at) };
    names.iter().enumerate().map(entry).collect()
}

fn described(name: &str) -> Value {
    let known = METRICS.iter().find(|metric| metric.name == name);
    context! { name, about => known.map(|metric| metric.about) }
}

fn stage_rows(record: &Record, names: &[&str]) -> Vec<Value> {
    let stages = &record.summary.stages;
    let best = |name: &str| {
        let means = stages
            .iter()
            .filter_map(|stage| stage.metrics.get(name))
            .map(|found| found.mean);
        match metrics::better(name) {
            metrics::Better::Higher => means.fold(f64::NEG_INFINITY, f64::max),
            metrics::Better::Lower => means.fold(f64::INFINITY, f64::min),
        }
    };
    let cell = |found: Option<&Estimate>, name: &str| {
        found.map(|found| {
            context! {
                mean => found.mean, low => found.low, high => found.high, n => found.n,
                best => stages.len() > 1 && found.mean == best(name),
            }
        })
    };
    stages
        .iter()
        .enumerate()
        .map(|(at, stage)| {
            let cells: Vec<Option<Value>> = names
                .iter()
                .map(|name| cell(stage.metrics.get(*name), name))
                .collect();
            context! {
                name => stage.name.as_str(), class => chart::series(at), cells,
                latency => Value::from(Serde(stage.latency_ms)),
            }
        })
        .collect()
}

fn metrics_chart(record: &Record, metric_names: &[&str], names: &[String]) -> String {
    let stages = &record.summary.stages;
    let group = |name: &&str| Group {
        label: (*name).to_owned(),
        bars: stages
            .iter()
            .map(|stage| stage.metrics.get(*name).copied())
            .collect(),
    };
    let shares = metric_names
        .iter()
        .filter(|name| metrics::unit(name) == Unit::Share);
    chart::bars(&shares.map(group).collect::<Vec<_>>(), names)
}

fn histograms(record: &Record, metric: &str) -> Vec<Value> {
    let of_stage = |(at, name): (usize, &String)| {
        let values: Vec<f64> = record
            .queries
            .iter()
            .filter_map(|row| row.stage(name)?.metrics.get(metric).copied())
            .collect();
        context! { name, svg => safe(chart::histogram(&values, at)) }
    };
    let stages = &record.summary.stages;
    let names: Vec<String> = stages.iter().map(|stage| stage.name.clone()).collect();
    names.iter().enumerate().map(of_stage).collect()
}

/// Returns the charts and figures of the probabilities of support.
fn calibration(summary: &Summary, found: &Calibration) -> Value {
    let in_use = summary.provenance.config["answer"]["min_support"].as_f64();
    let at = |threshold: f64| {
        let nearest = |share: f64| (share - threshold).abs();
        found
            .thresholds
            .iter()
            .min_by(|a, b| nearest(a.min_support).total_cmp(&nearest(b.min_support)))
    };
    context! {
        ece => found.ece, brier => found.brier, auroc => found.auroc, in_use,
        at => in_use.and_then(at).map(|threshold| Value::from(Serde(threshold))),
        reliability => safe(chart::calibration::reliability(&found.bins)),
        thresholds => safe(chart::calibration::thresholds(&found.thresholds, in_use)),
        legend => legend(&["answerable", "unanswerable", "out of corpus"].map(str::to_owned)),
    }
}

/// Returns the queries on which the last stage did worst, with what was expected and what was found.
fn worst(record: &Record, metric: &str) -> Vec<Value> {
    let Some(last) = record.summary.stages.last() else {
        return Vec::new();
    };
    let mut rows: Vec<(f64, &Row, &StageRow)> = record
        .queries
        .iter()
        .filter_map(|row| {
            let stage = row.stage(&last.name)?;
            Some((*stage.metrics.get(metric)?, row, stage))
        })
        .collect();
    let sign = match metrics::better(metric) {
        metrics::Better::Higher => 1.0,
        metrics::Better::Lower => -1.0,
    };
    rows.retain(|(value, ..)| *value * sign < 1.0 - 1e-9);
    // Where values are equal, the one whose document is deepest is worst; none found is deepest.
    let depth = |stage: &StageRow| stage.first_relevant.unwrap_or(usize::MAX);
    rows.sort_by(|a, b| {
        (a.0 * sign)
            .total_cmp(&(b.0 * sign))
            .then(depth(b.2).cmp(&depth(a.2)))
    });
    rows.truncate(WORST);
    rows.into_iter()
        .map(|(value, row, stage)| worst_row(record, value, row, stage))
        .collect()
}

fn worst_row(record: &Record, value: f64, row: &Row, last: &StageRow) -> Value {
    let title = |document: &String| {
        let known = record.titles.get(document);
        known.filter(|title| !title.is_empty() && *title != document)
    };
    let rank = |stage: &StageRow| match stage.first_relevant {
        Some(rank) => rank.to_string(),
        None => "–".to_owned(),
    };
    let mut relevant: Vec<&String> = row.relevant.keys().collect();
    relevant.sort_by(|a, b| row.relevant[*b].total_cmp(&row.relevant[*a]));
    let expected: Vec<Value> = relevant
        .iter()
        .take(SHOWN)
        .map(|document| context! { document => *document, title => title(document), gain => row.relevant[*document] })
        .collect();
    let found: Vec<Value> = last
        .ranking
        .iter()
        .take(SHOWN)
        .map(|ranked| {
            context! {
                document => ranked.document.as_str(),
                title => title(&ranked.document),
                relevant => row.relevant.contains_key(&ranked.document),
            }
        })
        .collect();
    let ranks: Vec<Value> = row
        .stages
        .iter()
        .map(|stage| context! { stage => stage.name.as_str(), rank => rank(stage) })
        .collect();
    let text = if row.withheld && row.text.is_empty() {
        "(withheld: it names documents that are gone, or not for you)"
    } else {
        &row.text
    };
    context! {
        answers => row.answers.iter().take(SHOWN).cloned().collect::<Vec<String>>(),
        answer => last.answer.as_ref().map(|answer| Value::from(Serde(answer))),
        evidence => row.evidence.clone(), score => last.score,
        id => row.id.as_str(), text, value => format!("{value:.3}"), expected,
        n_more => relevant.len().saturating_sub(SHOWN), found, ranks,
    }
}

fn provenance(record: &Record) -> anyhow::Result<Vec<Value>> {
    let summary = &record.summary;
    let mut flat = BTreeMap::new();
    flatten("", &serde_json::to_value(&summary.provenance)?, &mut flat);
    flatten(
        "dataset",
        &serde_json::to_value(&summary.dataset)?,
        &mut flat,
    );
    flat.insert("seed".to_owned(), summary.seed.to_string());
    flat.insert("evaluation".to_owned(), summary.id.to_string());
    let row = |(name, value): (String, String)| context! { name, value };
    Ok(flat.into_iter().map(row).collect())
}

fn change_row(change: &MetricChange) -> Value {
    context! {
        class => chart::verdict(change),
        p => change.p_value.map(|p| if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }),
        ..Value::from(Serde(change))
    }
}

/// Says in words what the headline metric did.
fn sentence(found: &Comparison) -> String {
    let Some(change) = found
        .metrics
        .iter()
        .find(|change| change.metric == found.headline)
    else {
        return String::new();
    };
    let outcome = match chart::verdict(change) {
        "gain" => "The candidate is better",
        "loss" => "The candidate is worse",
        _ if change.ties == found.queries => "Both are the same",
        _ => "No difference can be told from chance",
    };
    format!(
        "{outcome}: {} {:+.4} (95 % interval {:+.4} to {:+.4}), {} wins, {} losses, {} ties over {} queries.",
        change.metric,
        change.difference,
        change.low,
        change.high,
        change.wins,
        change.losses,
        change.ties,
        found.queries
    )
}

/// Returns the differences of the headline metric that are not 0.
fn query_differences(found: &Comparison, base: &Record, candidate: &Record) -> Vec<f64> {
    let values = |record: &Record, stage: &str| -> BTreeMap<String, f64> {
        record
            .queries
            .iter()
            .filter_map(|row| {
                let value = *row.stage(stage)?.metrics.get(&found.headline)?;
                Some((row.id.clone(), value))
            })
            .collect()
    };
    let base = values(base, &found.base.stage);
    let candidate = values(candidate, &found.candidate.stage);
    base.into_iter()
        .filter_map(|(id, base)| Some(candidate.get(&id)? - base))
        .filter(|difference| difference.abs() > super::statistics::EPSILON)
        .collect()
}

fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!(
            "{:.0} min {:.0} s",
            (seconds / 60.0).floor(),
            seconds % 60.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::compare::compare;
    use super::super::record::tests::record;
    use super::*;

    const HOSTILE: &str = "<script>alert(1)</script><img src=x onerror=\"alert(2)\">";

    fn hostile() -> Record {
        let mut record = record(&[0.0, 0.5, 1.0]);
        record.summary.name = HOSTILE.to_owned();
        record.summary.warnings.push(HOSTILE.to_owned());
        record.summary.provenance.config = serde_json::json!({ HOSTILE: HOSTILE });
        record.titles.insert("d1".to_owned(), HOSTILE.to_owned());
        for stage in &mut record.summary.stages {
            stage.name.push_str(HOSTILE);
        }
        for row in &mut record.queries {
            row.id.push_str(HOSTILE);
            row.text = HOSTILE.to_owned();
            row.relevant.insert(HOSTILE.to_owned(), 1.0);
            for stage in &mut row.stages {
                stage.name.push_str(HOSTILE);
                stage.ranking[0].document = HOSTILE.to_owned();
            }
        }
        record
    }

    #[test]
    fn nothing_that_a_record_says_becomes_markup() {
        let record = hostile();
        let mut other = hostile();
        for row in &mut other.queries {
            for stage in &mut row.stages {
                stage.metrics.insert("ndcg@10".to_owned(), 0.25);
            }
        }
        let found = compare(&record, &other, None).unwrap();
        for page in [
            run(&record).unwrap(),
            comparison(&found, &[], &record, &other).unwrap(),
        ] {
            assert!(page.contains("&lt;script&gt;"), "{page}");
            assert!(!page.contains("<script"), "{page}");
            assert!(!page.contains("<img"), "{page}");
        }
    }

    #[test]
    fn a_page_shows_the_figures_and_loads_nothing() {
        let page = run(&record(&[0.0, 0.5, 1.0])).unwrap();
        for expected in [
            "ndcg@10",
            "0.500",
            "hybrid",
            "query 0",
            "<svg",
            "config.retrieval.rrf_k",
        ] {
            assert!(page.contains(expected), "`{expected}` is missing: {page}");
        }
        assert!(page.contains("default-src 'none'"));
        for loading in ["src=", "http:", "https:", "@import", "url("] {
            assert!(!page.contains(loading), "`{loading}`: {page}");
        }
    }

    #[test]
    fn records_without_queries_have_a_page_too() {
        let mut failed = record(&[]).fail("the disk was full");
        failed.summary.stages.clear();
        let page = run(&failed).unwrap();
        assert!(page.contains("the disk was full"), "{page}");
        assert!(!page.contains("NaN"), "{page}");
    }

    #[test]
    fn a_comparison_says_what_happened() {
        let (base, candidate) = (record(&[1.0; 20]), record(&[0.5; 20]));
        let found = compare(&base, &candidate, None).unwrap();
        let verdicts = found.judge(&["ndcg@10:-0.02".parse().unwrap()]).unwrap();
        let page = comparison(&found, &verdicts, &base, &candidate).unwrap();
        for expected in ["The candidate is worse", "-0.5000", "failed"] {
            assert!(page.contains(expected), "`{expected}` is missing: {page}");
        }
        let same = compare(&base, &base, None).unwrap();
        let page = comparison(&same, &[], &base, &base).unwrap();
        assert!(page.contains("Both are the same"), "{page}");
    }
}
