//! PowerPoint presentations: slides in their order, titles as headings, tables and notes.

mod look;

use crate::document::Extracted;
use crate::error::Result;
use crate::extract::Tools;
use crate::extract::hidden::Look;
use crate::extract::ooxml::{Element, Package, Relation};
use crate::extract::outline::Outline;
use crate::extract::pictures::Pictures;
use crate::extract::table::Row;
use look::Theme;

/// Extracts the slides; a block's page is its slide's number.
pub(crate) fn extract(bytes: &[u8], tools: &Tools) -> Result<Extracted> {
    let mut pictures = Pictures::new(tools);
    let mut package = Package::open(bytes, "PPTX")?;
    let main = package.main_part_name("ppt/presentation.xml");
    let presentation = package.main_part(&main)?;
    let relations = package.relations(&main);
    let mut outline = Outline::default();
    if let Some(title) = package
        .properties(&mut outline)
        .filter(|title| title != "PowerPoint Presentation")
    {
        outline.set_title(&title);
    }
    let theme = relations.values().find(|relation| relation.kind == "theme");
    let theme = theme.and_then(|relation| package.optional_part(&relation.target));
    let theme = theme.map(|root| Theme::read(&root)).unwrap_or_default();
    let slides = presentation
        .child("sldIdLst")
        .into_iter()
        .flat_map(|list| list.children_named("sldId"));
    // `id` is both the slide's number and, with a prefix, its relation: the relation comes last.
    let targets = slides.filter_map(|slide| {
        let (_, id) = slide
            .attrs
            .iter()
            .rfind(|(name, value)| name == "id" && relations.contains_key(value))?;
        relations.get(id)
    });
    for (number, target) in (1..).zip(targets) {
        outline.set_page(Some(number));
        match package.part(&target.target) {
            Ok(Some(slide)) => {
                add_slide(&mut outline, &mut package, &target.target, &slide, &theme);
                for relation in relations_of(&mut package, &target.target) {
                    if relation.kind == "image" && !relation.is_external {
                        pictures.add(&mut outline, &mut package, &relation.target);
                    }
                }
            }
            Ok(None) => outline.warn(format!("slide {number} is missing")),
            Err(error) => outline.warn(format!("slide {number}: {error}")),
        }
    }
    Ok(outline.finish())
}

fn add_slide(
    outline: &mut Outline,
    package: &mut Package<'_>,
    part: &str,
    slide: &Element,
    theme: &Theme,
) {
    let ground = look::ground(package, part, slide, theme);
    let mut shapes = Vec::new();
    if let Some(tree) = slide.at(&["cSld", "spTree"]) {
        gather_shapes(tree, &mut shapes);
    }
    // The title is read first, wherever it was drawn.
    shapes.sort_by_key(|shape| !is_title(shape));
    for shape in &shapes {
        let look = look::of_shape(shape, ground, theme);
        add_shape(outline, shape, &Painted { look, theme });
    }
    let plain = Painted {
        look: Look::default(),
        theme,
    };
    for relation in relations_of(package, part) {
        match relation.kind.as_str() {
            "diagramData" => {
                if let Some(data) = package.optional_part(&relation.target) {
                    add_paragraphs(outline, &data, true, &plain);
                }
            }
            "notesSlide" => {
                if let Some(notes) = package.optional_part(&relation.target) {
                    add_notes(outline, &notes, &plain);
                }
            }
            _ => {}
        }
    }
}

/// A part's relations, always in the same order.
fn relations_of(package: &mut Package<'_>, part: &str) -> Vec<Relation> {
    let mut relations: Vec<_> = package.relations(part).into_iter().collect();
    relations.sort_by(|a, b| a.0.cmp(&b.0));
    relations
        .into_iter()
        .map(|(_, relation)| relation)
        .collect()
}

/// What text is painted with and on.
struct Painted<'t> {
    look: Look,
    theme: &'t Theme,
}

