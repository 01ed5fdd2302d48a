//! Spellings that mean the same, folded to one of them: old and variant kanji, dashes written for the long mark,
//! katakana spellings, okurigana and numerals.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Pairs of a kanji and the one it is folded to: old forms (kyūjitai) to those of the Jōyō and Jinmeiyō tables, and
/// variants (itaiji) that names are written with. Facts taken from Unihan 14 (`kJinmeiyoKanji`) and the Japanese
/// character list of `OpenCC` 1.4 (Apache-2.0), less what differs in meaning in Japanese. What NFKC folds is not here.
const KANJI: &str = "\
    乘乗 亂乱 亙亘 亞亜 佛仏 來来 俠侠 俱倶 倂併 值値 假仮 傳伝 僊仙 僞偽 價価 儉倹 儘侭 兒児 兔兎 內内 兩両 冨富 \
    冰氷 凉涼 凛凜 凾函 刄刃 剎刹 剝剥 剩剰 劍剣 劑剤 劒剣 劵券 勞労 勳勲 勵励 勸勧 區区 卷巻 卻却 卽即 參参 叅参 \
    叡睿 吞呑 吳呉 咒呪 啞唖 單単 噓嘘 嚙噛 嚴厳 囊嚢 囑嘱 囯国 圀国 圈圏 國国 圍囲 圓円 圖図 團団 圡土 埜野 堯尭 \
    塡填 增増 墮堕 壓圧 壘塁 壞壊 壤壌 壯壮 壹壱 壺壷 壽寿 奧奥 奬奨 妝粧 姊姉 姬姫 孃嬢 學学 寢寝 實実 寫写 寬寛 \
    寳宝 寶宝 尅剋 將将 專専 對対 尙尚 屆届 屢屡 屬属 峯峰 峽峡 嵜崎 嶋島 嶌島 嶽岳 巖巌 巢巣 帶帯 幷并 廁厠 廢廃 \
    廣広 廳庁 彈弾 彌弥 彎弯 彥彦 徑径 從従 徵徴 德徳 恆恒 悅悦 悳徳 惠恵 惡悪 惱悩 愼慎 慘惨 慙慚 應応 懷懐 戀恋 \
    戰戦 戲戯 戶戸 戾戻 拂払 拔抜 拜拝 挾挟 插挿 揭掲 搔掻 搖揺 搜捜 摑掴 擇択 擊撃 擔担 據拠 擧挙 擴拡 攜携 攝摂 \
    攪撹 收収 效効 敍叙 敎教 敕勅 敘叙 數数 斈学 斉斎 斷断 旣既 昻昂 晄晃 晉晋 晚晩 晝昼 暎映 曆暦 曉暁 曾曽 會会 \
    枡桝 查査 栁柳 栖棲 桒桑 桺柳 條条 棧桟 棱稜 榮栄 槇槙 槗橋 槪概 樂楽 樓楼 樞枢 樣様 橫横 檜桧 檢検 櫻桜 權権 \
    歐欧 歡歓 步歩 歲歳 歷歴 歸帰 殘残 殼殻 毆殴 每毎 毗毘 氣気 污汚 沒没 涉渉 淚涙 淨浄 淸清 淺浅 渊淵 渕淵 渴渇 \
    溪渓 溫温 溼湿 滯滞 滿満 潑溌 潛潜 澀渋 澁渋 澤沢 濕湿 濟済 濤涛 濱浜 濵浜 瀆涜 瀧滝 瀨瀬 灣湾 焰焔 燈灯 燒焼 \
    營営 爐炉 爭争 爲為 牀床 犧犠 狀状 狹狭 獎奨 獨独 獵猟 獸獣 獻献 瑤瑶 瓣弁 甁瓶 產産 畧略 畫画 當当 疉畳 疊畳 \
    痹痺 瘦痩 癡痴 發発 皋皐 盃杯 盜盗 盡尽 眞真 硏研 碎砕 碕崎 礦鉱 祕秘 祿禄 禦御 禪禅 禮礼 禰祢 禱祷 稅税 稟禀 \
    稱称 稻稲 穐秋 穗穂 穩穏 穰穣 窗窓 竈竃 竊窃 竝並 篭籠 簞箪 籔藪 粮糧 粹粋 絕絶 絲糸 經経 綠緑 緖緒 緜綿 緣縁 \
    縣県 縱縦 總総 繡繍 繩縄 繪絵 繫繋 繼継 續続 纖繊 缺欠 罐缶 羣群 翆翠 耻恥 聯連 聰聡 聲声 聽聴 肅粛 肬疣 脣唇 \
    脫脱 腦脳 腳脚 膽胆 臟臓 臺台 與与 舉挙 舊旧 舍舎 舖舗 舘館 舩船 艷艶 莊荘 莖茎 萊莱 萠萌 萬万 蔣蒋 蔥葱 薗園 \
    薰薫 藏蔵 藝芸 藥薬 蘆芦 處処 虛虚 號号 螢蛍 蟬蝉 蟲虫 蠟蝋 蠶蚕 蠻蛮 衞衛 裝装 裡裏 襃褒 覊羈 覺覚 覽覧 觀観 \
    觧解 觸触 說説 謌歌 謠謡 證証 譯訳 譽誉 讀読 變変 讓譲 讚讃 谿渓 豐豊 豫予 貓猫 貘獏 貳弐 賍贓 賣売 賤賎 賴頼 \
    贊賛 贗贋 踐践 蹟跡 躰体 軆体 輌輛 輕軽 轉転 辧弁 辨弁 辭辞 辯弁 迹跡 遙遥 遞逓 遯遁 遲遅 邇迩 邉辺 邊辺 郞郎 \
    鄉郷 鄕郷 鄰隣 醉酔 醫医 醬醤 醱醗 釀醸 釋釈 鉤鈎 銕鉄 銳鋭 鋪舗 錄録 錢銭 鍊錬 鎭鎮 鐡鉄 鐵鉄 鑄鋳 鑛鉱 閒間 \
    閱閲 關関 陷陥 隝島 隨随 險険 隱隠 隸隷 雙双 雜雑 雞鶏 霸覇 靈霊 靏鶴 靑青 靜静 靱靭 頰頬 頴穎 頸頚 顏顔 顯顕 \
    飜翻 飮飲 餘余 餠餅 駈駆 騷騒 驅駆 驒騨 驗験 驛駅 髓髄 體体 髙高 髮髪 鬥闘 鬪闘 鬭闘 鰺鯵 鴈雁 鷄鶏 鷗鴎 鹼鹸 \
    鹽塩 麥麦 麪麺 麴麹 麵麺 黃黄 黑黒 默黙 點点 黨党 齊斎 齋斎 齒歯 齡齢 龍竜 龜亀 龝秋 﨑崎 﨟臈 𠮟叱 𠮷吉";

