use super::*;
use crate::document::BlockKind;
use crate::error::Error;
use crate::extract::ooxml::tests::package;

const STYLES: &str = "<styles>\
    <style styleId=\"H1\"><name val=\"heading 1\"/></style>\
    <style styleId=\"Mine\"><name val=\"Mine\"/><basedOn val=\"H1\"/><pPr><outlineLvl val=\"1\"/></pPr></style>\
    <style styleId=\"T\"><name val=\"Title\"/></style></styles>";
const NUMBERING: &str = "<numbering><abstractNum abstractNumId=\"5\">\
    <lvl><start val=\"1\"/><numFmt val=\"decimal\"/><lvlText val=\"%1.\"/></lvl>\
    <lvl><start val=\"1\"/><numFmt val=\"lowerLetter\"/><lvlText val=\"%1.%2)\"/></lvl></abstractNum>\
    <num numId=\"1\"><abstractNumId val=\"5\"/></num></numbering>";
const RELATIONS: &str = "<Relationships>\
    <Relationship Id=\"s\" Type=\"x/styles\" Target=\"styles.xml\"/>\
    <Relationship Id=\"n\" Type=\"x/numbering\" Target=\"numbering.xml\"/>\
    <Relationship Id=\"f\" Type=\"x/footnotes\" Target=\"footnotes.xml\"/>\
    <Relationship Id=\"h\" Type=\"x/header\" Target=\"header1.xml\"/>\
    <Relationship Id=\"l\" Type=\"x/hyperlink\" Target=\"https://kura.example/a\" TargetMode=\"External\"/></Relationships>";

fn docx(body: &str) -> Vec<u8> {
    docx_with_note(body, "The note. It is long.")
}

fn docx_with_note(body: &str, note: &str) -> Vec<u8> {
    package(&[
        (
            "word/document.xml",
            &format!("<w:document xmlns:w=\"w\"><w:body>{body}</w:body></w:document>"),
        ),
        ("word/_rels/document.xml.rels", RELATIONS),
        ("word/styles.xml", STYLES),
        ("word/numbering.xml", NUMBERING),
        (
            "word/footnotes.xml",
            &format!(
                "<footnotes><footnote type=\"separator\" id=\"0\"><p><r><t>x</t></r></p></footnote>\
                <footnote id=\"2\"><p><r><t>{note}</t></r></p></footnote></footnotes>"
            ),
        ),
        (
            "word/header1.xml",
            "<hdr><p><r><t>Kura Ltd.</t></r></p></hdr>",
        ),
    ])
}

fn blocks(body: &str) -> Vec<(BlockKind, String)> {
    let blocks = extract(&docx(body), &Tools::default()).unwrap().blocks;
    let mut got: Vec<_> = blocks
        .into_iter()
        .map(|block| (block.kind, block.text))
        .collect();
    assert_eq!(
        got.remove(0),
        (BlockKind::Paragraph, "Kura Ltd.".to_owned())
    );
    assert_eq!(
        got.pop(),
        Some((
            BlockKind::Paragraph,
            "[^2]: The note. It is long.".to_owned()
        ))
    );
    got
}

fn paragraph(properties: &str, text: &str) -> String {
    format!("<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>")
}

#[test]
fn styles_make_headings_and_the_title() {
    let body = [
        paragraph("<w:pStyle w:val=\"T\"/>", "規程集"),
        paragraph("<w:pStyle w:val=\"H1\"/>", "One"),
        paragraph("<w:pStyle w:val=\"Mine\"/>", "Two"),
        paragraph("<w:outlineLvl w:val=\"2\"/>", "Three"),
    ]
    .concat();
    let headings = blocks(&body);
    let levels: Vec<_> = headings.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(levels, [1, 1, 2, 3].map(BlockKind::Heading));
    assert_eq!(
        extract(&docx(&body), &Tools::default())
            .unwrap()
            .title
            .as_deref(),
        Some("規程集")
    );
}

