//! One line of text: its pixels as the reader takes them, and the reader's scores as text.

use super::detect::TextBox;
use super::picture::{Patch, Picture, to_f32};

/// Height of what reader and direction network look at, in pixels.
pub(super) const HEIGHT: usize = 48;

/// The narrowest and widest line; the reader was trained with lines of at least the former.
const MIN_WIDTH: usize = 160;
const MAX_WIDTH: usize = 3200;

/// What the direction network looks at: the start of a line.
const DIRECTION_WIDTH: usize = 192;

/// Which way a line is written in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Right,
    Down,
    /// To the right for someone who stands on their head.
    Left,
    Up,
}

/// Returns the three planes of a line and their width.
pub(super) fn input(picture: &Picture, found: &TextBox, direction: Direction) -> (Vec<f32>, usize) {
    let [top_left, top_right, bottom_right, bottom_left] = found.corners;
    let (origin, end, below) = match direction {
        Direction::Right => (top_left, top_right, bottom_left),
        Direction::Down => (top_right, bottom_right, top_left),
        Direction::Left => (bottom_right, bottom_left, top_right),
        Direction::Up => (bottom_left, top_left, bottom_right),
    };
    let ratio = distance(origin, end) / distance(origin, below).max(1.0);
    let used = scaled_width(ratio).min(MAX_WIDTH);
    let width = used.max(MIN_WIDTH).next_multiple_of(8);
    (planes(picture, (origin, end, below), used, width), width)
}

/// Returns the three planes for the direction network and their width.
pub(super) fn direction_input(picture: &Picture, found: &TextBox) -> (Vec<f32>, usize) {
    let [top_left, top_right, _, bottom_left] = found.corners;
    let ratio = distance(top_left, top_right) / distance(top_left, bottom_left).max(1.0);
    let used = scaled_width(ratio).min(DIRECTION_WIDTH);
    let corners = (top_left, top_right, bottom_left);
    (
        planes(picture, corners, used, DIRECTION_WIDTH),
        DIRECTION_WIDTH,
    )
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped by the caller; a cast saturates"
)]
fn scaled_width(ratio: f32) -> usize {
    ((to_f32(HEIGHT) * ratio).ceil() as usize).max(1)
}

type Point = (f32, f32);

fn planes(
    picture: &Picture,
    (origin, end, below): (Point, Point, Point),
    used: usize,
    width: usize,
) -> Vec<f32> {
    let part = |to: Point, n: usize| ((to.0 - origin.0) / to_f32(n), (to.1 - origin.1) / to_f32(n));
    let patch = Patch {
        origin,
        step: part(end, used),
        row: part(below, HEIGHT),
    };
    let mut planes = vec![0.0; 3 * HEIGHT * width];
    picture.fill(patch, (used, HEIGHT), width, &mut planes);
    planes
}

fn distance(a: Point, b: Point) -> f32 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

/// Returns what each class stands for: nothing, the characters in the model's list, a space.
pub(super) fn alphabet(list: &str) -> Vec<String> {
    let characters = list.lines().map(str::to_owned);
    std::iter::once(String::new())
        .chain(characters)
        .chain(std::iter::once(" ".to_owned()))
        .collect()
}

/// What the reader made of a line.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reading {
    pub(super) text: String,
    /// Mean probability of the characters.
    pub(super) confidence: f32,
    /// The characters with their places, in pixels of the reader's input.
    pub(super) places: Vec<(String, f32)>,
}

/// Pixels of the reader's input to a step of its output.
const STEP: f32 = 8.0;

/// Decodes scores `[steps, n_classes]`: the best class of each step, repetitions and blanks left out.
pub(super) fn decode(scores: &[f32], n_classes: usize, alphabet: &[String]) -> Reading {
    let mut reading = Reading::default();
    let mut sum = 0.0;
    let mut n = 0_u16;
    let mut last = 0;
    for (index, step) in scores.chunks_exact(n_classes.max(1)).enumerate() {
        let best = step
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .map_or((0, 0.0), |(class, &score)| (class, score));
        if best.0 != last
            && best.0 > 0
            && let Some(character) = alphabet.get(best.0)
        {
            reading.text.push_str(character);
            let place = (to_f32(index) + 0.5) * STEP;
            reading.places.push((character.clone(), place));
            sum += best.1;
            n = n.saturating_add(1);
        }
        last = best.0;
    }
    if n > 0 {
        reading.confidence = sum / f32::from(n);
    }
    reading
}

/// Returns the planes of some characters of a tall line, each upright, one beside the other, and their width. `places`
/// are those of the line read downwards.
pub(super) fn upright_cells(
    picture: &Picture,
    found: &TextBox,
    places: &[f32],
) -> (Vec<f32>, usize) {
    let [top_left, top_right, _, bottom_left] = found.corners;
    let unit = |to: Point| {
        let length = distance(top_left, to).max(1.0);
        ((to.0 - top_left.0) / length, (to.1 - top_left.1) / length)
    };
    let (right, down) = (unit(top_right), unit(bottom_left));
    let thickness = distance(top_left, top_right);
    let per_pixel = thickness / to_f32(HEIGHT);
    let width = (places.len() * HEIGHT).max(MIN_WIDTH).next_multiple_of(8);
    let mut all = vec![0.0; 3 * HEIGHT * width];
    for (index, place) in places.iter().enumerate() {
        let from = place * per_pixel - thickness / 2.0;
        let patch = Patch {
            origin: (top_left.0 + down.0 * from, top_left.1 + down.1 * from),
            step: (right.0 * per_pixel, right.1 * per_pixel),
            row: (down.0 * per_pixel, down.1 * per_pixel),
        };
        let mut cell = vec![0.0; 3 * HEIGHT * HEIGHT];
        picture.fill(patch, (HEIGHT, HEIGHT), HEIGHT, &mut cell);
        for (row, values) in cell.chunks_exact(HEIGHT).enumerate() {
            let at = row * width + index * HEIGHT;
            all[at..at + HEIGHT].copy_from_slice(values);
        }
    }
    (all, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_and_blanks_are_left_out() {
        let alphabet = alphabet("a\nb");
        assert_eq!(alphabet, ["", "a", "b", " "]);
        let step = |class: usize, score: f32| {
            let mut step = vec![0.01; 4];
            step[class] = score;
            step
        };
        let classes = [
            (0, 0.9),
            (1, 0.8),
            (1, 0.7),
            (0, 0.9),
            (1, 0.6),
            (3, 1.0),
            (2, 0.8),
        ];
        let scores: Vec<f32> = classes.iter().flat_map(|&(c, s)| step(c, s)).collect();
        let reading = decode(&scores, 4, &alphabet);
        assert_eq!(reading.text, "aa b");
        assert!((reading.confidence - 0.8).abs() < 1e-6, "{reading:?}");
        assert_eq!(reading.places[0], ("a".to_owned(), 12.0));
        assert_eq!(decode(&[], 4, &alphabet), Reading::default());
    }

    #[test]
    fn a_line_keeps_its_proportions() {
        let picture = Picture::from_rgb(400, 100, vec![0; 400 * 100 * 3]).unwrap();
        let found = TextBox {
            corners: [(0.0, 0.0), (400.0, 0.0), (400.0, 24.0), (0.0, 24.0)],
        };
        let (planes, width) = input(&picture, &found, Direction::Right);
        assert_eq!((width, planes.len()), (800, 3 * 48 * 800));
        let (_, width) = input(&picture, &found, Direction::Down);
        assert_eq!(width, MIN_WIDTH);
    }
}