static KANJI_FOLDS: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    let pair = |pair: &str| {
        let mut chars = pair.chars();
        chars.next().zip(chars.next())
    };
    KANJI.split_whitespace().filter_map(pair).collect()
});

/// Returns whether [`char`] changes anything in a text; most need no second look.
pub(super) fn applies(text: &str) -> bool {
    let folds =
        |c: char| !c.is_ascii() && (is_long_mark_lookalike(c) || KANJI_FOLDS.contains_key(&c));
    text.chars().any(folds) || (text.contains('-') && text.chars().any(is_katakana))
}

/// Returns the character that `c` counts as between `before` and `after`. One for one, so that a piece of a text
/// stays a piece of it.
pub(super) fn char(c: char, before: Option<char>, after: Option<char>) -> char {
    let katakana = |c: Option<char>| c.is_some_and(is_katakana);
    // NFKC makes the full-width hyphen the ASCII one.
    if (c == '-' || is_long_mark_lookalike(c)) && katakana(before) && katakana(after) {
        return 'ー';
    }
    KANJI_FOLDS.get(&c).copied().unwrap_or(c)
}

/// Hyphen, dashes, minus and box drawing, as they come from keyboards and scans.
fn is_long_mark_lookalike(c: char) -> bool {
    matches!(
        c,
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2500}' | '\u{2501}'
    )
}

/// Returns whether `c` is a katakana letter or the long mark.
pub(super) fn is_katakana(c: char) -> bool {
    matches!(c, '\u{30A1}'..='\u{30FA}' | '\u{30FC}'..='\u{30FF}')
}

