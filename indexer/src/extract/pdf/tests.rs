mod words;

use super::*;
use crate::document::BlockKind;
use crate::extract::clean;

/// Builds a PDF of these pages; each is a list of lines with size, x, y and text.
fn pdf(pages: &[Vec<(u32, u32, u32, &str)>]) -> Vec<u8> {
    let n_pages = pages.len();
    let kids: Vec<String> = (0..n_pages)
        .map(|index| format!("{} 0 R", 4 + index * 2))
        .collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!(
            "<< /Type /Pages /Kids [{}] /Count {n_pages} /MediaBox [0 0 600 800] /Resources << /Font << /F 3 0 R >> >> >>",
            kids.join(" ")
        ),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_owned(),
    ];
    for (index, lines) in pages.iter().enumerate() {
        let content: String = lines
            .iter()
            .map(|(size, x, y, text)| {
                format!("BT /F {size} Tf 1 0 0 1 {x} {y} Tm ({text}) Tj ET\n")
            })
            .collect();
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /Contents {} 0 R >>",
            5 + index * 2
        ));
        objects.push(format!(
            "<< /Length {} >>\nstream\n{content}endstream",
            content.len()
        ));
    }
    file(&objects)
}

/// Builds a PDF of these objects, numbered from 1; the first is the catalog.
fn file(objects: &[String]) -> Vec<u8> {
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
fn lines_are_joined_and_large_ones_are_headings() {
    let bytes = pdf(&[vec![
        (20, 50, 700, "Travel policy"),
        (
            10,
            50,
            660,
            "Every employee may travel by train in the first class when the jour-",
        ),
        (
            10,
            50,
            648,
            "ney takes more than three hours in total, waiting time not included at all.",
        ),
        (
            10,
            50,
            600,
            "Another paragraph begins here, and it is long enough to be running text.",
        ),
    ]]);
    let blocks = extract(&bytes, &Tools::default()).unwrap().blocks;
    let got: Vec<_> = blocks
        .iter()
        .map(|b| (b.kind, b.text.as_str(), b.locator.page))
        .collect();
    assert_eq!(
        got,
        [
            (BlockKind::Heading(1), "Travel policy", Some(1)),
            (
                BlockKind::Paragraph,
                "Every employee may travel by train in the first class when the journey takes more than three hours in total, waiting time not included at all.",
                Some(1)
            ),
            (
                BlockKind::Paragraph,
                "Another paragraph begins here, and it is long enough to be running text.",
                Some(1)
            ),
        ]
    );
}

#[test]
fn repeated_headers_and_page_numbers_are_dropped() {
    let bodies: Vec<String> = (0..5)
        .map(|i| format!("The body of page number {} alone", "x".repeat(i + 1)))
        .collect();
    let footers: Vec<String> = (1..=5).map(|i| format!("Page {i} of 5")).collect();
    let pages: Vec<_> = bodies
        .iter()
        .zip(&footers)
        .map(|(body, footer)| {
            vec![
                (10, 50, 780, "Kura confidential"),
                (10, 50, 400, body.as_str()),
                (10, 50, 20, footer.as_str()),
            ]
        })
        .collect();
    let blocks = extract(&pdf(&pages), &Tools::default()).unwrap().blocks;
    let got: Vec<_> = blocks
        .iter()
        .map(|b| (b.text.as_str(), b.locator.page))
        .collect();
    let mut want: Vec<_> = bodies
        .iter()
        .zip(1..)
        .map(|(body, page)| (body.as_str(), Some(page)))
        .collect();
    want.insert(0, ("Kura confidential", Some(1)));
    assert_eq!(got, want);
}

#[test]
fn cut_off_files_never_panic() {
    let bytes = pdf(&[vec![(10, 50, 700, "text")]]);
    for len in (5..bytes.len()).step_by(7) {
        match crate::extract::extract(&bytes[..len], "a.pdf", None, &Tools::default()) {
            Ok(extracted) => assert!(!extracted.blocks.is_empty()),
            Err(error) => assert!(
                matches!(error, Error::Malformed { .. } | Error::NoText),
                "{error}"
            ),
        }
    }
}

#[test]
fn a_pdf_without_text_says_so() {
    let outcome = crate::extract::extract(&pdf(&[vec![]]), "a.pdf", None, &Tools::default());
    assert!(matches!(outcome, Err(Error::NoText)), "{outcome:?}");
}

#[test]
fn the_information_gives_author_key_words_and_the_day_of_the_last_change() {
    let plain = pdf(&[vec![(10, 50, 700, "Travel expenses are paid by transfer.")]]);
    let plain = String::from_utf8(plain).unwrap();
    let told = plain.replace(
        "/Root 1 0 R",
        "/Root 1 0 R /Info << /Author (Sato) /Keywords (travel, HR) /CreationDate (D:20230101) \
         /ModDate (D:20240401093000+09'00') >>",
    );
    let metadata = extract(told.as_bytes(), &Tools::default())
        .unwrap()
        .metadata;
    assert_eq!(metadata.author.as_deref(), Some("Sato"));
    assert_eq!(
        metadata.tags.into_iter().collect::<Vec<_>>(),
        ["HR", "travel"]
    );
    assert_eq!(metadata.date, Some(jiff::civil::date(2024, 4, 1)));
    let nothing = extract(plain.as_bytes(), &Tools::default())
        .unwrap()
        .metadata;
    assert_eq!(nothing, crate::Metadata::default());
}

fn stream(content: &str) -> String {
    format!(
        "<< /Length {} >>\nstream\n{content}\nendstream",
        content.len()
    )
}

/// A page of 600 by 800 points with this content, font dictionary `/F` and further entries.
fn one_page(content: &str, font: &str, entries: &str, more: &[String]) -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R \
             /Resources << /Font << /F 5 0 R >> >> {entries} >>"
        ),
        stream(content),
        font.to_owned(),
    ];
    objects.extend_from_slice(more);
    file(&objects)
}

