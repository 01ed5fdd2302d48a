use super::*;
use crate::document::BlockKind;

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
    let blocks = extract(&bytes).unwrap().blocks;
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
    let blocks = extract(&pdf(&pages)).unwrap().blocks;
    let got: Vec<_> = blocks
        .iter()
        .map(|b| (b.text.as_str(), b.locator.page))
        .collect();
    let want: Vec<_> = bodies
        .iter()
        .zip(1..)
        .map(|(body, page)| (body.as_str(), Some(page)))
        .collect();
    assert_eq!(got, want);
}

#[test]
fn cut_off_files_never_panic() {
    let bytes = pdf(&[vec![(10, 50, 700, "text")]]);
    for len in (5..bytes.len()).step_by(7) {
        match crate::extract::extract(&bytes[..len], "a.pdf", None) {
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
    let outcome = crate::extract::extract(&pdf(&[vec![]]), "a.pdf", None);
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
    let metadata = extract(told.as_bytes()).unwrap().metadata;
    assert_eq!(metadata.author.as_deref(), Some("Sato"));
    assert_eq!(
        metadata.tags.into_iter().collect::<Vec<_>>(),
        ["HR", "travel"]
    );
    assert_eq!(metadata.date, Some(jiff::civil::date(2024, 4, 1)));
    let nothing = extract(plain.as_bytes()).unwrap().metadata;
    assert_eq!(nothing, crate::Metadata::default());
}
