//! Which items of a source are wanted.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Left out unless they are named: what programs keep for themselves, and files that are not there to stay.
const TEMPORARY: [&str; 12] = [
    "~$*",
    "*~",
    ".~lock.*",
    "*.tmp",
    "*.temp",
    "*.part",
    "*.partial",
    "*.crdownload",
    "*.swp",
    "Thumbs.db",
    "desktop.ini",
    "$RECYCLE.BIN",
];

/// The patterns of a source.
///
/// One without `/` is compared with each part of a path, so that it fits at any depth; one with `/` with the path from the
/// root on. `*` stops at `/`, `**` does not. Case does not matter.
#[derive(Debug, Clone)]
pub struct Globs {
    include: Option<GlobSet>,
    exclude: GlobSet,
    /// Leaves out hidden and temporary files.
    tidy: Option<GlobSet>,
}

impl Globs {
    /// Returns the patterns; with `tidy`, hidden and temporary files are left out, too.
    ///
    /// # Errors
    /// When a pattern cannot be read; the message names it.
    pub fn new(include: &[String], exclude: &[String], tidy: bool) -> Result<Self, String> {
        let temporary = TEMPORARY.map(str::to_owned);
        Ok(Self {
            include: (!include.is_empty()).then(|| set(include)).transpose()?,
            exclude: set(exclude)?,
            tidy: tidy.then(|| set(&temporary)).transpose()?,
        })
    }

    /// Returns whether a folder may hold anything that is wanted.
    #[must_use]
    pub fn may_hold(&self, path: &str) -> bool {
        !self.left_out(path)
    }

    /// Returns whether a file is wanted; `path` is relative to the root, with `/`.
    #[must_use]
    pub fn wants(&self, path: &str) -> bool {
        let included = self
            .include
            .as_ref()
            .is_none_or(|include| include.is_match(path));
        // A folder that is left out takes along what is in it.
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        included && !self.left_out(path) && !folders.into_iter().any(|folder| self.left_out(folder))
    }

    fn left_out(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let untidy = |tidy: &GlobSet| name.starts_with('.') || tidy.is_match(name);
        self.exclude.is_match(path) || self.tidy.as_ref().is_some_and(untidy)
    }
}

fn set(patterns: &[String]) -> Result<GlobSet, String> {
    let mut builder = GlobSetBuilder::new();
    let mut add = |pattern: &str, shown: &str| {
        let glob = GlobBuilder::new(pattern)
            .literal_separator(true)
            .case_insensitive(true)
            .build()
            .map_err(|error| format!("the pattern `{shown}` cannot be read: {}", error.kind()))?;
        builder.add(glob);
        Ok::<_, String>(())
    };
    for pattern in patterns {
        let trimmed = pattern.trim_matches('/');
        if trimmed.is_empty() {
            return Err(format!("the pattern `{pattern}` fits nothing"));
        }
        add(trimmed, pattern)?;
        if !pattern.trim_end_matches('/').contains('/') {
            add(&format!("**/{trimmed}"), pattern)?;
        }
    }
    builder
        .build()
        .map_err(|error| format!("the patterns cannot be used together: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(include: &[&str], exclude: &[&str]) -> Globs {
        let own = |patterns: &[&str]| {
            patterns
                .iter()
                .map(|one| (*one).to_owned())
                .collect::<Vec<_>>()
        };
        Globs::new(&own(include), &own(exclude), true).unwrap()
    }

    #[test]
    fn hidden_and_temporary_files_are_left_out() {
        let all = globs(&[], &[]);
        for path in ["a.md", "a/b/規程.docx", "a/~b.md"] {
            assert!(all.wants(path), "{path}");
        }
        for path in [
            ".env",
            "a/.git/config",
            "~$report.docx",
            "a/~$x.xlsx",
            ".DS_Store",
            "a/thumbs.DB",
            "x.tmp",
            "a/b.md~",
            "x.crdownload",
        ] {
            assert!(!all.wants(path), "{path}");
        }
        assert!(!all.may_hold("a/.git") && all.may_hold("a/b"));
    }

    #[test]
    fn patterns_fit_names_at_any_depth_and_paths_from_the_root() {
        let some = globs(&["*.md", "docs/**/*.pdf"], &["drafts", "/a/old.md"]);
        for path in ["x.md", "a/b/x.MD", "docs/x.pdf", "docs/a/b/x.pdf"] {
            assert!(some.wants(path), "{path}");
        }
        for path in [
            "x.pdf",
            "a/docs/x.pdf",
            "drafts/x.md",
            "a/drafts/b/x.md",
            "a/old.md",
            "x.txt",
        ] {
            assert!(!some.wants(path), "{path}");
        }
        assert!(some.wants("b/a/old.md"), "a path is meant from the root on");
        assert!(!some.may_hold("a/drafts"));
    }

    #[test]
    fn a_bad_pattern_is_named() {
        for bad in ["[", "/", ""] {
            let error = Globs::new(&[], &[bad.to_owned()], true).unwrap_err();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }
}
