//! Source code by symbol: each definition a heading, its lines the code below it.
//!
//! The outline is read line by line, by the words that begin a definition and by indentation. A grammar for each language
//! would be more exact, but all that hangs on it is where chunks begin and what they are called.

use crate::document::Extracted;
use crate::extract::outline::Outline;
use crate::extract::text;

/// A programming or configuration language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// C or C++.
    C,
    /// C#.
    CSharp,
    /// Go.
    Go,
    /// Java.
    Java,
    /// JavaScript or TypeScript.
    JavaScript,
    /// Kotlin, Scala or Groovy.
    Kotlin,
    /// PHP.
    Php,
    /// Python.
    Python,
    /// Ruby.
    Ruby,
    /// Rust.
    Rust,
    /// A shell.
    Shell,
    /// SQL.
    Sql,
    /// Swift.
    Swift,
    /// One without symbols: a configuration, a style sheet, a build file.
    Other,
}

/// Languages with their file extensions.
const EXTENSIONS: [(Language, &[&str]); 14] = [
    (
        Language::C,
        &[
            "c", "h", "cc", "cpp", "cxx", "hpp", "hh", "hxx", "ino", "m", "mm", "cu",
        ],
    ),
    (Language::CSharp, &["cs"]),
    (Language::Go, &["go"]),
    (Language::Java, &["java"]),
    (
        Language::JavaScript,
        &[
            "js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "vue", "svelte",
        ],
    ),
    (
        Language::Kotlin,
        &["kt", "kts", "scala", "groovy", "gradle"],
    ),
    (Language::Php, &["php"]),
    (Language::Python, &["py", "pyi", "pyw"]),
    (Language::Ruby, &["rb", "rake", "gemspec"]),
    (Language::Rust, &["rs"]),
    (
        Language::Shell,
        &["sh", "bash", "zsh", "fish", "ps1", "psm1"],
    ),
    (Language::Sql, &["sql"]),
    (Language::Swift, &["swift"]),
    (
        Language::Other,
        &[
            "yaml",
            "yml",
            "toml",
            "ini",
            "cfg",
            "conf",
            "properties",
            "env",
            "css",
            "scss",
            "less",
            "lua",
            "pl",
            "pm",
            "r",
            "jl",
            "hs",
            "ex",
            "exs",
            "erl",
            "clj",
            "dart",
            "proto",
            "graphql",
            "tf",
            "hcl",
            "nix",
            "cmake",
            "mk",
            "bat",
            "cmd",
            "vb",
            "vbs",
            "bas",
            "cls",
            "cob",
            "cbl",
            "f90",
            "pas",
            "asm",
            "s",
            "diff",
            "patch",
        ],
    ),
];

/// Words before the one that tells what is defined.
const MODIFIERS: [&str; 34] = [
    "pub",
    "public",
    "private",
    "protected",
    "internal",
    "static",
    "final",
    "abstract",
    "async",
    "unsafe",
    "const",
    "extern",
    "export",
    "default",
    "declare",
    "sealed",
    "partial",
    "virtual",
    "override",
    "open",
    "data",
    "inline",
    "suspend",
    "readonly",
    "native",
    "synchronized",
    "strictfp",
    "mutating",
    "fileprivate",
    "case",
    "implicit",
    "lazy",
    "companion",
    "annotation",
];

/// Deepest a definition may lie within others to be a heading.
const MAX_LEVELS: usize = 3;

impl Language {
    pub(crate) fn of_extension(extension: &str) -> Option<Self> {
        let found = EXTENSIONS
            .iter()
            .find(|(_, extensions)| extensions.contains(&extension));
        found.map(|(language, _)| *language)
    }

