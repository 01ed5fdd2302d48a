use super::*;
use crate::extract::extract;
use proptest::prelude::*;

/// Two tokens for every text, one for each CJK character, mark and started four letters.
fn count(text: &str) -> usize {
    let mut n_tokens = 2;
    let mut letters = 0;
    for c in text.chars() {
        if c.is_alphanumeric() && !crate::extract::is_cjk(c) {
            n_tokens += usize::from(letters % 4 == 0);
            letters += 1;
        } else {
            letters = 0;
            n_tokens += usize::from(!c.is_whitespace());
        }
    }
    n_tokens
}

fn config(max_tokens: usize) -> ChunkConfig {
    ChunkConfig {
        max_tokens,
        overlap_tokens: max_tokens / 8,
        min_tokens: max_tokens / 5,
    }
}

fn chunks_of(markdown: &str, max_tokens: usize) -> Chunks {
    let extracted = extract(markdown.as_bytes(), "x.md", None, &crate::Tools::default()).unwrap();
    chunk(&extracted.blocks, &count, &config(max_tokens))
}

fn block(kind: BlockKind, text: &str, headings: &[&str]) -> Block {
    let headings = headings
        .iter()
        .map(|heading| (*heading).to_owned())
        .collect();
    Block {
        kind,
        text: text.to_owned(),
        locator: Locator {
            headings,
            ..Locator::default()
        },
    }
}

#[test]
fn sections_are_not_mixed_and_carry_their_path() {
    let long = "This sentence is one of many sentences in the section. ".repeat(6);
    let got = chunks_of(
        &format!("# Guide\n\n## Travel\n\n{long}\n\n## Meals\n\n{long}"),
        60,
    );
    for chunk in &got.chunks {
        assert!(
            !(chunk.text.contains("Travel") && chunk.text.contains("Meals")),
            "{chunk:?}"
        );
    }
    let last = got.chunks.last().unwrap();
    assert_eq!(last.locator.headings, ["Guide", "Meals"]);
    assert_eq!(last.context, "Guide > Meals");
    let first = &got.chunks[0];
    assert!(
        first.text.starts_with("Guide\n\nTravel\n\nThis"),
        "{first:?}"
    );
    assert_eq!(
        (first.context.as_str(), &first.locator.headings),
        ("", &vec!["Guide".to_owned(), "Travel".to_owned()])
    );
}

#[test]
fn tiny_sections_are_joined() {
    let got = chunks_of("# A\n\none\n\n# B\n\ntwo\n\n# C\n\nthree", 100);
    assert_eq!(got.chunks.len(), 1);
    assert!(
        got.chunks[0].locator.headings.is_empty(),
        "no heading stands above all of it"
    );
}

#[test]
fn a_heading_stays_with_its_text() {
    let text = format!(
        "{}\n\n### Next\n\n{}",
        "word word word. ".repeat(7),
        "more more more. ".repeat(9)
    );
    for chunk in chunks_of(&text, 48).chunks {
        assert!(!chunk.text.ends_with("Next"), "{chunk:?}");
    }
}

#[test]
fn long_tables_are_cut_between_rows_with_their_header_as_context() {
    let rows: String = (0..30)
        .map(|i| format!("| item{i} | {i}00 yen |\n"))
        .collect();
    let got = chunks_of(
        &format!("## Prices\n\n| item | price |\n|---|---|\n{rows}"),
        60,
    );
    assert!(got.chunks.len() > 3);
    assert!(got.chunks[0].text.contains("| item | price |"));
    for chunk in &got.chunks[1..] {
        assert!(
            chunk.text.starts_with("| item") && chunk.text.ends_with('|'),
            "{chunk:?}"
        );
        assert_eq!(chunk.context, "Prices\n| item | price |");
    }
}

#[test]
fn adjacent_chunks_share_whole_sentences() {
    let text: String = (0..20).map(|i| format!("Point {i} is made. ")).collect();
    let got = chunks_of(&text, 48);
    let (first, second) = (&got.chunks[0], &got.chunks[1]);
    assert!(second.span.start < first.span.end, "{first:?} {second:?}");
    assert!(second.text.starts_with("Point"));
}

#[test]
fn sentences_over_the_budget_are_cut_at_clauses_then_anywhere() {
    let clauses =
        "最初の条件を満たす場合、二番目の条件を確認し、三番目の処理を行い、結果を報告する。";
    let got = chunks_of(clauses, 20);
    assert!(
        got.chunks
            .iter()
            .rev()
            .skip(1)
            .all(|chunk| chunk.text.ends_with('、')),
        "{got:?}"
    );
    let run = "あ".repeat(100);
    let got = chunks_of(&run, 20);
    assert_eq!(
        got.chunks
            .iter()
            .map(|chunk| chunk.text.as_str())
            .collect::<String>(),
        run
    );
}

#[test]
fn little_more_is_counted_than_there_is_text() {
    let rows: String = (0..20_000).map(|row| format!("| {row} | x |\n")).collect();
    let shapes = [
        ("one word", BlockKind::Paragraph, "QUJD".repeat(100_000)),
        (
            "one word of Japanese",
            BlockKind::Paragraph,
            "情報".repeat(70_000),
        ),
        (
            "clauses of a letter",
            BlockKind::Paragraph,
            "a、".repeat(100_000),
        ),
        ("numbers", BlockKind::Paragraph, "1, ".repeat(100_000)),
        (
            "sentences of a letter",
            BlockKind::Paragraph,
            "あ。".repeat(70_000),
        ),
        ("full stops", BlockKind::Paragraph, ". ".repeat(200_000)),
        ("lines of a letter", BlockKind::Code, "x\n".repeat(200_000)),
        (
            "a table",
            BlockKind::Table,
            format!("| a | b |\n| --- | --- |\n{rows}"),
        ),
        ("a heading", BlockKind::Heading(1), "word ".repeat(80_000)),
    ];
    for (name, kind, text) in shapes {
        let n_counted = std::cell::Cell::new(0);
        let counted = |text: &str| {
            n_counted.set(n_counted.get() + text.len());
            count(text)
        };
        let blocks = [block(kind, &text, &["Above", "all"])];
        let got = chunk(&blocks, &counted, &config(256));
        assert!(got.chunks.len() > 100, "{name}: {}", got.chunks.len());
        let times = n_counted.get() as f64 / text.len() as f64;
        assert!(
            times < 10.0,
            "{name}: the text was counted {times:.1} times"
        );
    }
}