/// Shapes in drawing order, those of groups too.
fn gather_shapes<'e>(parent: &'e Element, shapes: &mut Vec<&'e Element>) {
    for element in parent.elements() {
        match element.name.as_str() {
            "sp" | "graphicFrame" => shapes.push(element),
            "AlternateContent" => {
                if let Some(chosen) = element
                    .child("Choice")
                    .or_else(|| element.child("Fallback"))
                {
                    gather_shapes(chosen, shapes);
                }
            }
            "grpSp" => gather_shapes(element, shapes),
            _ => {}
        }
    }
}

/// The placeholder type of a shape: `title`, `body`, …; empty for a placeholder without one.
fn placeholder(shape: &Element) -> Option<&str> {
    let placeholder = shape.at(&["nvSpPr", "nvPr", "ph"])?;
    Some(placeholder.attr("type").unwrap_or_default())
}

fn is_title(shape: &Element) -> bool {
    matches!(placeholder(shape), Some("title" | "ctrTitle"))
}

fn add_shape(outline: &mut Outline, shape: &Element, painted: &Painted<'_>) {
    let mut tables = Vec::new();
    shape.descendants_named("tbl", &mut tables);
    for table in &tables {
        let rows = rows_of(outline, table, painted.theme);
        outline.table_of(&rows);
    }
    let Some(body) = shape.child("txBody") else {
        return;
    };
    match placeholder(shape) {
        Some("title" | "ctrTitle") => {
            let paragraphs: Vec<String> = body
                .children_named("p")
                .map(|p| text_of(outline, p, painted))
                .collect();
            let text = paragraphs.join(" ");
            outline.set_title(&text);
            outline.heading(2, &text);
        }
        // Numbers, dates and footers repeat on every slide.
        Some("sldNum" | "dt" | "ftr" | "hdr") => {}
        Some("" | "body" | "obj") => add_paragraphs(outline, body, true, painted),
        Some(_) | None => add_paragraphs(outline, body, false, painted),
    }
}

/// Adds text paragraphs; several of an outline placeholder are its list.
fn add_paragraphs(outline: &mut Outline, body: &Element, is_list: bool, painted: &Painted<'_>) {
    let mut paragraphs = Vec::new();
    body.descendants_named("p", &mut paragraphs);
    let texts: Vec<String> = paragraphs
        .into_iter()
        .map(|paragraph| text_of(outline, paragraph, painted))
        .filter(|text| !text.trim().is_empty())
        .collect();
    let is_list = is_list && texts.len() > 1;
    for text in texts {
        if is_list {
            outline.list_item("-", &text);
        } else {
            outline.paragraph(&text);
        }
    }
}

fn add_notes(outline: &mut Outline, notes: &Element, painted: &Painted<'_>) {
    let mut shapes = Vec::new();
    if let Some(tree) = notes.at(&["cSld", "spTree"]) {
        gather_shapes(tree, &mut shapes);
    }
    for shape in shapes
        .into_iter()
        .filter(|shape| placeholder(shape) == Some("body"))
    {
        add_paragraphs(outline, shape, false, painted);
    }
}

fn rows_of(outline: &mut Outline, table: &Element, theme: &Theme) -> Vec<Row> {
    // The table's style may color its cells.
    let painted = Painted {
        look: Look::default(),
        theme,
    };
    let mut rows: Vec<Row> = Vec::new();
    for element in table.children_named("tr") {
        let mut row = Row::default();
        for cell in element.children_named("tc") {
            let is_set = |name| matches!(cell.attr(name), Some("1" | "true"));
            if is_set("hMerge") {
                row.push_left();
            } else if is_set("vMerge") {
                row.push_above(rows.last(), 1);
            } else {
                let mut paragraphs = Vec::new();
                cell.descendants_named("p", &mut paragraphs);
                let texts: Vec<String> = paragraphs
                    .into_iter()
                    .map(|paragraph| text_of(outline, paragraph, &painted))
                    .collect();
                row.push(texts.join("\n"), 1);
            }
        }
        rows.push(row);
    }
    rows
}

