//! Blocks of text → chunks under a token budget.

mod sentence;
mod split;

pub use sentence::sentences;

use crate::document::{Block, BlockKind, Chunk, Locator};
use split::{Budget, Strength, Unit};
use std::ops::Range;

/// Between the headings of a path in a chunk's context.
const PATH_SEPARATOR: &str = " > ";

/// How large chunks are, in tokens of the embedder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkConfig {
    /// No chunk's text has more. The context comes on top, with at most half as many.
    pub max_tokens: usize,
    /// Adjacent chunks of a section share whole sentences up to this many.
    pub overlap_tokens: usize,
    /// A section smaller than this is joined with its neighbor.
    pub min_tokens: usize,
}

impl Default for ChunkConfig {
    fn default() -> Self {
        Self {
            max_tokens: 256,
            overlap_tokens: 32,
            min_tokens: 48,
        }
    }
}

/// A document's text and the chunks that cover it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunks {
    /// The blocks' texts joined by a blank line; blocks without text are left out.
    pub text: String,
    /// In order; every character that is not whitespace lies in at least one.
    pub chunks: Vec<Chunk>,
}

/// How texts are counted.
#[derive(Clone, Copy)]
pub struct Counter<'c> {
    /// Tokens of a text as the embedder counts them.
    pub count: &'c dyn Fn(&str) -> usize,
    /// Whether a text and others of which this is true have as many tokens together, with spaces or line ends between
    /// them, as one by one.
    pub adds_up: &'c dyn Fn(&str) -> bool,
}

/// Cuts a document into chunks.
///
/// `count` gives the tokens of a text as the embedder counts them. A chunk never has more than
/// [`ChunkConfig::max_tokens`] of them, unless a single character has. Chunks begin anew at headings of level 1 and 2 (unless
/// the section is tiny), and otherwise prefer to end before a heading, then between blocks, then between sentences.
#[must_use]
pub fn chunk(blocks: &[Block], count: &dyn Fn(&str) -> usize, config: &ChunkConfig) -> Chunks {
    let adds_up = &|_: &str| false;
    chunk_unless(&|| false, blocks, Counter { count, adds_up }, config).unwrap_or_default()
}

/// Cuts a document into chunks as [`chunk`] does. `cancelled` is asked at every sentence; returns `None` once it says so.
///
/// What adds up is counted once; everything else once more when sentences are put together.
#[must_use]
pub fn chunk_unless(
    cancelled: &dyn Fn() -> bool,
    blocks: &[Block],
    counter: Counter<'_>,
    config: &ChunkConfig,
) -> Option<Chunks> {
    let (text, placed) = join(blocks);
    let budget = Budget::new(&text, counter, cancelled, config.max_tokens);
    let units: Vec<Unit> = placed
        .iter()
        .enumerate()
        .flat_map(|(index, (block, span))| budget.units(index, block.kind, span.clone()))
        .collect();
    let mut chunks = Vec::new();
    for section in sections(&units, config.min_tokens) {
        let units = &units[section];
        for packed in pack(units, &budget, config) {
            if cancelled() {
                return None;
            }
            let ordinal = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
            chunks.push(describe(ordinal, units, packed, &placed, &budget));
        }
    }
    (!cancelled()).then_some(Chunks { text, chunks })
}

type Placed<'b> = (&'b Block, Range<usize>);

fn join(blocks: &[Block]) -> (String, Vec<Placed<'_>>) {
    let mut text = String::new();
    let mut placed = Vec::with_capacity(blocks.len());
    for block in blocks.iter().filter(|block| !block.text.trim().is_empty()) {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        let start = text.len();
        text.push_str(&block.text);
        placed.push((block, start..text.len()));
    }
    (text, placed)
}

/// Ranges of units between headings of level 1 and 2; a tiny one is joined with the next, or else the one before.
fn sections(units: &[Unit], min_tokens: usize) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    let mut cost = 0;
    for (index, unit) in units.iter().enumerate() {
        if unit.before == Strength::Section && cost >= min_tokens && index > start {
            found.push(start..index);
            (start, cost) = (index, 0);
        }
        cost += unit.cost;
    }
    match found.last_mut() {
        Some(last) if cost < min_tokens => last.end = units.len(),
        _ if start < units.len() => found.push(start..units.len()),
        _ => {}
    }
    found
}

