//! Reads the layers of the configuration and remembers where each value came from.

use super::{Config, DEFAULT_TOML, Problem, validate};
use figment::providers::{Env, Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use std::path::PathBuf;

/// Where the configuration is looked for when neither `--config` nor `KURA_CONFIG` names a file.
const SYSTEM_FILE: &str = "/etc/kura/kura.toml";
/// Variables that set single keys; `__` stands for the dot.
const ENV_PREFIX: &str = "KURA__";

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config` or `KURA_CONFIG`.
    pub config: Option<PathBuf>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--log-level`.
    pub log_level: Option<String>,
    /// Whether the server is to run; commands log less by default.
    pub is_server: bool,
}

/// A valid configuration, and where its values came from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration in effect.
    pub config: Config,
    /// Every key, in the order of `default.toml`.
    pub settings: Vec<Setting>,
    /// The configuration file that was read, if any.
    pub file: Option<PathBuf>,
}

/// One key with its value and where that came from.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Setting {
    /// Dotted path, e.g. `server.listen`.
    pub key: String,
    /// The value in effect; a secret one is masked.
    pub value: serde_json::Value,
    /// Where the value came from.
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum Origin {
    /// The built-in `default.toml`.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A command line flag.
    Flag(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Reads, merges and validates the configuration.
///
/// # Errors
/// Every problem found, all together: a named file that is missing or no TOML, unknown keys, wrong types,
/// and values that cannot be.
pub fn load(flags: &Flags) -> Result<Loaded, Vec<Problem>> {
    let (figment, file) = figment(flags)?;
    let merged = figment
        .extract::<Dict>()
        .map_err(|error| problems_of(&error, &figment))?;
    let defaults = defaults_dict();
    let mut problems = unknown_keys(&figment, &merged, &defaults);
    if !problems.is_empty() {
        // A wrong type elsewhere is reported along with the unknown keys, but not the unknown keys twice.
        if let Err(error) = figment.extract::<Config>() {
            problems.extend(
                problems_of(&error, &figment)
                    .into_iter()
                    .filter(|problem| !problem.is_unknown_key()),
            );
        }
        return Err(problems);
    }
    let config = figment
        .extract::<Config>()
        .map_err(|error| problems_of(&error, &figment))?;
    let problems = validate::validate(&config, |key| origin(&figment, key));
    if !problems.is_empty() {
        return Err(problems);
    }
    let settings = leaves(&defaults)
        .into_iter()
        .map(|key| Setting {
            value: masked(&key, figment.find_value(&key).ok()),
            origin: origin(&figment, &key),
            key,
        })
        .collect();
    Ok(Loaded {
        config,
        settings,
        file,
    })
}

fn figment(flags: &Flags) -> Result<(Figment, Option<PathBuf>), Vec<Problem>> {
    let mut figment = Figment::from(Defaults);
    let file = match &flags.config {
        Some(path) if path.is_file() => Some(path.clone()),
        Some(path) => return Err(vec![Problem::missing_file(path)]),
        None => Some(PathBuf::from(SYSTEM_FILE)).filter(|path| path.is_file()),
    };
    if let Some(path) = &file {
        figment = figment.merge(Toml::file_exact(path));
    }
    figment = figment.merge(Env::prefixed(ENV_PREFIX).split("__"));
    let data_dir = flags
        .data_dir
        .as_ref()
        .map(|path| path.display().to_string());
    for (flag, key, value) in [
        ("--data-dir", "data_dir", &data_dir),
        ("--listen", "server.listen", &flags.listen),
        ("--log-level", "log.level", &flags.log_level),
    ] {
        if let Some(value) = value {
            figment = figment.merge(Flag {
                flag,
                key,
                value: value.clone(),
            });
        }
    }
    Ok((figment, file))
}

struct Defaults;

impl Provider for Defaults {
    fn metadata(&self) -> Metadata {
        Metadata::named("default")
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Toml::string(DEFAULT_TOML).data()
    }
}

struct Flag {
    flag: &'static str,
    key: &'static str,
    value: String,
}

impl Provider for Flag {
    fn metadata(&self) -> Metadata {
        Metadata::from("flag", self.flag)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let dict = figment::util::nest(self.key, Value::from(self.value.clone()))
            .into_dict()
            .unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}

fn defaults_dict() -> Dict {
    Figment::from(Defaults)
        .extract::<Dict>()
        .expect("the embedded default.toml is TOML; a test reads it")
}

/// Returns the dotted paths of all values that are not tables.
fn leaves(dict: &Dict) -> Vec<String> {
    let mut paths = Vec::new();
    for (key, value) in dict {
        match value.as_dict() {
            Some(inner) => paths.extend(
                leaves(inner)
                    .into_iter()
                    .map(|rest| format!("{key}.{rest}")),
            ),
            None => paths.push(key.clone()),
        }
    }
    paths
}

fn unknown_keys(figment: &Figment, merged: &Dict, defaults: &Dict) -> Vec<Problem> {
    let known = leaves(defaults);
    leaves(merged)
        .into_iter()
        .filter(|key| !known.contains(key))
        .filter(|key| {
            // A table given where a value belongs, or the reverse, is a wrong type, not an unknown key.
            !known.iter().any(|known| {
                key.starts_with(&format!("{known}.")) || known.starts_with(&format!("{key}."))
            })
        })
        .map(|key| Problem::unknown_key(&key, &origin(figment, &key), nearest(&key, &known)))
        .collect()
}

/// Returns the known key that resembles `key` most, if any does.
fn nearest<'a>(key: &str, known: &'a [String]) -> Option<&'a str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    known
        .iter()
        .map(|candidate| {
            let whole = strsim::jaro_winkler(key, candidate);
            // `listen` at the top level means `server.listen`.
            let name = strsim::jaro_winkler(&last(key), &last(candidate));
            (whole.max(name), candidate.as_str())
        })
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn origin(figment: &Figment, key: &str) -> Origin {
    figment
        .find_metadata(key)
        .map_or(Origin::Default, |metadata| origin_of(metadata, key))
}

fn origin_of(metadata: &Metadata, key: &str) -> Origin {
    if let Some(path) = metadata
        .source
        .as_ref()
        .and_then(|source| source.file_path())
    {
        return Origin::File(path.to_owned());
    }
    if metadata.name == "flag" {
        let flag = metadata.source.as_ref().and_then(|source| source.custom());
        return Origin::Flag(flag.unwrap_or_default().to_owned());
    }
    if metadata.name == "default" {
        return Origin::Default;
    }
    Origin::Environment(format!(
        "{ENV_PREFIX}{}",
        key.replace('.', "__").to_uppercase()
    ))
}

fn problems_of(error: &figment::Error, figment: &Figment) -> Vec<Problem> {
    error
        .clone()
        .into_iter()
        .map(|error| {
            let key = error.path.join(".");
            let origin = error
                .metadata
                .as_ref()
                .map(|metadata| origin_of(metadata, &key))
                .unwrap_or_else(|| origin(figment, &key));
            Problem::from_figment(&error, &key, &origin)
        })
        .collect()
}

/// Keys whose values are never printed.
fn masked(key: &str, value: Option<Value>) -> serde_json::Value {
    let last = key.rsplit('.').next().unwrap_or_default();
    let secret = ["secret", "password", "token", "api_key"]
        .iter()
        .any(|word| last == *word || last.ends_with(&format!("_{word}")));
    let value = value
        .and_then(|value| serde_json::to_value(value).ok())
        .unwrap_or(serde_json::Value::Null);
    if secret && value.as_str().is_some_and(|text| !text.is_empty()) {
        return "********".into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_toml_has_exactly_the_keys_of_config() {
        let config: Config = Figment::from(Defaults).extract().unwrap();
        let written = Figment::from(figment::providers::Serialized::defaults(&config))
            .extract::<Dict>()
            .unwrap();
        let (mut in_struct, mut in_file) = (leaves(&written), leaves(&defaults_dict()));
        in_struct.sort();
        in_file.sort();
        assert_eq!(in_struct, in_file);
    }

    #[test]
    fn later_layers_win_and_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kura.toml");
        fs_err::write(&file, "[retrieval]\nlimit = 7\n[log]\nlevel = \"debug\"\n").unwrap();
        let flags = Flags {
            config: Some(file.clone()),
            log_level: Some("warn".to_owned()),
            ..Flags::default()
        };
        let loaded = load(&flags).unwrap();
        assert_eq!(loaded.config.retrieval.limit, 7);
        assert_eq!(loaded.config.log.level, "warn");
        let origin = |key: &str| {
            loaded
                .settings
                .iter()
                .find(|setting| setting.key == key)
                .unwrap()
                .origin
                .clone()
        };
        assert_eq!(origin("retrieval.limit"), Origin::File(file));
        assert_eq!(origin("log.level"), Origin::Flag("--log-level".to_owned()));
        assert_eq!(origin("server.listen"), Origin::Default);
    }

    #[test]
    fn all_problems_are_reported_together() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kura.toml");
        fs_err::write(
            &file,
            "[server]\nlisten = \"0.0.0.0:8080\"\n[chunking]\nmax_tokens = 0\n[log]\nlevel = \"=loud=\"\n",
        )
        .unwrap();
        let problems = load(&Flags {
            config: Some(file),
            ..Flags::default()
        })
        .unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        let text = problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n");
        assert!(text.contains("auth.public_url"), "{text}");
    }

    #[test]
    fn an_unknown_key_names_key_file_and_the_nearest_known_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kura.toml");
        fs_err::write(&file, "[server]\nlisen = \"127.0.0.1:1\"\n").unwrap();
        let problems = load(&Flags {
            config: Some(file.clone()),
            ..Flags::default()
        })
        .unwrap_err();
        let text = problems[0].to_string();
        assert!(text.contains("`server.lisen`"), "{text}");
        assert!(text.contains(&file.display().to_string()), "{text}");
        assert!(text.contains("`server.listen`"), "{text}");
    }

    #[test]
    fn a_named_file_that_is_missing_is_a_problem() {
        let flags = Flags {
            config: Some("/nonexistent/kura.toml".into()),
            ..Flags::default()
        };
        assert!(
            load(&flags).unwrap_err()[0]
                .to_string()
                .contains("/nonexistent/kura.toml")
        );
    }
}