#[test]
fn lists_are_numbered() {
    let item = |level: u8, text: &str| {
        paragraph(
            &format!("<w:numPr><w:ilvl w:val=\"{level}\"/><w:numId w:val=\"1\"/></w:numPr>"),
            text,
        )
    };
    let got = blocks(
        &[
            item(0, "a"),
            item(1, "b"),
            item(1, "c"),
            item(0, "d"),
            item(1, "e"),
        ]
        .concat(),
    );
    let texts: Vec<_> = got.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["1. a", "1.a) b", "1.b) c", "2. d", "2.a) e"]);
}

#[test]
fn deletions_and_hidden_runs_are_left_out_and_links_kept() {
    let got = blocks(
        "<w:p><w:r><w:t>kept </w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>\
         <w:ins><w:r><w:t>added </w:t></w:r></w:ins><w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>\
         <w:hyperlink r:id=\"l\"><w:r><w:t>here</w:t></w:r></w:hyperlink><w:r><w:footnoteReference w:id=\"2\"/></w:r></w:p>",
    );
    assert_eq!(
        got,
        [(
            BlockKind::Paragraph,
            "kept added here (https://kura.example/a)[^2]".to_owned()
        )]
    );
}

#[test]
fn a_short_note_is_read_within_its_sentence_but_not_within_a_heading() {
    let reference = "<w:r><w:footnoteReference w:id=\"2\"/></w:r>";
    let paragraph = |style: &str| {
        format!(
            "<w:p><w:pPr><w:pStyle w:val=\"{style}\"/></w:pPr><w:r><w:t>Sales</w:t></w:r>{reference}\
             <w:r><w:t> grew</w:t></w:r></w:p>"
        )
    };
    let read = |style: &str| -> Vec<String> {
        let docx = docx_with_note(&paragraph(style), "In yen.");
        let blocks = extract(&docx, &Tools::default()).unwrap().blocks;
        let texts = blocks.into_iter().map(|block| block.text);
        texts.skip(1).collect()
    };
    assert_eq!(read(""), ["Sales *2 In yen* grew"]);
    assert_eq!(read("H1"), ["Sales[^2] grew", "[^2]: In yen."]);
}

#[test]
fn merged_cells_are_repeated() {
    let cell = |properties: &str, text: &str| {
        format!(
            "<w:tc><w:tcPr>{properties}</w:tcPr>{}</w:tc>",
            paragraph("", text)
        )
    };
    let rows = format!(
        "<w:tbl><w:tr>{}{}</w:tr><w:tr>{}{}{}</w:tr><w:tr>{}{}{}</w:tr></w:tbl>",
        cell("<w:gridSpan w:val=\"2\"/>", "wide"),
        cell("", "h"),
        cell("<w:vMerge w:val=\"restart\"/>", "tall"),
        cell("", "x"),
        cell("", "y"),
        cell("<w:vMerge/>", ""),
        cell("", "p"),
        cell("", "q"),
    );
    let want = "| wide | wide | h |\n| --- | --- | --- |\n| tall | x | y |\n| tall | p | q |";
    assert_eq!(blocks(&rows), [(BlockKind::Table, want.to_owned())]);
}

#[test]
fn rows_may_begin_late_and_repeat_as_headers() {
    let cell = |properties: &str, text: &str| {
        format!(
            "<w:tc><w:tcPr>{properties}</w:tcPr>{}</w:tc>",
            paragraph("", text)
        )
    };
    let late = format!(
        "<w:tbl><w:tr>{}{}{}</w:tr><w:tr><w:trPr><w:gridBefore w:val=\"2\"/></w:trPr>{}</w:tr>\
        <w:tr><w:trPr><w:gridBefore w:val=\"1\"/><w:gridAfter w:val=\"1\"/></w:trPr>{}</w:tr></w:tbl>",
        cell("", "a"),
        cell("", "b"),
        cell("<w:vMerge w:val=\"restart\"/>", "tall"),
        cell("<w:vMerge/>", ""),
        cell("", "below b"),
    );
    let want = "| a | b | tall |\n| --- | --- | --- |\n| | | tall |\n| | below b | |";
    assert_eq!(blocks(&late), [(BlockKind::Table, want.to_owned())]);
    let header = "<w:trPr><w:tblHeader/></w:trPr>";
    let repeated = format!(
        "<w:tbl><w:tr>{header}{}{}</w:tr><w:tr>{header}{}{}</w:tr><w:tr>{}{}</w:tr></w:tbl>",
        cell("", "Price"),
        cell("", "Weight"),
        cell("", "yen"),
        cell("", "kg"),
        cell("", "low"),
        cell("", "high"),
    );
    let want = "| Price · yen | Weight · kg |\n| --- | --- |\n| low | high |";
    assert_eq!(blocks(&repeated), [(BlockKind::Table, want.to_owned())]);
}

