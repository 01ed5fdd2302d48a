//! Where text is: the detector's map of probabilities, its connected parts, and the smallest rectangle around each.

use super::picture::{Patch, Picture, to_f32};
use crate::{Error, Result};
use rten::Value;

/// Longest side of what the detector looks at, in pixels. It decides about memory and time: a page of A4 at this size
/// has letters of 8 points 12 pixels high, which is enough.
const MAX_SIDE: usize = 1280;

/// The detector halves five times.
const MULTIPLE: usize = 32;

/// Probability from which a pixel belongs to text, and mean probability that a rectangle needs.
const MIN_PIXEL: f32 = 0.3;
const MIN_BOX: f32 = 0.5;

/// The detector finds the core of a line; its rectangle grows by this share of area to circumference.
const GROWTH: f32 = 1.6;

/// Smallest rectangle, in pixels of the map.
const MIN_SIDE: f32 = 3.0;

/// Most rectangles of one picture.
const MAX_BOXES: usize = 2000;

type Point = (f32, f32);

/// A line of text: top left, top right, bottom right, bottom left.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TextBox {
    pub(super) corners: [Point; 4],
}

impl TextBox {
    fn width(&self) -> f32 {
        let [top_left, top_right, ..] = self.corners;
        (top_right.0 - top_left.0).hypot(top_right.1 - top_left.1)
    }

    fn height(&self) -> f32 {
        let [top_left, .., bottom_left] = self.corners;
        (bottom_left.0 - top_left.0).hypot(bottom_left.1 - top_left.1)
    }

    /// Whether it is so much higher than wide that its text runs up or down.
    pub(super) fn is_tall(&self) -> bool {
        self.height() >= self.width() * 1.5
    }

    pub(super) fn length(&self) -> f32 {
        self.width().max(self.height())
    }

    pub(super) fn thickness(&self) -> f32 {
        self.width().min(self.height())
    }
}

/// Returns the lines of text in a picture. `run` takes the detector's input and its shape.
pub(super) fn boxes(
    picture: &Picture,
    run: impl FnOnce(&[f32], [usize; 4]) -> Result<Value>,
) -> Result<Vec<TextBox>> {
    let scale = to_f32(MAX_SIDE) / to_f32(picture.width().max(picture.height()));
    let side = |length: usize| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most MAX_SIDE"
        )]
        let scaled = (to_f32(length) * scale.min(1.0)) as usize;
        ((scaled + MULTIPLE / 2) / MULTIPLE * MULTIPLE).max(MULTIPLE)
    };
    let (width, height) = (side(picture.width()), side(picture.height()));
    let step = to_f32(picture.width()) / to_f32(width);
    let row = to_f32(picture.height()) / to_f32(height);
    let patch = Patch {
        origin: (0.0, 0.0),
        step: (step, 0.0),
        row: (0.0, row),
    };
    let mut input = vec![0.0; 3 * width * height];
    picture.fill(patch, (width, height), width, &mut input);
    let output = run(&input, [1, 3, height, width])?;
    drop(input);
    let ([_, _, map_height, map_width], map) = output
        .into_shape_vec::<f32, 4>()
        .map_err(|error| Error::Recognition(error.to_string()))?;
    let mut boxes = in_map(&map, map_width, map_height);
    let scale_x = to_f32(picture.width()) / to_f32(map_width.max(1));
    let scale_y = to_f32(picture.height()) / to_f32(map_height.max(1));
    for corner in boxes.iter_mut().flat_map(|found| &mut found.corners) {
        corner.0 = (corner.0 * scale_x).clamp(0.0, to_f32(picture.width()));
        corner.1 = (corner.1 * scale_y).clamp(0.0, to_f32(picture.height()));
    }
    Ok(boxes)
}

/// Returns the rectangles in a map of probabilities.
fn in_map(map: &[f32], width: usize, height: usize) -> Vec<TextBox> {
    let mut left: Vec<bool> = dilated(map, width, height);
    let mut found = Vec::new();
    for start in 0..left.len() {
        if found.len() == MAX_BOXES {
            break;
        }
        if !left[start] {
            continue;
        }
        let outline = take_part(&mut left, width, height, start);
        let Some(core) = Rectangle::around(&outline) else {
            continue;
        };
        if core.thickness() < MIN_SIDE || core.mean(map, width, height) < MIN_BOX {
            continue;
        }
        let grown = core.grown();
        if grown.thickness() >= MIN_SIDE + 2.0 {
            found.push(grown.text_box());
        }
    }
    found
}