/// Katakana spellings and the one they are folded to before words are cut: the common one, which the segmentation
/// model knows.
const KATAKANA: [(&str, &str); 18] = [
    ("ヴァ", "バ"),
    ("ヴィ", "ビ"),
    ("ヴェ", "ベ"),
    ("ヴォ", "ボ"),
    ("ヴュ", "ビュ"),
    ("ヴ", "ブ"),
    ("ウイ", "ウィ"),
    ("ウエ", "ウェ"),
    ("ウオ", "ウォ"),
    ("フア", "ファ"),
    ("フイ", "フィ"),
    ("フエ", "フェ"),
    ("フオ", "フォ"),
    ("キヤノ", "キャノ"),
    ("テイー", "ティー"),
    ("ヶ", "ケ"),
    ("ヵ", "カ"),
    ("ヂ", "ジ"),
];

/// A run with its katakana spellings folded, and the way back.
pub(super) struct Spelled<'a> {
    pub(super) text: Cow<'a, str>,
    /// `(end in text, end in the run)` of every folded part, ascending.
    ends: Vec<(usize, usize)>,
}

impl<'a> Spelled<'a> {
    pub(super) fn new(run: &'a str) -> Self {
        let mut text = String::new();
        let mut ends = Vec::new();
        let (mut copied, mut at) = (0, 0);
        while let Some(c) = run[at..].chars().next() {
            let fold = KATAKANA
                .iter()
                .find(|(from, _)| run[at..].starts_with(from));
            let Some((from, to)) = fold else {
                at += c.len_utf8();
                continue;
            };
            text.push_str(&run[copied..at]);
            text.push_str(to);
            at += from.len();
            copied = at;
            ends.push((text.len(), at));
        }
        if ends.is_empty() {
            return Self {
                text: Cow::Borrowed(run),
                ends,
            };
        }
        text.push_str(&run[copied..]);
        Self {
            text: Cow::Owned(text),
            ends,
        }
    }

    /// Returns the place in the run of a place in the text.
    pub(super) fn origin(&self, at: usize) -> usize {
        let folded = self.ends.partition_point(|&(end, _)| end <= at);
        match folded.checked_sub(1).map(|last| self.ends[last]) {
            None => at,
            Some((end, origin)) => origin + (at - end),
        }
    }
}

/// Returns the term of a Japanese word: one for its spellings with and without long marks (サーバー, サーバ), with large and
/// small kana (フィルム, フイルム) and, of compounds, with and without okurigana (申し込み, 申込み, 申込).
pub(super) fn word(word: &str) -> Cow<'_, str> {
    if word.chars().all(is_katakana) {
        return long_marks(word);
    }
    okurigana(word).map_or(Cow::Borrowed(word), Cow::Owned)
}

/// Leaves out long marks where a word stays distinct without them: the last one from four characters on, as
/// JIS Z 8301 has it (キー is not キ), others if three characters are left (インタフェース, not データ).
fn long_marks(word: &str) -> Cow<'_, str> {
    const MARK: char = 'ー';
    if !word.contains(MARK) {
        return Cow::Borrowed(word);
    }
    let stem = match word.strip_suffix(MARK) {
        Some(stem) if word.chars().count() >= 4 => stem,
        _ => word,
    };
    if stem.chars().filter(|&c| c != MARK).count() >= 3 {
        return Cow::Owned(stem.chars().filter(|&c| c != MARK).collect());
    }
    Cow::Borrowed(stem)
}

/// Returns the kanji of a word that has at least two of them, begins with one, and has hiragana between or after
/// them. The particles の, が, な and つ between kanji are no okurigana (女の子 is not 女子).
fn okurigana(word: &str) -> Option<String> {
    let is_hiragana = |c: char| ('\u{3041}'..='\u{3096}').contains(&c);
    let mut kanji = String::new();
    let mut n_kanji = 0;
    let mut hiragana = 0;
    let mut particle = false;
    for c in word.chars() {
        if is_hiragana(c) {
            if n_kanji == 0 {
                return None;
            }
            hiragana += 1;
            particle = matches!(c, 'の' | 'が' | 'な' | 'つ');
        } else if super::is_kanji(c) || c == '々' {
            if particle {
                return None;
            }
            kanji.push(c);
            n_kanji += 1;
        } else {
            return None;
        }
    }
    (n_kanji >= 2 && hiragana > 0).then_some(kanji)
}

