//! The keyword leg alone: pieces of texts as they are written, and the many spellings of codes and Japanese words.

use kura_indexer::store::{EmbeddedStore, IndexOp, Store, StoreSpec, StoredChunk};
use kura_indexer::{
    AccessFilter, Acl, Attributes, Block, BlockKind, ChunkConfig, ChunkId, CollectionId,
    Collections, DocumentId, Locator, chunk, extract,
};
use kura_models::Embedder as _;
use kura_models::fake::FakeEmbedder;
use kura_tests::fixture;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use unicode_normalization::UnicodeNormalization as _;
use uuid::Uuid;

const N_LITERALS: usize = 200;

struct Document {
    id: String,
    title: String,
    blocks: Vec<Block>,
}

/// Documents and an index of their words.
struct Corpus {
    /// Text of each document, as it was indexed.
    texts: Vec<String>,
    ids: Vec<String>,
    store: EmbeddedStore,
    _dir: TempDir,
}

impl Corpus {
    async fn new(documents: Vec<Document>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let spec = StoreSpec {
            embedder_id: "none".to_owned(),
            embedder_revision: "none".to_owned(),
            dim: 2,
        };
        let store = EmbeddedStore::open(dir.path(), &spec).unwrap();
        let tokens = FakeEmbedder::new();
        let count = |text: &str| tokens.count_tokens(text);
        let (mut texts, mut ids) = (Vec::new(), Vec::new());
        for (document, at) in documents.into_iter().zip(0..) {
            let cut = chunk(&document.blocks, &count, &ChunkConfig::default());
            let chunks = cut.chunks.into_iter().map(|chunk| StoredChunk {
                id: ChunkId {
                    document: DocumentId(Uuid::from_u128(at)),
                    version: 1,
                    ordinal: chunk.ordinal,
                },
                title: document.title.clone(),
                headings: chunk.context,
                text: chunk.text,
                vector: vec![1.0, 0.0],
            });
            let put = IndexOp::PutWords {
                collection: CollectionId(Uuid::nil()),
                acl: Acl::everyone(),
                attributes: Attributes::default(),
                chunks: chunks.collect(),
            };
            store.apply(vec![put]).await.unwrap();
            texts.push(cut.text);
            ids.push(document.id);
        }
        store.checkpoint().await.unwrap();
        Self {
            texts,
            ids,
            store,
            _dir: dir,
        }
    }

    /// Returns the first 10 documents by their place in the corpus.
    async fn ranking(&self, query: &str) -> Vec<usize> {
        let access = AccessFilter::unrestricted("test");
        let hits = self
            .store
            .search_lexical(query, &Collections::All, 100, &access);
        let mut seen = HashSet::new();
        let documents = hits.await.unwrap().into_iter();
        documents
            .map(|hit| usize::try_from(hit.chunk.document.0.as_u128()).unwrap())
            .filter(|document| seen.insert(*document))
            .take(10)
            .collect()
    }
}

