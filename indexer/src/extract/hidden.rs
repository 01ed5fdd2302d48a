//! What readers of a document cannot see: text in the color of its background, too small to read, or marked hidden.
//!
//! Such text is a way to speak to a machine behind its readers' backs, so it is not indexed. Doubtful cases are kept: a
//! white text may stand on a dark picture that this format's reader does not know of.

/// Red, green and blue.
pub(crate) type Rgb = [u8; 3];

pub(crate) const WHITE: Rgb = [255; 3];

/// Text of this size in points cannot be read.
const TINY: f32 = 1.0;

/// Colors that differ no more than this in each of red, green and blue look the same.
const SAME: u8 = 8;

/// How a passage looks, as far as the format says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Look {
    /// Marked as not to be shown.
    pub(crate) is_hidden: bool,
    pub(crate) color: Option<Rgb>,
    /// `None` where it is not known.
    pub(crate) background: Option<Rgb>,
    /// In points.
    pub(crate) size: Option<f32>,
}

impl Look {
    /// Whether readers cannot see the passage.
    pub(crate) fn is_unseen(&self) -> bool {
        let same = |(a, b): (Rgb, Rgb)| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= SAME);
        self.is_hidden
            || self.size.is_some_and(|size| size <= TINY)
            || self.color.zip(self.background).is_some_and(same)
    }
}

/// Reads a color as office formats and style sheets write it; `None` for one that depends on something else.
pub(crate) fn color(text: &str) -> Option<Rgb> {
    let text = text.trim().to_ascii_lowercase();
    match text.as_str() {
        "white" => return Some(WHITE),
        "black" => return Some([0; 3]),
        _ => {}
    }
    if let Some(list) = text
        .strip_prefix("rgb")
        .and_then(|rest| rest.split_once('('))
    {
        let numbers = list.1.trim_end_matches(')');
        let parts: Vec<f32> = numbers
            .split([',', ' ', '/'])
            .filter(|part| !part.is_empty())
            .map_while(|part| part.parse().ok())
            .collect();
        let [red, green, blue, rest @ ..] = parts.as_slice() else {
            return None;
        };
        // Half transparent is neither color.
        let is_solid = rest.first().is_none_or(|alpha| *alpha >= 1.0);
        let byte = |value: f32| value.clamp(0.0, 255.0) as u8;
        return is_solid.then(|| [byte(*red), byte(*green), byte(*blue)]);
    }
    let digits = text.strip_prefix('#').unwrap_or(&text);
    let value = |digits: &str| u8::from_str_radix(digits, 16).ok();
    if !digits.is_ascii() {
        return None;
    }
    match digits.len() {
        3 => {
            let digit = |at: usize| value(&digits[at..=at]).map(|value| value * 17);
            Some([digit(0)?, digit(1)?, digit(2)?])
        }
        6 => Some([
            value(&digits[..2])?,
            value(&digits[2..4])?,
            value(&digits[4..])?,
        ]),
        _ => None,
    }
}

/// Reads a length such as `0.5pt`, `1px` or `0`, in points; `None` for a relative one other than nought.
pub(crate) fn points(text: &str) -> Option<f32> {
    let text = text.trim().to_ascii_lowercase();
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')));
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number: f32 = number.parse().ok()?;
    match unit.trim() {
        _ if number == 0.0 => Some(0.0),
        "pt" => Some(number),
        "px" => Some(number * 0.75),
        "in" => Some(number * 72.0),
        "cm" => Some(number * 72.0 / 2.54),
        "mm" => Some(number * 72.0 / 25.4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_and_lengths_are_read() {
        assert_eq!(color("#FFF"), Some(WHITE));
        assert_eq!(color("fefefe"), Some([254; 3]));
        assert_eq!(color("rgb(255, 255,255)"), Some(WHITE));
        assert_eq!(color("rgba(255,255,255,0.5)"), None);
        for none in ["auto", "inherit", "transparent", "", "#ff", "éé"] {
            assert_eq!(color(none), None, "{none}");
        }
        assert_eq!(points("1pt"), Some(1.0));
        assert_eq!(points("1px"), Some(0.75));
        assert_eq!(points("0"), Some(0.0));
        assert_eq!(points("0em"), Some(0.0));
        assert_eq!(points("1.2em"), None);
    }

    #[test]
    fn only_what_cannot_be_seen_is_unseen() {
        let look = |color, background| Look {
            color,
            background,
            ..Look::default()
        };
        assert!(look(Some([254; 3]), Some(WHITE)).is_unseen());
        assert!(!look(Some(WHITE), None).is_unseen());
        assert!(!look(Some([200; 3]), Some(WHITE)).is_unseen());
        let tiny = |size| Look {
            size: Some(size),
            ..Look::default()
        };
        assert!(tiny(1.0).is_unseen() && tiny(0.0).is_unseen() && !tiny(4.0).is_unseen());
    }
}