#[test]
fn text_boxes_follow_their_paragraph_once() {
    let body = "<w:p><w:r><w:t>text</w:t></w:r><w:r><mc:AlternateContent><mc:Choice><w:txbxContent><w:p><w:r><w:t>boxed</w:t>\
        </w:r></w:p></w:txbxContent></mc:Choice><mc:Fallback><w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p>\
        </w:txbxContent></mc:Fallback></mc:AlternateContent></w:r></w:p>";
    let texts: Vec<_> = blocks(body).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["text", "boxed"]);
}

#[test]
fn a_package_without_document_is_malformed() {
    let outcome = extract(&package(&[("word/styles.xml", STYLES)]), &Tools::default());
    assert!(matches!(
        outcome,
        Err(Error::Malformed { format: "DOCX", .. })
    ));
}

#[test]
fn what_readers_cannot_see_is_left_out_and_said() {
    let run = |properties: &str, text: &str| {
        format!("<w:r><w:rPr>{properties}</w:rPr><w:t>{text}</w:t></w:r>")
    };
    let white = "<w:color w:val=\"FFFFFF\"/>";
    let body = format!(
        "<w:p>{}{}{}{}</w:p><w:tbl><w:tr><w:tc><w:tcPr><w:shd w:val=\"clear\" w:fill=\"1F3864\"/></w:tcPr><w:p>{}</w:p></w:tc>\
        <w:tc><w:p>{}</w:p></w:tc></w:tr></w:tbl>",
        run("", "seen "),
        run(white, "white"),
        run("<w:sz w:val=\"2\"/>", "tiny"),
        run("<w:vanish/>", "vanished"),
        run(white, "white on blue"),
        run("", "b"),
    );
    assert_eq!(
        blocks(&body),
        [
            (BlockKind::Paragraph, "seen".to_owned()),
            (
                BlockKind::Table,
                "| white on blue | b |\n| --- | --- |".to_owned()
            ),
        ]
    );
    let warnings = extract(&docx(&body), &Tools::default()).unwrap().warnings;
    assert_eq!(warnings[0].message, "hidden text was left out: 1 passage");
}

#[test]
fn comments_follow_what_they_are_on() {
    let bytes = package(&[
        (
            "word/document.xml",
            "<w:document><w:body><w:p><w:r><w:t>One.</w:t></w:r><w:r><w:commentReference w:id=\"7\"/></w:r></w:p><w:p><w:r><w:t>Two.</w:t></w:r></w:p></w:body></w:document>",
        ),
        (
            "word/_rels/document.xml.rels",
            "<Relationships><Relationship Id=\"c\" Type=\"x/comments\" Target=\"comments.xml\"/></Relationships>",
        ),
        (
            "word/comments.xml",
            "<w:comments><w:comment w:id=\"7\" w:author=\"Abe\"><w:p><w:r><w:t>Why?</w:t></w:r></w:p></w:comment></w:comments>",
        ),
    ]);
    let texts: Vec<String> = extract(&bytes, &Tools::default())
        .unwrap()
        .blocks
        .into_iter()
        .map(|block| block.text)
        .collect();
    assert_eq!(texts, ["One.", "Comment (Abe): Why?", "Two."]);
}