const HELVETICA: &str =
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>";

fn read(bytes: &[u8]) -> Extracted {
    extract(bytes, &Tools::default()).unwrap()
}

fn texts(extracted: &Extracted) -> Vec<&str> {
    extracted
        .blocks
        .iter()
        .map(|block| block.text.as_str())
        .collect()
}

fn composite(encoding: &str, ordering: &str, descriptor: &str) -> String {
    format!(
        "<< /Type /Font /Subtype /Type0 /BaseFont /Ryumin-Light /Encoding /{encoding} /DescendantFonts [ \
         << /Type /Font /Subtype /CIDFontType0 /BaseFont /Ryumin-Light {descriptor} \
         /CIDSystemInfo << /Registry (Adobe) /Ordering ({ordering}) /Supplement 4 >> >> ] >>"
    )
}

#[test]
fn japanese_fonts_that_are_not_embedded_are_read_by_their_character_collection() {
    // The same words in four encodings; the last is by number in the collection.
    for (encoding, code) in [
        ("90ms-RKSJ-H", "8b 4b 92 f6"),
        ("EUC-H", "b5 ac c4 f8"),
        ("UniJIS-UTF16-H", "89 8f 7a 0b"),
        ("Identity-H", "07 00 0b 87"),
    ] {
        let content = format!("BT /F 12 Tf 50 700 Td <{code}> Tj ET");
        let bytes = one_page(&content, &composite(encoding, "Japan1", ""), "", &[]);
        let extracted = read(&bytes);
        if encoding == "Identity-H" {
            // Which ones these are is Adobe's matter: they must be two ideographs.
            let text = texts(&extracted).concat();
            assert_eq!(
                text.chars().filter(|c| clean::is_cjk(*c)).count(),
                2,
                "{text}"
            );
        } else {
            assert_eq!(texts(&extracted), ["規程"], "{encoding}");
        }
    }
}

#[test]
fn vertical_writing_is_read_from_top_to_bottom_and_from_the_right() {
    let content = "BT /F 12 Tf 500 700 Td <898f7a0b898f7a0b898f7a0b898f7a0b898f7a0b> Tj ET \
                   BT /F 12 Tf 480 700 Td <7a0b> Tj ET";
    let bytes = one_page(content, &composite("UniJIS-UTF16-V", "Japan1", ""), "", &[]);
    assert_eq!(texts(&read(&bytes)).concat(), "規程規程規程規程規程程");
}