/// A numeral in kanji within a run, with what it is in digits.
pub(super) struct Numeral {
    pub(super) span: std::ops::Range<usize>,
    pub(super) digits: String,
}

/// Returns the numerals that number or count something (第三条, 三十二条, 二〇二五年): elsewhere 一 and 十 are parts of words.
pub(super) fn numerals(run: &str) -> Vec<Numeral> {
    const COUNTERS: &str = "条項号章節款編回年月日";
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(start) = run[rest..].find(is_numeral).map(|at| rest + at) {
        let tail = &run[start..];
        let end = start + tail.find(|c| !is_numeral(c)).unwrap_or(tail.len());
        let numbers = run[..start].ends_with('第')
            || run[end..]
                .chars()
                .next()
                .is_some_and(|c| COUNTERS.contains(c));
        if numbers && let Some(value) = value(&run[start..end]) {
            found.push(Numeral {
                span: start..end,
                digits: value.to_string(),
            });
        }
        rest = end;
    }
    found
}

fn is_numeral(c: char) -> bool {
    digit(c).is_some() || multiplier(c).is_some()
}

fn digit(c: char) -> Option<u32> {
    "〇一二三四五六七八九"
        .chars()
        .zip(0..)
        .find_map(|(known, value)| (known == c).then_some(value))
}

fn multiplier(c: char) -> Option<u32> {
    match c {
        '十' => Some(10),
        '百' => Some(100),
        '千' => Some(1000),
        _ => None,
    }
}

/// Returns the value of 三十二 or 二〇二五; `None` if it is no number below ten thousand.
fn value(numeral: &str) -> Option<u32> {
    if numeral.chars().count() > 7 {
        return None;
    }
    if numeral.chars().all(|c| digit(c).is_some()) {
        let value = numeral
            .chars()
            .filter_map(digit)
            .fold(0, |value, digit| value * 10 + digit);
        return (value < 10_000).then_some(value);
    }
    let (mut sum, mut pending, mut last) = (0, None, u32::MAX);
    for c in numeral.chars() {
        if let Some(factor) = multiplier(c) {
            if factor >= last {
                return None;
            }
            sum += pending.take().unwrap_or(1) * factor;
            last = factor;
        } else if pending.replace(digit(c)?).is_some() {
            return None;
        }
    }
    Some(sum + pending.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_normalization::UnicodeNormalization as _;

    #[test]
    fn the_kanji_table_is_pairs_whose_second_is_not_folded_itself() {
        let folds = &*KANJI_FOLDS;
        assert!(folds.len() >= 500);
        for pair in KANJI.split_whitespace() {
            assert_eq!(pair.chars().count(), 2, "{pair}");
            assert_eq!(pair.nfkc().collect::<String>(), pair);
        }
        assert_eq!(
            folds.len(),
            KANJI.split_whitespace().count(),
            "one row per kanji"
        );
        for (from, to) in folds {
            assert!(!folds.contains_key(to), "{from} → {to} → …");
        }
    }

    #[test]
    fn numerals_are_read_where_they_count() {
        let digits = |run: &str| {
            numerals(run)
                .into_iter()
                .map(|numeral| numeral.digits)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            digits("第三条の二第三十二条第百二十一号"),
            ["3", "32", "121"]
        );
        assert_eq!(digits("二〇二五年四月一日"), ["2025", "4", "1"]);
        assert_eq!(digits("千九百九十九年"), ["1999"]);
        assert!(digits("一般に三菱と十分な三重県").is_empty());
        assert!(digits("第十百条").is_empty(), "no number");
    }

    #[test]
    fn a_place_in_a_folded_run_leads_back() {
        let run = "新ヴァイオリン店";
        let spelled = Spelled::new(run);
        assert_eq!(spelled.text, "新バイオリン店");
        let at = |part: &str| spelled.text.find(part).unwrap();
        assert_eq!(
            &run[spelled.origin(at("バ"))..spelled.origin(at("店"))],
            "ヴァイオリン"
        );
        assert_eq!(&run[..spelled.origin(at("バ"))], "新");
        assert_eq!(spelled.origin(spelled.text.len()), run.len());
    }
}
