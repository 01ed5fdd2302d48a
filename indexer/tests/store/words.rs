//! How words of a query are found in texts.

use super::{ALL, SHELF, axis, chunk, empty_store, lexical, put, write};
use kura_indexer::store::Store as _;
use kura_indexer::{AccessFilter, Acl};
use std::collections::BTreeSet;

#[tokio::test]
async fn short_japanese_queries_and_codes_find_their_text() {
    let (_dir, store) = empty_store();
    let texts = [
        "有給休暇の申請期限はいつですか。社内規程に従ってください。",
        "東京特許許可局の社内ナレッジ検索でRAGを導入する。",
        "ｸﾗｽﾀ構成とスケールアウト手順を教えてください。",
        "情報セキュリティポリシー第3.2条による。サーバーの管理者。",
        "VPN接続エラーコード0x80070005、部品番号AB-1234。",
        "To be, or not to be.",
    ];
    let chunks = (0..)
        .zip(texts)
        .map(|(n, text)| chunk(n, 0, "", text, axis(0)))
        .collect();
    write(&store, vec![put(SHELF, &Acl::everyone(), chunks)]).await;
    for (query, expected) in [
        ("特許", 1),
        ("検索", 1),
        ("許可", 1),
        ("東京 特許", 1),
        ("rag", 1),
        ("有給休暇", 0),
        ("給休", 0),
        ("暇", 0),
        ("申請期限", 0),
        ("いつ", 0),
        ("クラスタ", 2),
        ("ｸﾗｽﾀ構成", 2),
        ("スケール アウト", 2),
        ("セキュリティ", 3),
        ("3.2条", 3),
        ("サーバ", 3),
        ("ｻｰﾊﾞｰ", 3),
        ("0x80070005", 4),
        ("０Ｘ８００７０００５", 4),
        ("ab-1234", 4),
        ("1234", 4),
        ("エラーコード", 4),
        ("ＶＰＮ", 4),
        ("to be or not to be", 5),
    ] {
        let hits = lexical(&store, query).await;
        assert_eq!(hits.first(), Some(&(expected, 0)), "{query}: {hits:?}");
    }
    assert!(
        lexical(&store, "存在しない単語 absent")
            .await
            .iter()
            .all(|&(n, _)| n != 5)
    );
}

#[tokio::test]
async fn a_part_of_a_word_is_the_last_resort() {
    let (_dir, store) = empty_store();
    let chunks = vec![
        chunk(1, 0, "", "error E80070005", axis(0)),
        chunk(2, 0, "", "error E8007 and 8007", axis(1)),
        chunk(3, 0, "", "another", axis(2)),
    ];
    write(&store, vec![put(SHELF, &Acl::everyone(), chunks)]).await;
    assert_eq!(
        lexical(&store, "0x8007").await,
        [(2, 0)],
        "whole words first"
    );
    assert_eq!(lexical(&store, "800700").await, [(1, 0)]);
    assert_eq!(lexical(&store, "nothe").await, [(3, 0)]);
    assert!(lexical(&store, "no.*er").await.is_empty(), "no patterns");
    assert!(lexical(&store, "zzz").await.is_empty());
    let nobody = AccessFilter::groups(BTreeSet::new());
    let hits = store
        .search_lexical("nothe", &ALL, 5, &nobody)
        .await
        .unwrap();
    assert!(hits.is_empty());
}
