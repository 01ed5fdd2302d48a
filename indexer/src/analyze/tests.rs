use super::*;

fn words(text: &str) -> Vec<String> {
    analyze(text)
        .words
        .into_iter()
        .map(|term| term.text)
        .collect()
}

fn query(text: &str) -> Vec<String> {
    analyze(text)
        .query_words()
        .map(|term| term.text.clone())
        .collect()
}

#[test]
fn japanese_words() {
    for (text, expected) in [
        (
            "東京特許許可局の社内ナレッジ検索でRAGを導入する",
            "東京/特許/許可局/の/社内/ナレッジ/検索/で/rag/を/導入/する",
        ),
        (
            "有給休暇の申請期限はいつですか",
            "有給/休暇/の/申請/期限/は/いつ/です/か",
        ),
        ("情報セキュリティポリシー", "情報/セキュリティポリシ"),
        ("特許", "特許"),
        ("検索", "検索"),
        ("有給休暇", "有給/休暇"),
    ] {
        assert_eq!(words(text).join("/"), expected, "{text}");
    }
}

#[test]
fn half_width_equals_full_width() {
    assert_eq!(words("ｸﾗｽﾀ構成"), words("クラスタ構成"));
    assert_eq!(words("ＶＰＮ　３．２"), words("VPN 3.2"));
    assert_eq!(analyze("ｶﾞｲﾄﾞ").bigrams, analyze("ガイド").bigrams);
}

#[test]
fn codes_are_kept_whole_and_in_parts() {
    for (text, expected) in [
        (
            "VPN接続エラーコード0x80070005",
            "vpn/接続/エラー/コード/0x80070005/0x/80070005",
        ),
        ("AB-1234", "ab-1234/ab1234/ab/1234"),
        ("第3.2条", "第/3.2/3/2/条"),
        ("foo_bar", "foo_bar/foobar/foo/bar"),
        ("__init__", "__init__/init"),
        (
            "a.user@example.com",
            "a.user@example.com/a.user/a/user/example.com/exampl/com",
        ),
        ("1,234,567円", "1234567/円"),
        ("1,23", "1,23/1/23"),
        ("1,234.50", "1234.50/1234/50"),
        ("fooBar", "foobar/foo/bar"),
        ("HTTPServer", "httpserver/http/server"),
        ("iPhone OAuth2", "iphon/oauth2"),
        ("ISO27001", "iso27001/iso/27001"),
        ("the 20th", "the/20th"),
        ("v2.3.1", "v2.3.1/2.3.1/v2/3/1"),
        ("std::vec::Vec", "std::vec::vec/std/vec/vec"),
        (
            "/etc/nginx.conf",
            "etc/nginx.conf/etc/nginx.conf/nginx/conf",
        ),
        (r"C:\Users\kura", r"c/users\kura/user/kura"),
        ("C++とC#", "c++/c/と/c#/c"),
        ("e-mail", "email/e/mail"),
        ("state-of-the-art", "state-of-the-art/state/of/the/art"),
        ("x86_64.", "x86_64/x8664/x86/64"),
    ] {
        assert_eq!(words(text).join("/"), expected, "{text}");
    }
}

#[test]
fn english_is_stemmed_and_apostrophes_stay() {
    assert_eq!(words("Running connections, ran"), ["run", "connect", "ran"]);
    assert_eq!(words("the company\u{2019}s"), words("the company's"));
    assert_eq!(query("companies"), query("company's"));
}

#[test]
fn queries_drop_function_words() {
    assert_eq!(
        query("How should you work with your Account Manager?"),
        ["work", "account", "manag"]
    );
    assert_eq!(
        query("有給休暇の申請期限はいつですか"),
        ["有給", "休暇", "申請", "期限"]
    );
    assert_eq!(
        query("about to be"),
        ["about", "to", "be"],
        "kept when there is nothing else"
    );
    assert_eq!(query("いつですか"), ["いつ", "です", "か"]);
}

#[test]
fn acronyms_are_no_function_words() {
    assert_eq!(query("who runs IT"), ["run", "it"]);
    assert_eq!(query("it部門の連絡先"), ["it", "部門", "連絡", "先"]);
}

#[test]
fn spellings_of_one_word_are_one_term() {
    for spellings in [
        &["サーバー", "サーバ", "ｻｰﾊﾞｰ", "サ－バ－", "サ‐バ"] as &[_],
        &["コンピューター", "コンピュータ"],
        &["インターフェース", "インタフェース"],
        &["ヴァイオリン", "バイオリン"],
        &["ウェブサイト", "ウエブサイト"],
        &["フィルム", "フイルム"],
        &["申し込み", "申込み", "申込"],
        &["引き渡し", "引渡し", "引渡"],
        &["打ち合わせ", "打ち合せ", "打合せ"],
        &["國民健康保險", "国民健康保険"],
        &["髙橋", "高橋"],
        &["齋藤", "齊藤", "斎藤", "斉藤"],
        &["山﨑", "山崎"],
        &["第三条", "第3条", "第３条"],
        &["二〇二五年", "2025年"],
        &["COVID-19", "Covid\u{2010}19"],
    ] {
        for spelling in spellings {
            assert_eq!(words(spelling), words(spellings[0]), "{spelling}");
        }
    }
    assert_eq!(words("サ－バ－の").first(), words("サーバーの").first());
}

