//! Text recognition with the real model: pictures and scanned pages through the whole of extraction.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that fails may panic, and one that is skipped says so"
)]

use kura_indexer::{Error, Extracted, PageSource, Tools, extract};
use kura_models::{Registry, load_recognizer};
use std::io::Write as _;
use std::path::Path;

const MODEL: &str = "pp-ocrv6-small";

/// Four lines, two of them Japanese, in Noto Sans CJK JP (SIL Open Font License).
const NOTICE: &[u8] = include_bytes!("pictures/notice.png");
/// Three lines of vertical Japanese in the same font.
const VERTICAL: &[u8] = include_bytes!("pictures/vertical.png");

const LINES: [&str; 4] = [
    "Travel expenses",
    "Send the form before 31 March 2026.",
    "出張旅費精算書",
    "提出期限は2026年3月31日です。",
];

/// Returns the installed recognizer, or says that the test is skipped.
fn tools() -> Option<Tools> {
    let dir = std::env::var_os("KURA_MODELS_DIR")?;
    let registry = Registry::open(Path::new(&dir)).unwrap();
    let Ok(installed) = registry.locate(MODEL) else {
        println!("skipped: `{MODEL}` is not installed; run `kura models pull {MODEL}`");
        return None;
    };
    Some(Tools::new(Some(
        load_recognizer(&installed, Some(2)).unwrap(),
    )))
}

fn squeezed(extracted: &Extracted) -> String {
    let texts = extracted.blocks.iter().map(|block| block.text.as_str());
    let text: String = texts.collect();
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

fn has_all_lines(extracted: &Extracted) {
    let text = squeezed(extracted);
    let mut from = 0;
    for line in LINES {
        let line: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        let at = text[from..].find(&line);
        assert!(at.is_some(), "{line} is missing or out of order in {text}");
        from += at.unwrap() + line.len();
    }
}

/// The picture turned clockwise by quarters, as PNG.
fn turned(quarters: u8) -> Vec<u8> {
    let picture = image::load_from_memory(NOTICE).unwrap().to_luma8();
    let picture = match quarters {
        1 => image::imageops::rotate90(&picture),
        2 => image::imageops::rotate180(&picture),
        _ => image::imageops::rotate270(&picture),
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

#[test]
fn a_picture_of_two_languages_is_read() {
    let Some(tools) = tools() else { return };
    let extracted = extract(NOTICE, "notice.png", None, &tools).unwrap();
    has_all_lines(&extracted);
    assert_eq!(extracted.pages.len(), 1);
    assert_eq!(extracted.pages[0].source, PageSource::Recognized);
    assert!(extracted.pages[0].score > 90, "{:?}", extracted.pages);
    assert!(extracted.warnings.is_empty(), "{:?}", extracted.warnings);
}

#[test]
fn a_picture_is_read_whichever_way_up_it_lies() {
    let Some(tools) = tools() else { return };
    for quarters in 1..4 {
        let extracted = extract(&turned(quarters), "notice.png", None, &tools).unwrap();
        has_all_lines(&extracted);
    }
}

#[test]
fn vertical_writing_is_read_from_the_right() {
    let Some(tools) = tools() else { return };
    let text = squeezed(&extract(VERTICAL, "vertical.png", None, &tools).unwrap());
    let parts = [
        "就業規則は",
        "従業員に適用する",
        "休暇の申請は",
        "行うものとする",
        "この規程は",
        "施行する",
    ];
    let mut from = 0;
    for part in parts {
        let at = text[from..].find(part);
        assert!(at.is_some(), "{part} is missing or out of order in {text}");
        from += at.unwrap();
    }
}

/// A PDF of one page that shows the picture, drawn with this matrix on a page turned by `rotate`.
fn scan(matrix: &str, rotate: u32) -> Vec<u8> {
    let picture = image::load_from_memory(NOTICE).unwrap().to_luma8();
    let (width, height) = picture.dimensions();
    let pixels: String = picture
        .as_raw()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let content = format!("q {matrix} cm /P Do Q");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 300] /Rotate {rotate} /Contents 4 0 R \
             /Resources << /XObject << /P 5 0 R >> >> >>"
        ),
        format!(
            "<< /Length {} >>\nstream\n{content}\nendstream",
            content.len()
        ),
        format!(
            "<< /Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceGray \
             /BitsPerComponent 8 /Filter /ASCIIHexDecode /Length {} >>\nstream\n{pixels}>\nendstream",
            pixels.len() + 1
        ),
    ];
    let mut out = "%PDF-1.4\n".to_owned();
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(out.len());
        out.push_str(&format!("{} 0 obj\n{object}\nendobj\n", index + 1));
    }
    let start = out.len();
    out.push_str(&format!(
        "xref\n0 {}\n0000000000 65535 f \n",
        objects.len() + 1
    ));
    for place in places {
        out.push_str(&format!("{place:010} 00000 n \n"));
    }
    out.push_str(&format!(
        "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n",
        objects.len() + 1
    ));
    out.into_bytes()
}

