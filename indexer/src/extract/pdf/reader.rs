//! A page as hayro interprets it: characters, ruling lines, and what else there is to see.

use crate::extract::layout::{Collector, Glyph, Line, Rule, quarter_turn};
use crate::extract::pdf::fonts::Fonts;
use crate::extract::quality::Tally;
use hayro::hayro_interpret::font::{Glyph as PdfGlyph, GlyphRun, PositionedGlyph};
use hayro::hayro_interpret::hayro_cmap::{BfString, WritingMode};
use hayro::hayro_interpret::util::TransformExt;
use hayro::hayro_interpret::{
    BlendMode, ClipPath, Context, Device, DrawMode, DrawProps, Image, ImageDrawProps,
    InterpreterCache, InterpreterSettings, Paint, SoftMask, interpret_page,
};
use hayro::hayro_syntax::page::Page;
use hayro::kurbo::{Affine, BezPath, PathSeg, Point, Rect, Shape as _};

/// Letters smaller than this, in points, cannot be read.
const MIN_SIZE: f64 = 1.0;

/// A drawn shape thinner than this, in points, is a line.
const MAX_RULE: f64 = 3.0;

/// Shortest line that may part cells.
const MIN_RULE: f64 = 6.0;

/// Most characters and most rules of one page that are kept.
const MAX_GLYPHS: usize = 500_000;
const MAX_RULES: usize = 5_000;

/// Glyphs of the standard fonts and of most others are this high.
const UNITS_PER_EM: f64 = 1000.0;

/// What a page shows.
#[derive(Debug, Default)]
pub(crate) struct PageContent {
    pub(crate) lines: Vec<Line>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) tally: Tally,
}

/// Reads a page. What was read before something broke is lost: see [`interpret_page`], which does not report errors.
pub(crate) fn read<'a>(
    page: &Page<'a>,
    cache: &InterpreterCache<'a>,
    settings: &InterpreterSettings,
    fonts: &mut Fonts,
) -> PageContent {
    let (width, height) = page.render_dimensions();
    let (width, height) = (f64::from(width), f64::from(height));
    let view = Rect::new(0.0, 0.0, width, height);
    let upright = page.initial_transform(true).to_kurbo();
    let mut context = Context::new(upright, view, cache, page.xref(), settings.clone());
    let mut reader = Reader {
        fonts,
        page,
        view,
        glyphs: Collector::default(),
        hidden: Collector::default(),
        rules: Vec::new(),
        filled: Vec::new(),
        tally: Tally {
            area: width * height,
            ..Tally::default()
        },
        n_glyphs: 0,
    };
    interpret_page(page, &mut context, &mut reader);
    reader.finish()
}

struct Reader<'f, 'p, 'a> {
    fonts: &'f mut Fonts,
    page: &'p Page<'a>,
    view: Rect,
    glyphs: Collector,
    /// Text that is drawn invisibly: over a picture it is what a scanner recognized.
    hidden: Collector,
    rules: Vec<Rule>,
    /// Colored areas and pictures, on which white text can be read.
    filled: Vec<Rect>,
    tally: Tally,
    n_glyphs: usize,
}

