//! Garbage in each format: every file ends in text or an error, soon, and nothing escapes.

use super::detect::KNOWN;
use super::extract;
use super::ooxml::tests::package;
use rand_like::Noise;
use std::time::{Duration, Instant};

/// Longest time one file may take; unoptimized code is many times slower.
const MAX_TIME: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 5 });

/// Reads a file and returns what came of it; fails when that takes too long.
fn read(bytes: &[u8], name: &str) -> crate::Result<crate::Extracted> {
    let start = Instant::now();
    let tools = crate::Tools::default().with_taker(crate::extract::Taker::discard());
    let outcome = extract(bytes, name, None, &tools);
    let took = start.elapsed();
    assert!(took < MAX_TIME, "{name}, {} bytes: {took:?}", bytes.len());
    outcome
}

fn extensions() -> Vec<&'static str> {
    let known = KNOWN
        .iter()
        .flat_map(|(.., extensions)| extensions.iter().copied());
    known
        .chain([
            "py", "rs", "java", "sh", "sql", "yaml", "png", "tiff", "bin", "",
        ])
        .collect()
}

mod rand_like {
    /// Bytes without a pattern, the same in every run.
    pub(super) struct Noise(pub(super) u64);

    impl Noise {
        pub(super) fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
            (0..len).map(|_| (self.next() >> 32) as u8).collect()
        }
    }
}

#[test]
fn noise_of_every_extension_ends() {
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
    let signatures: [&[u8]; 6] = [
        b"",
        b"PK\x03\x04",
        b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
        b"{\\rtf1",
        b"<?xml ",
        b"From a\nFrom: a\nTo: b\nMessage-ID: c\n",
    ];
    for extension in extensions() {
        for signature in signatures {
            for len in [1, 37, 700, 5000] {
                let mut bytes = signature.to_vec();
                bytes.extend(noise.bytes(len));
                let _ = read(&bytes, &format!("a.{extension}"));
            }
        }
    }
}

#[test]
fn files_cut_off_or_damaged_anywhere_end() {
    let samples: [(&str, Vec<u8>); 9] = [
        ("a.odt", package(&[
            ("mimetype", "application/vnd.oasis.opendocument.text"),
            ("content.xml", "<d><body><text><h outline-level='1'>H</h><p>Some text that is long enough.</p><list><list-item><p>x</p></list-item></list></text></body></d>"),
        ])),
        ("a.epub", package(&[
            ("META-INF/container.xml", "<c><rootfiles><rootfile full-path='b.opf'/></rootfiles></c>"),
            ("b.opf", "<p><manifest><item id='a' href='a.xhtml'/></manifest><spine><itemref idref='a'/></spine></p>"),
            ("a.xhtml", "<html><body><p>Text</p></body></html>"),
        ])),
        ("a.zip", package(&[("a.txt", "Some text."), ("b/c.csv", "a,b\n1,2\n")])),
        ("a.rtf", br"{\rtf1\ansi{\fonttbl{\f0\fcharset128 A;}}\trowd\cellx1\intbl a\cell\row\pard \u26085?\'8bK{\footnote x}\par}".to_vec()),
        ("a.json", br#"{"a":[{"b":1,"c":"x"},{"b":2,"c":"y"}],"d":{"e":null}}"#.to_vec()),
        ("a.xml", b"<a x='1'><b>t</b><b>u</b><c><d/></c></a>".to_vec()),
        ("a.rst", b"T\n=\n\n+---+---+\n| a | b |\n+===+===+\n| 1 | 2 |\n+---+---+\n\n.. list-table::\n\n   * - a\n     - b\n".to_vec()),
        ("a.adoc", b"= T\n\n|===\n|a |b\n\n|1 |2\n|===\n\n* x\n** y\n\n----\ncode\n----\n".to_vec()),
        ("a.mbox", b"From a\nFrom: a@b.example\nMessage-ID: <1>\nSubject: s\n\nbody\n\nFrom b\nFrom: b@b.example\n\nbody\n".to_vec()),
    ];
    let mut noise = Noise(42);
    for (name, sound) in &samples {
        assert!(read(sound, name).is_ok(), "{name}");
        for len in (0..sound.len()).step_by(7) {
            let _ = read(&sound[..len], name);
        }
        for _ in 0..60 {
            let mut damaged = sound.clone();
            for _ in 0..3 {
                let at = noise.next() as usize % damaged.len();
                damaged[at] = (noise.next() >> 40) as u8;
            }
            let _ = read(&damaged, name);
        }
    }
}

#[test]
fn nothing_is_nested_too_deeply_to_end() {
    let million = |part: &str| part.repeat(1_000_000 / part.len());
    let html = format!("<p>{}text", "<div>".repeat(1_000_000));
    assert!(read(html.as_bytes(), "a.html").is_ok());
    for (name, text) in [
        ("a.html", million("<b a=1><p>")),
        ("a.html", million("<table><tr><td>")),
        ("a.html", million("<svg><g>")),
        ("a.xml", million("<a>")),
        ("a.json", million("[")),
        ("a.json", million("{\"a\":")),
        ("a.rtf", format!("{{\\rtf1{}", million("{"))),
        ("a.md", million(">")),
        ("a.md", million("[")),
        ("a.md", million("- ")),
        ("a.md", million("*a _b ")),
        ("a.adoc", million("*")),
        ("a.adoc", million("<<")),
        ("a.adoc", million("link:")),
        ("a.rst", million("`")),
        ("a.rst", million(".. note::\n\n   ")),
        ("a.txt", million("- ")),
        ("a.csv", million("\"")),
        ("a.py", million("def a():\n ")),
        ("a.mbox", million("From a\n\n")),
    ] {
        let _ = read(text.as_bytes(), name);
    }
    let docx = package(&[("word/document.xml", &million("<w:p>"))]);
    assert!(read(&docx, "a.docx").is_err());
}

#[test]
fn mails_nested_ten_thousand_deep_end() {
    let mut head = String::from("From: a@b.example\r\nMessage-ID: <1>\r\nSubject: deep\r\n");
    for level in 0..10_000 {
        head.push_str(&format!(
            "Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n"
        ));
    }
    head.push_str("Content-Type: text/plain\r\n\r\ninnermost\r\n");
    let _ = read(head.as_bytes(), "a.eml");
    let mut forwarded = String::new();
    for _ in 0..10_000 {
        forwarded
            .push_str("From: a@b.example\r\nSubject: fwd\r\nContent-Type: message/rfc822\r\n\r\n");
    }
    let _ = read(forwarded.as_bytes(), "a.eml");
}

#[test]
fn entities_never_multiply() {
    let laughs: String = (1..20)
        .map(|n| format!("<!ENTITY a{n} \"{}\">", format!("&a{};", n - 1).repeat(10)))
        .collect();
    let xml =
        format!("<?xml version='1.0'?><!DOCTYPE a [<!ENTITY a0 \"ha\">{laughs}]><a>text &a19;</a>");
    let extracted = read(xml.as_bytes(), "a.xml").unwrap();
    assert_eq!(extracted.blocks[0].text, "a: text");
    let docx = package(&[(
        "word/document.xml",
        &xml.replace("<a>", "<d><body><p><r><t>")
            .replace("</a>", "</t></r></p></body></d>"),
    )]);
    assert_eq!(read(&docx, "a.docx").unwrap().blocks[0].text, "text");
}
