//! Words that say nothing about what a text is about. Queries leave them out unless they have nothing else.

/// English function words, sorted.
const ENGLISH: &[&str] = &[
    "a", "about", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could",
    "did", "do", "does", "for", "from", "had", "has", "have", "how", "i", "if", "in", "into", "is",
    "it", "its", "me", "my", "no", "not", "of", "on", "or", "our", "should", "so", "such", "that",
    "the", "their", "them", "then", "there", "these", "they", "this", "to", "was", "we", "were",
    "what", "when", "where", "which", "who", "why", "will", "with", "would", "you", "your",
];

/// Japanese particles, auxiliaries, formal nouns and question words of two and more characters, sorted.
/// Single hiragana are all stop words.
const JAPANESE: &[&str] = &[
    "あの",
    "ある",
    "あれ",
    "いう",
    "いつ",
    "いる",
    "おり",
    "から",
    "くださ",
    "ください",
    "けど",
    "けれど",
    "こう",
    "ここ",
    "こと",
    "この",
    "これ",
    "しか",
    "すぎ",
    "する",
    "すれ",
    "せる",
    "そう",
    "そこ",
    "そして",
    "その",
    "それ",
    "たい",
    "だけ",
    "だっ",
    "たち",
    "たり",
    "だれ",
    "だろう",
    "って",
    "つつ",
    "です",
    "でき",
    "できる",
    "でし",
    "でしょう",
    "という",
    "とき",
    "どう",
    "どこ",
    "どの",
    "どれ",
    "どんな",
    "ない",
    "なお",
    "なか",
    "ながら",
    "なく",
    "なけれ",
    "など",
    "なに",
    "なら",
    "なり",
    "なる",
    "なん",
    "ので",
    "のに",
    "ます",
    "また",
    "まで",
    "まし",
    "ましょう",
    "ませ",
    "もの",
    "やり",
    "よう",
    "より",
    "られ",
    "られる",
    "れる",
    "について",
    "による",
    "何",
    "誰",
];

/// Returns whether `word`, lower-case, is an English stop word.
pub(super) fn is_english(word: &str) -> bool {
    ENGLISH.contains(&word)
}

/// Returns whether `word` is a Japanese stop word.
pub(super) fn is_japanese(word: &str) -> bool {
    let mut chars = word.chars();
    let single_hiragana = matches!(
        (chars.next(), chars.next()),
        (Some('\u{3041}'..='\u{309F}'), None)
    );
    single_hiragana || JAPANESE.contains(&word)
}
