//! What pages and site maps say: where they lead, and what they ask of those who index them.

use super::address::without_fragment;
use scraper::{Html, Selector};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::LazyLock;
use url::Url;

/// Links of a page that are remembered.
const LINKS: usize = 2000;

/// What is remembered of a page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Note {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) modified: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) links: Vec<String>,
    /// Whether the page asks not to be indexed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) noindex: bool,
}

pub(super) fn is_html(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/html")
        || essence.eq_ignore_ascii_case("application/xhtml+xml")
}

/// Notes a page's links, and what it asks of those who index it.
pub(super) fn read_html(body: &[u8], url: &Url, note: &mut Note) {
    static BASE: LazyLock<Selector> =
        LazyLock::new(|| Selector::parse("base[href]").expect("the selector is sound"));
    static LINK: LazyLock<Selector> =
        LazyLock::new(|| Selector::parse("a[href]").expect("the selector is sound"));
    static ROBOTS: LazyLock<Selector> =
        LazyLock::new(|| Selector::parse("meta[name=robots i]").expect("the selector is sound"));
    let page = Html::parse_document(&String::from_utf8_lossy(body));
    let asks: Vec<String> = page
        .select(&ROBOTS)
        .filter_map(|meta| meta.value().attr("content"))
        .flat_map(|content| content.split(','))
        .map(|word| word.trim().to_ascii_lowercase())
        .collect();
    let asked = |word: &str| asks.iter().any(|ask| ask == word || ask == "none");
    note.noindex = asked("noindex");
    if asked("nofollow") {
        return;
    }
    let base = page
        .select(&BASE)
        .next()
        .and_then(|base| url.join(base.value().attr("href")?).ok());
    let base = base.as_ref().unwrap_or(url);
    let mut seen = HashSet::new();
    for link in page.select(&LINK) {
        let rel = link.value().attr("rel").unwrap_or_default();
        if rel
            .split_ascii_whitespace()
            .any(|word| word.eq_ignore_ascii_case("nofollow"))
        {
            continue;
        }
        let to = link
            .value()
            .attr("href")
            .and_then(|href| base.join(href.trim()).ok())
            .map(without_fragment);
        let Some(to) = to.filter(|to| matches!(to.scheme(), "http" | "https")) else {
            continue;
        };
        if note.links.len() < LINKS && seen.insert(to.to_string()) {
            note.links.push(to.into());
        }
    }
}

/// Returns what stands in the `loc` elements of a site map.
pub(super) fn locations(map: &str) -> impl Iterator<Item = String> + '_ {
    map.split("<loc>").skip(1).filter_map(|rest| {
        let (location, _) = rest.split_once("</loc>")?;
        let location = location
            .trim()
            .trim_start_matches("<![CDATA[")
            .trim_end_matches("]]>");
        Some(location.replace("&amp;", "&").replace("&#38;", "&"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_taken_as_a_browser_would() {
        let url = Url::parse("https://intra.example/a/b.html").unwrap();
        let mut note = Note::default();
        let page = br##"<base href="/c/"><a href="d.html#x">1</a><a href="d.html">2</a><a href="//other.example/e">3</a>
            <a href="mailto:a@b">4</a><a rel="external nofollow" href="f">5</a><meta name="Robots" content="noindex, max-snippet:1">"##;
        read_html(page, &url, &mut note);
        assert_eq!(
            note.links,
            ["https://intra.example/c/d.html", "https://other.example/e"]
        );
        assert!(note.noindex);
        let mut none = Note::default();
        read_html(
            br#"<meta name="robots" content="none"><a href="x">1</a>"#,
            &url,
            &mut none,
        );
        assert!(none.noindex && none.links.is_empty());
    }

    #[test]
    fn site_maps_are_read() {
        let map = "<urlset><url><loc> https://a.example/?x=1&amp;y=2 </loc></url><url><loc><![CDATA[https://a.example/b]]></loc></url></urlset>";
        assert_eq!(
            locations(map).collect::<Vec<_>>(),
            ["https://a.example/?x=1&y=2", "https://a.example/b"]
        );
    }
}
