//! Pixels, and the parts of a picture that networks look at.

/// A picture: 8-bit RGB, rows from top to bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// Where a tensor's pixels lie in a picture: its top left corner, and the way to the next pixel and to the next row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patch {
    pub(super) origin: (f32, f32),
    pub(super) step: (f32, f32),
    pub(super) row: (f32, f32),
}

/// Points that are averaged for one pixel of a shrunk picture, in each direction; more do not show.
const MAX_SAMPLES: f32 = 4.0;

impl Picture {
    /// Takes `width * height * 3` bytes; `None` if there are more or less, or none.
    #[must_use]
    pub fn from_rgb(width: usize, height: usize, pixels: Vec<u8>) -> Option<Self> {
        let is_whole = width.checked_mul(height)?.checked_mul(3)? == pixels.len();
        (is_whole && !pixels.is_empty()).then_some(Self {
            width,
            height,
            pixels,
        })
    }

    /// Returns the width in pixels.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the height in pixels.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Returns the picture turned clockwise by so many quarters.
    #[must_use]
    pub fn turned(&self, quarters: u8) -> Self {
        let (w, h) = (self.width, self.height);
        let (width, height) = if quarters % 2 == 1 { (h, w) } else { (w, h) };
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for y in 0..height {
            for x in 0..width {
                let (from_x, from_y) = match quarters % 4 {
                    0 => (x, y),
                    1 => (y, h - 1 - x),
                    2 => (w - 1 - x, h - 1 - y),
                    _ => (w - 1 - y, x),
                };
                let at = (from_y * w + from_x) * 3;
                pixels.extend_from_slice(&self.pixels[at..at + 3]);
            }
        }
        Self {
            width,
            height,
            pixels,
        }
    }

    /// Fills `width` columns of three planes of `stride * height` values: blue, green and red, from -1 to 1.
    pub(super) fn fill(
        &self,
        patch: Patch,
        (width, height): (usize, usize),
        stride: usize,
        planes: &mut [f32],
    ) {
        let n_along = samples(patch.step);
        let n_across = samples(patch.row);
        let weight = 1.0 / (n_along * n_across);
        for j in 0..height {
            for i in 0..width {
                let mut sum = [0.0_f32; 3];
                let mut b = 0.5;
                while b < n_across {
                    let down = to_f32(j) + b / n_across;
                    let mut a = 0.5;
                    while a < n_along {
                        let right = to_f32(i) + a / n_along;
                        let x = patch.origin.0 + patch.step.0 * right + patch.row.0 * down;
                        let y = patch.origin.1 + patch.step.1 * right + patch.row.1 * down;
                        self.add(x - 0.5, y - 0.5, &mut sum);
                        a += 1.0;
                    }
                    b += 1.0;
                }
                for (plane, value) in [2, 1, 0].into_iter().zip(sum) {
                    let at = (plane * height + j) * stride + i;
                    planes[at] = value * weight / 127.5 - 1.0;
                }
            }
        }
    }

    /// Adds the color at a point between pixels; the edge goes on beyond the picture.
    fn add(&self, x: f32, y: f32, sum: &mut [f32; 3]) {
        let (x0, fx) = cell(x, self.width);
        let (y0, fy) = cell(y, self.height);
        let x1 = (x0 + 1).min(self.width - 1);
        let y1 = (y0 + 1).min(self.height - 1);
        let at = |x: usize, y: usize| (y * self.width + x) * 3;
        let (a, b, c, d) = (at(x0, y0), at(x1, y0), at(x0, y1), at(x1, y1));
        for (channel, sum) in sum.iter_mut().enumerate() {
            let value = |index: usize| f32::from(self.pixels[index + channel]);
            let top = value(a) + (value(b) - value(a)) * fx;
            let bottom = value(c) + (value(d) - value(c)) * fx;
            *sum += top + (bottom - top) * fy;
        }
    }
}

/// Returns the pixel before a place between pixels, and how far beyond it the place is.
fn cell(at: f32, len: usize) -> (usize, f32) {
    let at = at.clamp(0.0, to_f32(len - 1));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the picture"
    )]
    let whole = at as usize;
    (whole, at - to_f32(whole))
}

fn samples(step: (f32, f32)) -> f32 {
    step.0.hypot(step.1).round().clamp(1.0, MAX_SAMPLES)
}

#[expect(clippy::cast_precision_loss, reason = "pixels of a picture")]
pub(super) fn to_f32(n: usize) -> f32 {
    n as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two by one: a red and a blue pixel.
    fn pair() -> Picture {
        Picture::from_rgb(2, 1, vec![255, 0, 0, 0, 0, 255]).unwrap()
    }

    #[test]
    fn a_turn_goes_clockwise() {
        let turned = pair().turned(1);
        assert_eq!((turned.width(), turned.height()), (1, 2));
        assert_eq!(turned.pixels, [255, 0, 0, 0, 0, 255]);
        assert_eq!(pair().turned(3).pixels, [0, 0, 255, 255, 0, 0]);
        assert_eq!(pair().turned(2).pixels, [0, 0, 255, 255, 0, 0]);
        assert_eq!(pair().turned(1).turned(3), pair());
    }

    #[test]
    fn pixels_become_planes_of_blue_green_and_red() {
        let patch = Patch {
            origin: (0.0, 0.0),
            step: (1.0, 0.0),
            row: (0.0, 1.0),
        };
        let mut planes = vec![0.0; 9];
        pair().fill(patch, (2, 1), 3, &mut planes);
        assert_eq!(planes, [-1.0, 1.0, 0.0, -1.0, -1.0, 0.0, 1.0, -1.0, 0.0]);
    }

    #[test]
    fn sizes_must_fit() {
        assert!(Picture::from_rgb(2, 2, vec![0; 11]).is_none());
        assert!(Picture::from_rgb(0, 2, Vec::new()).is_none());
        assert!(Picture::from_rgb(usize::MAX, 2, vec![0; 12]).is_none());
    }
}
