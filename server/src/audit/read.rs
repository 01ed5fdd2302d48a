//! Finding records. Reads the files, also while a server writes them; what is not yet complete is left out.

use super::key::Key;
use super::record::{self, Ending, Record};
use super::segments::{self, Segment};
use super::store::dir;
use anyhow::Context as _;
use jiff::Timestamp;
use kura_indexer::GroupId;
use std::path::Path;

/// Which records.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Recorded at this time or later.
    pub from: Option<Timestamp>,
    /// Recorded before this time.
    pub to: Option<Timestamp>,
    /// By this principal: its id or its name.
    pub principal: Option<String>,
    /// This action, or all whose name begins with this and a dot.
    pub action: Option<String>,
    /// To a thing with this id.
    pub target: Option<String>,
    /// Ended like this.
    pub result: Option<Ending>,
}

impl Filter {
    /// Returns whether a record is wanted. `stands_for` is the target's pseudonym, should it be a name in another system.
    fn admits(&self, record: &Record, stands_for: Option<&str>) -> bool {
        let action = |wanted: &String| {
            let rest = record.action.strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let principal = |wanted: &String| {
            record.principal.as_ref() == Some(wanted) || record.name.as_ref() == Some(wanted)
        };
        self.from.is_none_or(|from| record.at >= from)
            && self.to.is_none_or(|to| record.at < to)
            && self.principal.as_ref().is_none_or(principal)
            && self.action.as_ref().is_none_or(action)
            && self.target.as_ref().is_none_or(|wanted| {
                let mut ids = record.target.values();
                ids.any(|id| id == wanted || Some(id.as_str()) == stands_for)
            })
            && self
                .result
                .is_none_or(|wanted| record.outcome.result == wanted)
    }

    /// Returns what stands for the target, should it be a name in another system.
    fn pseudonym(&self, data_dir: &Path) -> anyhow::Result<Option<String>> {
        let Some(target) = &self.target else {
            return Ok(None);
        };
        let key = Key::read(data_dir)?;
        Ok(key.map(|key| key.pseudonym(target)))
    }
}

/// Returns the latest records that pass a filter, `limit` at most, the last first; only those before `before`. Blocking.
///
/// # Errors
/// When the log cannot be read.
pub fn latest(
    data_dir: &Path,
    filter: &Filter,
    before: Option<u64>,
    limit: usize,
) -> anyhow::Result<Vec<Record>> {
    let mut found = Vec::new();
    let stands_for = filter.pseudonym(data_dir)?;
    for segment in segments::list(&dir(data_dir))?.iter().rev() {
        if before.is_some_and(|before| segment.first >= before) {
            continue;
        }
        for line in parsed(segment)?.into_iter().rev() {
            let record = line?.1;
            let is_before = before.is_none_or(|before| record.seq < before);
            if is_before && filter.admits(&record, stands_for.as_deref()) {
                found.push(record);
                if found.len() == limit {
                    return Ok(found);
                }
            }
            // Those before are older still.
        }
    }
    Ok(found)
}

/// Calls `each` with every record that passes a filter, and its line as it is kept, the first first. Blocking.
///
/// # Errors
/// When the log cannot be read, or `each` fails.
pub fn each(
    data_dir: &Path,
    filter: &Filter,
    mut each: impl FnMut(&Record, &str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stands_for = filter.pseudonym(data_dir)?;
    for segment in segments::list(&dir(data_dir))? {
        for line in parsed(&segment)? {
            let (line, record) = line?;
            if filter.admits(&record, stands_for.as_deref()) {
                each(&record, &line)?;
            }
        }
    }
    Ok(())
}

/// Returns how many records name one of these people by login or access list, or one of these documents. Blocking.
///
/// # Errors
/// When the log cannot be read.
pub fn mentions(data_dir: &Path, names: &[String]) -> anyhow::Result<u64> {
    let mut wanted = Vec::with_capacity(names.len() * 2);
    for name in names.iter().filter(|name| !name.is_empty()) {
        let quoted = serde_json::to_string(name)?;
        wanted.push(format!("{}{}", GroupId::USER, quoted.trim_matches('"')));
        wanted.push(quoted);
    }
    let mut n = 0;
    each(data_dir, &Filter::default(), |_, line| {
        n += u64::from(wanted.iter().any(|name| line.contains(name.as_str())));
        Ok(())
    })?;
    Ok(n)
}

type Parsed = anyhow::Result<(String, Record)>;

/// Returns the complete lines of a segment. The chain is not checked here: that is `kura audit verify`.
fn parsed(segment: &Segment) -> anyhow::Result<Vec<Parsed>> {
    let bytes = segment.read()?;
    let lines = segments::lines(&bytes).filter(|line| line.complete);
    let parse = |line: segments::Line<'_>| -> Parsed {
        let text = std::str::from_utf8(line.bytes)?.to_owned();
        let record = record::open(&text, None)?;
        Ok((text, record))
    };
    let damaged = || {
        format!(
            "the audit log is damaged in `{}`; `kura audit verify` says where",
            segment.name()
        )
    };
    Ok(lines
        .map(|line| parse(line).with_context(damaged))
        .collect())
}