    /// Files known by their whole name.
    pub(crate) fn of_file_name(name: &str) -> Option<Self> {
        let known = [
            "Makefile",
            "Dockerfile",
            "Containerfile",
            "Jenkinsfile",
            "Vagrantfile",
            "Rakefile",
            "Gemfile",
        ];
        known.contains(&name).then_some(Self::Other)
    }

    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::C => "text/x-c",
            Self::CSharp => "text/x-csharp",
            Self::Go => "text/x-go",
            Self::Java => "text/x-java",
            Self::JavaScript => "text/javascript",
            Self::Kotlin => "text/x-kotlin",
            Self::Php => "text/x-php",
            Self::Python => "text/x-python",
            Self::Ruby => "text/x-ruby",
            Self::Rust => "text/x-rust",
            Self::Shell => "text/x-shellscript",
            Self::Sql => "application/sql",
            Self::Swift => "text/x-swift",
            Self::Other => "text/x-source",
        }
    }

    /// Words that begin a definition.
    fn keywords(self) -> &'static [&'static str] {
        match self {
            Self::C => &["struct", "class", "enum", "union", "namespace", "typedef"],
            Self::CSharp => &[
                "class",
                "interface",
                "struct",
                "enum",
                "record",
                "namespace",
                "delegate",
            ],
            Self::Go => &["func", "type"],
            Self::Java => &["class", "interface", "enum", "record", "@interface"],
            Self::JavaScript => &[
                "function",
                "function*",
                "class",
                "interface",
                "enum",
                "type",
                "namespace",
            ],
            Self::Kotlin => &[
                "fun",
                "class",
                "interface",
                "object",
                "enum",
                "trait",
                "def",
                "typealias",
            ],
            Self::Php => &["function", "class", "interface", "trait", "enum"],
            Self::Python => &["def", "class"],
            Self::Ruby => &["def", "class", "module"],
            Self::Rust => &[
                "fn",
                "struct",
                "enum",
                "trait",
                "impl",
                "mod",
                "union",
                "macro_rules!",
                "type",
            ],
            Self::Shell => &["function"],
            Self::Sql => &["create", "alter"],
            Self::Swift => &[
                "func",
                "class",
                "struct",
                "enum",
                "protocol",
                "extension",
                "actor",
                "init",
            ],
            Self::Other => &[],
        }
    }

    /// Whether functions are defined by a type, a name and parameters.
    fn has_typed_functions(self) -> bool {
        matches!(self, Self::C | Self::CSharp | Self::Java)
    }
}

/// Extracts the definitions, each with the comment before it.
pub(crate) fn extract(bytes: &[u8], language: Language) -> Extracted {
    let mut outline = Outline::default();
    let (text, damaged) = text::decode(bytes);
    if damaged {
        outline.warn("some bytes are not text in the detected encoding and were replaced");
    }
    let lines: Vec<&str> = text.trim_start_matches('\u{FEFF}').lines().collect();
    let symbols = symbols(&lines, language);
    let mut from = 0;
    for symbol in &symbols {
        let start = leading_comment(&lines, from, symbol.line);
        add_code(&mut outline, &lines[from..start]);
        outline.heading(symbol.level, &symbol.name);
        from = start;
    }
    add_code(&mut outline, &lines[from..]);
    outline.finish()
}

struct Symbol {
    line: usize,
    /// 2 for one of the file, 3 for one within it, and so on.
    level: u8,
    name: String,
}

fn symbols(lines: &[&str], language: Language) -> Vec<Symbol> {
    let mut found = Vec::new();
    // The indentations of the definitions around a line.
    let mut open: Vec<usize> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.is_empty() || is_comment(trimmed) {
            continue;
        }
        let indent = line.len() - trimmed.len();
        while open.last().is_some_and(|outer| *outer >= indent) {
            open.pop();
        }
        // What is indented within nothing known is the body of something else.
        if (indent > 0 && open.is_empty()) || open.len() >= MAX_LEVELS {
            continue;
        }
        let next = lines.get(at + 1).copied().unwrap_or_default();
        if let Some(name) = definition(trimmed, next, language) {
            let level = u8::try_from(open.len() + 2).unwrap_or(6);
            found.push(Symbol {
                line: at,
                level,
                name,
            });
            open.push(indent);
        }
    }
    found
}