impl Reader<'_, '_, '_> {
    fn finish(mut self) -> PageContent {
        // A page of outlines or a picture may carry its text invisibly. On an empty page it is hidden on purpose.
        if self.tally.n_pictures > 0 || self.tally.n_paths > 50 {
            let mut lines = self.hidden.lines(&[]);
            if self.tally.n_chars == 0 {
                self.tally.n_chars = self.tally.n_invisible;
            }
            lines.extend(self.glyphs.lines(&self.rules));
            return PageContent {
                lines,
                rules: self.rules,
                tally: self.tally,
            };
        }
        self.tally.n_hidden += self.tally.n_invisible;
        PageContent {
            lines: self.glyphs.lines(&self.rules),
            rules: self.rules,
            tally: self.tally,
        }
    }

    fn glyph(
        &mut self,
        glyph: &PositionedGlyph<'_>,
        transform: Affine,
        look: Look,
        mode: WritingMode,
    ) {
        self.n_glyphs += 1;
        if self.n_glyphs > MAX_GLYPHS {
            return;
        }
        let text = match glyph.as_unicode() {
            Some(BfString::Char(c)) => c.to_string(),
            Some(BfString::String(text)) => text,
            None => self
                .fonts
                .unicode(glyph, self.page)
                .unwrap_or('\u{FFFD}')
                .to_string(),
        };
        let Some(placed) = place(glyph, transform, mode) else {
            return;
        };
        let is_seen = placed.size >= MIN_SIZE && !self.is_white_on_white(look, placed.at);
        match look {
            Look::Invisible => {
                self.tally.n_invisible += text.chars().filter(|c| !c.is_whitespace()).count();
                self.hidden.put(placed.glyph(&text));
            }
            _ if !is_seen => {
                self.tally.n_hidden += text.chars().filter(|c| !c.is_whitespace()).count();
            }
            Look::Dark | Look::White => {
                self.tally.add(&text);
                // What a glyph without a meaning would add to the text is counted, not kept.
                if text != "\u{FFFD}" {
                    self.glyphs.put(placed.glyph(&text));
                }
            }
            Look::Transparent => {}
        }
    }

    fn is_white_on_white(&self, look: Look, at: Point) -> bool {
        match look {
            Look::White => !self.filled.iter().any(|area| area.contains(at)),
            Look::Transparent => true,
            Look::Dark | Look::Invisible => false,
        }
    }

    fn shape(&mut self, bounds: Rect, paint: &Paint<'_>, is_filled: bool) {
        self.tally.n_paths += 1;
        let bounds = Rect::new(
            bounds.x0.max(self.view.x0),
            bounds.y0.max(self.view.y0),
            bounds.x1.min(self.view.x1),
            bounds.y1.min(self.view.y1),
        );
        let (width, height) = (bounds.width(), bounds.height());
        if width < 0.0 || height < 0.0 {
            return;
        }
        let is_line = width.min(height) <= MAX_RULE && width.max(height) >= MIN_RULE;
        if is_line {
            self.rule((bounds.x0, bounds.y0), (bounds.x1, bounds.y1));
        } else if is_filled {
            if look(paint) != Look::White {
                self.filled.push(bounds);
            }
        } else {
            // A frame: its four sides.
            let Rect { x0, y0, x1, y1 } = bounds;
            for (from, to) in [
                ((x0, y0), (x1, y0)),
                ((x0, y1), (x1, y1)),
                ((x0, y0), (x0, y1)),
                ((x1, y0), (x1, y1)),
            ] {
                self.rule(from, to);
            }
        }
    }

    /// Keeps the middle of a thin area as a line.
    fn rule(&mut self, from: (f64, f64), to: (f64, f64)) {
        if self.rules.len() >= MAX_RULES {
            return;
        }
        let middle = (f64::midpoint(from.0, to.0), f64::midpoint(from.1, to.1));
        self.rules.push(if to.0 - from.0 > to.1 - from.1 {
            Rule {
                from: (from.0, middle.1),
                to: (to.0, middle.1),
            }
        } else {
            Rule {
                from: (middle.0, from.1),
                to: (middle.0, to.1),
            }
        });
    }
}