/// Units of one chunk; those before `fresh` repeat the end of the chunk before.
struct Packed {
    start: usize,
    fresh: usize,
    end: usize,
    n_tokens: usize,
}

fn pack(units: &[Unit], budget: &Budget<'_>, config: &ChunkConfig) -> Vec<Packed> {
    let mut packed: Vec<Packed> = Vec::new();
    let (mut start, mut fresh) = (0, 0);
    while fresh < units.len() && !budget.is_cancelled() {
        let mut end = fill(units, start, fresh, budget);
        if end < units.len() {
            end = best_break(units, start, fresh, end, budget, config.min_tokens);
        }
        let (end, n_tokens) = shrink(units, start, fresh, end, budget);
        if start < fresh && n_tokens > budget.max_tokens() {
            start = fresh;
            continue;
        }
        packed.push(Packed {
            start,
            fresh,
            end,
            n_tokens,
        });
        let floor = start + 1;
        fresh = end;
        start = overlap(units, floor, fresh, config.overlap_tokens);
    }
    packed
}

/// Moves a chunk's end back until it is within the budget or has one fresh unit left; returns it with the chunk's tokens.
///
/// The units' costs leave out what joining them costs, so it is the count that decides.
fn shrink(
    units: &[Unit],
    start: usize,
    fresh: usize,
    mut end: usize,
    budget: &Budget<'_>,
) -> (usize, usize) {
    loop {
        let span = units[start].span.start..units[end - 1].span.end;
        let n_tokens = if budget.is_too_long(&span) {
            usize::MAX
        } else {
            budget.count_together(&units[start..end])
        };
        if n_tokens <= budget.max_tokens() || end == fresh + 1 {
            return (end, n_tokens);
        }
        // Half of what is too much, so that many small units do not take as many counts.
        let excess = match n_tokens {
            usize::MAX => budget.max_tokens(),
            n_tokens => n_tokens - budget.max_tokens(),
        };
        let mut cut = 0;
        while end > fresh + 1 && cut <= excess / 2 {
            end -= 1;
            cut += units[end].cost;
        }
    }
}

/// The end of the longest run of units from `start` that the estimate lets fit, at least one fresh unit.
fn fill(units: &[Unit], start: usize, fresh: usize, budget: &Budget<'_>) -> usize {
    let mut cost: usize = units[start..fresh].iter().map(|unit| unit.cost).sum();
    let mut end = fresh;
    while let Some(unit) = units.get(end)
        && cost + unit.cost <= budget.room()
    {
        cost += unit.cost;
        end += 1;
    }
    end.max(fresh + 1)
}

/// Moves a chunk's end back to a better place: the strongest boundary that leaves the chunk reasonably full.
fn best_break(
    units: &[Unit],
    start: usize,
    fresh: usize,
    end: usize,
    budget: &Budget<'_>,
    min_tokens: usize,
) -> usize {
    let mut cost: usize = units[start..end].iter().map(|unit| unit.cost).sum();
    // What is left after the chunk, as far as it matters.
    let mut left = 0;
    for unit in &units[end..] {
        left += unit.cost;
        if left >= min_tokens {
            break;
        }
    }
    let mut best: Option<(Strength, usize)> = None;
    for candidate in (fresh + 1..=end).rev() {
        let strength = boundary(units, candidate);
        let full_enough = match strength {
            Strength::Section | Strength::Heading => cost * 100 >= budget.room() * 35,
            Strength::Block
            | Strength::Item
            | Strength::Sentence
            | Strength::Piece
            | Strength::Never => cost * 2 >= budget.room(),
        };
        // A last chunk of a few words is worth little; better two of middling size.
        let leaves_crumb = left < min_tokens && units.len() > candidate;
        if full_enough && !leaves_crumb && best.is_none_or(|(other, _)| strength > other) {
            best = Some((strength, candidate));
        }
        cost -= units[candidate - 1].cost;
        left += units[candidate - 1].cost;
    }
    best.map_or(end, |(_, candidate)| candidate)
}

/// How good it is to break before the unit `index`.
fn boundary(units: &[Unit], index: usize) -> Strength {
    if units[index - 1].kind.is_heading() {
        return Strength::Never;
    }
    units
        .get(index)
        .map_or(Strength::Section, |unit| unit.before)
}

