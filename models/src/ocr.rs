//! Text recognition in pictures: PP-OCR detection, direction and recognition networks on a pure Rust ONNX runtime.
//!
//! In reading order: [`Picture`] holds pixels; `detect` finds lines of text as rectangles at any angle; `read` turns
//! one rectangle into text. [`PpOcr`] joins them and finds out which way up the page is. Lines come with their places
//! and in no particular order: what a page's reading order is, the layout decides.

mod detect;
mod picture;
mod read;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rten::{Model, RunOptions, ThreadPool, Value, ValueView};

use crate::registry::Installed;
use crate::{Error, ModelKind, Result};
use detect::TextBox;
pub use picture::Picture;
use read::{Direction, Reading};

const DETECTOR: &str = "det.onnx";
const READER: &str = "rec.onnx";
const DIRECTION: &str = "cls.onnx";

/// Lines read with less confidence than this are noise.
const MIN_CONFIDENCE: f32 = 0.5;

/// Lines that are looked at to find out which way up a page is.
const PROBES: usize = 8;

/// A page read with less confidence is looked at upside down too: the direction network sees only where lines begin.
const SURE: f32 = 0.85;

/// Characters of such a line that are looked at one by one.
const MAX_CELLS: usize = 12;

/// Reads the text in pictures.
///
/// CPU-bound: call it where blocking is allowed.
pub trait Recognizer: Send + Sync {
    /// Returns the model's name, for people and for what is recorded of a document.
    fn id(&self) -> &str;

    /// Returns the lines of text in a picture. One without text gives none.
    ///
    /// # Errors
    /// When the model cannot be loaded or run.
    fn recognize(&self, picture: &Picture) -> Result<Recognized>;
}

/// What was read in a picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recognized {
    /// Width in pixels of the picture once it is upright; places are in it.
    pub width: f32,
    /// Height in pixels of the picture once it is upright.
    pub height: f32,
    /// Clockwise quarter turns that made the picture upright.
    pub quarter_turns: u8,
    /// The lines, in no particular order.
    pub lines: Vec<RecognizedLine>,
}

/// One line of text.
#[derive(Debug, Clone, PartialEq)]
pub struct RecognizedLine {
    /// What it says.
    pub text: String,
    /// Mean probability of its characters, 0 to 1.
    pub confidence: f32,
    /// Top left, top right, bottom right and bottom left, in pixels; y grows downwards.
    pub corners: [(f32, f32); 4],
    /// Whether it is written from top to bottom.
    pub is_vertical: bool,
}

/// PP-OCR in a folder: `det.onnx`, `rec.onnx` and `cls.onnx`. The networks are loaded at the first picture.
pub struct PpOcr {
    id: String,
    /// Opened at once: whoever reads untrusted files gives up the right to open others.
    files: [ModelFile; 3],
    threads: Option<usize>,
    networks: Mutex<Option<Arc<Networks>>>,
}

struct Networks {
    detector: Model,
    reader: Model,
    direction: Model,
    alphabet: Vec<String>,
    options: RunOptions,
}

impl PpOcr {
    /// Prepares the model in `dir`; nothing is read yet. `threads`: the most that one picture uses, or one per core.
    ///
    /// # Errors
    /// [`Error::Malformed`] when a file is missing.
    pub fn load(dir: &Path, threads: Option<usize>) -> Result<Self> {
        let open = |name: &str| ModelFile::open(dir.join(name));
        Ok(Self {
            id: dir
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            files: [open(DETECTOR)?, open(READER)?, open(DIRECTION)?],
            threads,
            networks: Mutex::default(),
        })
    }

    fn networks(&self) -> Result<Arc<Networks>> {
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = networks.as_ref() {
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(Networks::load(&self.files, self.threads)?);
        *networks = Some(Arc::clone(&loaded));
        Ok(loaded)
    }
}

/// A network's file, open.
struct ModelFile {
    path: PathBuf,
    file: File,
    size: u64,
}

impl ModelFile {
    fn open(path: PathBuf) -> Result<Self> {
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((size, file)) => Ok(Self { path, file, size }),
            Err(error) => Err(Error::Malformed {
                path,
                reason: format!("{error}; pull the model again"),
            }),
        }
    }

    fn load(&self) -> Result<Model> {
        let malformed = |reason: String| Error::Malformed {
            path: self.path.clone(),
            reason,
        };
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or_default()];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| malformed(error.to_string()))?;
        Model::load(bytes).map_err(|error| malformed(error.to_string()))
    }
}