/// Marks the pixels of text and those right of and below them, which joins what almost touches.
fn dilated(map: &[f32], width: usize, height: usize) -> Vec<bool> {
    let is_text = |x: usize, y: usize| map[y * width + x] > MIN_PIXEL;
    (0..width * height)
        .map(|at| {
            let (x, y) = (at % width, at / width);
            is_text(x, y)
                || (x > 0 && is_text(x - 1, y))
                || (y > 0 && is_text(x, y - 1))
                || (x > 0 && y > 0 && is_text(x - 1, y - 1))
        })
        .collect()
}

/// Removes the connected part with the pixel `start`; returns the first and last pixel of each of its rows.
fn take_part(left: &mut [bool], width: usize, height: usize, start: usize) -> Vec<Point> {
    let mut rows: std::collections::BTreeMap<usize, (usize, usize)> = Default::default();
    let mut stack = vec![start];
    left[start] = false;
    while let Some(at) = stack.pop() {
        let (x, y) = (at % width, at / width);
        let row = rows.entry(y).or_insert((x, x));
        *row = (row.0.min(x), row.1.max(x));
        for ny in y.saturating_sub(1)..(y + 2).min(height) {
            for nx in x.saturating_sub(1)..(x + 2).min(width) {
                let next = ny * width + nx;
                if left[next] {
                    left[next] = false;
                    stack.push(next);
                }
            }
        }
    }
    rows.into_iter()
        .flat_map(|(y, (first, last))| [(to_f32(first), to_f32(y)), (to_f32(last), to_f32(y))])
        .collect()
}

/// A rectangle at any angle.
#[derive(Debug, Clone, Copy)]
struct Rectangle {
    center: Point,
    /// Unit vector along its first side.
    axis: Point,
    /// Half the lengths along the axis and across it.
    half: Point,
}

impl Rectangle {
    /// Returns the smallest rectangle around the points: one of its sides lies on a side of their convex hull.
    fn around(points: &[Point]) -> Option<Self> {
        let hull = convex_hull(points);
        let first = *hull.first()?;
        let mut best: Option<(f32, Self)> = None;
        for (index, &from) in hull.iter().enumerate() {
            let to = hull.get(index + 1).copied().unwrap_or(first);
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if length <= f32::EPSILON {
                continue;
            }
            let axis = ((to.0 - from.0) / length, (to.1 - from.1) / length);
            let mut low = (f32::MAX, f32::MAX);
            let mut high = (f32::MIN, f32::MIN);
            for &(x, y) in &hull {
                let (a, b) = (x * axis.0 + y * axis.1, y * axis.0 - x * axis.1);
                low = (low.0.min(a), low.1.min(b));
                high = (high.0.max(a), high.1.max(b));
            }
            let area = (high.0 - low.0) * (high.1 - low.1);
            if best.is_none_or(|(smallest, _)| area < smallest) {
                let (a, b) = ((low.0 + high.0) / 2.0, (low.1 + high.1) / 2.0);
                let rectangle = Self {
                    center: (a * axis.0 - b * axis.1, a * axis.1 + b * axis.0),
                    axis,
                    half: ((high.0 - low.0) / 2.0, (high.1 - low.1) / 2.0),
                };
                best = Some((area, rectangle));
            }
        }
        best.map(|(_, rectangle)| rectangle)
    }

    fn thickness(&self) -> f32 {
        self.half.0.min(self.half.1) * 2.0
    }

    fn grown(&self) -> Self {
        let area = self.half.0 * self.half.1 * 4.0;
        let circumference = (self.half.0 + self.half.1) * 4.0;
        let by = area * GROWTH / circumference.max(1.0);
        Self {
            half: (self.half.0 + by, self.half.1 + by),
            ..*self
        }
    }

