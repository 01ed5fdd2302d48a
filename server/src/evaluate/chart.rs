//! Charts as inline SVG, without scripts. Colors come from the page's style sheet by class, so that they follow light
//! and dark; every mark has a title, which browsers show as a tooltip.

pub(super) mod calibration;

use super::compare::MetricChange;
use super::metrics::{Better, Latency};
use super::statistics::Estimate;
use minijinja::HtmlEscape;
use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
/// Room on the left for the labels of horizontal charts.
const LABELS: f64 = 120.0;

/// The bars of one metric, one per stage; a stage without the metric has none.
pub(super) struct Group {
    pub(super) label: String,
    pub(super) bars: Vec<Option<Estimate>>,
}

/// Draws values from 0 to 1 as groups of bars with the whiskers of their intervals.
pub(super) fn bars(groups: &[Group], names: &[String]) -> String {
    const HEIGHT: f64 = 300.0;
    const LEFT: f64 = 40.0;
    const TOP: f64 = 12.0;
    const BOTTOM: f64 = 266.0;
    let y = |value: f64| BOTTOM - value.clamp(0.0, 1.0) * (BOTTOM - TOP);
    let mut svg = Svg::new(WIDTH, HEIGHT, "Metrics per stage with 95 % intervals");
    for tick in 0..=4 {
        let value = f64::from(tick) / 4.0;
        svg.line("grid", LEFT, y(value), WIDTH, y(value));
        svg.text("tick end", LEFT - 6.0, y(value) + 4.0, &format!("{value}"));
    }
    let slot = (WIDTH - LEFT) / groups.len().max(1) as f64;
    for (at, group) in groups.iter().enumerate() {
        let left = LEFT + at as f64 * slot;
        let bar = (slot * 0.78 / group.bars.len().max(1) as f64).min(44.0);
        let start = left + (slot - bar * group.bars.len() as f64) / 2.0;
        for (stage, found) in group.bars.iter().enumerate() {
            let Some(found) = found else { continue };
            let x = start + stage as f64 * bar;
            let name = names.get(stage).map_or("", String::as_str);
            let title = format!(
                "{name}, {}: {:.3} ({:.3} to {:.3})",
                group.label, found.mean, found.low, found.high
            );
            svg.open_mark(&title);
            let height = (BOTTOM - y(found.mean)).max(0.5);
            svg.rect(&series(stage), x + 1.5, y(found.mean), bar - 3.0, height);
            let middle = x + bar / 2.0;
            svg.line("whisker", middle, y(found.low), middle, y(found.high));
            for end in [found.low, found.high] {
                svg.line("whisker", middle - 4.0, y(end), middle + 4.0, y(end));
            }
            svg.close_mark();
        }
        svg.text(
            "label middle",
            left + slot / 2.0,
            BOTTOM + 22.0,
            &group.label,
        );
    }
    svg.line("axis", LEFT, BOTTOM, WIDTH, BOTTOM);
    svg.finish()
}

/// Draws the percentiles of each step: a bar to the median, a thinner one on to the 95th, a line on to the 99th.
pub(super) fn latencies(rows: &[(String, Latency)]) -> String {
    const ROW: f64 = 34.0;
    const VALUES: f64 = 190.0;
    let height = rows.len() as f64 * ROW + 28.0;
    let longest = rows.iter().map(|(_, latency)| latency.p99);
    let scale = nice(longest.fold(0.0, f64::max));
    let x = |ms: f64| LABELS + ms / scale * (WIDTH - LABELS - VALUES);
    let mut svg = Svg::new(WIDTH, height, "Latency per step in milliseconds");
    let bottom = height - 28.0;
    for tick in 0..=4 {
        let ms = scale * f64::from(tick) / 4.0;
        svg.line("grid", x(ms), 0.0, x(ms), bottom);
        svg.text("tick middle", x(ms), bottom + 18.0, &number(ms));
    }
    svg.text("tick", x(scale) + 14.0, bottom + 18.0, "ms");
    for (at, (name, latency)) in rows.iter().enumerate() {
        let middle = at as f64 * ROW + ROW / 2.0;
        let Latency { p50, p95, p99, .. } = *latency;
        svg.text("label end", LABELS - 10.0, middle + 4.0, name);
        svg.open_mark(&format!(
            "{name}: p50 {p50:.2} ms, p95 {p95:.2} ms, p99 {p99:.2} ms"
        ));
        svg.rect(
            "p50",
            x(0.0),
            middle - 8.0,
            (x(p50) - x(0.0)).max(1.0),
            16.0,
        );
        svg.rect("p95", x(p50), middle - 4.0, x(p95) - x(p50), 8.0);
        svg.line("whisker", x(p95), middle, x(p99), middle);
        svg.line("whisker", x(p99), middle - 6.0, x(p99), middle + 6.0);
        svg.close_mark();
        let values = format!("{} · {} · {}", number(p50), number(p95), number(p99));
        svg.text("tick end", WIDTH - 4.0, middle + 4.0, &values);
    }
    svg.line("axis", x(0.0), 0.0, x(0.0), bottom);
    svg.finish()
}

