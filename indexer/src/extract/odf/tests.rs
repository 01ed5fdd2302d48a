use super::*;
use crate::document::BlockKind;
use crate::extract::extract as extract_file;
use crate::extract::ooxml::tests::package;

fn document(kind: &str, styles: &str, body: &str) -> Vec<u8> {
    let content = format!(
        "<office:document-content><office:automatic-styles>{styles}</office:automatic-styles><office:body><office:{kind}>{body}\
        </office:{kind}></office:body></office:document-content>"
    );
    let media_type = match kind {
        "text" => "application/vnd.oasis.opendocument.text",
        "presentation" => "application/vnd.oasis.opendocument.presentation",
        _ => "application/vnd.oasis.opendocument.spreadsheet",
    };
    package(&[
        ("mimetype", media_type),
        ("content.xml", &content),
        (
            "meta.xml",
            "<office:document-meta><office:meta><dc:title>Own title</dc:title><dc:creator>Sato</dc:creator>\
            <dc:date>2026-04-01T10:00:00</dc:date></office:meta></office:document-meta>",
        ),
    ])
}

/// Stored without compression, the declared type is what the signature is read from.
fn read(bytes: &[u8], name: &str) -> Extracted {
    extract_file(bytes, name, None, &crate::Tools::default()).unwrap()
}

fn texts(extracted: &Extracted) -> Vec<(BlockKind, &str)> {
    extracted
        .blocks
        .iter()
        .map(|block| (block.kind, block.text.as_str()))
        .collect()
}

#[test]
fn texts_keep_headings_lists_tables_and_notes() {
    let styles = "<text:list-style style:name='L1'><text:list-level-style-number text:level='1' style:num-format='1' style:num-suffix=')'/>\
        <text:list-level-style-bullet text:level='2'/></text:list-style>";
    let body = "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes><text:h text:outline-level='2'>出張</text:h>\
        <text:p>A<text:s/>note<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>below</text:p></text:note-body></text:note>. \
        Another<text:note><text:note-citation>2</text:note-citation><text:note-body><text:p>It is long. It goes on.</text:p></text:note-body></text:note>\
        <office:annotation><dc:creator>Abe</dc:creator><text:p>check</text:p></office:annotation>.</text:p>\
        <text:list text:style-name='L1'><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>sub</text:p></text:list-item></text:list></text:list-item>\
        <text:list-item><text:p>two</text:p></text:list-item></text:list>\
        <table:table><table:table-header-rows><table:table-row><table:table-cell table:number-columns-spanned='2'><text:p>h</text:p></table:table-cell><table:covered-table-cell/></table:table-row></table:table-header-rows>\
        <table:table-row><table:table-cell table:number-rows-spanned='2'><text:p>a</text:p></table:table-cell><table:table-cell><text:p>1</text:p></table:table-cell></table:table-row>\
        <table:table-row><table:covered-table-cell/><table:table-cell><text:p>2</text:p></table:table-cell></table:table-row></table:table>\
        <text:p><draw:frame><draw:text-box><text:p>boxed</text:p></draw:text-box></draw:frame></text:p>";
    let extracted = read(&document("text", styles, body), "a.odt");
    assert_eq!(extracted.title.as_deref(), Some("Own title"));
    assert_eq!(extracted.metadata.author.as_deref(), Some("Sato"));
    assert_eq!(
        texts(&extracted),
        [
            (BlockKind::Heading(2), "出張"),
            (BlockKind::Paragraph, "A note *1 below*. Another[^2]."),
            (BlockKind::Paragraph, "[^2]: It is long. It goes on."),
            (BlockKind::Paragraph, "Comment (Abe): check"),
            (BlockKind::ListItem, "1) one"),
            (BlockKind::ListItem, "- sub"),
            (BlockKind::ListItem, "2) two"),
            (
                BlockKind::Table,
                "| h | h |\n| --- | --- |\n| a | 1 |\n| a | 2 |"
            ),
            (BlockKind::Paragraph, "boxed"),
        ]
    );
}

#[test]
fn hidden_text_is_left_out_and_said() {
    let styles = "<style:style style:name='W'><style:text-properties fo:color='#ffffff'/></style:style>\
        <style:style style:name='H'><style:text-properties text:display='none'/></style:style>\
        <style:style style:name='D'><style:text-properties fo:color='#ffffff' fo:background-color='#000000'/></style:style>";
    let body = "<text:p>seen <text:span text:style-name='W'>white</text:span></text:p><text:p text:style-name='H'>hidden</text:p>\
        <text:p><text:span text:style-name='D'>white on black</text:span></text:p>";
    let extracted = read(&document("text", styles, body), "a.odt");
    assert_eq!(
        texts(&extracted),
        [
            (BlockKind::Paragraph, "seen"),
            (BlockKind::Paragraph, "white on black")
        ]
    );
    assert_eq!(
        extracted.warnings[0].message,
        "hidden text was left out: 2 passages"
    );
}

