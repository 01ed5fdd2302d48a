//! A row of a table, with what its cells cover.

use std::ops::Range;
use std::rc::Rc;

/// Longer texts are not repeated in the places that their cell covers: there they would say little, and may say it often.
const MAX_REPEATED_BYTES: usize = 2000;

/// Whose text a place in a row shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cover {
    /// That of the cell which begins here.
    Own,
    /// That of the cell above, which reaches down to here.
    Above,
    /// That of a cell further left, which reaches over to here.
    Left,
}

/// A place in a row: a cell, or a part of one that covers several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) text: Rc<str>,
    pub(super) cover: Cover,
}

impl Slot {
    /// Whether a cell with text begins here.
    pub(super) fn is_own(&self) -> bool {
        self.cover == Cover::Own && self.has_text()
    }

    pub(super) fn has_text(&self) -> bool {
        !self.text.trim().is_empty()
    }

    fn covered(text: &Rc<str>, cover: Cover) -> Self {
        let is_short = text.len() <= MAX_REPEATED_BYTES;
        Self {
            text: if is_short { Rc::clone(text) } else { "".into() },
            cover,
        }
    }
}

/// A row of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(super) slots: Vec<Slot>,
    /// Whether the format says that it belongs to the header.
    pub(crate) is_header: bool,
}

impl Row {
    /// Returns a row without cells.
    pub(crate) fn new(is_header: bool) -> Self {
        Self {
            is_header,
            ..Self::default()
        }
    }

    /// Returns a row of cells that cover one column each.
    pub(crate) fn of(texts: impl IntoIterator<Item = impl Into<Rc<str>>>) -> Self {
        let mut row = Self::default();
        for text in texts {
            row.push(text, 1);
        }
        row
    }

    /// How many columns it has so far.
    pub(crate) fn width(&self) -> usize {
        self.slots.len()
    }

    /// Adds a cell that covers so many columns.
    pub(crate) fn push(&mut self, text: impl Into<Rc<str>>, columns: usize) {
        let text = text.into();
        let first = self.slots.len();
        self.slots.push(Slot {
            text: Rc::clone(&text),
            cover: Cover::Own,
        });
        let width = first + columns.max(1);
        self.slots.resize(width, Slot::covered(&text, Cover::Left));
    }

    /// Goes on with the cell to the left.
    pub(crate) fn push_left(&mut self) {
        match self.slots.last() {
            Some(slot) => self.slots.push(Slot::covered(&slot.text, Cover::Left)),
            None => self.push("", 1),
        }
    }

    /// Goes on, over so many columns, with the cell that stands above in the row `above`.
    pub(crate) fn push_above(&mut self, above: Option<&Self>, columns: usize) {
        let first = self.slots.len();
        for column in first..first + columns.max(1) {
            let slot = above.and_then(|above| above.slots.get(column));
            self.slots.push(match slot {
                Some(slot) if slot.cover == Cover::Left || column > first => {
                    Slot::covered(&slot.text, Cover::Left)
                }
                Some(slot) => Slot::covered(&slot.text, Cover::Above),
                None => Slot::covered(&"".into(), Cover::Above),
            });
        }
    }

    /// What its places show: what a cell says of several rows stands in each, what it says of several columns only in the
    /// first, or it would read as a second value.
    pub(crate) fn texts(&self) -> Vec<String> {
        let shown = self.slots.iter().map(|slot| match slot.cover {
            Cover::Own | Cover::Above => slot.text.as_ref().to_owned(),
            Cover::Left => String::new(),
        });
        shown.collect()
    }

    /// What it has in some columns.
    pub(super) fn part(&self, columns: &Range<usize>) -> Self {
        let slots = self.slots.get(columns.start..columns.end.min(self.width()));
        Self {
            slots: slots.unwrap_or_default().to_vec(),
            is_header: false,
        }
    }

    /// The columns in which cells with text begin.
    pub(super) fn own(&self) -> impl Iterator<Item = usize> {
        (0..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.is_own())
            .map(|(column, _)| column)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.own().next().is_none()
    }

    /// Whether it has one cell with text.
    pub(crate) fn is_single(&self) -> bool {
        self.own().take(2).count() == 1
    }
}