    fn corners(&self) -> [Point; 4] {
        let along = (self.axis.0 * self.half.0, self.axis.1 * self.half.0);
        let across = (-self.axis.1 * self.half.1, self.axis.0 * self.half.1);
        [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)].map(|(a, b)| {
            (
                self.center.0 + along.0 * a + across.0 * b,
                self.center.1 + along.1 * a + across.1 * b,
            )
        })
    }

    /// Returns the mean probability within it.
    fn mean(&self, map: &[f32], width: usize, height: usize) -> f32 {
        let corners = self.corners();
        let range = |values: [f32; 4], len: usize| {
            let low = values.iter().copied().fold(f32::MAX, f32::min);
            let high = values.iter().copied().fold(f32::MIN, f32::max);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to the map"
            )]
            let clamp = |value: f32| value.clamp(0.0, to_f32(len - 1)) as usize;
            clamp(low.floor())..=clamp(high.ceil())
        };
        let (mut sum, mut n) = (0.0, 0.0);
        for y in range(corners.map(|corner| corner.1), height) {
            for x in range(corners.map(|corner| corner.0), width) {
                let (dx, dy) = (to_f32(x) - self.center.0, to_f32(y) - self.center.1);
                let along = (dx * self.axis.0 + dy * self.axis.1).abs();
                let across = (dy * self.axis.0 - dx * self.axis.1).abs();
                if along <= self.half.0 + 0.5 && across <= self.half.1 + 0.5 {
                    sum += map[y * width + x];
                    n += 1.0;
                }
            }
        }
        if n > 0.0 { sum / n } else { 0.0 }
    }

    /// Its corners named: of the two at the left the upper one is top left, and so on.
    fn text_box(&self) -> TextBox {
        let mut corners = self.corners();
        corners.sort_by(|a, b| a.0.total_cmp(&b.0));
        let [a, b, c, d] = corners;
        let (top_left, bottom_left) = if a.1 <= b.1 { (a, b) } else { (b, a) };
        let (top_right, bottom_right) = if c.1 <= d.1 { (c, d) } else { (d, c) };
        TextBox {
            corners: [top_left, top_right, bottom_right, bottom_left],
        }
    }
}

/// Returns the corners of the smallest convex shape around the points, in order.
fn convex_hull(points: &[Point]) -> Vec<Point> {
    let mut points = points.to_vec();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points.dedup();
    if points.len() < 3 {
        return points;
    }
    let half = |points: &mut dyn Iterator<Item = Point>| {
        let mut chain: Vec<Point> = Vec::new();
        for point in points {
            while let [.., a, b] = chain[..] {
                let turn = (b.0 - a.0) * (point.1 - a.1) - (b.1 - a.1) * (point.0 - a.0);
                if turn > 0.0 {
                    break;
                }
                chain.pop();
            }
            chain.push(point);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut points.iter().copied());
    hull.extend(half(&mut points.iter().rev().copied()));
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lines_in_a_map_are_two_boxes() {
        let (width, height) = (100, 60);
        let mut map = vec![0.0; width * height];
        for y in 10..20 {
            for x in 10..90 {
                map[y * width + x] = 0.9;
            }
        }
        for y in 30..58 {
            for x in 40..46 {
                map[y * width + x] = 0.8;
            }
        }
        map[3] = 1.0; // a speck
        let boxes = in_map(&map, width, height);
        assert_eq!(boxes.len(), 2, "{boxes:?}");
        assert!(!boxes[0].is_tall() && boxes[1].is_tall());
        let [top_left, _, bottom_right, _] = boxes[0].corners;
        assert!(top_left.0 < 10.0 && top_left.1 < 10.0, "{top_left:?}");
        assert!(bottom_right.0 > 90.0 && bottom_right.1 > 20.0);
        assert!(boxes[0].length() < 105.0 && boxes[0].thickness() < 30.0);
    }

    #[test]
    fn a_line_at_an_angle_has_a_narrow_box() {
        let (width, height) = (200, 200);
        let mut map = vec![0.0; width * height];
        for i in 20..180_usize {
            for d in 0..10 {
                map[(i / 2 + 40 + d) * width + i] = 0.9;
            }
        }
        let boxes = in_map(&map, width, height);
        assert_eq!(boxes.len(), 1);
        assert!(boxes[0].thickness() < 32.0, "{boxes:?}");
        let [top_left, top_right, ..] = boxes[0].corners;
        assert!(top_right.1 > top_left.1 + 50.0);
    }

    #[test]
    fn weak_parts_are_no_text() {
        let map = vec![0.4; 50 * 50];
        assert!(in_map(&map, 50, 50).is_empty());
        assert!(in_map(&[], 0, 0).is_empty());
    }

    #[test]
    fn the_hull_of_a_square_is_its_corners() {
        let points: Vec<Point> = (0..25).map(|i| (to_f32(i % 5), to_f32(i / 5))).collect();
        let mut hull = convex_hull(&points);
        hull.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        assert_eq!(hull, [(0.0, 0.0), (0.0, 4.0), (4.0, 0.0), (4.0, 4.0)]);
    }
}