#[test]
fn slides_have_their_title_first_and_their_notes_last() {
    let body = "<draw:page><draw:frame presentation:class='outline'><draw:text-box><text:list><text:list-item><text:p>one</text:p></text:list-item></text:list></draw:text-box></draw:frame>\
        <draw:frame presentation:class='title'><draw:text-box><text:p>Plan</text:p></draw:text-box></draw:frame>\
        <presentation:notes><draw:frame presentation:class='notes'><draw:text-box><text:p>say this</text:p></draw:text-box></draw:frame></presentation:notes></draw:page>\
        <draw:page><draw:custom-shape><text:p>shape</text:p></draw:custom-shape></draw:page>";
    let extracted = read(&document("presentation", "", body), "a.odp");
    assert_eq!(
        texts(&extracted),
        [
            (BlockKind::Heading(2), "Plan"),
            (BlockKind::ListItem, "- one"),
            (BlockKind::Paragraph, "say this"),
            (BlockKind::Paragraph, "shape"),
        ]
    );
    assert_eq!(extracted.blocks[3].locator.page, Some(2));
}

#[test]
fn sheets_are_tables_however_often_cells_are_said_to_repeat() {
    let cell = |text: &str| format!("<table:table-cell><text:p>{text}</text:p></table:table-cell>");
    let styles =
        "<style:style style:name='X'><style:table-properties table:display='false'/></style:style>";
    let body = format!(
        "<table:table table:name='売上'><table:table-row>{}{}</table:table-row><table:table-row>{}\
        <table:table-cell office:value-type='date' office:date-value='2026-04-01T00:00:00'><text:p>1 Apr</text:p></table:table-cell></table:table-row>\
        <table:table-row table:number-rows-repeated='1048570'><table:table-cell table:number-columns-repeated='16384'/></table:table-row></table:table>\
        <table:table table:name='Secret' table:style-name='X'><table:table-row>{}</table:table-row></table:table>",
        cell("item"),
        cell("day"),
        cell("pen"),
        cell("x")
    );
    let extracted = read(&document("spreadsheet", styles, &body), "a.ods");
    assert_eq!(
        texts(&extracted),
        [
            (BlockKind::Heading(2), "売上"),
            (
                BlockKind::Table,
                "| item | day |\n| --- | --- |\n| pen | 2026-04-01 |"
            )
        ]
    );
    assert!(extracted.warnings[0].message.contains("`Secret`"));
    let bomb = "<table:table table:name='S'><table:table-row table:number-rows-repeated='1048576'>\
        <table:table-cell table:number-columns-repeated='16384'><text:p>x</text:p></table:table-cell></table:table-row></table:table>";
    let extracted = read(&document("spreadsheet", "", bomb), "a.ods");
    assert!(extracted.blocks.len() < 2000 && !extracted.warnings.is_empty());
}

#[test]
fn header_rows_are_one_in_texts_and_sheets() {
    let cell = |attributes: &str, text: &str| {
        format!("<table:table-cell {attributes}><text:p>{text}</text:p></table:table-cell>")
    };
    let table = format!(
        "<table:table table:name='T'><table:table-header-rows><table:table-row>{}{}<table:covered-table-cell/></table:table-row>\
        <table:table-row><table:covered-table-cell/>{}{}</table:table-row></table:table-header-rows>\
        <table:table-row>{}{}<table:covered-table-cell/></table:table-row></table:table>",
        cell("table:number-rows-spanned='2'", "Port"),
        cell("table:number-columns-spanned='2'", "Open"),
        cell("", "from"),
        cell("", "to"),
        cell("", "Kobe"),
        cell("table:number-columns-spanned='2'", "always"),
    );
    let want = "| Port | Open · from | Open · to |\n| --- | --- | --- |\n| Kobe | always | |";
    let text = read(&document("text", "", &table), "a.odt");
    assert_eq!(texts(&text), [(BlockKind::Table, want)]);
    let sheet = read(&document("spreadsheet", "", &table), "a.ods");
    assert_eq!(texts(&sheet)[1], (BlockKind::Table, want));
}

#[test]
fn cells_over_rows_and_columns_end_where_they_say() {
    let cell = |attributes: &str, text: &str| {
        format!("<table:table-cell {attributes}><text:p>{text}</text:p></table:table-cell>")
    };
    let covered = "<table:covered-table-cell/>";
    let table = format!(
        "<table:table><table:table-row>{}{}{}</table:table-row><table:table-row>{}{}{covered}</table:table-row>\
        <table:table-row>{}<table:covered-table-cell table:number-columns-repeated='2'/></table:table-row><table:table-row>{}{}{}</table:table-row></table:table>",
        cell("", "a"),
        cell("", "b"),
        cell("", "c"),
        cell("", "1"),
        cell(
            "table:number-columns-spanned='2' table:number-rows-spanned='2'",
            "block"
        ),
        cell("", "2"),
        cell("", "3"),
        cell("", "x"),
        cell("", "y"),
    );
    let want =
        "| a | b | c |\n| --- | --- | --- |\n| 1 | block | |\n| 2 | block | |\n| 3 | x | y |";
    let text = read(&document("text", "", &table), "a.odt");
    assert_eq!(texts(&text), [(BlockKind::Table, want)]);
}

#[test]
fn a_password_is_said() {
    let bytes = package(&[
        ("mimetype", "application/vnd.oasis.opendocument.text"),
        (
            "META-INF/manifest.xml",
            "<manifest><file-entry><encryption-data/></file-entry></manifest>",
        ),
        ("content.xml", "garbage"),
    ]);
    assert!(matches!(
        extract_file(&bytes, "a.odt", None, &crate::Tools::default()),
        Err(Error::Encrypted)
    ));
}
