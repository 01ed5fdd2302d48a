//! Recognized text as lines of a page.

use crate::document::{PageProblem, PageQuality, PageSource};
use crate::extract::layout::{Cell, Line, Page};
use kura_models::Recognized;

/// Mean confidence below which a page is marked for review.
const MIN_CONFIDENCE: f32 = 0.8;

/// Returns the page of what was recognized in its picture.
pub(crate) fn page(number: u32, recognized: &Recognized) -> Page {
    let tilt = tilt(recognized);
    let lines = recognized.lines.iter().map(|line| {
        let [top_left, top_right, bottom_right, bottom_left] = line.corners.map(|corner| {
            let (x, y) = (f64::from(corner.0), f64::from(corner.1));
            // Turned back by the tilt, so that the lines of a row have one height.
            (x + y * tilt, y - x * tilt)
        });
        let mean = |a: f64, b: f64| f64::midpoint(a, b);
        let (left, right) = (
            mean(top_left.0, bottom_left.0),
            mean(top_right.0, bottom_right.0),
        );
        let (top, bottom) = (
            mean(top_left.1, top_right.1),
            mean(bottom_left.1, bottom_right.1),
        );
        // The rectangle of a line is about a half higher than its letters, and as much wider.
        let (from, to, y, size, turn) = if line.is_vertical {
            (top, bottom, -mean(left, right), (right - left) / 1.5, 3)
        } else {
            (
                left,
                right,
                bottom - (bottom - top) * 0.25,
                (bottom - top) / 1.5,
                0,
            )
        };
        let margin = (size * 0.25).min((to - from) * 0.25);
        Line {
            cells: vec![Cell {
                text: line.text.clone(),
                left: from + margin,
                right: to - margin,
                ..Cell::default()
            }],
            y,
            size: size.max(1.0),
            turn,
        }
    });
    Page {
        number,
        lines: lines.collect(),
        rules: Vec::new(),
        is_unordered: true,
    }
}

/// Returns the slope of the median line, downwards to the right.
fn tilt(recognized: &Recognized) -> f64 {
    let mut slopes: Vec<f64> = recognized
        .lines
        .iter()
        .filter(|line| !line.is_vertical)
        .filter_map(|line| {
            let [from, to, ..] = line.corners;
            let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
            (dx > 100.0).then(|| dy / dx)
        })
        .collect();
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied().unwrap_or(0.0)
}