/// The head of the definition that begins with this line: `fn parse(text: &str)`, `class Invoice`.
fn definition(line: &str, next: &str, language: Language) -> Option<String> {
    let mut rest = line;
    let keyword = loop {
        let (word, after) = rest
            .split_once([' ', '\t', '(', '{', ':', '<'])
            .unwrap_or((rest, ""));
        let bare = word.to_ascii_lowercase();
        let is_keyword =
            |known: &&&str| **known == word || (language == Language::Sql && **known == bare);
        // A name must follow: `type: "a"` defines nothing.
        let is_followed = rest[word.len()..].starts_with([' ', '\t', '<']) || word == "init";
        if let Some(keyword) = language
            .keywords()
            .iter()
            .find(is_keyword)
            .filter(|_| is_followed)
        {
            break Some(*keyword);
        }
        let is_modifier =
            MODIFIERS.contains(&word) || word.starts_with("pub(") || word.starts_with('@');
        if !is_modifier || after.is_empty() {
            break None;
        }
        // `pub(crate) fn` is cut within its parentheses.
        rest = if word == "pub" && rest[word.len()..].starts_with('(') {
            rest.split_once(')')
                .map_or("", |(_, after)| after)
                .trim_start()
        } else {
            after.trim_start()
        };
    };
    match (language, keyword) {
        (_, Some(_)) => head(line),
        (Language::JavaScript, None) if is_assigned_function(line) => head(line),
        (Language::JavaScript, None) if is_method(line) => head(line),
        (Language::Shell, None) if line.contains("() {") || line.ends_with("()") => head(line),
        (language, None) if language.has_typed_functions() && is_typed_function(line, next) => {
            head(line)
        }
        _ => None,
    }
}

/// A line without the body or block that it opens.
fn head(line: &str) -> Option<String> {
    let end = line.find(['{', ';']).unwrap_or(line.len());
    let head = line[..end]
        .trim_end()
        .trim_end_matches("=>")
        .trim_end_matches([':', '=', '('])
        .trim_end();
    (!head.is_empty()).then(|| head.to_owned())
}

/// `const parse = (text) =>` and `exports.parse = function`.
fn is_assigned_function(line: &str) -> bool {
    let begins = [
        "const ",
        "let ",
        "var ",
        "export const ",
        "exports.",
        "module.exports",
    ];
    let Some((_, value)) = line.split_once('=') else {
        return false;
    };
    begins.iter().any(|begin| line.starts_with(begin))
        && (value.contains("=>") || value.contains("function"))
}

/// `parse(text) {`, but not `if (text) {`.
fn is_method(line: &str) -> bool {
    let line = line
        .trim_start_matches("async ")
        .trim_start_matches("static ");
    let Some((name, rest)) = line.split_once('(') else {
        return false;
    };
    is_name(name) && !is_statement(name) && rest.trim_end().ends_with('{')
}

/// `static int parse(const char *text)`, with its body here or on the next line; not a call and not a declaration.
fn is_typed_function(line: &str, next: &str) -> bool {
    let Some((before, rest)) = line.split_once('(') else {
        return false;
    };
    let mut words = before.split_whitespace();
    let is_typed =
        words.clone().count() >= 2 && !words.any(is_statement) && !before.contains(['=', '"', '.']);
    let opens = rest.trim_end().ends_with('{') || next.trim_start().starts_with('{');
    is_typed && opens
}

fn is_statement(word: &str) -> bool {
    matches!(
        word,
        "if" | "for"
            | "while"
            | "switch"
            | "catch"
            | "return"
            | "else"
            | "do"
            | "new"
            | "throw"
            | "using"
            | "lock"
            | "with"
    )
}

fn is_name(text: &str) -> bool {
    let text = text.trim_start_matches('#');
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
}