/// Draws how often values from 0 to 1 occur, in ten bins; 1 is in the last.
pub(super) fn histogram(values: &[f64], stage: usize) -> String {
    const SIZE: (f64, f64) = (270.0, 150.0);
    const BOTTOM: f64 = 124.0;
    const TOP: f64 = 18.0;
    let mut counts = [0_usize; 10];
    for value in values {
        counts[((value * 10.0 + 1e-9) as usize).min(9)] += 1;
    }
    let most = counts.iter().max().copied().unwrap_or(0).max(1) as f64;
    let slot = SIZE.0 / 10.0;
    let mut svg = Svg::new(SIZE.0, SIZE.1, "Queries by value");
    for (at, count) in counts.into_iter().enumerate() {
        let left = at as f64 * slot;
        let height = count as f64 / most * (BOTTOM - TOP);
        let (from, to) = (at as f64 / 10.0, (at as f64 + 1.0) / 10.0);
        svg.open_mark(&format!("{from:.1} to {to:.1}: {count} queries"));
        svg.rect(
            &series(stage),
            left + 1.0,
            BOTTOM - height,
            slot - 2.0,
            height,
        );
        svg.close_mark();
        if count > 0 {
            let above = BOTTOM - height - 5.0;
            svg.text("tick middle", left + slot / 2.0, above, &count.to_string());
        }
    }
    svg.line("axis", 0.0, BOTTOM, SIZE.0, BOTTOM);
    for (place, x, anchor) in [(0.0, 0.0, ""), (0.5, 135.0, "middle"), (1.0, 270.0, "end")] {
        svg.text(
            &format!("tick {anchor}"),
            x,
            BOTTOM + 18.0,
            &format!("{place}"),
        );
    }
    svg.finish()
}

/// Draws the differences of metrics with their intervals around zero.
pub(super) fn differences(changes: &[MetricChange]) -> String {
    const ROW: f64 = 32.0;
    let height = changes.len() as f64 * ROW + 28.0;
    let ends = changes
        .iter()
        .flat_map(|change| [change.low.abs(), change.high.abs(), change.difference.abs()]);
    let scale = nice(ends.fold(0.005, f64::max));
    let half = (WIDTH - LABELS - 20.0) / 2.0;
    let x = |difference: f64| LABELS + half + difference / scale * half;
    let mut svg = Svg::new(WIDTH, height, "Differences with 95 % intervals");
    let bottom = height - 28.0;
    for tick in -2..=2 {
        let value = scale * f64::from(tick) / 2.0;
        svg.line("grid", x(value), 0.0, x(value), bottom);
        svg.text("tick middle", x(value), bottom + 18.0, &signed(value));
    }
    svg.line("axis", x(0.0), 0.0, x(0.0), bottom);
    for (at, change) in changes.iter().enumerate() {
        let middle = at as f64 * ROW + ROW / 2.0;
        let class = verdict(change);
        svg.text("label end", LABELS - 10.0, middle + 4.0, &change.metric);
        svg.open_mark(&format!(
            "{}: {:+.4} ({:+.4} to {:+.4})",
            change.metric, change.difference, change.low, change.high
        ));
        svg.rect(
            class,
            x(change.low),
            middle - 3.0,
            (x(change.high) - x(change.low)).max(1.0),
            6.0,
        );
        svg.circle(class, x(change.difference), middle, 6.5);
        svg.close_mark();
    }
    svg.finish()
}

/// Draws the difference of every query that changed, the worst loss first.
pub(super) fn waterfall(differences: &[f64], better: Better) -> String {
    const HEIGHT: f64 = 180.0;
    const MIDDLE: f64 = 90.0;
    const LEFT: f64 = 40.0;
    let mut sorted = differences.to_vec();
    sorted.sort_by(f64::total_cmp);
    let scale = sorted.iter().map(|value| value.abs()).fold(0.0, f64::max);
    let scale = if scale > 0.0 { scale } else { 1.0 };
    let slot = ((WIDTH - LEFT) / sorted.len().max(1) as f64).min(28.0);
    let mut svg = Svg::new(WIDTH, HEIGHT, "Difference of each query that changed");
    for (value, y) in [(scale, 14.0), (-scale, HEIGHT - 6.0)] {
        svg.text("tick end", LEFT - 6.0, y, &format!("{value:+.2}"));
    }
    for (at, difference) in sorted.iter().enumerate() {
        let is_gain = (*difference > 0.0) == (better == Better::Higher);
        let height = difference.abs() / scale * (MIDDLE - 6.0);
        let y = if *difference > 0.0 {
            MIDDLE - height
        } else {
            MIDDLE
        };
        let class = if is_gain { "gain" } else { "loss" };
        let gap = if slot > 4.0 { 1.0 } else { 0.0 };
        svg.rect(class, LEFT + at as f64 * slot, y, slot - gap, height);
    }
    svg.line("axis", LEFT, MIDDLE, WIDTH, MIDDLE);
    svg.finish()
}