impl<'a> Device<'a> for Reader<'_, '_, '_> {
    fn draw_path(&mut self, path: &BezPath, props: DrawProps<'a>, mode: &DrawMode) {
        if look(&props.paint) == Look::Transparent {
            return;
        }
        if matches!(mode, DrawMode::Fill(_) | DrawMode::FillAndStroke(..)) {
            self.shape((props.transform * path).bounding_box(), &props.paint, true);
            return;
        }
        self.tally.n_paths += 1;
        // Each stroke of a path drawn at once may be a border of its own.
        for segment in path.segments() {
            let PathSeg::Line(stroke) = segment else {
                continue;
            };
            let (from, to) = (props.transform * stroke.p0, props.transform * stroke.p1);
            let bounds = Rect::from_points(from, to).intersect(self.view);
            if bounds.width().min(bounds.height()) < 1.0
                && bounds.width().max(bounds.height()) >= MIN_RULE
            {
                self.rule((bounds.x0, bounds.y0), (bounds.x1, bounds.y1));
            }
        }
    }

    fn draw_rect(&mut self, rect: &Rect, props: DrawProps<'a>, mode: &DrawMode) {
        if look(&props.paint) == Look::Transparent {
            return;
        }
        let is_filled = matches!(mode, DrawMode::Fill(_) | DrawMode::FillAndStroke(..));
        let bounds = props.transform.transform_rect_bbox(*rect);
        self.shape(bounds, &props.paint, is_filled);
    }

    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, props: DrawProps<'a>, mode: &DrawMode) {
        let look = if matches!(mode, DrawMode::Invisible) {
            Look::Invisible
        } else {
            look(&props.paint)
        };
        for glyph in run.glyphs() {
            self.glyph(glyph, props.transform, look, run.writing_mode());
        }
    }

    fn draw_image(&mut self, image: Image<'a, '_>, props: ImageDrawProps<'a>) {
        let size = Rect::new(
            0.0,
            0.0,
            f64::from(image.width()),
            f64::from(image.height()),
        );
        let place = props
            .transform
            .transform_rect_bbox(size)
            .intersect(self.view);
        if place.width() > 1.0 && place.height() > 1.0 {
            self.tally.n_pictures += 1;
            self.tally.picture_area += place.area();
            self.filled.push(place);
        }
    }

    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'a>>, _: BlendMode) {}
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
}

/// How text looks on white paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Dark,
    White,
    Transparent,
    Invisible,
}

fn look(paint: &Paint<'_>) -> Look {
    match paint {
        Paint::Color(color) => match color.to_rgba().to_rgba8() {
            [.., 0..=5] => Look::Transparent,
            [250..=255, 250..=255, 250..=255, _] => Look::White,
            _ => Look::Dark,
        },
        Paint::Pattern(_) => Look::Dark,
    }
}

/// A glyph's place in the frame of [`Line`].
struct Placed {
    at: Point,
    x: f64,
    y: f64,
    advance: f64,
    size: f64,
    turn: u8,
}

impl Placed {
    fn glyph<'t>(&self, text: &'t str) -> Glyph<'t> {
        Glyph {
            text,
            x: self.x,
            y: self.y,
            advance: self.advance,
            size: self.size,
            turn: self.turn,
        }
    }
}

fn place(glyph: &PositionedGlyph<'_>, transform: Affine, mode: WritingMode) -> Option<Placed> {
    let [a, b, c, d, ..] = (transform * glyph.transform()).as_coeffs();
    let along = a.hypot(b) * UNITS_PER_EM;
    let across = c.hypot(d) * UNITS_PER_EM;
    let (width, is_known) = match &**glyph {
        PdfGlyph::Outline(outline) => (
            outline.advance_width().unwrap_or(500.0),
            outline.glyph_id().to_u32() != 0,
        ),
        PdfGlyph::Type3(drawn) => (drawn.advance_width().unwrap_or(500.0), true),
    };
    let width = f64::from(width);
    if !(along.is_finite() && across.is_finite() && width.is_finite()) {
        return None;
    }
    if mode == WritingMode::Vertical {
        // The glyph's origin is left below the point in the middle of its top, at which vertical writing begins.
        let top = transform * glyph.transform() * Point::new(500.0, 880.0);
        return Some(Placed {
            at: top,
            x: top.y,
            y: -top.x,
            advance: across,
            size: across,
            turn: 3,
        });
    }
    let origin = transform * glyph.transform() * Point::ZERO;
    let turn = quarter_turn(a, -b);
    let (x, y) = match turn {
        0 => (origin.x, origin.y),
        1 => (-origin.y, origin.x),
        2 => (-origin.x, -origin.y),
        _ => (origin.y, -origin.x),
    };
    // The glyph of a substitute is stretched to the width it should have; one that is not there says nothing.
    let scale = if is_known { along } else { across };
    let advance = width / UNITS_PER_EM * scale;
    let size = match &**glyph {
        // The size of a drawn font says little about that of its letters.
        PdfGlyph::Type3(_) => across.max(advance * 1.2),
        PdfGlyph::Outline(_) => across,
    };
    Some(Placed {
        at: origin,
        x,
        y,
        advance,
        size,
        turn,
    })
}