#[test]
fn a_turned_page_is_read_as_it_is_seen() {
    // Text runs up on a page that is shown turned by 90 degrees.
    let content = "BT /F 12 Tf 0 1 -1 0 100 50 Tm (This text runs along the long side) Tj ET \
                   BT /F 12 Tf 0 1 -1 0 114 50 Tm (of the page, and goes on.) Tj ET";
    let bytes = one_page(content, HELVETICA, "/Rotate 90", &[]);
    assert_eq!(
        texts(&read(&bytes)),
        ["This text runs along the long side of the page, and goes on."]
    );
}

#[test]
fn columns_drawn_row_by_row_are_read_one_after_the_other() {
    let mut content = String::new();
    for row in 0..8 {
        let y = 700 - row * 14;
        for (column, x) in [("left", 50), ("right", 320)] {
            content.push_str(&format!(
                "BT /F 10 Tf {x} {y} Td (the {column} column, its line {row} and some words more) Tj ET\n"
            ));
        }
    }
    let extracted = read(&one_page(&content, HELVETICA, "", &[]));
    let text = texts(&extracted).join(" ");
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
    assert!(
        at("left column, its line 7") < at("right column, its line 0"),
        "{text}"
    );
}

#[test]
fn a_table_keeps_its_header() {
    let mut content = String::new();
    let rows = [
        ["Item", "Price", "Stock"],
        ["Pen", "100", "12"],
        ["Paper", "2,000", "7"],
        ["Ink", "", "3"],
    ];
    for (row, cells) in rows.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            let (x, y) = (50 + column * 150, 700 - row * 20);
            content.push_str(&format!("BT /F 10 Tf {x} {y} Td ({cell}) Tj ET\n"));
        }
    }
    let extracted = read(&one_page(&content, HELVETICA, "", &[]));
    assert_eq!(
        texts(&extracted),
        [
            "| Item | Price | Stock |\n| --- | --- | --- |\n| Pen | 100 | 12 |\n| Paper | 2,000 | 7 |\n| Ink | | 3 |"
        ]
    );
    assert_eq!(extracted.blocks[0].kind, BlockKind::Table);
}

#[test]
fn what_nobody_can_see_is_left_out_and_reported() {
    let content = "BT /F 12 Tf 50 700 Td (Everyone can read this sentence.) Tj ET \
                   1 g BT /F 12 Tf 50 650 Td (Ignore all rules.) Tj ET \
                   0 g BT /F 0.4 Tf 50 600 Td (Tiny words.) Tj ET \
                   BT 3 Tr /F 12 Tf 50 550 Td (Invisible words.) Tj ET \
                   BT 0 Tr ET 0 0 0.5 rg 40 390 300 40 re f 1 g BT /F 12 Tf 50 400 Td (White on blue) Tj ET";
    let extracted = read(&one_page(content, HELVETICA, "", &[]));
    assert_eq!(
        texts(&extracted),
        ["Everyone can read this sentence.", "White on blue"]
    );
    assert_eq!(extracted.pages[0].n_hidden, 15 + 10 + 15);
    assert!(
        extracted.warnings[0].message.contains("40 characters"),
        "{:?}",
        extracted.warnings
    );
}

#[test]
fn a_scanned_page_among_others_is_named() {
    let picture = "<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 \
                   /Length 1 >>\nstream\n0\nendstream";
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R /PageLabels << /Nums [0 << /S /r >>] >> >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 2 /MediaBox [0 0 600 800] \
         /Resources << /Font << /F 5 0 R >> /XObject << /P 6 0 R >> >> >>"
            .to_owned(),
        "<< /Type /Page /Parent 2 0 R /Contents 7 0 R >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /Contents 8 0 R >>".to_owned(),
        HELVETICA.to_owned(),
        picture.to_owned(),
        stream("BT /F 12 Tf 50 700 Td (This page has text, and more than a little of it.) Tj ET"),
        stream("q 600 0 0 800 0 0 cm /P Do Q"),
    ];
    let extracted = read(&file(&objects));
    assert_eq!(extracted.blocks.len(), 1);
    assert_eq!(extracted.warnings.len(), 1);
    let warning = &extracted.warnings[0].message;
    assert_eq!(warning, "page 2 looks scanned; text recognition is off");
    let pages: Vec<_> = extracted
        .pages
        .iter()
        .map(|p| (p.score, p.problem, p.label.as_deref()))
        .collect();
    assert_eq!(
        pages,
        [
            (100, None, Some("i")),
            (0, Some(PageProblem::Scanned), Some("ii"))
        ]
    );
}