/// Returns how well a page was recognized.
pub(crate) fn quality(number: u32, recognized: &Recognized) -> PageQuality {
    let count = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
    let n_chars: usize = recognized.lines.iter().map(|line| count(&line.text)).sum();
    let sum: f32 = recognized
        .lines
        .iter()
        .map(|line| line.confidence * count(&line.text) as f32)
        .sum();
    let confidence = if n_chars == 0 {
        0.0
    } else {
        sum / n_chars as f32
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a probability"
    )]
    let score = (confidence * 100.0).round() as u8;
    PageQuality {
        page: number,
        label: None,
        source: if n_chars == 0 {
            PageSource::None
        } else {
            PageSource::Recognized
        },
        // A picture of no text is read well.
        score: if n_chars == 0 { 100 } else { score },
        problem: (n_chars > 0 && confidence < MIN_CONFIDENCE).then_some(PageProblem::Garbled),
        n_chars,
        n_hidden: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::layout;
    use crate::extract::outline::Outline;
    use kura_models::RecognizedLine;

    fn line(text: &str, corners: [(f32, f32); 4], is_vertical: bool) -> RecognizedLine {
        RecognizedLine {
            text: text.to_owned(),
            confidence: 0.9,
            corners,
            is_vertical,
        }
    }

    fn rectangle(left: f32, top: f32, right: f32, bottom: f32) -> [(f32, f32); 4] {
        [(left, top), (right, top), (right, bottom), (left, bottom)]
    }

    fn read(lines: Vec<RecognizedLine>) -> Vec<String> {
        let recognized = Recognized {
            width: 1000.0,
            height: 1000.0,
            quarter_turns: 0,
            lines,
        };
        let mut outline = Outline::default();
        layout::add_pages(&mut outline, vec![page(1, &recognized)], &[], |_, _| ());
        let blocks = outline.finish().blocks;
        blocks.into_iter().map(|block| block.text).collect()
    }

    #[test]
    fn vertical_lines_are_read_from_the_right() {
        let lines = vec![
            line("次の行です。", rectangle(130.0, 50.0, 160.0, 400.0), true),
            line(
                "縦書きの最初の行で、とても長いものの",
                rectangle(160.0, 50.0, 190.0, 900.0),
                true,
            ),
        ];
        assert_eq!(
            read(lines),
            ["縦書きの最初の行で、とても長いものの次の行です。"]
        );
    }

    #[test]
    fn a_header_whose_rectangles_touch_is_part_of_its_table() {
        let row = |top: f32, texts: [&str; 2], lefts: [f32; 2], rights: [f32; 2]| {
            let cell = |at: usize| {
                let place = rectangle(lefts[at], top, rights[at], top + 30.0);
                line(texts[at], place, false)
            };
            [cell(0), cell(1)]
        };
        let header = row(
            100.0,
            ["Kind of item", "Price in yen"],
            [100.0, 279.0],
            [280.0, 460.0],
        );
        let body = [("pen", "1,000"), ("ink", "2,000"), ("paper", "300")];
        let body = body
            .iter()
            .zip([140.0, 180.0, 220.0])
            .flat_map(|(texts, top)| row(top, [texts.0, texts.1], [100.0, 340.0], [180.0, 400.0]));
        assert_eq!(
            read(header.into_iter().chain(body).collect()),
            [concat!(
                "| Kind of item | Price in yen |\n| --- | --- |\n",
                "| pen | 1,000 |\n| ink | 2,000 |\n| paper | 300 |"
            )]
        );
    }

    #[test]
    fn lines_of_a_tilted_page_are_rows() {
        // Each line falls by a tenth of its width; the right one begins lower than the left one.
        let tilted = |left: f32, top: f32| {
            let right = left + 300.0;
            [
                (left, top),
                (right, top + 30.0),
                (right, top + 60.0),
                (left, top + 30.0),
            ]
        };
        let lines = vec![
            line("below", tilted(100.0, 150.0), false),
            line("right", tilted(500.0, 140.0), false),
            line("left", tilted(100.0, 100.0), false),
        ];
        assert_eq!(read(lines), ["left", "right", "below"]);
    }

    #[test]
    fn a_page_that_is_there_three_times_is_kept_and_repeated_margins_are_not() {
        let pages = |lines: &[(&str, f32)]| -> Vec<String> {
            let lines = lines
                .iter()
                .map(|(text, top)| line(text, rectangle(100.0, *top, 400.0, top + 30.0), false));
            let recognized = Recognized {
                width: 1000.0,
                height: 1000.0,
                lines: lines.collect(),
                ..Recognized::default()
            };
            let pages = (1..=3).map(|number| page(number, &recognized)).collect();
            let mut outline = Outline::default();
            layout::add_pages(&mut outline, pages, &[], |_, _| ());
            let blocks = outline.finish().blocks;
            blocks.into_iter().map(|block| block.text).collect()
        };
        let notice = [
            ("The office is closed", 100.0),
            ("from Monday to Friday of this", 140.0),
            ("week", 180.0),
        ];
        assert_eq!(pages(&notice), notice.map(|(text, _)| text).repeat(3));
        assert_eq!(
            pages(&[("Kura Limited, Osaka", 20.0), ("7", 960.0)]),
            ["Kura Limited, Osaka"]
        );
    }

    #[test]
    fn doubtful_pages_are_marked() {
        let mut sure = Recognized::default();
        assert_eq!(quality(1, &sure).problem, None);
        sure.lines
            .push(line("text", rectangle(0.0, 0.0, 1.0, 1.0), false));
        assert_eq!(
            (quality(1, &sure).score, quality(1, &sure).problem),
            (90, None)
        );
        sure.lines[0].confidence = 0.6;
        assert_eq!(quality(1, &sure).problem, Some(PageProblem::Garbled));
    }
}
