use super::*;
use crate::document::BlockKind;

fn texts(html: &str) -> Vec<String> {
    extract(html.as_bytes())
        .blocks
        .into_iter()
        .map(|block| block.text)
        .collect()
}

#[test]
fn only_shown_content_is_kept() {
    let html = "<html><head><title>T &amp; U</title><style>p{}</style></head><body><nav>Home</nav>\
        <header><h1>Head</h1></header><p>One<br>two <b>bo</b>ld</p><script>var x</script>\
        <p style='display: none'>hidden</p><p hidden>hidden</p><div>loose<p>para</p>tail</div>\
        <footer>Copyright</footer></body></html>";
    assert_eq!(
        texts(html),
        ["Head", "One two bold", "loose", "para", "tail"]
    );
    assert_eq!(extract(html.as_bytes()).title.as_deref(), Some("T & U"));
}

#[test]
fn main_stands_for_the_page_unless_it_is_nearly_empty() {
    assert_eq!(
        texts("<body><div>menu</div><main><p>the content of the page</p></main></body>"),
        ["the content of the page"]
    );
    let nearly_empty = "<body><p>a long text outside of the main element</p><main>x</main></body>";
    assert_eq!(
        texts(nearly_empty),
        ["a long text outside of the main element", "x"]
    );
}

#[test]
fn lists_headings_and_code_keep_their_kind() {
    let blocks = extract(
        "<h2>H</h2><ol start=3><li>a<ul><li>b</li></ul></li><li>c</li></ol><pre>x\n  y</pre>"
            .as_bytes(),
    )
    .blocks;
    let got: Vec<_> = blocks.iter().map(|b| (b.kind, b.text.as_str())).collect();
    assert_eq!(
        got,
        [
            (BlockKind::Heading(2), "H"),
            (BlockKind::ListItem, "3. a"),
            (BlockKind::ListItem, "- b"),
            (BlockKind::ListItem, "4. c"),
            (BlockKind::Code, "x\n  y"),
        ]
    );
    assert_eq!(blocks[4].locator.headings, ["H"]);
}

#[test]
fn spans_are_repeated_and_layout_tables_dissolved() {
    let data = "<table><caption>Cap</caption><tr><th>a<th>b<th>c</tr><tr><td rowspan=2>1<td colspan=2>2</tr>\
        <tr><td>3<td>4</tr></table>";
    assert_eq!(
        texts(data),
        [
            "Cap",
            "| a | b | c |\n| --- | --- | --- |\n| 1 | 2 | |\n| 1 | 3 | 4 |"
        ]
    );
    let layout = "<table><tr><td><p>left</p><td><table><tr><th>k<th>v</tr><tr><td>1<td>2</tr></table></tr></table>";
    assert_eq!(
        texts(layout),
        ["left", "| k | v |\n| --- | --- |\n| 1 | 2 |"]
    );
}

#[test]
fn declared_charsets_and_deep_nesting_are_handled() {
    let page = "<html><head><meta charset=shift_jis></head><body><p>日本語</p></body></html>";
    assert_eq!(
        extract(&encoding_rs::SHIFT_JIS.encode(page).0).blocks[0].text,
        "日本語"
    );
    let deep = format!("{}x", "<div>".repeat(50_000));
    assert_eq!(texts(&deep), ["x"]);
}

#[test]
fn meta_elements_give_author_key_words_and_date() {
    let page = "<html><head><meta name=Author content='佐藤'><meta name=keywords content='旅費、規程'>\
        <meta property='article:published_time' content='2023-01-01'>\
        <meta property='article:modified_time' content='2024-04-01T09:30:00+09:00'><meta name=date>\
        </head><body><p>x</p></body></html>";
    let metadata = extract(page.as_bytes()).metadata;
    assert_eq!(metadata.author.as_deref(), Some("佐藤"));
    assert_eq!(
        metadata.tags.into_iter().collect::<Vec<_>>(),
        ["旅費", "規程"]
    );
    assert_eq!(metadata.date, Some(jiff::civil::date(2024, 4, 1)));
}

#[test]
fn hidden_text_is_left_out_and_said() {
    let html = "<html><head><style>.x, .y { display: none } .dark { background: #000; color: #fff }</style></head><body><p>seen</p>\
        <p style='display:none'>one</p><p class=x>and the same passage</p><p>between</p><span style='color:#fff'>two</span>\
        <p>between</p><p style='font-size:1px'>three</p><p class=dark>white on black</p><div hidden><p>four</p></div></body></html>";
    assert_eq!(
        texts(html),
        ["seen", "between", "between", "white on black"]
    );
    let warnings = extract(html.as_bytes()).warnings;
    assert_eq!(warnings[0].message, "hidden text was left out: 4 passages");
    // Where a style sheet is not at hand, nobody knows what is behind white text.
    let linked = "<link rel=stylesheet href=a.css><p style='color:white'>on something</p>";
    assert_eq!(texts(linked), ["on something"]);
    assert_eq!(
        texts("<table><tr><td bgcolor=navy><font color=white>head</font></td></tr></table>"),
        ["head"]
    );
}

