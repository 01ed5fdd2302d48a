use super::*;
use crate::document::BlockKind;

fn texts(rtf: &str) -> Vec<(BlockKind, String)> {
    let blocks = extract(rtf.as_bytes()).unwrap().blocks;
    blocks
        .into_iter()
        .map(|block| (block.kind, block.text))
        .collect()
}

#[test]
fn japanese_is_read_from_code_pages_and_unicode() {
    // "規則" in code page 932, whose second byte of 則 is a plain letter; then "日" with its fallback.
    let rtf = r"{\rtf1\ansi\ansicpg932\deff0{\fonttbl{\f0\fnil\fcharset128 MS Mincho;}{\f1\fswiss\fcharset0 Arial;}}\f0 \'8bK\'91\'a5\par \uc1\u26085?\uc2\u-10179?\u-8704??? end\par {\f1 caf\'e9}\par}";
    let got: Vec<String> = texts(rtf).into_iter().map(|(_, text)| text).collect();
    assert_eq!(got[0], "規則");
    assert_eq!(got[1], "日\u{1F600}? end");
    assert_eq!(got[2], "café");
}

#[test]
fn structure_is_kept() {
    let rtf = r"{\rtf1\ansi{\fonttbl{\f0 A;}}{\stylesheet{\s1\outlinelevel0 heading 1;}{\s2 heading 2;}}{\info{\title Own}{\author Sato}}
{\header Kura rules\par}\pard\s1 First\par\pard\s2 Second\par\pard Text{\footnote\pard Below.} here{\v  unseen}.\par
{\listtext\pard 1.\tab}one\par{\*\unknown skipped}{\pict 89504e47}
\trowd\cellx1000\cellx2000\pard\intbl h1\cell h2\cell\row\trowd\clvmgf\cellx1000\cellx2000\pard\intbl a\cell 1\cell\row\trowd\clvmrg\cellx1000\cellx2000\pard\intbl\cell 2\cell\row
\pard After\par}";
    let want = [
        (BlockKind::Heading(1), "First"),
        (BlockKind::Heading(2), "Second"),
        (BlockKind::Paragraph, "Text[^1] here."),
        (BlockKind::ListItem, "1. one"),
        (
            BlockKind::Table,
            "| h1 | h2 |\n| --- | --- |\n| a | 1 |\n| a | 2 |",
        ),
        (BlockKind::Paragraph, "After"),
        (BlockKind::Paragraph, "[^1]: Below."),
        (BlockKind::Paragraph, "Kura rules"),
    ];
    assert_eq!(texts(rtf), want.map(|(kind, text)| (kind, text.to_owned())));
    let extracted = extract(rtf.as_bytes()).unwrap();
    assert_eq!(extracted.title.as_deref(), Some("Own"));
    assert_eq!(extracted.metadata.author.as_deref(), Some("Sato"));
    assert_eq!(
        extracted.warnings[0].message,
        "hidden text was left out: 1 passage"
    );
}

#[test]
fn repeated_rows_are_one_header() {
    let rtf = r"{\rtf1\trowd\trhdr\clvmgf\cellx1000\clmgf\cellx2000\clmrg\cellx3000\pard\intbl Port\cell Open\cell\cell\row
\trowd\trhdr\clvmrg\cellx1000\cellx2000\cellx3000\pard\intbl\cell from\cell to\cell\row
\trowd\cellx1000\cellx2000\cellx3000\pard\intbl Kobe\cell May\cell July\cell\row\pard After\par}";
    let table = "| Port | Open · from | Open · to |\n| --- | --- | --- |\n| Kobe | May | July |";
    assert_eq!(texts(rtf)[0], (BlockKind::Table, table.to_owned()));
}

#[test]
fn white_and_tiny_text_is_left_out() {
    let rtf = r"{\rtf1{\colortbl;\red255\green255\blue255;\red0\green0\blue0;}\pard seen {\cf1 white} {\fs2 tiny} {\cf1\highlight2 on black}\par}";
    assert_eq!(
        texts(rtf),
        [(BlockKind::Paragraph, "seen on black".to_owned())]
    );
}

#[test]
fn deep_groups_are_refused() {
    let deep = format!("{{\\rtf1 {}", "{".repeat(1_000_000));
    assert!(matches!(
        extract(deep.as_bytes()),
        Err(Error::Malformed { .. })
    ));
}
