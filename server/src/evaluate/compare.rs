//! Two runs over the same questions: did a change help, and is that more than chance?

use super::metrics::{self, Better, LATENCIES, Values};
use super::record::{Kind, Record, Row, StageRow, State, Summary};
use super::statistics::{self, EPSILON, Statistic};
use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use utoipa::ToSchema;
use uuid::Uuid;

/// Queries listed among those that changed most.
const CHANGES: usize = 20;

/// What changed from a base to a candidate, over the queries that both asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationComparison)]
pub struct Comparison {
    /// What was evaluated.
    pub kind: Kind,
    /// The data set's name.
    pub dataset: String,
    /// The run that is compared with.
    pub base: Side,
    /// The run that is judged.
    pub candidate: Side,
    /// Queries that both asked; all figures are over these.
    pub queries: usize,
    /// By metric; latencies last.
    pub metrics: Vec<MetricChange>,
    /// The metric that `changes` are about.
    pub headline: String,
    /// The queries whose headline metric changed most, the worst losses first.
    pub changes: Vec<QueryChange>,
    /// What made the two that is not the same.
    pub provenance: Vec<SettingChange>,
    /// What a reader of the figures should know.
    pub warnings: Vec<String>,
}

/// One of the two runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationComparisonSide)]
pub struct Side {
    /// Its id.
    #[schema(value_type = String)]
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The stage that is compared.
    pub stage: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// Queries it asked.
    pub queries: usize,
}

/// How a metric changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationMetricChange)]
pub struct MetricChange {
    /// The metric's name.
    pub metric: String,
    /// Which direction is good.
    pub better: Better,
    /// Of the base: a mean, or a percentile for latencies.
    pub base: f64,
    /// Of the candidate.
    pub candidate: f64,
    /// Candidate less base.
    pub difference: f64,
    /// Lower end of the difference's bootstrap 95 % interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// Of the paired randomization test, two-sided. Absent for latencies: what a machine was busy with changes all
    /// queries of a run together, so they are no independent pairs.
    #[schema(required)]
    pub p_value: Option<f64>,
    /// Queries on which the candidate is better.
    pub wins: usize,
    /// Queries on which it is worse.
    pub losses: usize,
    /// Queries on which it is the same.
    pub ties: usize,
}

/// A query that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationQueryChange)]
pub struct QueryChange {
    /// The query's id.
    pub id: String,
    /// The query.
    pub text: String,
    /// Value of the base.
    pub base: f64,
    /// Value of the candidate.
    pub candidate: f64,
}

/// Something that made the runs and is not the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationSettingChange)]
pub struct SettingChange {
    /// What, e.g. `config.retrieval.rrf_k`.
    pub name: String,
    /// Of the base; absent when it has none.
    #[schema(required)]
    pub base: Option<String>,
    /// Of the candidate; absent when it has none.
    #[schema(required)]
    pub candidate: Option<String>,
}

/// A limit on how a metric may change, as `--fail-on` has it: `ndcg@10:-0.02`.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// The metric's name.
    pub metric: String,
    /// The least allowed difference, or the largest where less is better.
    pub bound: f64,
}

/// Whether a limit was kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The metric's name.
    pub metric: String,
    /// The limit.
    pub bound: f64,
    /// Candidate less base.
    pub difference: f64,
    /// Whether it is within the limit.
    pub passed: bool,
}

/// A name that the runs do not know, with those that they do.
#[derive(Debug, thiserror::Error)]
#[error("unknown {what} `{name}`; known are {}", .known.join(", "))]
pub struct UnknownName {
    what: &'static str,
    name: String,
    known: Vec<String>,
}

/// Compares two runs. Without a `stage` the last of each is compared: what a user gets to see. So a stage that was
/// switched off shows as what it cost.
///
/// # Errors
/// [`UnknownName`] for a stage that one of them lacks; when they are not of the same kind and data set, not done, or
/// have no query in common.
pub fn compare(
    base: &Record,
    candidate: &Record,
    stage: Option<&str>,
) -> anyhow::Result<Comparison> {
    comparable(&base.summary, &candidate.summary)?;
    let (base_stage, candidate_stage) = (
        chosen_stage(&base.summary, stage)?,
        chosen_stage(&candidate.summary, stage)?,
    );
    let by_id: HashMap<&str, &Row> = base
        .queries
        .iter()
        .map(|row| (row.id.as_str(), row))
        .collect();
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    for row in &candidate.queries {
        let other = by_id.get(row.id.as_str()).copied();
        if let Some(of_base) = other.and_then(|row| row.stage(&base_stage))
            && let Some(of_candidate) = row.stage(&candidate_stage)
        {
            pairs.push(Pair {
                row,
                base: of_base,
                candidate: of_candidate,
            });
        }
    }
    ensure!(
        !pairs.is_empty(),
        "the two runs have no query in common; run both with the same --max-queries"
    );
    // Drawing depends on the order of the pairs, which must not depend on which run is the base.
    pairs.sort_by(|a, b| a.row.id.cmp(&b.row.id));
    let seed = base.summary.seed;
    let metrics = metric_changes(&pairs, seed);
    let headline = metrics
        .first()
        .map(|change| change.metric.clone())
        .context("the two runs have no metric in common")?;
    Ok(Comparison {
        kind: candidate.summary.kind,
        dataset: candidate.summary.dataset.name.clone(),
        changes: query_changes(&pairs, &headline),
        queries: pairs.len(),
        metrics: metrics
            .into_iter()
            .chain(latency_changes(&pairs, seed))
            .collect(),
        headline,
        provenance: setting_changes(&base.summary, &candidate.summary)?,
        warnings: warnings(&base.summary, &candidate.summary, pairs.len()),
        base: side(base, base_stage),
        candidate: side(candidate, candidate_stage),
    })
}