fn is_comment(line: &str) -> bool {
    ["//", "#", "/*", "*", "--", "\"\"\"", ";;"]
        .iter()
        .any(|mark| line.starts_with(mark))
        && !line.starts_with("#[")
}

/// The first of the lines right above `line` that are its comment, attributes or decorators.
fn leading_comment(lines: &[&str], from: usize, line: usize) -> usize {
    let belongs = |line: &&str| {
        let line = line.trim_start();
        is_comment(line) || line.starts_with("#[") || line.starts_with('@') || line.starts_with('[')
    };
    let n_lines = lines[from..line]
        .iter()
        .rev()
        .take_while(|line| belongs(line))
        .count();
    line - n_lines
}

/// Adds code, one block for what stands together between empty lines at the outermost level.
fn add_code(outline: &mut Outline, lines: &[&str]) {
    let mut block: Vec<&str> = Vec::new();
    for line in lines {
        let begins_anew = block.last().is_some_and(|last| last.trim().is_empty())
            && !line.starts_with([' ', '\t', '}', ')', ']']);
        if begins_anew {
            outline.code(&block.join("\n"));
            block.clear();
        }
        block.push(line);
    }
    outline.code(&block.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::BlockKind;

    fn headings(text: &str, language: Language) -> Vec<(u8, String)> {
        let blocks = extract(text.as_bytes(), language).blocks;
        let headings = blocks.into_iter().filter_map(|block| match block.kind {
            BlockKind::Heading(level) => Some((level, block.text)),
            BlockKind::Paragraph | BlockKind::ListItem | BlockKind::Table | BlockKind::Code => None,
        });
        headings.collect()
    }

    #[test]
    fn definitions_are_headings_in_their_classes() {
        let python = "import os\n\n# Reads bills.\nclass Bill(Base):\n    def total(self):\n        def inner():\n            pass\n        return 1\n\n\
            async def main() -> None:\n    if True:\n        pass\n";
        assert_eq!(
            headings(python, Language::Python),
            [
                (2, "class Bill(Base)".to_owned()),
                (3, "def total(self)".to_owned()),
                (4, "def inner()".to_owned()),
                (2, "async def main() -> None".to_owned()),
            ]
        );
        let rust = "//! Crate.\n\nimpl<T> Bill<T> {\n    /// The total.\n    pub(crate) fn total(&self) -> u32 {\n        match x {}\n    }\n}\n\
            #[derive(Debug)]\npub struct Line;\n";
        assert_eq!(
            headings(rust, Language::Rust),
            [
                (2, "impl<T> Bill<T>".to_owned()),
                (3, "pub(crate) fn total(&self) -> u32".to_owned()),
                (2, "pub struct Line".to_owned()),
            ]
        );
    }

    #[test]
    fn typed_functions_are_told_from_calls() {
        let c = "static int parse(const char *text)\n{\n    if (text) {\n        run(text);\n    }\n}\nint declared(void);\n";
        assert_eq!(
            headings(c, Language::C),
            [(2, "static int parse(const char *text)".to_owned())]
        );
        let script = "export const load = async (id) => {\n};\nclass A {\n  get(id) {\n    if (id) {\n    }\n  }\n}\n";
        assert_eq!(
            headings(script, Language::JavaScript),
            [
                (2, "export const load = async (id)".to_owned()),
                (2, "class A".to_owned()),
                (3, "get(id)".to_owned())
            ]
        );
    }

    #[test]
    fn every_line_is_kept_with_its_comment() {
        let text = "#!/bin/sh\nset -e\n\n# Stops it.\nstop() {\n  kill \"$1\"\n}\n";
        let blocks = extract(text.as_bytes(), Language::Shell).blocks;
        let texts: Vec<&str> = blocks.iter().map(|block| block.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "#!/bin/sh\nset -e",
                "stop()",
                "# Stops it.\nstop() {\n  kill \"$1\"\n}"
            ]
        );
        assert_eq!(blocks[2].locator.headings, ["stop()"]);
    }
}
