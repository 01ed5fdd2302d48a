//! Files made to harm whoever reads them, and files that are simply broken.

use std::io::{Cursor, Write as _};
use zip::write::SimpleFileOptions;

/// A name, whose extension says what it pretends to be, and its bytes.
pub(crate) type Bomb = (String, Vec<u8>);

/// A fixed sequence, so that a failure can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.next() >> 32) as u8).collect()
    }
}

/// Every made file.
pub(crate) fn made() -> Vec<Bomb> {
    let named = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    let mut bombs = vec![
        named("ratio.docx", docx(&[zeros_in_xml(700 << 20)])),
        named("ratio.xlsx", zipped(&[("xl/workbook.xml", &vec![b' '; 600 << 20])])),
        named("ratio.zip", zipped(&[("a.txt", &vec![b'a'; 1 << 30])])),
        named("nested.zip", nested_zip(12)),
        named("many-nested.zip", wide_zip(3)),
        named("quine-like.zip", overlapping(5_000)),
        named("entries.zip", many_entries(150_000)),
        named("lying.docx", lying_size()),
        named("laughs.docx", docx(&[billion_laughs()])),
        named("laughs.xml", billion_laughs()),
        named("laughs.html", billion_laughs()),
        named("quadratic.xml", quadratic_xml()),
        named("quadratic.docx", docx(&[quadratic_xml()])),
        named("external.xml", b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>".to_vec()),
        named("deep.docx", docx(&[nested("<w:p>", "</w:p>", 1_000_000)])),
        named("deep.xml", nested("<a>", "</a>", 1_000_000)),
        named("attributes.xml", attributes(400_000)),
        named("corner.xlsx", xlsx("<row r=\"1\"><c r=\"A1\"><v>1</v></c></row><row r=\"1048576\"><c r=\"XFD1048576\"><v>2</v></c></row>", "")),
        named("repeated-string.xlsx", repeated_string()),
        named("repeat.ods", open_document("application/vnd.oasis.opendocument.spreadsheet", "<office:spreadsheet><table:table table:name=\"s\"><table:table-row table:number-rows-repeated=\"1048576\"><table:table-cell table:number-columns-repeated=\"16384\" office:value-type=\"string\"><text:p>x</text:p></table:table-cell></table:table-row></table:table></office:spreadsheet>")),
        named("spaces.odt", open_document("application/vnd.oasis.opendocument.text", "<office:text><text:p>x<text:s text:c=\"2000000000\"/>y</text:p></office:text>")),
        named("spine.epub", long_spine()),
        named("loop.pptx", looping_slides()),
    ];
    bombs.extend(pdfs());
    bombs.extend(texts());
    bombs.extend(pictures());
    bombs
}

/// Sound files cut off, and noise under every extension.
pub(crate) fn broken(sound: &[(String, Vec<u8>)], random: &mut Random) -> Vec<Bomb> {
    let mut files = Vec::new();
    for (name, bytes) in sound {
        for round in 0..2 {
            let cut = 1 + random.below(bytes.len() - 1);
            files.push((format!("cut-{round}-{name}"), bytes[..cut].to_vec()));
        }
        let mut flipped = bytes.clone();
        for _ in 0..20 {
            let at = random.below(flipped.len());
            flipped[at] ^= 1 << random.below(8);
        }
        files.push((format!("flipped-{name}"), flipped));
    }
    for extension in EXTENSIONS {
        let noise = random.bytes(20_000);
        files.push((format!("noise.{extension}"), noise.clone()));
        if let Some(signature) = signature(extension) {
            files.push((
                format!("signed-noise.{extension}"),
                [signature, &noise].concat(),
            ));
        }
    }
    files
}

const EXTENSIONS: [&str; 34] = [
    "pdf", "docx", "doc", "pptx", "ppt", "xlsx", "xls", "ods", "odt", "odp", "rtf", "html", "md",
    "txt", "csv", "tsv", "epub", "eml", "msg", "mbox", "zip", "json", "jsonl", "xml", "rst",
    "adoc", "py", "rs", "png", "jpg", "tif", "gif", "webp", "bmp",
];

fn signature(extension: &str) -> Option<&'static [u8]> {
    Some(match extension {
        "pdf" => b"%PDF-1.7\n",
        "docx" | "pptx" | "xlsx" | "ods" | "odt" | "odp" | "epub" | "zip" => b"PK\x03\x04",
        "doc" | "xls" | "ppt" | "msg" => b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
        "rtf" => b"{\\rtf1\\ansi ",
        "png" => b"\x89PNG\r\n\x1a\n",
        "jpg" => b"\xFF\xD8\xFF\xE0",
        "tif" => b"II*\0",
        "gif" => b"GIF89a",
        "bmp" => b"BM",
        "mbox" => b"From a@b.example Mon Nov  2 09:00:00 2026\n",
        "eml" => b"Received: x\r\nFrom: a@b.example\r\nSubject: s\r\n\r\n",
        "xml" => b"<?xml version='1.0'?><a>",
        "html" => b"<!doctype html><body>",
        _ => return None,
    })
}

