//! Runs and comparisons as text.

use crate::evaluate::compare::{Comparison, Verdict};
use crate::evaluate::metrics;
use crate::evaluate::metrics::Unit;
use crate::evaluate::record::{StageSummary, State, Summary};
use std::collections::BTreeSet;
use std::path::Path;

/// Changed queries shown; the page and the JSON have more.
const CHANGES: usize = 10;

/// Prints one line a run.
pub(super) fn list(summaries: &[Summary]) {
    if summaries.is_empty() {
        say!("No evaluations are stored; `kura eval retrieval` makes one.");
        return;
    }
    let mut rows = vec![["id", "started", "name", "queries", "result"].map(str::to_owned)];
    for summary in summaries {
        rows.push([
            summary.id.to_string(),
            summary.started_at.strftime("%Y-%m-%d %H:%M").to_string(),
            summary.name.clone(),
            summary.dataset.asked.to_string(),
            result(summary),
        ]);
    }
    table(&rows, 3);
}

/// Says how a run ended in a few words.
fn result(summary: &Summary) -> String {
    match summary.state {
        State::Running => "running".to_owned(),
        State::Failed => format!("failed: {}", summary.error.as_deref().unwrap_or_default()),
        State::Done => {
            let last = summary.stages.last();
            let headline = last.and_then(|stage| {
                let name = *metrics::in_order(stage.metrics.keys()).first()?;
                let found = stage.metrics.get(name)?;
                Some(format!("{} {name} {:.3}", stage.name, found.mean))
            });
            headline.unwrap_or_else(|| "done".to_owned())
        }
    }
}

/// Prints what a run found, and where it is kept.
pub(super) fn measured(found: &Summary, path: &Path) {
    summary(found);
    say!("\nstored as {}", path.display());
    say!("`kura eval report {}` writes it as a page", found.id);
}

/// Prints what a run found, stage by stage.
pub(super) fn summary(summary: &Summary) {
    let dataset = &summary.dataset;
    let models: Vec<&str> = summary
        .provenance
        .models
        .iter()
        .map(|model| model.id.as_str())
        .collect();
    say!(
        "{}: {} documents, {} of {} queries, {}",
        summary.name,
        dataset.documents,
        dataset.asked,
        dataset.queries,
        models.join(", ")
    );
    if summary.state != State::Done {
        say!("{}", result(summary));
    }
    let names: BTreeSet<&String> = summary
        .stages
        .iter()
        .flat_map(|stage| stage.metrics.keys())
        .collect();
    let names = metrics::in_order(names);
    let mut rows = vec![vec!["stage".to_owned()]];
    rows[0].extend(names.iter().map(|name| (*name).to_owned()));
    rows[0].extend(["p50", "p95", "p99 ms"].map(str::to_owned));
    for stage in &summary.stages {
        let mut row = vec![stage.name.clone()];
        row.extend(names.iter().map(|name| {
            stage.metrics.get(*name).map_or_else(
                || "–".to_owned(),
                |found| format!("{:.3} [{:.3} {:.3}]", found.mean, found.low, found.high),
            )
        }));
        let latency = stage.latency_ms;
        row.extend([latency.p50, latency.p95, latency.p99].map(|ms| format!("{ms:.1}")));
        rows.push(row);
    }
    // One stage with many metrics reads better downwards.
    if let [stage] = &summary.stages[..] {
        one_stage(stage, &names);
    } else if !summary.stages.is_empty() {
        table(&rows, 1);
    }
    if let Some(calibration) = &summary.calibration {
        let auroc = calibration
            .auroc
            .map_or_else(|| "–".to_owned(), |auroc| format!("{auroc:.3}"));
        say!(
            "support: AUROC {auroc}, expected calibration error {:.3}, Brier score {:.3}",
            calibration.ece,
            calibration.brier
        );
    }
    let steps: Vec<String> = summary
        .timings
        .iter()
        .map(|step| format!("{} {:.1}", step.name, step.latency_ms.p95))
        .collect();
    if !steps.is_empty() {
        say!("p95 ms by step: {}", steps.join(", "));
    }
    for warning in &summary.warnings {
        say!("warning: {warning}");
    }
}

