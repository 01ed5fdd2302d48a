//! Characters with places → lines → paragraphs, without the headers and footers that pages repeat.

use crate::extract::outline::Outline;
use crate::extract::{clean, text};
use pdf_extract::{MediaBox, OutputDev, OutputError, Transform};
use std::collections::HashMap;

/// Lines at a page's top and bottom that are compared with those of other pages.
const MARGIN_LINES: usize = 3;

/// Longest line that can be a heading.
const MAX_HEADING_CHARS: usize = 120;

/// A heading is larger than the body text by this factor.
const HEADING_SCALE: f64 = 1.15;

/// Gathers the lines of a page in the order they are drawn.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    lines: Vec<Line>,
    /// Where the next character is expected, in the direction of writing.
    pen: Option<Pen>,
}

#[derive(Debug, Clone, Copy)]
struct Pen {
    x: f64,
    y: f64,
    turn: u8,
}

/// A run of text on one base line.
#[derive(Debug, Clone, Default)]
struct Line {
    text: String,
    left: f64,
    right: f64,
    /// Grows downwards.
    y: f64,
    size: f64,
    turn: u8,
}

impl OutputDev for Collector {
    fn begin_page(
        &mut self,
        _page_num: u32,
        _media_box: &MediaBox,
        _art_box: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn output_character(
        &mut self,
        place: &Transform,
        width: f64,
        _spacing: f64,
        font_size: f64,
        char: &str,
    ) -> Result<(), OutputError> {
        let along = place.m11.hypot(place.m12);
        let across = place.m21.hypot(place.m22);
        let size = font_size.abs() * across;
        if !(size.is_finite() && along.is_finite()) || char.is_empty() {
            return Ok(());
        }
        let turn = quarter_turn(
            place.m11 * font_size.signum(),
            place.m12 * font_size.signum(),
        );
        let (x, y) = match turn {
            0 => (place.m31, -place.m32),
            1 => (place.m32, place.m31),
            2 => (-place.m31, place.m32),
            _ => (-place.m32, -place.m31),
        };
        let advance = width.max(0.0) * font_size.abs() * along;
        self.put(char, x, y, advance, size, turn);
        Ok(())
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}

impl Collector {
    fn put(&mut self, char: &str, x: f64, y: f64, advance: f64, size: f64, turn: u8) {
        let goes_on = self.pen.is_some_and(|pen| {
            pen.turn == turn && (y - pen.y).abs() <= size * 0.5 && x >= pen.x - size * 0.6
        });
        let is_blank = char.chars().all(char::is_whitespace);
        match self.lines.last_mut() {
            Some(line) if goes_on => {
                let gap = self.pen.map_or(0.0, |pen| x - pen.x);
                let is_apart =
                    gap > size * 0.15 && !(line.text.ends_with(clean::is_cjk) && gap < size * 0.6);
                if (is_apart || is_blank) && !line.text.ends_with(' ') {
                    line.text.push(' ');
                }
                if !is_blank {
                    line.text.push_str(char);
                    line.right = line.right.max(x + advance);
                    line.size = line.size.max(size);
                }
            }
            Some(_) | None if is_blank => {}
            Some(_) | None => self.lines.push(Line {
                text: char.to_owned(),
                left: x,
                right: x + advance,
                y,
                size,
                turn,
            }),
        }
        if goes_on || !is_blank {
            self.pen = Some(Pen {
                x: x + advance,
                y,
                turn,
            });
        }
    }
}

/// The direction of writing in quarter turns: 0 to the right, 1 up, 2 to the left, 3 down.
fn quarter_turn(dx: f64, dy: f64) -> u8 {
    if dx.abs() >= dy.abs() {
        if dx >= 0.0 { 0 } else { 2 }
    } else if dy > 0.0 {
        1
    } else {
        3
    }
}

/// The lines of one page.
#[derive(Debug)]
pub(crate) struct Page {
    number: u32,
    lines: Vec<Line>,
}

impl Page {
    pub(crate) fn new(number: u32, collector: Collector) -> Self {
        let mut lines: Vec<Line> = Vec::new();
        for line in collector.lines {
            match lines.last_mut() {
                // Text drawn twice, a little apart, to look bold.
                Some(last)
                    if last.text == line.text
                        && (last.y - line.y).abs() < line.size * 0.2
                        && (last.left - line.left).abs() < line.size * 0.2 => {}
                Some(_) | None => lines.push(line),
            }
        }
        lines.retain(|line| !line.text.trim().is_empty());
        Self { number, lines }
    }
}

/// Adds the pages' paragraphs and headings.
pub(crate) fn add_pages(outline: &mut Outline, mut pages: Vec<Page>) {
    drop_repeated_margins(&mut pages);
    let sizes = heading_sizes(&pages);
    for page in &pages {
        outline.set_page(Some(page.number));
        add_page(outline, &page.lines, &sizes);
    }
    outline.set_page(None);
}

fn add_page(outline: &mut Outline, lines: &[Line], sizes: &[i64]) {
    let mut start = 0;
    for end in 1..=lines.len() {
        if end < lines.len() && is_same_paragraph(&lines[start..end], &lines[end]) {
            continue;
        }
        add_paragraph(outline, &lines[start..end], sizes);
        start = end;
    }
}

fn add_paragraph(outline: &mut Outline, lines: &[Line], sizes: &[i64]) {
    let joined = clean::join_lines(lines.iter().map(|line| line.text.as_str()));
    let level = sizes
        .iter()
        .position(|&size| size == size_class(lines[0].size));
    let is_short =
        joined.chars().count() <= MAX_HEADING_CHARS && joined.chars().any(char::is_alphabetic);
    match (level, text::list_marker(&joined)) {
        (Some(level), _) if is_short && !joined.ends_with(['.', '。', ',', '、']) => {
            outline.heading(u8::try_from(level + 1).unwrap_or(6), &joined);
        }
        (_, Some(marker)) => {
            let rest = joined[marker.len()..].to_owned();
            outline.list_item(marker, &rest);
        }
        (_, None) => outline.paragraph(&joined),
    }
}

/// Whether a line continues the paragraph of the lines before it: next below, of the same size, the last one full.
fn is_same_paragraph(lines: &[Line], next: &Line) -> bool {
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
        return false;
    };
    let step = next.y - last.y;
    let usual = lines
        .get(1)
        .map_or(last.size * 1.7, |second| (second.y - first.y) * 1.25);
    let right = lines
        .iter()
        .map(|line| line.right)
        .fold(f64::MIN, f64::max)
        .max(next.right);
    let left = lines
        .iter()
        .map(|line| line.left)
        .fold(f64::MAX, f64::min)
        .min(next.left);
    let width = right - left;
    let last_is_full = right - last.right <= (width * 0.2).max(last.size * 2.0);
    next.turn == last.turn
        && step > 0.0
        && step <= usual.max(last.size * 1.2)
        && (next.size - last.size).abs() <= last.size * 0.15
        && next.left < last.right
        && next.right > last.left
        && last_is_full
        && width > last.size * 8.0
        && text::list_marker(&next.text).is_none()
}

/// Sizes in half points: fonts that look the same differ in the last digits.
fn size_class(size: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "font sizes are small")]
    let class = (size * 2.0).round() as i64;
    class
}