/// Returns the class of a change: better, worse, or not told apart from chance.
pub(super) fn verdict(change: &MetricChange) -> &'static str {
    let sure = change.low > 0.0 || change.high < 0.0;
    let is_gain = (change.difference > 0.0) == (change.better == Better::Higher);
    match (sure, is_gain) {
        (false, _) => "even",
        (true, true) => "gain",
        (true, false) => "loss",
    }
}

/// Returns the class of a stage's color.
pub(super) fn series(stage: usize) -> String {
    format!("s{}", stage % 6)
}

/// Returns the smallest of 1, 2, 4, 5, 8 or 10 times a power of ten that is not below `value`.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 8.0];
    let step = steps.into_iter().find(|step| step * power >= value);
    step.unwrap_or(10.0) * power
}

/// Writes a tick of a difference; zero has no sign.
fn signed(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else {
        format!("{value:+}")
    }
}

/// Writes milliseconds with as many digits as matter.
pub(super) fn number(ms: f64) -> String {
    match ms {
        ms if ms >= 100.0 || ms == 0.0 => format!("{ms:.0}"),
        ms if ms >= 1.0 => format!("{ms:.1}"),
        ms => format!("{ms:.2}"),
    }
}

struct Svg {
    text: String,
}

impl Svg {
    fn new(width: f64, height: f64, label: &str) -> Self {
        let label = HtmlEscape(label);
        Self {
            text: format!(
                "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">"
            ),
        }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.text
            .write_fmt(text)
            .expect("writing to a string cannot fail");
    }

    fn open_mark(&mut self, title: &str) {
        self.push(format_args!("<g><title>{}</title>", HtmlEscape(title)));
    }

    fn close_mark(&mut self) {
        self.push(format_args!("</g>"));
    }

    fn rect(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64) {
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{y:.2}\" width=\"{:.2}\" height=\"{:.2}\" rx=\"2\"/>",
            width.max(0.0),
            height.max(0.0)
        ));
    }

    fn circle(&mut self, class: &str, x: f64, y: f64, radius: f64) {
        self.push(format_args!(
            "<circle class=\"{class}\" cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{radius}\"/>"
        ));
    }

    fn line(&mut self, class: &str, x1: f64, y1: f64, x2: f64, y2: f64) {
        self.push(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.2}\" y1=\"{y1:.2}\" x2=\"{x2:.2}\" y2=\"{y2:.2}\"/>"
        ));
    }

    fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        self.push(format_args!(
            "<text class=\"{class}\" x=\"{x:.2}\" y=\"{y:.2}\">{}</text>",
            HtmlEscape(text)
        ));
    }

    fn finish(mut self) -> String {
        self.text.push_str("</svg>");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_on_round_numbers() {
        for (value, expected) in [
            (0.0, 1.0),
            (0.7, 0.8),
            (3.0, 4.0),
            (95.0, 100.0),
            (100.0, 100.0),
        ] {
            assert!(
                (nice(value) - expected).abs() < 1e-9,
                "{value}: {}",
                nice(value)
            );
        }
    }

    #[test]
    fn every_value_is_in_one_bin() {
        let svg = histogram(&[0.0, 0.05, 0.3, 0.999, 1.0], 0);
        for title in ["0.0 to 0.1: 2", "0.3 to 0.4: 1", "0.9 to 1.0: 2"] {
            assert!(svg.contains(title), "{svg}");
        }
    }

    #[test]
    fn labels_are_escaped_and_empty_charts_are_whole() {
        let zero = Estimate {
            mean: 0.0,
            low: 0.0,
            high: 0.0,
            n: 1,
        };
        let group = Group {
            label: "<script>".to_owned(),
            bars: vec![Some(zero), None],
        };
        let svg = bars(&[group], &["a\"b".to_owned()]);
        assert!(
            svg.contains("&lt;script&gt;") && !svg.contains("<script>"),
            "{svg}"
        );
        for svg in [
            svg,
            bars(&[], &[]),
            latencies(&[]),
            waterfall(&[], Better::Higher),
        ] {
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
