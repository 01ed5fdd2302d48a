//! How sources are shown to people.

use crate::routes::sources::{ScanReport, Source, SourceItem, SourceState};
use jiff::Timestamp;

/// Items listed with their reasons.
const ITEMS: usize = 20;

pub(super) fn added(source: &Source, server_runs: bool) {
    let name = &source.name;
    if server_runs {
        say!("added `{name}`; the server reads it now (`kura sync show {name}`)");
    } else {
        say!(
            "added `{name}`; `kura sync run {name}` reads it now, `kura serve` keeps in step with it"
        );
    }
}

pub(super) fn list(sources: &[Source]) {
    if sources.is_empty() {
        say!("no sources; `kura sync add folder PATH --collection NAME` adds one");
        return;
    }
    let width = |f: fn(&Source) -> usize| sources.iter().map(f).max().unwrap_or(0);
    let (names, collections) = (
        width(|one| one.name.chars().count()),
        width(|one| one.collection.chars().count()),
    );
    for one in sources {
        say!(
            "{:names$}  {:collections$}  {:8}  {:>7} documents  {:>5} errors  {:>8}  {}",
            one.name,
            one.collection,
            state(one),
            one.n_documents,
            one.n_errors,
            lag(one),
            location(one)
        );
        if let Some(error) = &one.error {
            say!("{:names$}  {error}", "");
        }
    }
}

pub(super) fn source(source: &Source, failed: &[SourceItem]) {
    say!("name        {}", source.name);
    say!("place       {}", location(source));
    say!("collection  {}", source.collection);
    if !source.prefix.is_empty() {
        say!("prefix      {}", source.prefix);
    }
    for (name, patterns) in [("include", &source.include), ("exclude", &source.exclude)] {
        if !patterns.is_empty() {
            say!("{name:10}  {}", patterns.join(" "));
        }
    }
    say!("readers     {}", source.readers.join(" "));
    if !source.denied.is_empty() {
        say!("denied      {}", source.denied.join(" "));
    }
    say!(
        "interval    {} s{}",
        source.interval_secs,
        if source.watch {
            ", and when something changes"
        } else {
            ""
        }
    );
    say!(
        "state       {}{}",
        state(source),
        if source.scanning {
            ", being scanned"
        } else {
            ""
        }
    );
    for error in [&source.error, &source.watch_error].into_iter().flatten() {
        say!("            {error}");
    }
    say!("in step     {}", lag(source));
    say!(
        "items       {}, of which {} documents, {} errors",
        source.n_items,
        source.n_documents,
        source.n_errors
    );
    if let Some(scan) = &source.last_scan {
        say!("last scan   {}", counts(scan));
    }
    for item in failed.iter().take(ITEMS) {
        say!(
            "  {}: {}",
            item.key,
            item.error.as_deref().unwrap_or("no reason given")
        );
    }
    if failed.len() > ITEMS {
        say!("  … and {} more (--json lists all)", failed.len() - ITEMS);
    }
}

pub(super) fn scanned(source: &Source) {
    if let Some(scan) = &source.last_scan {
        say!("{}", counts(scan));
    }
    say!(
        "{} documents of {} items, {} errors",
        source.n_documents,
        source.n_items,
        source.n_errors
    );
    if let Some(error) = &source.error {
        say!("stale: {error}");
    }
}

pub(super) fn progress(source: &Source) -> String {
    match &source.last_scan {
        Some(scan) if source.scanning => format!("{} listed, {} added", scan.listed, scan.added),
        Some(_) | None => "indexing".to_owned(),
    }
}

fn counts(scan: &ScanReport) -> String {
    let parts = [
        ("listed", scan.listed),
        ("unchanged", scan.unchanged + scan.same_content),
        ("added", scan.added),
        ("replaced", scan.replaced),
        ("renamed", scan.renamed),
        ("deleted", scan.deleted),
        ("refused", scan.refused),
        ("failed", scan.failed),
        ("being written", scan.changing),
    ];
    let shown = parts.iter().filter(|(name, n)| *n > 0 || *name == "listed");
    let shown: Vec<_> = shown.map(|(name, n)| format!("{n} {name}")).collect();
    format!(
        "{} in {:.1} s",
        shown.join(", "),
        scan.duration_ms as f64 / 1000.0
    )
}

fn state(source: &Source) -> &'static str {
    match source.state {
        SourceState::New => "new",
        SourceState::Ok => "ok",
        SourceState::Stale => "stale",
        SourceState::Paused => "paused",
    }
}

fn location(source: &Source) -> String {
    source.place.as_ref().map_or_else(
        || "not understood by this version".to_owned(),
        |place| format!("{} {}", place.kind(), place.location()),
    )
}

/// Returns how long ago the source was in step.
fn lag(source: &Source) -> String {
    let Some(last) = source.last_success_at else {
        return "never".to_owned();
    };
    let secs = Timestamp::now().duration_since(last).as_secs().max(0);
    match secs {
        0..120 => format!("{secs} s ago"),
        120..7200 => format!("{} min ago", secs / 60),
        7200..172_800 => format!("{} h ago", secs / 3600),
        _ => format!("{} d ago", secs / 86400),
    }
}
