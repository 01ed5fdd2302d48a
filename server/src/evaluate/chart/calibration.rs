//! Charts of probabilities of support: whether they hold, and what thresholds would refuse.

use super::Svg;
use crate::evaluate::calibration::{Bin, Threshold};

const SIZE: (f64, f64) = (420.0, 300.0);
const LEFT: f64 = 44.0;
const RIGHT: f64 = 408.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 256.0;

/// Draws the share of answerable questions over their mean probability, per bin; on the diagonal both are the same. The
/// larger a dot, the more questions.
pub(in crate::evaluate) fn reliability(bins: &[Bin]) -> String {
    let mut svg = axes("Reliability: share answerable by probability of support");
    svg.line("axis", x(0.0), y(0.0), x(1.0), y(1.0));
    let most = bins.iter().map(|bin| bin.n).max().unwrap_or(1).max(1) as f64;
    for pair in bins.windows(2) {
        let ((a, b), (c, d)) = (place(&pair[0]), place(&pair[1]));
        svg.line("curve s0", a, b, c, d);
    }
    for bin in bins {
        let (at, height) = place(bin);
        svg.open_mark(&format!(
            "{:.1} to {:.1}: {} questions, mean probability {:.2}, answerable {:.2}",
            bin.low, bin.high, bin.n, bin.predicted, bin.observed
        ));
        svg.circle("s0", at, height, 3.0 + 7.0 * (bin.n as f64 / most).sqrt());
        svg.close_mark();
    }
    captions(
        &mut svg,
        "probability of support",
        "share that is answerable",
    );
    svg.finish()
}

/// Draws, over the threshold, the share of each kind of question that would be refused; a line marks the threshold in
/// use, if it is known.
pub(in crate::evaluate) fn thresholds(all: &[Threshold], in_use: Option<f64>) -> String {
    type Share = fn(&Threshold) -> Option<f64>;
    let mut svg = axes("Share refused by threshold");
    let kinds: [(&str, &str, Share); 3] = [
        ("s0", "answerable", |threshold| threshold.answerable),
        ("s1", "unanswerable", |threshold| threshold.unanswerable),
        ("s2", "out of corpus", |threshold| threshold.out_of_corpus),
    ];
    if let Some(at) = in_use {
        svg.line("whisker", x(at), y(0.0), x(at), y(1.0));
    }
    for (class, name, share) in kinds {
        let points: Vec<(f64, f64)> = all
            .iter()
            .filter_map(|threshold| Some((threshold.min_support, share(threshold)?)))
            .collect();
        for pair in points.windows(2) {
            let class = format!("curve {class}");
            svg.line(
                &class,
                x(pair[0].0),
                y(pair[0].1),
                x(pair[1].0),
                y(pair[1].1),
            );
        }
        for (at, refused) in points {
            svg.open_mark(&format!(
                "{name}: {:.1} % refused below {at:.2}",
                100.0 * refused
            ));
            svg.circle(class, x(at), y(refused), 3.0);
            svg.close_mark();
        }
    }
    captions(&mut svg, "min_support", "share refused");
    svg.finish()
}

fn axes(label: &str) -> Svg {
    let mut svg = Svg::new(SIZE.0, SIZE.1, label);
    for tick in 0..=4 {
        let value = f64::from(tick) / 4.0;
        svg.line("grid", x(0.0), y(value), x(1.0), y(value));
        svg.text("tick end", LEFT - 6.0, y(value) + 4.0, &format!("{value}"));
        svg.text("tick middle", x(value), BOTTOM + 18.0, &format!("{value}"));
    }
    svg
}

fn captions(svg: &mut Svg, below: &str, above: &str) {
    svg.line("axis", x(0.0), y(0.0), x(1.0), y(0.0));
    svg.text("label middle", x(0.5), SIZE.1 - 6.0, below);
    svg.text("label", LEFT + 6.0, TOP + 12.0, above);
}

fn place(bin: &Bin) -> (f64, f64) {
    (x(bin.predicted), y(bin.observed))
}

fn x(value: f64) -> f64 {
    LEFT + value.clamp(0.0, 1.0) * (RIGHT - LEFT)
}

fn y(value: f64) -> f64 {
    BOTTOM - value.clamp(0.0, 1.0) * (BOTTOM - TOP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_stand_where_their_bins_are_and_empty_charts_are_whole() {
        let bin = Bin {
            low: 0.4,
            high: 0.5,
            n: 7,
            predicted: 0.5,
            observed: 1.0,
        };
        let svg = reliability(&[bin]);
        assert!(
            svg.contains("cx=\"226.00\" cy=\"12.00\"") && svg.contains("7 questions"),
            "{svg}"
        );
        for svg in [reliability(&[]), thresholds(&[], None)] {
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && !svg.contains("NaN"));
        }
    }
}