#[test]
fn cutting_ends_when_nobody_wants_it() {
    let blocks = [block(
        BlockKind::Paragraph,
        &"Some words. ".repeat(10_000),
        &[],
    )];
    let asked = std::cell::Cell::new(0);
    let got = chunk_unless(
        &|| {
            asked.set(asked.get() + 1);
            asked.get() > 100
        },
        &blocks,
        Counter {
            count: &count,
            adds_up: &|_| false,
        },
        &config(64),
    );
    assert_eq!(got, None);
    assert!(asked.get() < 120, "asked {} times", asked.get());
}

#[test]
fn contexts_stay_within_half_the_budget() {
    let heading = "very long heading ".repeat(20);
    let blocks = [
        block(BlockKind::Paragraph, "text", &[&heading, &heading, "inner"]),
        block(
            BlockKind::Table,
            &format!(
                "| {heading} | b |\n| --- | --- |\n{}",
                "| x | y |\n".repeat(60)
            ),
            &[&heading],
        ),
    ];
    let got = chunk(&blocks, &count, &config(80));
    assert!(got.chunks.len() > 2);
    for chunk in &got.chunks {
        assert!(count(&chunk.context) <= 42, "{chunk:?}");
    }
}

#[test]
fn a_header_has_the_room_that_the_headings_leave() {
    let table = |header: &str| {
        let rows = "| x | y |\n".repeat(60);
        block(
            BlockKind::Table,
            &format!("{header}\n| --- | --- |\n{rows}"),
            &["H"],
        )
    };
    // A third of the budget.
    let header = format!("| {} | last |", "name ".repeat(24));
    let got = chunk(&[table(&header)], &count, &config(100));
    for chunk in &got.chunks[1..] {
        assert_eq!(chunk.context, format!("H\n{header}"));
    }
    // Columns without names have nothing to say.
    let got = chunk(&[table("| | |")], &count, &config(100));
    assert!(got.chunks.len() > 2);
    for chunk in &got.chunks {
        assert_eq!(chunk.context, "H");
    }
}

fn any_kind() -> impl Strategy<Value = BlockKind> {
    prop_oneof![
        (1..=6_u8).prop_map(BlockKind::Heading),
        Just(BlockKind::Paragraph),
        Just(BlockKind::ListItem),
        Just(BlockKind::Table),
        Just(BlockKind::Code),
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z ,.!?]{0,200}",
        "[あ-ん漢字、。「」！？ A-Z0-9.]{0,120}",
        "(\\| [a-z0-9]{0,8} \\| [ぁ-ん]{0,8} \\|\n){0,12}",
        "\\PC{0,80}",
        "[ \n\t\u{3000}x]{0,20}",
        "[a-z]{150}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn chunks_cover_the_text_under_the_budget(
        parts in prop::collection::vec((any_kind(), any_text()), 0..12),
        max_tokens in 8..120_usize,
        overlap_tokens in 0..40_usize,
        min_tokens in 0..60_usize,
    ) {
        let blocks: Vec<Block> = parts.iter().map(|(kind, text)| block(*kind, text, &["H"])).collect();
        let config = ChunkConfig { max_tokens, overlap_tokens, min_tokens };
        let got = chunk(&blocks, &count, &config);

        let texts: Vec<&str> = parts.iter().map(|(_, text)| text.as_str()).filter(|text| !text.trim().is_empty()).collect();
        prop_assert_eq!(&got.text, &texts.join("\n\n"));
        let mut covered = vec![false; got.text.len()];
        for (ordinal, chunk) in got.chunks.iter().enumerate() {
            prop_assert_eq!(chunk.ordinal as usize, ordinal);
            prop_assert_eq!(&chunk.text, &got.text[chunk.span.clone()]);
            prop_assert_eq!(chunk.n_tokens, count(&chunk.text));
            prop_assert!(chunk.n_tokens <= max_tokens);
            prop_assert!(!chunk.text.trim().is_empty());
            covered[chunk.span.clone()].fill(true);
        }
        for (at, c) in got.text.char_indices() {
            prop_assert!(covered[at] || c.is_whitespace(), "{:?} at {} is in no chunk", c, at);
        }
        let adds_up = |text: &str| !text.is_empty() && text.trim() == text;
        let added = chunk_unless(&|| false, &blocks, Counter { count: &count, adds_up: &adds_up }, &config);
        prop_assert_eq!(added.as_ref(), Some(&got));
        let starts: Vec<usize> = got.chunks.iter().map(|chunk| chunk.span.start).collect();
        let ends: Vec<usize> = got.chunks.iter().map(|chunk| chunk.span.end).collect();
        prop_assert!(starts.is_sorted_by(|a, b| a < b) && ends.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn sentences_partition_the_text(text in any_text()) {
        let mut at = 0;
        for range in sentences(&text) {
            prop_assert!(range.start >= at && range.end > range.start);
            prop_assert!(text[at..range.start].trim().is_empty());
            at = range.end;
        }
        prop_assert!(text[at..].trim().is_empty());
    }
}