/// A query's results in both runs.
struct Pair<'a> {
    row: &'a Row,
    base: &'a StageRow,
    candidate: &'a StageRow,
}

impl Comparison {
    /// Returns how a metric changed.
    ///
    /// # Errors
    /// [`UnknownName`].
    pub fn metric(&self, name: &str) -> Result<&MetricChange, UnknownName> {
        let known = || self.metrics.iter().map(|change| change.metric.clone());
        let found = self.metrics.iter().find(|change| change.metric == name);
        found.ok_or_else(|| UnknownName {
            what: "metric",
            name: name.to_owned(),
            known: known().collect(),
        })
    }

    /// Returns whether the limits were kept.
    ///
    /// # Errors
    /// [`UnknownName`] for a limit on a metric that the runs do not have.
    pub fn judge(&self, limits: &[Limit]) -> Result<Vec<Verdict>, UnknownName> {
        let verdict = |limit: &Limit| {
            let change = self.metric(&limit.metric)?;
            let passed = match change.better {
                Better::Higher => change.difference >= limit.bound - EPSILON,
                Better::Lower => change.difference <= limit.bound + EPSILON,
            };
            Ok(Verdict {
                metric: limit.metric.clone(),
                bound: limit.bound,
                difference: change.difference,
                passed,
            })
        };
        limits.iter().map(verdict).collect()
    }
}

impl std::str::FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write METRIC:DIFFERENCE, e.g. `ndcg@10:-0.02` or `p95_ms:+50`";
        let (metric, bound) = text.rsplit_once(':').ok_or(form)?;
        let bound: f64 = bound
            .trim()
            .parse()
            .map_err(|_| format!("`{bound}` is not a number; {form}"))?;
        if metric.trim().is_empty() || !bound.is_finite() {
            return Err(form.to_owned());
        }
        Ok(Self {
            metric: metric.trim().to_owned(),
            bound,
        })
    }
}

fn comparable(base: &Summary, candidate: &Summary) -> anyhow::Result<()> {
    for summary in [base, candidate] {
        ensure!(
            summary.state == State::Done,
            "the evaluation {} is not done ({})",
            summary.id,
            match summary.state {
                State::Running => "it is still running",
                State::Failed | State::Done => summary.error.as_deref().unwrap_or("it failed"),
            }
        );
    }
    ensure!(
        base.kind == candidate.kind,
        "the two runs are of different kinds, {:?} and {:?}; only runs of the same kind compare",
        base.kind,
        candidate.kind
    );
    ensure!(
        base.dataset.sha256 == candidate.dataset.sha256,
        "the two runs are over different data sets, `{}` ({:.12}…) and `{}` ({:.12}…); only runs over the same \
         questions and judgements compare",
        base.dataset.name,
        base.dataset.sha256,
        candidate.dataset.name,
        candidate.dataset.sha256
    );
    Ok(())
}

/// Returns the stage of this name, or the last.
fn chosen_stage(summary: &Summary, name: Option<&str>) -> anyhow::Result<String> {
    let mut names = summary.stages.iter().map(|stage| stage.name.clone());
    let chosen = match name {
        None => names.next_back(),
        Some(name) => names.find(|known| known == name),
    };
    if let Some(stage) = chosen {
        return Ok(stage);
    }
    let name = name.context("a run without a stage cannot be compared")?;
    let known = summary.stages.iter().map(|stage| stage.name.clone());
    Err(UnknownName {
        what: "stage",
        name: name.to_owned(),
        known: known.collect(),
    }
    .into())
}

fn side(record: &Record, stage: String) -> Side {
    Side {
        id: record.summary.id,
        name: record.summary.name.clone(),
        stage,
        started_at: record.summary.started_at,
        queries: record.queries.len(),
    }
}

