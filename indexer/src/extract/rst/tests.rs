use super::*;
use crate::document::BlockKind;

fn blocks(text: &str) -> Vec<(BlockKind, String)> {
    let blocks = extract(text.as_bytes()).blocks;
    blocks
        .into_iter()
        .map(|block| (block.kind, block.text))
        .collect()
}

#[test]
fn every_kind_of_block_is_read() {
    let text = "======\n旅費規程\n======\n\n:Author: Sato\n\nBooking\n-------\n\nBook *early*, see :ref:`rules <r>` and\n`the tool <https://kura.example>`_::\n\n    make all\n\n\
        * one\n  more\n* two\n\n  - sub\n\n1. first\n\n.. note::\n\n   Mind ``this``.\n\n.. image:: a.png\n   :alt: A map\n\n.. a comment\n   over lines\n\n\
        Deeper\n~~~~~~\n\nTerm\n  What it is.\n";
    let extracted = extract(text.as_bytes());
    assert_eq!(extracted.title.as_deref(), Some("旅費規程"));
    assert_eq!(extracted.metadata.author.as_deref(), Some("Sato"));
    let want = [
        (BlockKind::Heading(1), "旅費規程"),
        (BlockKind::Heading(2), "Booking"),
        (
            BlockKind::Paragraph,
            "Book early, see rules and the tool (https://kura.example):",
        ),
        (BlockKind::Code, "make all"),
        (BlockKind::ListItem, "- one more"),
        (BlockKind::ListItem, "- two"),
        (BlockKind::ListItem, "- sub"),
        (BlockKind::ListItem, "1. first"),
        (BlockKind::Paragraph, "note"),
        (BlockKind::Paragraph, "Mind `this`."),
        (BlockKind::Paragraph, "A map"),
        (BlockKind::Heading(3), "Deeper"),
        (BlockKind::Paragraph, "Term: What it is."),
    ];
    assert_eq!(
        blocks(text),
        want.map(|(kind, text)| (kind, text.to_owned()))
    );
}

#[test]
fn a_role_after_a_blank_of_several_bytes_is_taken_off() {
    for blank in ['\u{3000}', '\u{a0}'] {
        let read = inline(&format!("規程は{blank}:ref:`旅費 <r>` にある"));
        assert_eq!(read, format!("規程は{blank}旅費 にある"));
    }
}

#[test]
fn tables_of_every_form_have_their_header() {
    let want = [(
        BlockKind::Table,
        "| City | Rate |\n| --- | --- |\n| 大阪 | 100 |\n| Kobe | 90 |".to_owned(),
    )];
    let grid = "+------+------+\n| City | Rate |\n+======+======+\n| 大阪 | 100  |\n+------+------+\n| Kobe | 90   |\n+------+------+\n";
    let simple = "====  ====\nCity  Rate\n====  ====\n大阪  100\nKobe  90\n====  ====\n";
    let list = ".. list-table::\n   :header-rows: 1\n\n   * - City\n     - Rate\n   * - 大阪\n     - 100\n   * - Kobe\n     - 90\n";
    let csv = ".. csv-table::\n   :header: City,Rate\n\n   大阪,100\n   Kobe,90\n";
    for text in [grid, simple, list, csv] {
        assert_eq!(blocks(text), want, "{text}");
    }
}
