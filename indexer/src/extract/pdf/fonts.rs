//! What characters mean in fonts that do not say it: by the font program's own table, or by a known character
//! collection.

use hayro::hayro_interpret::font::{Glyph, PositionedGlyph};
use hayro::hayro_interpret::hayro_cmap::{BfString, CMap, CMapName, CidFamily, load_embedded};
use hayro::hayro_syntax::object::{Array, Dict, Name, Object, Stream, String as PdfString};
use hayro::hayro_syntax::page::Page;
use std::collections::{HashMap, HashSet};

/// Depth of drawings within drawings in which fonts are looked for.
const MAX_DEPTH: usize = 4;

/// The fonts of a document whose characters had to be looked up.
#[derive(Default)]
pub(crate) struct Fonts {
    /// Glyph to character, by the key of the font program.
    programs: HashMap<u128, HashMap<u32, char>>,
    /// Code to character, by the name of the font.
    collections: HashMap<String, Collection>,
    /// Resources that were searched.
    searched: HashSet<u64>,
}

struct Collection {
    encoding: CMap,
    characters: CMap,
}

impl Fonts {
    /// Returns the character that a glyph without one stands for.
    pub(crate) fn unicode(&mut self, glyph: &PositionedGlyph<'_>, page: &Page<'_>) -> Option<char> {
        let Glyph::Outline(outline) = &**glyph else {
            return None;
        };
        let Some(font) = outline.font_data() else {
            // A Type 1 font with names of its own: most follow ASCII.
            return char::from_u32(outline.char_code()).filter(char::is_ascii_graphic);
        };
        if let Some(name) = &font.postscript_name
            && let Some(found) = self.in_collection(name, outline.char_code(), page)
        {
            return Some(found);
        }
        let bytes = font.data;
        let characters = self
            .programs
            .entry(font.cache_key)
            .or_insert_with(|| by_program((*bytes).as_ref()));
        characters.get(&outline.glyph_id().to_u32()).copied()
    }

    fn in_collection(&mut self, font: &str, code: u32, page: &Page<'_>) -> Option<char> {
        let number = page.raw().obj_id().map_or(0, |id| u64::from(id.obj_number));
        if self.searched.insert(number) {
            self.search(&page.resources().fonts, &page.resources().x_objects, 0);
        }
        let Collection {
            encoding,
            characters,
        } = self.collections.get(font)?;
        let cid = (1..=4).find_map(|length| encoding.lookup_cid_code(code, length))?;
        match characters.lookup_bf_string(cid)? {
            BfString::Char(c) => Some(c),
            BfString::String(text) => text.chars().next(),
        }
    }

    /// Notes the composite fonts without a `ToUnicode` map.
    fn search(&mut self, fonts: &Dict<'_>, drawings: &Dict<'_>, depth: usize) {
        for key in fonts.keys() {
            if let Some(font) = fonts.get::<Dict<'_>>(&key)
                && !font.contains_key(b"ToUnicode")
                && let Some((name, collection)) = collection(&font)
            {
                self.collections.entry(name).or_insert(collection);
            }
        }
        if depth == MAX_DEPTH {
            return;
        }
        for key in drawings.keys() {
            let resources = drawings
                .get::<Stream<'_>>(&key)
                .and_then(|drawing| drawing.dict().get::<Dict<'_>>(b"Resources"));
            if let Some(resources) = resources {
                let part = |key: &[u8]| resources.get::<Dict<'_>>(key).unwrap_or_default();
                self.search(&part(b"Font"), &part(b"XObject"), depth + 1);
            }
        }
    }
}

/// Returns the name of a composite font of a known collection, and what its codes mean.
fn collection(font: &Dict<'_>) -> Option<(String, Collection)> {
    let name = font.get::<Name<'_>>(b"BaseFont")?;
    let name = name.as_str();
    let name = match name.split_once('+') {
        Some((prefix, rest)) if prefix.len() == 6 => rest,
        Some(_) | None => name,
    };
    let encoding = match font.get::<Object<'_>>(b"Encoding")? {
        Object::Name(name) => match &*name {
            b"Identity-H" => CMap::identity_h(),
            b"Identity-V" => CMap::identity_v(),
            other => CMap::parse(load_embedded(CMapName::from_bytes(other))?, load_embedded)?,
        },
        Object::Stream(stream) => CMap::parse(&stream.decoded().ok()?, load_embedded)?,
        Object::Null(_)
        | Object::Boolean(_)
        | Object::Number(_)
        | Object::String(_)
        | Object::Dict(_)
        | Object::Array(_) => return None,
    };
    let descendant = font.get::<Array<'_>>(b"DescendantFonts")?;
    let descendant = descendant.iter::<Dict<'_>>().next()?;
    let system = descendant.get::<Dict<'_>>(b"CIDSystemInfo")?;
    let part = |key: &[u8]| system.get::<PdfString<'_>>(key);
    let family = CidFamily::from_registry_ordering(
        part(b"Registry")?.as_bytes(),
        part(b"Ordering")?.as_bytes(),
    );
    let characters = CMap::parse(load_embedded(family.ucs2_cmap()?)?, load_embedded)?;
    Some((
        name.to_owned(),
        Collection {
            encoding,
            characters,
        },
    ))
}

/// Returns the characters that the font program's own table gives its glyphs.
fn by_program(bytes: &[u8]) -> HashMap<u32, char> {
    use skrifa::MetadataProvider as _;
    let mut characters = HashMap::new();
    let Ok(font) = skrifa::FontRef::new(bytes) else {
        return characters;
    };
    for (character, glyph) in font.charmap().mappings() {
        // Symbol fonts put ASCII into a private area.
        let character = match character {
            0xF020..=0xF07E => character - 0xF000,
            other => other,
        };
        if let Some(character) = char::from_u32(character) {
            characters.entry(glyph.to_u32()).or_insert(character);
        }
    }
    characters
}