#[test]
fn distinct_words_stay_distinct() {
    for (one, other) in [
        ("キー", "キ"),
        ("コピー", "コピ"),
        ("ビール", "ビル"),
        ("データ", "デタ"),
        ("女の子", "女子"),
        ("三重県", "3重県"),
        ("一般", "1般"),
    ] {
        assert_ne!(words(one), words(other), "{one} {other}");
    }
}

#[test]
fn a_plural_acronym_is_the_acronym() {
    assert_eq!(words("VPNs APIs"), words("VPN API"));
}

#[test]
fn an_english_sentence_amid_japanese_is_english() {
    assert_eq!(
        query("画面に Please wait for the server と出る"),
        ["画面", "pleas", "wait", "server", "出る"]
    );
}

#[test]
fn grams_have_places_and_pass_over_white_space() {
    let grams = |text: &str| {
        let grams = super::grams(text).into_iter();
        grams
            .map(|gram| format!("{}{}", gram.text, gram.position))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(grams("検索RAG、税 、"), "検索0 索r1 ra2 ag3 税6");
    assert_eq!(grams("有給休\n暇"), grams("有給休暇"));
    assert_eq!(grams("國"), "国0");
    let open: Vec<bool> = super::grams("税、税、税")
        .iter()
        .map(|gram| gram.open)
        .collect();
    assert_eq!(open, [true, false, true]);
}

#[test]
fn bigrams_stay_within_a_run() {
    assert_eq!(analyze("検索RAG導入、税").bigrams, ["検索", "導入", "税"]);
    assert_eq!(analyze("東京都京都").kanji, ["東", "京", "都"]);
    assert_eq!(analyze("plain text").bigrams, Vec::<String>::new());
}

#[test]
fn scripts_without_spaces_get_bigrams() {
    let korean = analyze("휴가 신청");
    assert_eq!(korean.bigrams, ["휴가", "신청"]);
    assert_eq!(words("휴가 신청"), ["휴가", "신청"]);
    assert!(analyze("ภาษาไทย").bigrams.len() > 3);
}

#[test]
fn other_alphabets_are_words() {
    assert_eq!(
        words("Straße Ünïcode Москва"),
        ["straße", "ünïcode", "москва"]
    );
    assert_eq!(words("हिन्दी भाषा").len(), 2, "vowel signs do not cut words");
}

#[test]
fn spans_point_into_the_input() {
    let text = "ﾃｽﾄ用のサーバー（ＶＰＮ）を running";
    let analysis = analyze(text);
    let spans: Vec<&str> = analysis
        .words
        .iter()
        .map(|term| &text[term.span.clone()])
        .collect();
    assert_eq!(
        spans,
        ["ﾃｽﾄ", "用", "の", "サーバー", "ＶＰＮ", "を", "running"]
    );
    let positions: Vec<usize> = analyze("a-b c")
        .words
        .iter()
        .map(|term| term.position)
        .collect();
    assert_eq!(positions, [0, 0, 1, 2]);
}

#[test]
fn nothing_gives_nothing() {
    for text in ["", "  \n", "、。！？", "---", "\u{0}", "😀"] {
        assert_eq!(analyze(text), Analysis::default(), "{text:?}");
    }
}

#[test]
fn encoded_data_is_cut() {
    let blob = "a1".repeat(500);
    let words = words(&blob);
    assert_eq!(words.len(), 1);
    assert_eq!(words[0].chars().count(), MAX_WORD_CHARS);
}

proptest::proptest! {
    #[test]
    fn any_text_has_valid_spans(text in "\\PC{0,40}[ぁ-んァ-ヶ一-龠a-zA-Z0-9ｦ-ﾟ .,_'-]{0,40}") {
        for term in analyze(&text).words {
            proptest::prop_assert!(!text[term.span].is_empty());
        }
    }

    #[test]
    fn any_part_of_a_japanese_text_shares_a_bigram_with_it(text in "[ぁ-んァ-ヶ一-龠]{2,30}", from in 0usize..28, len in 2usize..6) {
        let chars: Vec<char> = text.chars().collect();
        let from = from.min(chars.len() - 2);
        let part: String = chars[from..(from + len).min(chars.len())].iter().collect();
        let whole = analyze(&text).bigrams;
        proptest::prop_assert!(analyze(&part).bigrams.iter().all(|gram| whole.contains(gram)));
    }
}