pub(crate) fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer
            .start_file(*name, SimpleFileOptions::default().large_file(true))
            .unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn docx(documents: &[Vec<u8>]) -> Vec<u8> {
    let members: Vec<(&str, &[u8])> = documents
        .iter()
        .map(|document| ("word/document.xml", document.as_slice()))
        .collect();
    zipped(&members)
}

fn zeros_in_xml(n: usize) -> Vec<u8> {
    let mut xml = b"<w:document><w:body><w:p><w:r><w:t>".to_vec();
    xml.resize(n, b'0');
    xml.extend_from_slice(b"</w:t></w:r></w:p></w:body></w:document>");
    xml
}

fn nested_zip(depth: usize) -> Vec<u8> {
    let mut inner = vec![b'a'; 64 << 20];
    let mut name = "a.txt".to_owned();
    for level in 0..depth {
        inner = zipped(&[(&name, &inner)]);
        name = format!("{level}.zip");
    }
    inner
}

fn wide_zip(depth: usize) -> Vec<u8> {
    let mut inner = zipped(&[("a.txt", &vec![b'a'; 16 << 20])]);
    for _ in 0..depth {
        let names: Vec<String> = (0..16).map(|n| format!("{n}.zip")).collect();
        let members: Vec<(&str, &[u8])> = names
            .iter()
            .map(|name| (name.as_str(), inner.as_slice()))
            .collect();
        inner = zipped(&members);
    }
    inner
}

/// Many directory entries for one member's bytes.
fn overlapping(n: usize) -> Vec<u8> {
    let one = zipped(&[("a.txt", &vec![b'a'; 8 << 20])]);
    let end = one.len() - 22;
    let directory = u32::from_le_bytes(one[end + 16..end + 20].try_into().unwrap()) as usize;
    let entry = one[directory..end].to_vec();
    let mut bytes = one[..directory].to_vec();
    for _ in 0..n {
        bytes.extend_from_slice(&entry);
    }
    let mut tail = one[end..].to_vec();
    tail[8..10].copy_from_slice(&(n as u16).to_le_bytes());
    tail[10..12].copy_from_slice(&(n as u16).to_le_bytes());
    tail[12..16].copy_from_slice(&((entry.len() * n) as u32).to_le_bytes());
    bytes.extend_from_slice(&tail);
    bytes
}