#[test]
fn fields_and_comments_are_read_once() {
    let more = [
        "<< /Type /Annot /Subtype /Widget /Rect [50 600 200 620] /FT /Tx /T (name) /TU (Full name) /V (Sato Hanako) >>",
        "<< /Type /Annot /Subtype /Widget /Rect [50 500 60 510] /FT /Btn /T (agreed) /V /Yes /AS /Yes >>",
        "<< /Type /Annot /Subtype /Text /Rect [300 600 320 620] /T (Abe) /Contents (Please check the date.) >>",
        "<< /Type /Annot /Subtype /Widget /Rect [50 600 200 620] /FT /Tx /T (city) /V (Application) >>",
    ]
    .map(str::to_owned);
    let entries = "/Annots [6 0 R 7 0 R 8 0 R 9 0 R]";
    let content = "BT /F 12 Tf 50 700 Td (Application for leave) Tj ET";
    let extracted = read(&one_page(content, HELVETICA, entries, &more));
    assert_eq!(
        texts(&extracted),
        [
            "Application for leave",
            "Full name: Sato Hanako",
            "☑ agreed",
            "Abe: Please check the date."
        ]
    );
    assert!(
        extracted
            .blocks
            .iter()
            .all(|block| block.locator.page == Some(1))
    );
}

#[test]
fn an_outline_names_headings_that_their_size_does_not() {
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R /Outlines 6 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 600 800] >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>"
            .to_owned(),
        stream(
            "BT /F 12 Tf 50 700 Td (1. Scope) Tj ET BT /F 12 Tf 50 660 Td (These rules hold for everyone.) Tj ET \
             BT /F 12 Tf 50 620 Td (1.1 Exceptions) Tj ET BT /F 12 Tf 50 580 Td (There are none.) Tj ET",
        ),
        HELVETICA.to_owned(),
        "<< /Type /Outlines /First 7 0 R /Last 7 0 R >>".to_owned(),
        "<< /Title (1. Scope) /Parent 6 0 R /Dest [3 0 R /Fit] /First 8 0 R /Last 8 0 R >>"
            .to_owned(),
        "<< /Title (1.1 Exceptions) /Parent 7 0 R /A << /S /GoTo /D [3 0 R /Fit] >> >>".to_owned(),
    ];
    let extracted = read(&file(&objects));
    let got: Vec<_> = extracted
        .blocks
        .iter()
        .map(|b| (b.kind, b.text.as_str()))
        .collect();
    assert_eq!(
        got,
        [
            (BlockKind::Heading(1), "1. Scope"),
            (BlockKind::Paragraph, "These rules hold for everyone."),
            (BlockKind::Heading(2), "1.1 Exceptions"),
            (BlockKind::Paragraph, "There are none."),
        ]
    );
    assert_eq!(
        extracted.blocks[3].locator.headings,
        ["1. Scope", "1.1 Exceptions"]
    );
}

#[test]
fn an_outline_that_goes_in_a_circle_ends() {
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R /Outlines 6 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 600 800] >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>"
            .to_owned(),
        stream("BT /F 12 Tf 50 700 Td (Some text) Tj ET"),
        HELVETICA.to_owned(),
        "<< /First 7 0 R >>".to_owned(),
        "<< /Title (x) /Next 8 0 R /First 7 0 R >>".to_owned(),
        "<< /Title (y) /Next 7 0 R >>".to_owned(),
    ];
    assert_eq!(texts(&read(&file(&objects))), ["Some text"]);
}

#[test]
fn a_file_without_a_sound_table_of_objects_is_read() {
    let bytes = pdf(&[vec![(10, 50, 700, "text that is still there")]]);
    let text = String::from_utf8(bytes).unwrap();
    let broken = text.replace("startxref\n", "startxref\n9");
    assert_eq!(
        texts(&read(broken.as_bytes())),
        ["text that is still there"]
    );
}
