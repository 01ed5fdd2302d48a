//! Documents of many formats, with words that can be found again.

use super::{canary, id, put, settle};
use kura_tests::TestApp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn docx(text: &str) -> Vec<u8> {
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\">\
         <w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>"
    );
    zip(&[
        ("[Content_Types].xml", b"<?xml version=\"1.0\"?><Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/><Default Extension=\"xml\" ContentType=\"application/xml\"/><Override PartName=\"/word/document.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml\"/></Types>"),
        ("_rels/.rels", b"<?xml version=\"1.0\"?><Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"r1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"word/document.xml\"/></Relationships>"),
        ("word/document.xml", document.as_bytes()),
    ])
}

fn pdf(text: &str) -> Vec<u8> {
    let content = format!("BT /F 12 Tf 1 0 0 1 50 700 Tm ({text}) Tj ET\n");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [4 0 R] /Count 1 /MediaBox [0 0 600 800] /Resources << /Font << /F 3 0 R >> >> >>".to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /Contents 5 0 R >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{content}endstream", content.len()),
    ];
    let (mut out, mut places) = ("%PDF-1.4\n".to_owned(), Vec::new());
    for (object, n) in objects.iter().zip(1..) {
        places.push(out.len());
        out.push_str(&format!("{n} 0 obj\n{object}\nendobj\n"));
    }
    let start = out.len();
    out.push_str("xref\n0 6\n0000000000 65535 f \n");
    for place in places {
        out.push_str(&format!("{place:010} 00000 n \n"));
    }
    out.push_str(&format!(
        "trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    ));
    out.into_bytes()
}

pub(super) fn mailbox(words: &[String]) -> Vec<u8> {
    let messages = words.iter().map(|word| {
        format!(
            "From ann@example.com Mon Nov 02 10:00:00 2026\nFrom: ann@example.com\nTo: bob@example.com\nSubject: Travel {word}\n\
             Date: Mon, 02 Nov 2026 10:00:00 +0000\nContent-Type: text/plain\n\nThe travel desk is {word}.\n\n"
        )
    });
    messages.collect::<String>().into_bytes()
}

/// Adds twenty documents with a word each; returns those that are to be named, by the number of their word.
pub(super) fn fill(app: &TestApp) -> BTreeMap<usize, String> {
    let mut added = BTreeMap::new();
    let mut add = |n: usize, name: &str, bytes: &[u8]| {
        added.insert(n, id(&app.add("hr", name, bytes)));
    };
    let fact = |n: usize| format!("Employees of {} get twenty days of paid leave.", canary(n));
    add(0, "leave.md", format!("# Leave\n\n{}", fact(0)).as_bytes());
    add(
        1,
        "title.md",
        format!("# The {} rules\n\nBadges are worn.", canary(1)).as_bytes(),
    );
    add(
        2,
        &format!("{}.md", canary(2)),
        b"# Keys\n\nKeys are kept in room 7.",
    );
    add(3, "tagged.md", b"# Tagged\n\nThe canteen opens at noon.");
    add(4, "report.docx", &docx(&fact(4)));
    add(5, "report.pdf", &pdf(&fact(5)));
    add(6, "all.mbox", &mailbox(&[canary(6), canary(7)]));
    let members = [
        (
            &*format!("{}.txt", canary(8)),
            "A name tells, too.".to_owned(),
        ),
        ("notes.txt", fact(9)),
    ];
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, text)| (*name, text.as_bytes()))
        .collect();
    add(8, "files.zip", &zip(&members));
    // The old version's word is in no document any more.
    add(
        10,
        "replaced.md",
        format!("# Old\n\n{}", fact(10)).as_bytes(),
    );
    let asked = app.ask(&format!(
        "How many days of paid leave do employees of {} get?",
        canary(10)
    ));
    assert_eq!(asked.json()["outcome"], "grounded", "{asked:?}");
    app.add(
        "hr",
        "replaced.md",
        b"# New\n\nThis replaces what was there.",
    );
    let wide: Vec<u8> = [0xfeff]
        .into_iter()
        .chain(format!("{}\r\n", fact(11)).encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    add(11, "wide.txt", &wide);
    add(
        12,
        "table.csv",
        format!("name,desk\n{},7\n", canary(12)).as_bytes(),
    );
    add(
        13,
        "page.html",
        format!("<h1>Page</h1><p>{}</p>", fact(13)).as_bytes(),
    );
    add(14, &format!("{}.pdf", canary(14)), b"no pdf");
    let long: String = (0..400)
        .map(|n| format!("Paragraph {n} of {} says little. ", canary(15)))
        .collect();
    add(15, "long.md", format!("# Long\n\n{long}").as_bytes());
    add(
        16,
        "data.json",
        format!("{{\"owner\": \"{}\"}}", canary(16)).as_bytes(),
    );
    let path = format!("/api/v1/collections/hr/documents/{}", canary(17));
    let pushed = put(
        &app.client,
        &path,
        "text/markdown",
        b"# Pushed\n\nA system pushed this.",
    );
    assert_eq!(pushed.status, 202, "{pushed:?}");
    added.insert(17, id(&pushed.json()["document"]));
    let change = |n: usize, change: Value| {
        let path = format!("/api/v1/documents/{}", added[&n]);
        let body = json!({ "metadata": change }).to_string().into_bytes();
        let body = Some(("application/json", body));
        let reply = app.client.send("PATCH", &path, body);
        assert_eq!(reply.status, 200, "{reply:?}");
    };
    change(
        3,
        json!({ "tags": [canary(3), canary(19)], "author": canary(18) }),
    );
    settle(app);
    added
}
