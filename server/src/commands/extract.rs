//! `kura extract`

use super::{Outcome, print_json};
use crate::app;
use crate::config::Config;
use kura_indexer::extract::Taker;
use kura_indexer::extract::isolation::{self, Protection, SourceFile};
use kura_indexer::{Block, BlockKind, Extracted, Locator, Metadata, PageQuality, Tools};
use kura_models::{PpOcr, Recognizer};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Arguments of `kura extract`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to read.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `kura extract-worker`.
#[derive(Debug, clap::Args)]
pub struct WorkerArgs {
    /// What must be confined before the first document is read.
    #[arg(long, value_enum)]
    protection: ProtectionArg,
    /// Folder of the model that recognizes text in pictures.
    #[arg(long)]
    recognizer: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ProtectionArg {
    BestEffort,
    Required,
}

impl From<ProtectionArg> for Protection {
    fn from(protection: ProtectionArg) -> Self {
        match protection {
            ProtectionArg::BestEffort => Self::BestEffort,
            ProtectionArg::Required => Self::Required,
        }
    }
}

#[derive(Serialize)]
struct Output {
    title: Option<String>,
    metadata: Metadata,
    blocks: Vec<BlockOutput>,
    pages: Vec<PageQuality>,
    warnings: Vec<String>,
    /// Files that lie in it: documents of their own.
    files: Vec<FileOutput>,
}

#[derive(Serialize)]
struct FileOutput {
    path: String,
    media_type: String,
    size_bytes: usize,
}

#[derive(Serialize)]
struct BlockOutput {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<u8>,
    text: String,
    page: Option<u32>,
    range: Option<String>,
    headings: Vec<String>,
}

/// Prints what would be indexed of a file.
///
/// # Errors
/// When the file cannot be read.
pub async fn run(config: &Config, args: &Args) -> anyhow::Result<Outcome> {
    let name = args.file.file_name().unwrap_or_default();
    let files: Arc<Mutex<Vec<FileOutput>>> = Arc::default();
    let seen = Arc::clone(&files);
    let taker = Taker::new(move |number, file| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.truncate(number);
        seen.push(FileOutput {
            path: file.path.to_owned(),
            media_type: file.media_type.to_owned(),
            size_bytes: file.bytes.len(),
        });
        Ok(())
    });
    let file = SourceFile {
        bytes: fs_err::read(&args.file)?.into(),
        name: name.to_string_lossy().into_owned(),
        media_type: None,
        taker: Some(taker),
    };
    let extracted = app::extractor(config)?.extract(file).await?;
    let files = std::mem::take(&mut *files.lock().unwrap_or_else(PoisonError::into_inner));
    if args.json {
        print_json(&Output::new(extracted, files))?;
    } else {
        print(&extracted, &files);
    }
    Ok(Outcome::Success)
}

/// Reads documents from standard input until it ends, confined.
///
/// # Errors
/// When this process cannot be confined as demanded, or the server is gone.
pub fn work(args: &WorkerArgs) -> anyhow::Result<Outcome> {
    // One core each: there are as many workers as may work at the same time.
    let recognizer: Option<Arc<dyn Recognizer>> = match &args.recognizer {
        Some(dir) => Some(Arc::new(PpOcr::load(dir, Some(1))?)),
        None => None,
    };
    isolation::serve(args.protection.into(), Tools::new(recognizer))?;
    Ok(Outcome::Success)
}

fn print(extracted: &Extracted, files: &[FileOutput]) {
    if let Some(title) = &extracted.title {
        say!("{title}\n");
    }
    for block in &extracted.blocks {
        let Locator { page, range, .. } = &block.locator;
        let place = super::search::place(*page, range.as_deref());
        say!("[{}{place}]\n{}\n", kind(block.kind).0, block.text);
    }
    for file in files {
        say!(
            "[file] {} ({}, {} bytes)",
            file.path,
            file.media_type,
            file.size_bytes
        );
    }
    for warning in &extracted.warnings {
        eprintln!("warning: {}", warning.message);
    }
}

impl Output {
    fn new(extracted: Extracted, files: Vec<FileOutput>) -> Self {
        Self {
            title: extracted.title,
            metadata: extracted.metadata.tidied(),
            blocks: extracted.blocks.into_iter().map(Into::into).collect(),
            pages: extracted.pages,
            files,
            warnings: extracted
                .warnings
                .into_iter()
                .map(|warning| warning.message)
                .collect(),
        }
    }
}

impl From<Block> for BlockOutput {
    fn from(block: Block) -> Self {
        let (kind, level) = kind(block.kind);
        Self {
            kind,
            level,
            text: block.text,
            page: block.locator.page,
            range: block.locator.range,
            headings: block.locator.headings,
        }
    }
}

fn kind(kind: BlockKind) -> (&'static str, Option<u8>) {
    match kind {
        BlockKind::Heading(level) => ("heading", Some(level)),
        BlockKind::Paragraph => ("paragraph", None),
        BlockKind::ListItem => ("list_item", None),
        BlockKind::Table => ("table", None),
        BlockKind::Code => ("code", None),
    }
}
