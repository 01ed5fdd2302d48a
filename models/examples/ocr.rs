//! What a recognizer reads in pictures, how sure it is, and how long it takes.
//!
//! `cargo run --release -p kura-models --example ocr -- MODEL_DIR PICTURE.ppm...` (binary PPM, which needs no decoder)

#![expect(clippy::print_stdout, reason = "its result is a table")]

use kura_models::{Picture, PpOcr, Recognizer as _};
use std::path::Path;
use std::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("the model's folder");
    let model = PpOcr::load(Path::new(&dir), None).expect("the model's files");
    for path in arguments {
        let picture = ppm(&fs_err::read(&path).expect("the picture")).expect("a binary PPM");
        let begun = Instant::now();
        let read = model.recognize(&picture).expect("it is recognized");
        println!(
            "{path}: {} lines in {:.2} s, turned by {}",
            read.lines.len(),
            begun.elapsed().as_secs_f64(),
            read.quarter_turns
        );
        for line in read.lines {
            println!(
                "  {:.3} {}{:?} {}",
                line.confidence,
                if line.is_vertical { "vertical " } else { "" },
                line.corners[0],
                line.text
            );
        }
    }
    let peak = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = peak.lines().find(|line| line.starts_with("VmHWM"));
    println!("{}", peak.unwrap_or_default());
}

/// Reads `P6 width height 255` and the pixels.
fn ppm(bytes: &[u8]) -> Option<Picture> {
    let mut parts = bytes.splitn(4, |byte| byte.is_ascii_whitespace());
    (parts.next()? == b"P6").then_some(())?;
    let mut number = || {
        std::str::from_utf8(parts.next()?)
            .ok()?
            .parse::<usize>()
            .ok()
    };
    let (width, height) = (number()?, number()?);
    let pixels = bytes.get(bytes.len() - width * height * 3..)?;
    Picture::from_rgb(width, height, pixels.to_vec())
}