fn many_entries(n: usize) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for entry in 0..n {
        writer
            .start_file(format!("{entry}.txt"), SimpleFileOptions::default())
            .unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A member that unpacks to more than its directory entry says.
fn lying_size() -> Vec<u8> {
    let mut bytes = docx(&[zeros_in_xml(300 << 20)]);
    let end = bytes.len() - 22;
    let directory = u32::from_le_bytes(bytes[end + 16..end + 20].try_into().unwrap()) as usize;
    bytes[directory + 24..directory + 28].copy_from_slice(&1000_u32.to_le_bytes());
    bytes
}

fn billion_laughs() -> Vec<u8> {
    let mut xml = "<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY lol0 \"lollollol\">".to_owned();
    for level in 1..12 {
        let one = format!("&lol{};", level - 1);
        xml += &format!("<!ENTITY lol{level} \"{}\">", one.repeat(10));
    }
    xml += "]><w:document><w:body><w:p><w:r><w:t>&lol11;</w:t></w:r></w:p></w:body></w:document>";
    xml.into_bytes()
}

fn quadratic_xml() -> Vec<u8> {
    let entity = "a".repeat(100_000);
    let uses = "&a;".repeat(100_000);
    format!("<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"{entity}\">]><x><p>{uses}</p></x>")
        .into_bytes()
}

fn nested(open: &str, close: &str, depth: usize) -> Vec<u8> {
    format!("{}x{}", open.repeat(depth), close.repeat(depth)).into_bytes()
}

fn attributes(n: usize) -> Vec<u8> {
    let many: String = (0..n).map(|n| format!(" a{n}=\"{n}\"")).collect();
    format!("<?xml version=\"1.0\"?><a{many}>x</a>").into_bytes()
}

fn xlsx(rows: &str, strings: &str) -> Vec<u8> {
    let sheet = format!(
        "<?xml version=\"1.0\"?><worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>{rows}</sheetData></worksheet>"
    );
    let strings = format!(
        "<?xml version=\"1.0\"?><sst xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\">{strings}</sst>"
    );
    zipped(&[
        ("[Content_Types].xml", b"<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Default Extension=\"xml\" ContentType=\"application/xml\"/></Types>"),
        ("xl/workbook.xml", b"<?xml version=\"1.0\"?><workbook xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"><sheets><sheet name=\"s\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"),
        ("xl/_rels/workbook.xml.rels", b"<?xml version=\"1.0\"?><Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet1.xml\"/><Relationship Id=\"rId2\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings\" Target=\"sharedStrings.xml\"/></Relationships>"),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
        ("xl/sharedStrings.xml", strings.as_bytes()),
    ])
}

/// One long string in very many cells.
fn repeated_string() -> Vec<u8> {
    let cells: String = (1..=200_000)
        .map(|row| format!("<row r=\"{row}\"><c r=\"A{row}\" t=\"s\"><v>0</v></c></row>"))
        .collect();
    xlsx(&cells, &format!("<si><t>{}</t></si>", "x".repeat(32_000)))
}

fn open_document(media_type: &str, body: &str) -> Vec<u8> {
    let content = format!(
        "<?xml version=\"1.0\"?><office:document-content xmlns:office=\"urn:oasis:names:tc:opendocument:xmlns:office:1.0\" xmlns:table=\"urn:oasis:names:tc:opendocument:xmlns:table:1.0\" xmlns:text=\"urn:oasis:names:tc:opendocument:xmlns:text:1.0\"><office:body>{body}</office:body></office:document-content>"
    );
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    writer.start_file("mimetype", stored).unwrap();
    writer.write_all(media_type.as_bytes()).unwrap();
    writer
        .start_file("content.xml", SimpleFileOptions::default())
        .unwrap();
    writer.write_all(content.as_bytes()).unwrap();
    writer.finish().unwrap().into_inner()
}

/// A short chapter, again and again.
fn long_spine() -> Vec<u8> {
    let items = "<itemref idref=\"c\"/>".repeat(200_000);
    let package = format!(
        "<?xml version=\"1.0\"?><package xmlns=\"http://www.idpf.org/2007/opf\"><manifest><item id=\"c\" href=\"c.xhtml\" media-type=\"application/xhtml+xml\"/></manifest><spine>{items}</spine></package>"
    );
    let chapter = format!(
        "<html><body><p>{}</p></body></html>",
        "word ".repeat(20_000)
    );
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    writer.start_file("mimetype", stored).unwrap();
    writer.write_all(b"application/epub+zip").unwrap();
    for (name, content) in [
        (
            "META-INF/container.xml",
            "<?xml version=\"1.0\"?><container xmlns=\"urn:oasis:names:tc:opendocument:xmlns:container\"><rootfiles><rootfile full-path=\"p.opf\" media-type=\"application/oebps-package+xml\"/></rootfiles></container>",
        ),
        ("p.opf", &package),
        ("c.xhtml", &chapter),
    ] {
        writer
            .start_file(name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn looping_slides() -> Vec<u8> {
    let ids: String = (0..50_000)
        .map(|id| format!("<p:sldId id=\"{id}\" r:id=\"rId1\"/>"))
        .collect();
    let presentation = format!("<p:presentation><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>");
    let slide = format!(
        "<p:sld><p:cSld><p:spTree><p:sp><p:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></p:txBody></p:sp></p:spTree></p:cSld></p:sld>",
        "word ".repeat(20_000)
    );
    zipped(&[
        ("ppt/presentation.xml", presentation.as_bytes()),
        ("ppt/_rels/presentation.xml.rels", b"<Relationships><Relationship Id=\"rId1\" Type=\"http://x/slide\" Target=\"slides/slide1.xml\"/></Relationships>"),
        ("ppt/slides/slide1.xml", slide.as_bytes()),
        ("ppt/slides/_rels/slide1.xml.rels", b"<Relationships><Relationship Id=\"rId1\" Type=\"http://x/notesSlide\" Target=\"slide1.xml\"/></Relationships>"),
    ])
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A PDF of these objects, 1 the catalog, with a sound cross-reference table.
fn pdf(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"%PDF-1.7\n".to_vec();
    let mut offsets = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        offsets.push(bytes.len());
        bytes.extend_from_slice(format!("{} 0 obj\n", number + 1).as_bytes());
        bytes.extend_from_slice(object);
        bytes.extend_from_slice(b"\nendobj\n");
    }
    let xref = bytes.len();
    bytes.extend_from_slice(
        format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).as_bytes(),
    );
    for offset in offsets {
        bytes.extend_from_slice(format!("{offset:010} 00000 n \n").as_bytes());
    }
    bytes.extend_from_slice(
        format!(
            "trailer\n<< /Root 1 0 R /Size {} >>\nstartxref\n{xref}\n%%EOF",
            objects.len() + 1
        )
        .as_bytes(),
    );
    bytes
}

fn stream(dictionary: &str, content: &[u8]) -> Vec<u8> {
    let mut object = format!("<< {dictionary} /Length {} >>\nstream\n", content.len()).into_bytes();
    object.extend_from_slice(content);
    object.extend_from_slice(b"\nendstream");
    object
}

/// A PDF of one page with this content stream, and more objects from number 5.
fn page(content: Vec<u8>, resources: &str, more: &[Vec<u8>]) -> Vec<u8> {
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        format!("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources << {resources} >> >>").into_bytes(),
        content,
    ];
    objects.extend_from_slice(more);
    pdf(&objects)
}

fn pdfs() -> Vec<Bomb> {
    let named = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    let mut packed = vec![0; 1 << 30];
    for _ in 0..4 {
        packed = deflated(&packed);
    }
    let font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_vec();
    let show = |n: usize| format!("BT /F 12 Tf {} ET", "(word) Tj ".repeat(n)).into_bytes();
    let map = b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <00000000> <FFFFFFFF> endcodespacerange 1 beginbfrange <00000000> <FFFFFFFF> <0000> endbfrange endcmap";
    let xref_loop = {
        let mut bytes = page(stream("", &show(1)), "", &[]);
        let at = bytes
            .windows(9)
            .rposition(|window| window == b"startxref")
            .unwrap();
        let xref: usize = String::from_utf8_lossy(&bytes[at + 9..])
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        bytes.truncate(at);
        let end = bytes
            .windows(2)
            .rposition(|window| window == b">>")
            .unwrap();
        bytes.truncate(end);
        bytes.extend_from_slice(format!("/Prev {xref} >>\nstartxref\n{xref}\n%%EOF").as_bytes());
        bytes
    };
    vec![
        named("xref-loop.pdf", xref_loop),
        named("flate-in-flate.pdf", page(stream("/Filter [/FlateDecode /FlateDecode /FlateDecode /FlateDecode]", &packed), "", &[])),
        named("flate.pdf", page(stream("/Filter /FlateDecode", &deflated(&vec![b' '; 1 << 30])), "", &[])),
        named("predictor.pdf", page(stream("/Filter /FlateDecode /DecodeParms << /Predictor 15 /Columns 2000000000 /Colors 4 >>", &deflated(&vec![1; 1 << 20])), "", &[])),
        named("page-loop.pdf", pdf(&[b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(), b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2000000000 >>".to_vec()])),
        named("form-loop.pdf", page(stream("", b"/X Do"), "/XObject << /X 5 0 R >>", &[stream("/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 5 0 R >> >>", b"/X Do /X Do /X Do")])),
        named("reference-loop.pdf", page(b"5 0 R".to_vec(), "", &[b"5 0 R".to_vec()])),
        named("states.pdf", page(stream("/Filter /FlateDecode", &deflated(&b"q ".repeat(5_000_000))), "", &[])),
        named("glyphs.pdf", page(stream("/Filter /FlateDecode", &deflated(&show(3_000_000))), "/Font << /F 5 0 R >>", &[font])),
        named("map.pdf", page(stream("", &show(5)), "/Font << /F 5 0 R >>", &[b"<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /ToUnicode 6 0 R /DescendantFonts [7 0 R] >>".to_vec(), stream("", map), b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>".to_vec()])),
        named("deep-array.pdf", page([b"[".repeat(500_000), b"]".repeat(500_000)].concat(), "", &[])),
        named("picture.pdf", page(stream("", b"q 600 0 0 800 0 0 cm /I Do Q"), "/XObject << /I 5 0 R >>", &[stream("/Type /XObject /Subtype /Image /Width 60000 /Height 60000 /BitsPerComponent 8 /ColorSpace /DeviceRGB /Filter /FlateDecode", &deflated(&vec![0; 1 << 20]))])),
    ]
}

fn texts() -> Vec<Bomb> {
    let named = |name: &str, text: String| (name.to_owned(), text.into_bytes());
    let head = "Received: x\r\nFrom: a@b.example\r\nSubject: s\r\nMIME-Version: 1.0\r\n";
    let mut nested_mail = String::from(head);
    for level in 0..10_000 {
        nested_mail +=
            &format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n");
    }
    nested_mail += "Content-Type: text/plain\r\n\r\nx";
    let parts = "--b\r\nContent-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nx\r\n".repeat(100_000);
    vec![
        named("mime-depth.eml", nested_mail),
        named(
            "mime-parts.eml",
            format!("{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--"),
        ),
        named(
            "header.eml",
            format!("{head}X: {}\r\n\r\nx", "a ".repeat(10_000_000)),
        ),
        named(
            "messages.mbox",
            format!("From a@b.example Mon Nov  2 09:00:00 2026\n{head}\r\nx\r\n\n").repeat(50_000),
        ),
        named(
            "depth.html",
            format!("<!doctype html>{}x", "<div>".repeat(1_000_000)),
        ),
        named(
            "tables.html",
            format!("<!doctype html>{}x", "<table><tr><td>".repeat(100_000)),
        ),
        named(
            "formatting.html",
            format!("<!doctype html>{}x", "<b><p>".repeat(20_000)),
        ),
        named(
            "attributes.html",
            format!(
                "<!doctype html><p{}>x",
                (0..300_000).map(|n| format!(" a{n}=1")).collect::<String>()
            ),
        ),
        named(
            "cells.html",
            format!(
                "<!doctype html><table><tr>{}</tr></table>",
                "<td rowspan=65000 colspan=1000>x</td>".repeat(2_000)
            ),
        ),
        named("quotes.md", format!("{}x", "> ".repeat(500_000))),
        named("brackets.md", "[".repeat(500_000)),
        named("emphasis.md", "*a _b ".repeat(200_000)),
        named(
            "columns.md",
            format!(
                "{}\n{}\n{}",
                "|a".repeat(50_000),
                "|-".repeat(50_000),
                "|b\n".repeat(10_000)
            ),
        ),
        named(
            "columns.csv",
            format!("{}\n{}", "a,".repeat(1_000_000), "1,2\n".repeat(1_000)),
        ),
        named(
            "unclosed.csv",
            format!("a,b\n\"{}", "x\n".repeat(10_000_000)),
        ),
        named("groups.rtf", format!("{{\\rtf1 {}x", "{".repeat(2_000_000))),
        named(
            "binary.rtf",
            "{\\rtf1 \\bin999999999 x\\u-99999999 ?}".to_owned(),
        ),
        named(
            "depth.json",
            format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000)),
        ),
        named(
            "keys.json",
            format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000)),
        ),
        named("line.txt", "a".repeat(40_000_000)),
        named("marks.txt", "e\u{301}\u{301}".repeat(2_000_000)),
        named("wide.txt", "\u{FDFA}".repeat(3_000_000)),
    ]
}

fn pictures() -> Vec<Bomb> {
    let png = |width: u32, height: u32| {
        let mut header = b"IHDR".to_vec();
        header.extend_from_slice(&width.to_be_bytes());
        header.extend_from_slice(&height.to_be_bytes());
        header.extend_from_slice(&[8, 2, 0, 0, 0]);
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        let data = [b"IDAT".to_vec(), deflated(&vec![0; 64 << 20])].concat();
        for chunk in [header, data, b"IEND".to_vec()] {
            bytes.extend_from_slice(&(chunk.len() as u32 - 4).to_be_bytes());
            bytes.extend_from_slice(&chunk);
            let mut crc = flate2::Crc::new();
            crc.update(&chunk);
            bytes.extend_from_slice(&crc.sum().to_be_bytes());
        }
        bytes
    };
    let mut bmp = b"BM".to_vec();
    bmp.extend_from_slice(&[0; 12]);
    bmp.extend_from_slice(&40_u32.to_le_bytes());
    bmp.extend_from_slice(&60_000_u32.to_le_bytes());
    bmp.extend_from_slice(&60_000_u32.to_le_bytes());
    bmp.extend_from_slice(&[1, 0, 24, 0]);
    bmp.extend_from_slice(&[0; 24]);
    let mut gif = b"GIF89a\xFF\xFF\xFF\xFF\x80\0\0".to_vec();
    gif.extend_from_slice(&[0; 6]);
    gif.extend_from_slice(b",\0\0\0\0\xFF\xFF\xFF\xFF\0\x02\x02\x44\x01\0;");
    vec![
        ("huge.png".to_owned(), png(50_000, 50_000)),
        ("tall.png".to_owned(), png(1, 2_000_000_000)),
        ("huge.bmp".to_owned(), bmp),
        ("huge.gif".to_owned(), gif),
    ]
}