/// The text of a paragraph's runs, without what cannot be seen.
fn text_of(outline: &mut Outline, paragraph: &Element, painted: &Painted<'_>) -> String {
    let mut out = String::new();
    push_runs(outline, paragraph, painted, &mut out);
    out
}

fn push_runs(outline: &mut Outline, parent: &Element, painted: &Painted<'_>, out: &mut String) {
    for element in parent.elements() {
        match element.name.as_str() {
            "t" => out.push_str(&element.text()),
            "br" | "tab" => out.push(' '),
            "r" | "fld" if look::of_run(element, painted.look, painted.theme).is_unseen() => {
                outline.hide(&element.text());
            }
            _ => push_runs(outline, element, painted, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::BlockKind;
    use crate::extract::ooxml::tests::package;

    fn shape(kind: &str, paragraphs: &[&str]) -> String {
        let body: String = paragraphs
            .iter()
            .map(|text| format!("<a:p><a:r><a:t>{text}</a:t></a:r></a:p>"))
            .collect();
        format!(
            "<p:sp><p:nvSpPr><p:nvPr>{kind}</p:nvPr></p:nvSpPr><p:txBody>{body}</p:txBody></p:sp>"
        )
    }

    fn slide(shapes: &str) -> String {
        format!("<p:sld><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>")
    }

    #[test]
    fn slides_are_read_in_presentation_order() {
        let table = "<p:graphicFrame><a:tbl><a:tr><a:tc gridSpan=\"2\"><a:p><a:r><a:t>h</a:t></a:r></a:p></a:tc>\
            <a:tc hMerge=\"1\"/></a:tr><a:tr><a:tc><a:p><a:r><a:t>1</a:t></a:r></a:p></a:tc>\
            <a:tc><a:p><a:r><a:t>2</a:t></a:r></a:p></a:tc></a:tr></a:tbl></p:graphicFrame>";
        let first = slide(
            &(shape("<p:ph idx=\"1\"/>", &["one", "two"])
                + &shape("<p:ph type=\"title\"/>", &["Plan"])),
        );
        let second =
            slide(&(shape("<p:ph type=\"sldNum\"/>", &["2"]) + &shape("", &["loose"]) + table));
        let notes = shape("<p:ph type=\"body\"/>", &["say this"]);
        let bytes = package(&[
            (
                "ppt/presentation.xml",
                "<p:presentation><p:sldIdLst><p:sldId id=\"256\" r:id=\"rb\"/><p:sldId id=\"257\" r:id=\"ra\"/></p:sldIdLst></p:presentation>",
            ),
            (
                "ppt/_rels/presentation.xml.rels",
                "<R><Relationship Id=\"ra\" Type=\"x/slide\" Target=\"slides/slide1.xml\"/><Relationship Id=\"rb\" Type=\"x/slide\" Target=\"slides/slide2.xml\"/></R>",
            ),
            ("ppt/slides/slide1.xml", &second),
            ("ppt/slides/slide2.xml", &first),
            (
                "ppt/slides/_rels/slide2.xml.rels",
                "<R><Relationship Id=\"n\" Type=\"x/notesSlide\" Target=\"../notesSlides/n.xml\"/></R>",
            ),
            ("ppt/notesSlides/n.xml", &slide(&notes)),
        ]);
        let extracted = extract(&bytes, &Tools::default()).unwrap();
        assert_eq!(extracted.title.as_deref(), Some("Plan"));
        let got: Vec<_> = extracted
            .blocks
            .iter()
            .map(|b| (b.kind, b.text.as_str(), b.locator.page))
            .collect();
        assert_eq!(
            got,
            [
                (BlockKind::Heading(2), "Plan", Some(1)),
                (BlockKind::ListItem, "- one", Some(1)),
                (BlockKind::ListItem, "- two", Some(1)),
                (BlockKind::Paragraph, "say this", Some(1)),
                (BlockKind::Paragraph, "loose", Some(2)),
                (
                    BlockKind::Table,
                    "| h | h |\n| --- | --- |\n| 1 | 2 |",
                    Some(2)
                ),
            ]
        );
    }

    #[test]
    fn text_in_the_color_of_what_is_behind_it_is_left_out() {
        let run = |properties: &str, text: &str| {
            format!("<a:p><a:r><a:rPr>{properties}</a:rPr><a:t>{text}</a:t></a:r></a:p>")
        };
        let white = "<a:solidFill><a:srgbClr val=\"FFFFFF\"/></a:solidFill>";
        let black_box = "<p:spPr><a:solidFill><a:srgbClr val=\"000000\"/></a:solidFill></p:spPr>";
        let shape = |properties: &str, runs: &str| {
            format!("<p:sp>{properties}<p:txBody>{runs}</p:txBody></p:sp>")
        };
        let read = |shapes: &str| {
            let bytes = package(&[
                (
                    "ppt/presentation.xml",
                    "<p:presentation><p:sldIdLst><p:sldId r:id=\"ra\"/></p:sldIdLst></p:presentation>",
                ),
                (
                    "ppt/_rels/presentation.xml.rels",
                    "<R><Relationship Id=\"ra\" Type=\"x/slide\" Target=\"slides/slide1.xml\"/></R>",
                ),
                ("ppt/slides/slide1.xml", &slide(shapes)),
            ]);
            let extracted = extract(&bytes, &Tools::default()).unwrap();
            let texts: Vec<String> = extracted
                .blocks
                .into_iter()
                .map(|block| block.text)
                .collect();
            (texts, extracted.warnings.len())
        };
        let hidden = shape(
            "",
            &(run("", "seen")
                + &run(white, "white")
                + "<a:p><a:r><a:rPr sz=\"100\"/><a:t>tiny</a:t></a:r></a:p>"),
        );
        assert_eq!(read(&hidden), (vec!["seen".to_owned()], 1));
        assert_eq!(
            read(&shape(black_box, &run(white, "on black"))),
            (vec!["on black".to_owned()], 0)
        );
        // What lies behind the text is not known.
        assert_eq!(
            read(&(shape(black_box, "") + &shape("", &run(white, "w")))),
            (vec!["w".to_owned()], 0)
        );
    }

    #[test]
    fn names_of_groups_are_joined_with_those_below() {
        let cell = |attributes: &str, text: &str| {
            format!("<a:tc {attributes}><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:tc>")
        };
        let table = format!(
            "<p:graphicFrame><a:tbl><a:tr>{}{}<a:tc hMerge=\"1\"/></a:tr><a:tr>{}{}{}</a:tr><a:tr>{}{}{}</a:tr></a:tbl></p:graphicFrame>",
            cell("", ""),
            cell("gridSpan=\"2\"", "Class"),
            cell("", ""),
            cell("", "A"),
            cell("", "B"),
            cell("", "R1"),
            cell("", "yes"),
            cell("", "no"),
        );
        let bytes = package(&[
            (
                "ppt/presentation.xml",
                "<p:presentation><p:sldIdLst><p:sldId id=\"256\" r:id=\"r\"/></p:sldIdLst></p:presentation>",
            ),
            (
                "ppt/_rels/presentation.xml.rels",
                "<R><Relationship Id=\"r\" Type=\"x/slide\" Target=\"slides/slide1.xml\"/></R>",
            ),
            ("ppt/slides/slide1.xml", &slide(&table)),
        ]);
        let blocks = extract(&bytes, &Tools::default()).unwrap().blocks;
        let want = "| | Class · A | Class · B |\n| --- | --- | --- |\n| R1 | yes | no |";
        assert_eq!(blocks[0].text, want);
    }
}