/// Prepares an installed recognizer.
///
/// # Errors
/// [`Error::WrongKind`] for other models; those of [`PpOcr::load`].
pub fn load_recognizer(
    installed: &Installed,
    threads: Option<usize>,
) -> Result<Arc<dyn Recognizer>> {
    if installed.spec.kind != ModelKind::Recognizer {
        return Err(Error::WrongKind {
            id: installed.spec.id.0.clone(),
            actual: installed.spec.kind.noun(),
            wanted: "a recognizer",
        });
    }
    Ok(Arc::new(PpOcr::load(&installed.dir, threads)?))
}

impl Recognizer for PpOcr {
    fn id(&self) -> &str {
        &self.id
    }

    fn recognize(&self, picture: &Picture) -> Result<Recognized> {
        self.networks()?.recognize(picture)
    }
}

impl Networks {
    fn load(files: &[ModelFile; 3], threads: Option<usize>) -> Result<Self> {
        let [detector, reader_file, direction] = files;
        let reader = reader_file.load()?;
        let alphabet = reader.metadata().get("character");
        let alphabet = alphabet
            .map(read::alphabet)
            .ok_or_else(|| Error::Malformed {
                path: reader_file.path.clone(),
                reason: "it does not say which characters it reads".to_owned(),
            })?;
        let threads = threads.map(|n| Arc::new(ThreadPool::with_num_threads(n.max(1))));
        Ok(Self {
            detector: detector.load()?,
            reader,
            direction: direction.load()?,
            alphabet,
            options: RunOptions::default().with_thread_pool(threads),
        })
    }

    fn recognize(&self, picture: &Picture) -> Result<Recognized> {
        let mut boxes = detect::boxes(picture, |input, shape| {
            self.run(&self.detector, input, shape)
        })?;
        let mut quarter_turns = self.quarter_turns(picture, &boxes)?;
        let mut readings = Vec::new();
        if quarter_turns == 0 {
            readings = self.read_all(picture, &boxes)?;
            if self.is_better_upside_down(picture, &boxes, &readings)? {
                quarter_turns = 2;
            }
        }
        let turned;
        let mut upright = picture;
        if quarter_turns > 0 {
            turned = picture.turned(quarter_turns);
            upright = &turned;
            boxes = detect::boxes(upright, |input, shape| {
                self.run(&self.detector, input, shape)
            })?;
            readings = self.read_all(upright, &boxes)?;
        }
        let lines = boxes.iter().zip(readings).filter_map(|(found, reading)| {
            let is_text = reading.confidence >= MIN_CONFIDENCE && !reading.text.trim().is_empty();
            is_text.then(|| RecognizedLine {
                text: reading.text,
                confidence: reading.confidence,
                corners: found.corners,
                is_vertical: found.is_tall() && text_is_long(found),
            })
        });
        let lines = lines.collect();
        Ok(Recognized {
            #[expect(clippy::cast_precision_loss, reason = "pixels of a page")]
            width: upright.width() as f32,
            #[expect(clippy::cast_precision_loss, reason = "pixels of a page")]
            height: upright.height() as f32,
            quarter_turns,
            lines,
        })
    }

    fn read_all(&self, picture: &Picture, boxes: &[TextBox]) -> Result<Vec<Reading>> {
        let read = |found: &TextBox| {
            let direction = if found.is_tall() {
                Direction::Down
            } else {
                Direction::Right
            };
            self.read(picture, found, direction)
        };
        boxes.iter().map(read).collect()
    }

    /// Whether the longest of the lines that run from left to right, read without much confidence, make more sense upside
    /// down.
    fn is_better_upside_down(
        &self,
        picture: &Picture,
        boxes: &[TextBox],
        readings: &[Reading],
    ) -> Result<bool> {
        let mut probes: Vec<(&TextBox, &Reading)> = boxes.iter().zip(readings).collect();
        probes.retain(|(found, _)| !found.is_tall());
        probes.sort_by(|(a, _), (b, _)| b.length().total_cmp(&a.length()));
        probes.truncate(PROBES);
        let length: f32 = probes.iter().map(|(found, _)| found.length()).sum();
        let confidence = |(found, reading): &(&TextBox, &Reading)| {
            found.length() * reading.confidence / length.max(1.0)
        };
        let upright: f32 = probes.iter().map(confidence).sum();
        if probes.is_empty() || upright >= SURE {
            return Ok(false);
        }
        let mut upside_down = 0.0;
        for (found, _) in &probes {
            let reading = self.read(picture, found, Direction::Left)?;
            upside_down += confidence(&(found, &reading));
        }
        tracing::debug!(upright, upside_down, "lines are hard to read");
        Ok(upside_down > upright)
    }

