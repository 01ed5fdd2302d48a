use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::path::PathBuf;
use std::sync::LazyLock;

const WORDS: &str = r#"{"version":"1.0","added_tokens":[
    {"id":0,"content":"[SEP]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
    "normalizer":null,"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
    "model":{"type":"WordLevel","vocab":{"[SEP]":0,"[UNK]":1,"pay":2,"SEP":3,"[":4,"]":5},"unk_token":"[UNK]"}}"#;

fn tokenizer_of(json: &str) -> TextTokenizer {
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join("tokenizer.json"), json).unwrap();
    TextTokenizer::load(dir.path(), 16).unwrap()
}

#[test]
fn a_text_never_becomes_a_special_token() {
    let tokenizer = tokenizer_of(WORDS);
    assert_eq!(
        tokenizer.encode("", "pay [SEP] pay").unwrap().ids,
        [2, 4, 3, 5, 2]
    );
    assert_eq!(
        tokenizer.encode_pair("pay", "[SEP]").unwrap().ids,
        [2, 4, 3, 5]
    );
}

/// A tokenizer of the kind of multilingual-e5-small whose few pieces overlap in many ways, some with equal scores.
static UNIGRAM: LazyLock<TextTokenizer> = LazyLock::new(|| {
    let pieces = [
        ("<s>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("▁", -3.0),
        ("a", -4.0),
        ("b", -4.5),
        ("ab", -8.5),
        ("ba", -6.0),
        ("aba", -9.0),
        ("▁a", -5.0),
        ("▁ab", -7.0),
        ("aa", -8.0),
        ("か", -5.0),
        ("かな", -6.5),
        ("かなか", -8.0),
        ("な", -5.5),
        ("、", -3.5),
        ("な、か", -7.25),
        ("漢字", -9.0),
        ("1", -4.0),
        ("<", -6.0),
        ("é", -7.0),
        ("\u{301}", -7.0),
        ("한", -7.0),
    ];
    let blanks =
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    let unigram = json!({
        "version": "1.0",
        "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Nmt"},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
        "pre_tokenizer": blanks,
        "post_processor": null,
        "decoder": blanks,
        "model": {"type": "Unigram", "unk_id": 2, "byte_fallback": false, "vocab": pieces},
    });
    learned(tokenizer_of(&unigram.to_string()))
});

static E5: LazyLock<TextTokenizer> = LazyLock::new(|| {
    let folder = std::env::var_os("KURA_MODELS_DIR").map(PathBuf::from);
    let folder = folder.expect("KURA_MODELS_DIR is not set; run the tests with `make test`");
    learned(TextTokenizer::load(&folder.join("multilingual-e5-small"), 512).unwrap())
});

fn learned(tokenizer: TextTokenizer) -> TextTokenizer {
    let pieces = Pieces::of(&tokenizer.inner).expect("a tokenizer whose pieces can be counted");
    let words = tokenizer.words.as_ref().unwrap();
    assert!(words.pieces.set(pieces).is_ok());
    tokenizer
}

/// Counts with `tokenizers` alone, and remembers nothing.
fn count_slowly(tokenizer: &TextTokenizer, text: &str) -> usize {
    let tokens = |text: &str| tokenizer.plain(text).unwrap().len();
    if has_plain_blanks(text) {
        text.split(BLANKS)
            .filter(|word| !word.is_empty())
            .map(tokens)
            .sum()
    } else {
        tokens(text)
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[ab]{0,12}",
        "[a-zA-Z0-9,.'\"()-]{0,20}",
        "[abかな、漢字é1<]{0,20}",
        "[ぁ-ん]{0,20}",
        "[ァ-ー一-龥。「」（）！？１-９Ａ-Ｚ]{0,20}",
        "[ \n\t\r\u{3000}]{1,3}",
        "[\u{a0}\u{2003}\u{200b}\u{feff}\u{2581}\u{b}\u{85}\u{1}\u{ad}]{0,2}",
        "[aか한각각\u{301}\u{3099}ｶﾞ…㈱½ﬁÅ¨\u{200d}🦀👍🏽\u{fe0f}]{0,8}",
        "\\PC{0,12}",
        prop::sample::select(vec![
            "<s>",
            "</s>",
            "<unk>",
            "<mask>",
            "passage: ",
            "\u{10ffff}"
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn few_pieces_are_counted_as_the_library_counts_them(text in any_text()) {
        prop_assert_eq!(UNIGRAM.count(&text).unwrap(), count_slowly(&UNIGRAM, &text));
    }

    #[test]
    fn pieces_of_e5_are_counted_as_the_library_counts_them(text in any_text()) {
        prop_assert_eq!(E5.count(&text).unwrap(), count_slowly(&E5, &text));
    }
}

#[test]
fn usual_text_needs_no_library() {
    let words = E5.words.as_ref().unwrap();
    for text in [
        "Two  blanks,\ta tab\r\nand \u{3000} an ideographic space.",
        "有給休暇は入社 6 か月後に、１０日（以上）付与されます。「はい」",
        "no\u{a0}break… naïve ﬁnance ½ ™ ㈱ → ☒ “quoted” – 12 €",
        "경비는 월말까지 신청합니다. Расходы. Ausgaben für Übernachtung",
    ] {
        assert_eq!(words.count(text), Some(count_slowly(&E5, text)), "{text}");
    }
}

#[test]
fn a_long_word_is_counted_as_the_library_counts_it() {
    for part in ["あい", "a、", "QUJD", "(["] {
        let text = part.repeat(5_000);
        assert_eq!(E5.count(&text).unwrap(), count_slowly(&E5, &text), "{part}");
    }
}