#[tokio::test]
async fn a_piece_of_a_text_finds_the_text() {
    let Some(folder) = eval_folder() else {
        return;
    };
    let sources = [
        beir(&folder.join("jsquad")),
        beir(&folder.join("lawqa_jp")),
        files(&folder.join("handbook_ja_tuqulore/files")),
    ];
    let mut starts = Vec::new();
    let mut documents = Vec::new();
    for source in sources {
        starts.push(documents.len()..documents.len() + source.len());
        documents.extend(source);
    }
    let corpus = Corpus::new(documents).await;
    let normalized: Vec<String> = corpus
        .texts
        .iter()
        .map(|text| text.nfkc().collect())
        .collect();
    let seed = std::env::var("KURA_TEST_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut random = Random(seed);
    let (mut recall, mut empty, mut missed) = (0.0, 0, Vec::new());
    for n in 0..N_LITERALS {
        let source = starts[n % starts.len()].clone();
        let query = literal(&corpus.texts[source], &mut random);
        let wanted: String = query.nfkc().collect();
        let relevant: HashSet<usize> = (0..normalized.len())
            .filter(|&at| normalized[at].contains(&wanted))
            .collect();
        assert!(!relevant.is_empty(), "{query:?} was drawn from the corpus");
        let ranking = corpus.ranking(&query).await;
        let found = ranking.iter().filter(|at| relevant.contains(at)).count();
        let possible = relevant.len().min(10);
        recall += found as f64 / possible as f64;
        empty += usize::from(ranking.is_empty());
        if found < possible {
            missed.push(format!("{query:?}: {found} of {possible}"));
        }
    }
    recall /= N_LITERALS as f64;
    println!(
        "recall@10 of {N_LITERALS} pieces: {recall:.3}, {empty} without any result; short of full: {missed:#?}"
    );
    assert!(recall >= 0.95, "{recall}");
    assert_eq!(empty, 0);
}

#[tokio::test]
async fn spellings_codes_and_both_languages_find_their_documents() {
    let folder = fixture("mixed");
    let documents = beir(&folder);
    let corpus = Corpus::new(documents).await;
    let queries = rows(&folder.join("queries.jsonl"));
    let qrels = fs_err::read_to_string(folder.join("qrels.tsv")).unwrap();
    assert_eq!(queries.len(), 50);
    let mut found = 0;
    let mut first = 0;
    for query in &queries {
        let id = query["_id"].as_str().unwrap();
        let row = qrels.lines().find(|row| row.starts_with(id)).unwrap();
        let wanted = row.split('\t').nth(1).unwrap();
        let ranking = corpus.ranking(query["text"].as_str().unwrap()).await;
        let place = ranking.iter().position(|&at| corpus.ids[at] == wanted);
        if place != Some(0) {
            println!("{}: {wanted} is at {place:?}", query["text"]);
        }
        found += usize::from(place.is_some());
        first += usize::from(place == Some(0));
    }
    println!("of 50 queries {found} have their document among the first 10, {first} as the first");
    assert!(found >= 48, "{found}");
    assert!(first >= 45, "{first}");
}

/// Returns the folder of labelled data sets, or says that the test is skipped.
fn eval_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/eval");
    let folder = std::env::var_os("KURA_TEST_EVAL").map_or(folder, PathBuf::from);
    let is_here = folder.join("jsquad/corpus.jsonl").is_file();
    if !is_here {
        println!("skipped: the folder of labelled data sets is not here");
    }
    is_here.then_some(folder)
}

fn rows(path: &Path) -> Vec<serde_json::Value> {
    let text = fs_err::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Reads the documents of a data set in BEIR layout.
fn beir(folder: &Path) -> Vec<Document> {
    let document = |row: &serde_json::Value| {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        Document {
            id: text("_id"),
            title: text("title"),
            blocks: vec![Block {
                kind: BlockKind::Paragraph,
                text: text("text"),
                locator: Locator::default(),
            }],
        }
    };
    rows(&folder.join("corpus.jsonl"))
        .iter()
        .map(document)
        .collect()
}

/// Reads the files of a folder as kura does.
fn files(folder: &Path) -> Vec<Document> {
    let mut paths: Vec<PathBuf> = fs_err::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let document = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let extracted = extract(
            &fs_err::read(path).unwrap(),
            &name,
            Some("text/markdown"),
            &kura_indexer::Tools::default(),
        )
        .unwrap();
        Document {
            title: extracted.title.unwrap_or_else(|| name.clone()),
            id: name,
            blocks: extracted.blocks,
        }
    };
    paths.iter().map(document).collect()
}

/// Draws 4 to 20 characters from anywhere in one of the texts, with at least one that is no hiragana and no sign.
fn literal(texts: &[String], random: &mut Random) -> String {
    loop {
        let chars: Vec<char> = texts[random.below(texts.len())].chars().collect();
        let len = 4 + random.below(17);
        if chars.len() < len {
            continue;
        }
        let start = random.below(chars.len() - len + 1);
        let piece = &chars[start..start + len];
        let tells = |&c: &char| {
            c.is_ascii_alphanumeric()
                || matches!(c, '\u{30A1}'..='\u{30FA}' | '\u{4E00}'..='\u{9FFF}' | '\u{FF10}'..='\u{FF5A}')
        };
        if piece.iter().any(tells) {
            return piece.iter().collect();
        }
    }
}

/// The same numbers on every machine: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        // Seeds near each other must not begin alike.
        self.0 = self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % limit as u64).unwrap()
    }
}