    /// Returns the clockwise quarter turns that make the picture upright.
    ///
    /// Tall boxes are lines of a page on its side, or lines of vertical writing. The reader reads both, the latter with
    /// its characters lying; so these are looked at upright: only vertical writing says the same then.
    fn quarter_turns(&self, picture: &Picture, boxes: &[TextBox]) -> Result<u8> {
        let total: f32 = boxes.iter().map(TextBox::length).sum();
        let tall = boxes.iter().filter(|found| found.is_tall());
        let on_side = tall.map(TextBox::length).sum::<f32>() > total * 0.5;
        let mut probes: Vec<&TextBox> = boxes.iter().filter(|b| b.is_tall() == on_side).collect();
        probes.sort_by(|a, b| b.length().total_cmp(&a.length()));
        probes.truncate(PROBES);
        if !on_side {
            let mut n_upside_down = 0;
            for found in &probes {
                n_upside_down += usize::from(self.is_upside_down(picture, found)?);
            }
            return Ok(if n_upside_down * 3 > probes.len() * 2 {
                2
            } else {
                0
            });
        }
        let (mut down, mut up) = (0.0, 0.0);
        let (mut n_same, mut n_compared) = (0, 0);
        for found in &probes {
            let read_down = self.read(picture, found, Direction::Down)?;
            down += read_down.confidence;
            up += self.read(picture, found, Direction::Up)?.confidence;
            let (same, compared) = self.same_when_upright(picture, found, &read_down)?;
            n_same += same;
            n_compared += compared;
        }
        tracing::debug!(down, up, n_same, n_compared, "lines lie on their side");
        Ok(if up > down {
            1
        } else if n_same * 3 > n_compared {
            0
        } else {
            3
        })
    }

    /// Returns how many ideographs and kana of a line read downwards are read again when they are seen upright, and how
    /// many were looked at.
    fn same_when_upright(
        &self,
        picture: &Picture,
        found: &TextBox,
        reading: &Reading,
    ) -> Result<(usize, usize)> {
        let is_full = |text: &str| text.chars().all(is_ideographic);
        let some: Vec<&(String, f32)> = reading
            .places
            .iter()
            .filter(|(text, _)| is_full(text))
            .take(MAX_CELLS)
            .collect();
        if some.is_empty() {
            return Ok((0, 0));
        }
        let places: Vec<f32> = some.iter().map(|(_, place)| *place).collect();
        let (input, width) = read::upright_cells(picture, found, &places);
        let again = self.decoded(&input, width)?;
        let n_same = some
            .iter()
            .filter(|(text, _)| again.text.contains(text.as_str()))
            .count();
        Ok((n_same, some.len()))
    }

    fn is_upside_down(&self, picture: &Picture, found: &TextBox) -> Result<bool> {
        let (input, width) = read::direction_input(picture, found);
        let output = self.run(&self.direction, &input, [1, 3, read::HEIGHT, width])?;
        let (_, scores) = output
            .into_shape_vec::<f32, 2>()
            .map_err(|error| Error::Recognition(error.to_string()))?;
        Ok(scores.get(1).is_some_and(|&score| score > 0.9))
    }

    fn read(&self, picture: &Picture, found: &TextBox, direction: Direction) -> Result<Reading> {
        let (input, width) = read::input(picture, found, direction);
        self.decoded(&input, width)
    }

    fn decoded(&self, input: &[f32], width: usize) -> Result<Reading> {
        let output = self.run(&self.reader, input, [1, 3, read::HEIGHT, width])?;
        let ([_, _, n_classes], scores) = output
            .into_shape_vec::<f32, 3>()
            .map_err(|error| Error::Recognition(error.to_string()))?;
        Ok(read::decode(&scores, n_classes, &self.alphabet))
    }

    fn run(&self, model: &Model, input: &[f32], shape: [usize; 4]) -> Result<Value> {
        let failed = |error: String| Error::Recognition(error);
        let input = ValueView::from_shape(shape, input).map_err(|e| failed(e.to_string()))?;
        model
            .run_one(input.into(), Some(self.options.clone()))
            .map_err(|error| failed(error.to_string()))
    }
}

/// Whether a tall box holds more than one character, which is tall by itself.
fn text_is_long(found: &TextBox) -> bool {
    found.length() > found.thickness() * 1.8
}

fn is_ideographic(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}