#[test]
fn a_scanned_page_is_recognized() {
    let Some(tools) = tools() else { return };
    let extracted = extract(&scan("380 0 0 130 10 90", 0), "scan.pdf", None, &tools).unwrap();
    has_all_lines(&extracted);
    assert!(
        extracted
            .blocks
            .iter()
            .all(|block| block.locator.page == Some(1))
    );
    assert_eq!(extracted.pages[0].source, PageSource::Recognized);
    // The page turned back by its own entry.
    let turned = scan("0 280 -96 0 250 10", 90);
    has_all_lines(&extract(&turned, "scan.pdf", None, &tools).unwrap());
}

#[test]
fn without_a_recognizer_a_scan_says_so() {
    let outcome = extract(
        &scan("380 0 0 130 10 90", 0),
        "scan.pdf",
        None,
        &Tools::default(),
    );
    assert!(matches!(outcome, Err(Error::NoRecognizer)), "{outcome:?}");
    let outcome = extract(NOTICE, "notice.png", None, &Tools::default());
    assert!(matches!(outcome, Err(Error::NoRecognizer)), "{outcome:?}");
}

/// An office document of these parts, and the picture as `media/notice.png` of its main folder.
fn package(folder: &str, parts: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, text) in parts {
        writer.start_file(*name, options).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    let picture = format!("{folder}/media/notice.png");
    writer.start_file(picture, options).unwrap();
    writer.write_all(NOTICE).unwrap();
    writer.finish().unwrap().into_inner()
}

const PICTURE: &str = "<Relationship Id=\"p\" Type=\"x/image\" Target=\"../media/notice.png\"/>";

#[test]
fn a_picture_in_a_document_is_read_where_it_stands() {
    let Some(tools) = tools() else { return };
    let picture = "<w:p><w:r><w:drawing><a:blip r:embed=\"p\"/></w:drawing></w:r></w:p>";
    let body = format!(
        "<w:p><w:r><w:t>Before it.</w:t></w:r></w:p>{picture}<w:p><w:r><w:t>After it.</w:t></w:r></w:p>{picture}"
    );
    let document = format!("<w:document><w:body>{body}</w:body></w:document>");
    let bytes = package(
        "word",
        &[
            ("word/document.xml", &document),
            (
                "word/_rels/document.xml.rels",
                &format!(
                    "<Relationships>{}</Relationships>",
                    PICTURE.replace("../", "")
                ),
            ),
        ],
    );
    let extracted = extract(&bytes, "notice.docx", None, &tools).unwrap();
    has_all_lines(&extracted);
    let text = squeezed(&extracted);
    assert!(
        text.starts_with("Beforeit.") && text.ends_with("Afterit."),
        "{text}"
    );
    let without = extract(&bytes, "notice.docx", None, &Tools::default()).unwrap();
    assert_eq!(squeezed(&without), "Beforeit.Afterit.");
}

#[test]
fn a_slides_picture_is_on_its_page() {
    let Some(tools) = tools() else { return };
    let slide = |text: &str| {
        format!(
            "<p:sld><p:cSld><p:spTree><p:sp><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp></p:spTree></p:cSld></p:sld>"
        )
    };
    let relations = format!("<Relationships>{PICTURE}</Relationships>");
    let bytes = package(
        "ppt",
        &[
            (
                "ppt/presentation.xml",
                "<p:presentation><p:sldIdLst><p:sldId r:id=\"a\"/><p:sldId r:id=\"b\"/></p:sldIdLst></p:presentation>",
            ),
            (
                "ppt/_rels/presentation.xml.rels",
                "<Relationships><Relationship Id=\"a\" Type=\"x/slide\" Target=\"slides/slide1.xml\"/>\
                 <Relationship Id=\"b\" Type=\"x/slide\" Target=\"slides/slide2.xml\"/></Relationships>",
            ),
            ("ppt/slides/slide1.xml", &slide("First slide")),
            ("ppt/slides/slide2.xml", &slide("Second slide")),
            ("ppt/slides/_rels/slide2.xml.rels", &relations),
        ],
    );
    let extracted = extract(&bytes, "notice.pptx", None, &tools).unwrap();
    has_all_lines(&extracted);
    let pages: Vec<Option<u32>> = extracted
        .blocks
        .iter()
        .map(|block| block.locator.page)
        .collect();
    assert_eq!(pages[0], Some(1));
    assert!(pages[1..].iter().all(|page| *page == Some(2)), "{pages:?}");
}