/// Prints the metrics of the only stage, one a line.
fn one_stage(stage: &StageSummary, names: &[&str]) {
    let mut rows = vec![["metric", "mean", "95 % interval", "queries"].map(str::to_owned)];
    for name in names {
        let found = &stage.metrics[*name];
        let digits = match metrics::unit(name) {
            Unit::Share => 3,
            Unit::Count => 1,
        };
        rows.push([
            (*name).to_owned(),
            format!("{:.digits$}", found.mean),
            format!("{:.digits$} to {:.digits$}", found.low, found.high),
            found.n.to_string(),
        ]);
    }
    let latency = stage.latency_ms;
    let [p50, p95, p99] = [latency.p50, latency.p95, latency.p99].map(|ms| format!("{ms:.0}"));
    table(&rows, 1);
    say!("ms: p50 {p50}, p95 {p95}, p99 {p99}");
}

/// Prints how two runs differ, and whether the limits were kept.
pub(super) fn comparison(found: &Comparison, verdicts: &[Verdict]) {
    for (which, side) in [("base", &found.base), ("candidate", &found.candidate)] {
        say!(
            "{which:9}  {}  {}, stage {}",
            side.id,
            side.name,
            side.stage
        );
    }
    say!("{} queries of {}\n", found.queries, found.dataset);
    let header = [
        "metric",
        "base",
        "candidate",
        "difference",
        "95 % interval",
        "p",
        "wins",
        "losses",
        "ties",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    for change in &found.metrics {
        let digits = if change.p_value.is_some() { 4 } else { 1 };
        rows.push([
            change.metric.clone(),
            format!("{:.digits$}", change.base),
            format!("{:.digits$}", change.candidate),
            format!("{:+.digits$}", change.difference),
            format!("{:+.digits$} to {:+.digits$}", change.low, change.high),
            change
                .p_value
                .map_or_else(String::new, |p| format!("{p:.4}")),
            change.wins.to_string(),
            change.losses.to_string(),
            change.ties.to_string(),
        ]);
    }
    table(&rows, 1);
    if !found.changes.is_empty() {
        say!("\nqueries whose {} changed most:", found.headline);
        // The worst losses are first and the best gains last.
        let n = found.changes.len();
        let shown = |at: &usize| *at < CHANGES / 2 || *at + CHANGES / 2 >= n;
        for change in (0..n).filter(shown).map(|at| &found.changes[at]) {
            say!(
                "  {:.3} → {:.3}  {}  {}",
                change.base,
                change.candidate,
                change.id,
                change.text.replace('\n', " ")
            );
        }
    }
    if !found.provenance.is_empty() {
        say!("\nnot the same:");
        for change in &found.provenance {
            let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
            say!(
                "  {}: {} → {}",
                change.name,
                side(&change.base),
                side(&change.candidate)
            );
        }
    }
    for warning in &found.warnings {
        say!("warning: {warning}");
    }
    for verdict in verdicts {
        say!(
            "{} {}: {:+.4}, limit {:+.4}",
            if verdict.passed { "kept  " } else { "FAILED" },
            verdict.metric,
            verdict.difference,
            verdict.bound
        );
    }
}

/// Prints rows in columns, the first `n_left` of them aligned left. The first row is the heading.
fn table<R: AsRef<[String]>>(rows: &[R], n_left: usize) {
    let n_columns = rows.first().map_or(0, |row| row.as_ref().len());
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.as_ref().get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    for row in rows {
        let cells = row.as_ref().iter().zip(&widths).enumerate();
        let line: Vec<String> = cells
            .map(|(at, (cell, width))| {
                if at < n_left {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        say!("{}", line.join("  ").trim_end());
    }
}