/// The sizes used for headings, largest first, at most three: those above the size most text is set in.
fn heading_sizes(pages: &[Page]) -> Vec<i64> {
    let mut n_chars: HashMap<i64, usize> = HashMap::new();
    for line in pages.iter().flat_map(|page| &page.lines) {
        *n_chars.entry(size_class(line.size)).or_default() += line.text.chars().count();
    }
    let total: usize = n_chars.values().sum();
    let Some((&body, _)) = n_chars.iter().max_by_key(|(size, n)| (**n, -**size)) else {
        return Vec::new();
    };
    let mut sizes: Vec<i64> = n_chars
        .iter()
        .filter(|&(&size, &n)| size as f64 >= body as f64 * HEADING_SCALE && n * 5 < total)
        .map(|(&size, _)| size)
        .collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.truncate(3);
    sizes
}

/// Drops lines at the top and bottom that most pages share, page numbers aside.
fn drop_repeated_margins(pages: &mut [Page]) {
    if pages.len() < 3 {
        return;
    }
    let mut n_pages: HashMap<String, usize> = HashMap::new();
    for page in pages.iter() {
        let mut seen: Vec<String> = margins(&page.lines)
            .into_iter()
            .map(|index| masked(&page.lines[index].text))
            .collect();
        seen.sort();
        seen.dedup();
        for text in seen {
            *n_pages.entry(text).or_default() += 1;
        }
    }
    let enough = (pages.len() * 3).div_ceil(5).max(3);
    for page in pages.iter_mut() {
        let repeated: Vec<usize> = margins(&page.lines)
            .into_iter()
            .filter(|&index| {
                n_pages
                    .get(&masked(&page.lines[index].text))
                    .is_some_and(|&n| n >= enough)
            })
            .collect();
        let mut index = 0;
        page.lines.retain(|_| {
            index += 1;
            !repeated.contains(&(index - 1))
        });
    }
}

/// Indexes of the highest and lowest lines.
fn margins(lines: &[Line]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|&a, &b| lines[a].y.total_cmp(&lines[b].y));
    if order.len() > 2 * MARGIN_LINES {
        order.drain(MARGIN_LINES..order.len() - MARGIN_LINES);
    }
    order
}

fn masked(text: &str) -> String {
    let digits_alike = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c });
    let mut masked: String = digits_alike.collect();
    while masked.contains("00") {
        masked = masked.replace("00", "0");
    }
    masked
}