#[test]
fn navigation_by_class_is_no_content() {
    assert_eq!(
        texts(
            "<body><div class='top nav'>Home</div><div id=breadcrumbs>a / b</div><p>text</p></body>"
        ),
        ["text"]
    );
}

#[test]
fn rows_of_a_header_are_one_and_sections_stay_rows() {
    let head = "<table><thead><tr><th rowspan=2>Port<th colspan=2>Seats</tr><tr><th>2022<th>2023</tr></thead>\
        <tr><th colspan=3>North</tr><tr><td>Otaru<td>1<td>2</tr></table>";
    assert_eq!(
        texts(head),
        [
            "| Port | Seats · 2022 | Seats · 2023 |\n| --- | --- | --- |\n| North | | |\n| Otaru | 1 | 2 |"
        ]
    );
    let sections = "<table><tr><td colspan=3>Part I</tr><tr><td>1.<td>Rules<td>4</tr><tr><td>2.<td>Fees<td>9</tr>\
        <tr><td colspan=3>Part II</tr><tr><td>3.<td>Law<td>12</tr></table>";
    assert_eq!(
        texts(sections),
        [
            "Part I",
            "| | | |\n| --- | --- | --- |\n| 1. | Rules | 4 |\n| 2. | Fees | 9 |\n| Part II | | |\n| 3. | Law | 12 |"
        ]
    );
}

#[test]
fn one_row_of_names_and_values_stays_together() {
    assert_eq!(
        texts("<table><tr><th>Port</th><td>Kobe</td></tr></table>"),
        ["Port: Kobe"]
    );
    assert_eq!(
        texts("<table><tr><th>Port<td>Kobe<td>Oita<th>Open<td>daily</tr></table>"),
        ["Port: Kobe, Oita; Open: daily"]
    );
    assert_eq!(
        texts("<table><tr><td>menu<td>page</tr></table>"),
        ["menu", "page"]
    );
    let page = format!(
        "<table><tr><th>menu<td><p>{}</p><p>b</p></tr></table>",
        "a ".repeat(600)
    );
    assert_eq!(texts(&page).len(), 3);
}

#[test]
fn a_table_in_a_cell_of_data_is_its_text() {
    let inner = "<table><tr><th>k<th>v</tr><tr><td>1<td>2</tr></table>";
    let data = format!(
        "<table><thead><tr><th colspan=2>Trips</tr></thead><tr><td>far<td>yes</tr><tr><td>near<td>as in {inner} here</tr></table><p>end</p>"
    );
    assert_eq!(
        texts(&data),
        [
            "| Trips | Trips |\n| --- | --- |\n| far | yes |\n| near | as in k, v; 1, 2 here |",
            "end"
        ]
    );
    // What is too much for a cell lays out a page.
    let page = format!(
        "<table><thead><tr><th>a<th>b</tr></thead><tr><td>left<td>{inner}{}</tr></table>",
        inner.replace('1', &"x".repeat(1200))
    );
    assert!(texts(&page).contains(&"| k | v |\n| --- | --- |\n| 1 | 2 |".to_owned()));
    let deep = format!("{}x", "<table><tr><th>a<th>b</tr><tr><td>c<td>".repeat(200));
    assert!(!texts(&deep).is_empty());
}

#[test]
fn pictures_are_named_once_and_icons_to_click_on_not_at_all() {
    let html = "<table><tr><th>a<th>b</tr><tr><td><img alt=Duck width=15 height=15><td>c <a href=x><img alt='Edit this' width=15 height=15></a></tr></table>\
        <p><a href=x><img alt=Map width=300 height=200></a></p>";
    assert_eq!(
        texts(html),
        ["| a | b |\n| --- | --- |\n| Duck | c |", "Map"]
    );
}

#[test]
fn cells_that_cover_much_are_bounded() {
    let wide = format!(
        "<table><tr>{}</tr>{}</table>",
        "<td colspan=100 rowspan=100>x".repeat(1000),
        "<tr>".repeat(99)
    );
    let blocks = extract(wide.as_bytes()).blocks;
    assert!(blocks.iter().map(|block| block.text.len()).sum::<usize>() < 20_000_000);
}