/// Where the next chunk begins so that it repeats whole sentences of at most `tokens`; never before `floor`.
fn overlap(units: &[Unit], floor: usize, fresh: usize, tokens: usize) -> usize {
    let Some(next) = units.get(fresh) else {
        return fresh;
    };
    if next.before >= Strength::Heading || !next.kind.is_prose() {
        return fresh;
    }
    let mut start = fresh;
    let mut cost = 0;
    while start > floor {
        let unit = &units[start - 1];
        cost += unit.cost;
        if cost > tokens || !unit.kind.is_prose() {
            break;
        }
        start -= 1;
    }
    // Half a sentence is no help.
    while start < fresh && units[start].before <= Strength::Piece {
        start += 1;
    }
    start
}

fn describe(
    ordinal: u32,
    units: &[Unit],
    packed: Packed,
    placed: &[Placed<'_>],
    budget: &Budget<'_>,
) -> Chunk {
    let chosen = &units[packed.start..packed.end];
    let span = chosen[0].span.start..chosen[chosen.len() - 1].span.end;
    let blocks: Vec<&Placed<'_>> = {
        let first = chosen[0].block;
        let last = chosen[chosen.len() - 1].block;
        placed[first..=last].iter().collect()
    };
    let fresh = placed[units[packed.fresh].block].0;
    let locator = Locator {
        page: fresh.locator.page,
        range: blocks
            .iter()
            .find_map(|(block, _)| block.locator.range.clone()),
        headings: shared_path(&blocks),
    };
    let header = table_header(&chosen[0], placed, budget.text);
    let own: Vec<&str> = blocks
        .iter()
        .filter(|(block, at)| matches!(block.kind, BlockKind::Heading(_)) && at.start >= span.start)
        .map(|(block, _)| block.text.as_str())
        .collect();
    Chunk {
        ordinal,
        text: budget.text[span.clone()].to_owned(),
        n_tokens: packed.n_tokens,
        context: context(&locator.headings, &own, header, budget),
        span,
        locator,
    }
}

/// The headings above all of the running text; above the last heading where there is no text.
fn shared_path(blocks: &[&Placed<'_>]) -> Vec<String> {
    let mut content = blocks
        .iter()
        .filter(|(block, _)| !matches!(block.kind, BlockKind::Heading(_)))
        .map(|(block, _)| &block.locator.headings);
    let Some(first) = content.next() else {
        return blocks
            .last()
            .map(|(block, _)| block.locator.headings.clone())
            .unwrap_or_default();
    };
    let mut path = first.clone();
    for other in content {
        let shared = path.iter().zip(other).take_while(|(a, b)| a == b).count();
        path.truncate(shared);
    }
    path
}

/// The header row of the table that the chunk continues.
fn table_header<'t>(first: &Unit, placed: &[Placed<'_>], text: &'t str) -> Option<&'t str> {
    let (block, span) = &placed[first.block];
    if block.kind != BlockKind::Table || first.span.start == span.start {
        return None;
    }
    let mut lines = split::lines(&text[span.clone()]);
    let header = lines.next()?;
    let separator = lines
        .next()
        .map(|line| span.start + line.start..span.start + line.end);
    let separator = separator.filter(|line| split::is_separator(&text[line.clone()]));
    let header = span.start + header.start..span.start + header.end;
    let end = separator.map_or(header.end, |separator| separator.end);
    let header_text = &text[header];
    // The separator says nothing to a model, nor does a header without names.
    let is_said = header_text.contains(|c: char| c != '|' && !c.is_whitespace());
    (first.span.start >= end && is_said).then_some(header_text)
}

/// The headings that the chunk does not itself contain, then the table's header, within half the budget together.
fn context(path: &[String], own: &[&str], header: Option<&str>, budget: &Budget<'_>) -> String {
    let above: Vec<&str> = path
        .iter()
        .map(String::as_str)
        .filter(|heading| !own.contains(heading))
        .collect();
    // The innermost headings say most.
    let mut first = above.len().saturating_sub(1);
    while first > 0 && budget.fits_context(&above[first - 1..].join(PATH_SEPARATOR)) {
        first -= 1;
    }
    let path = above[first..].join(PATH_SEPARATOR);
    let path = budget.cut_context(&path);
    // A header needs all the room there is: a column beyond it has no name.
    let header = budget.cut_context_after(path, header.unwrap_or_default());
    let parts: Vec<&str> = [path, header]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    parts.join("\n")
}

#[cfg(test)]
mod tests;