fn metric_changes(pairs: &[Pair<'_>], seed: u64) -> Vec<MetricChange> {
    let mut values: BTreeMap<&String, Vec<(f64, f64)>> = BTreeMap::new();
    for pair in pairs {
        for (metric, base) in &pair.base.metrics {
            if let Some(candidate) = pair.candidate.metrics.get(metric) {
                values.entry(metric).or_default().push((*base, *candidate));
            }
        }
    }
    let change = |metric: &str| {
        let values = &values[&metric.to_owned()];
        let p_value = Some(statistics::randomization_test(values, seed));
        metric_change(metric, values, Statistic::Mean, p_value, seed)
    };
    metrics::in_order(values.keys().copied())
        .into_iter()
        .map(change)
        .collect()
}

fn latency_changes(pairs: &[Pair<'_>], seed: u64) -> impl Iterator<Item = MetricChange> {
    let values: Vec<(f64, f64)> = pairs
        .iter()
        .map(|pair| (pair.base.latency_ms, pair.candidate.latency_ms))
        .collect();
    LATENCIES
        .into_iter()
        .map(move |(name, statistic)| metric_change(name, &values, statistic, None, seed))
}

fn metric_change(
    metric: &str,
    values: &[(f64, f64)],
    statistic: Statistic,
    p_value: Option<f64>,
    seed: u64,
) -> MetricChange {
    let better = metrics::better(metric);
    let moved = statistics::difference(values, statistic, seed);
    let count = |direction: f64| {
        let is_so = |(base, candidate): &&(f64, f64)| (candidate - base) * direction > EPSILON;
        values.iter().filter(is_so).count()
    };
    let (n_higher, n_lower) = (count(1.0), count(-1.0));
    let (wins, losses) = match better {
        Better::Higher => (n_higher, n_lower),
        Better::Lower => (n_lower, n_higher),
    };
    MetricChange {
        metric: metric.to_owned(),
        better,
        base: moved.base,
        candidate: moved.candidate,
        difference: moved.difference,
        low: moved.low,
        high: moved.high,
        p_value,
        wins,
        losses,
        ties: values.len() - wins - losses,
    }
}

/// Returns the queries that changed most, the worst losses first.
fn query_changes(pairs: &[Pair<'_>], metric: &str) -> Vec<QueryChange> {
    let value = |values: &Values| values.get(metric).copied();
    let mut changes: Vec<QueryChange> = pairs
        .iter()
        .filter_map(|pair| {
            let (base, candidate) = (value(&pair.base.metrics)?, value(&pair.candidate.metrics)?);
            ((candidate - base).abs() > EPSILON).then(|| QueryChange {
                id: pair.row.id.clone(),
                text: pair.row.text.clone(),
                base,
                candidate,
            })
        })
        .collect();
    let direction = match metrics::better(metric) {
        Better::Higher => 1.0,
        Better::Lower => -1.0,
    };
    let gain = |change: &QueryChange| (change.candidate - change.base) * direction;
    changes.sort_by(|a, b| gain(b).abs().total_cmp(&gain(a).abs()));
    changes.truncate(CHANGES);
    changes.sort_by(|a, b| gain(a).total_cmp(&gain(b)));
    changes
}

fn warnings(base: &Summary, candidate: &Summary, n_common: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    for (which, summary) in [("base", base), ("candidate", candidate)] {
        if summary.dataset.asked > n_common {
            warnings.push(format!(
                "{} queries of the {which} were not asked by the other run and do not count",
                summary.dataset.asked - n_common
            ));
        }
    }
    if base.dataset.corpus_sha256 != candidate.dataset.corpus_sha256 {
        warnings.push("the documents searched are not the same".to_owned());
    }
    if base.provenance.machine != candidate.provenance.machine {
        warnings.push("the machines differ, so latencies do not compare".to_owned());
    }
    warnings
}

/// Returns what made the two runs and is not the same.
fn setting_changes(base: &Summary, candidate: &Summary) -> anyhow::Result<Vec<SettingChange>> {
    let settings = |summary: &Summary| -> anyhow::Result<BTreeMap<String, String>> {
        let mut flat = BTreeMap::new();
        flatten("", &serde_json::to_value(&summary.provenance)?, &mut flat);
        // The hash says nothing that the settings do not.
        flat.remove("config_sha256");
        flat.insert(
            "dataset.corpus_sha256".to_owned(),
            summary.dataset.corpus_sha256.clone(),
        );
        flat.insert("seed".to_owned(), summary.seed.to_string());
        Ok(flat)
    };
    let (base, candidate) = (settings(base)?, settings(candidate)?);
    let names: std::collections::BTreeSet<&String> = base.keys().chain(candidate.keys()).collect();
    let changes = names
        .into_iter()
        .filter(|name| base.get(*name) != candidate.get(*name))
        .map(|name| SettingChange {
            name: name.clone(),
            base: base.get(name).cloned(),
            candidate: candidate.get(name).cloned(),
        });
    Ok(changes.collect())
}

/// Writes the leaves of a value by their path.
pub(super) fn flatten(path: &str, value: &serde_json::Value, flat: &mut BTreeMap<String, String>) {
    use serde_json::Value;
    let join = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                flatten(&join(name), value, flat);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                // Models are told apart by what they do, so that one more does not rename the others.
                let role = item.get("role").and_then(Value::as_str);
                let name = role.map_or_else(|| at.to_string(), str::to_owned);
                flatten(&join(&name), item, flat);
            }
        }
        Value::String(text) => {
            flat.insert(path.to_owned(), text.clone());
        }
        Value::Bool(_) | Value::Number(_) => {
            flat.insert(path.to_owned(), value.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
