//! What can be said of dependencies by their lock files alone. `make supply-chain` says more, with tools that take minutes
//! to install.

use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// Returns the packages of Cargo.lock.
fn packages() -> Vec<Package> {
    let lock = fs_err::read_to_string(repository().join("Cargo.lock")).unwrap();
    toml::from_str::<Lock>(&lock).unwrap().package
}

#[test]
fn nothing_but_the_way_out_depends_on_an_http_client() {
    let packages = packages();
    let depends = |package: &Package, on: &str| {
        let mut names = package.dependencies.iter();
        names.any(|name| name.split(' ').next() == Some(on))
    };
    let dependents = |on: &str| -> BTreeSet<String> {
        let dependents = packages.iter().filter(|package| depends(package, on));
        dependents.map(|package| package.name.clone()).collect()
    };
    // Tests are a client from outside.
    let allowed = ["kura-egress", "kura-tests"].map(str::to_owned);
    assert_eq!(dependents("ureq"), BTreeSet::from(allowed));
}

#[test]
fn what_deny_toml_bans_is_in_no_lock_file() {
    let deny = fs_err::read_to_string(repository().join("deny.toml")).unwrap();
    let deny: toml::Value = toml::from_str(&deny).unwrap();
    let bans = deny["bans"]["deny"].as_array().unwrap();
    let banned: BTreeSet<&str> = bans
        .iter()
        .filter(|ban| ban.get("wrappers").is_none())
        .map(|ban| ban["crate"].as_str().unwrap())
        .collect();
    assert!(
        banned.contains("reqwest") && banned.len() > 10,
        "{banned:?}"
    );
    for package in packages() {
        assert!(
            !banned.contains(package.name.as_str()),
            "{} is banned",
            package.name
        );
    }
    let wrapped = bans
        .iter()
        .find(|ban| ban["crate"].as_str() == Some("ureq"));
    assert!(wrapped.unwrap().get("wrappers").is_some());
}

#[test]
fn every_package_has_a_checksum_and_comes_from_the_registry() {
    let packages = packages();
    let own = packages.iter().filter(|package| package.source.is_none());
    for package in own {
        let folder = match package.name.strip_prefix("kura-") {
            None => "server",
            Some("egress") => "models/egress",
            Some(folder) => folder,
        };
        assert!(
            repository().join(folder).join("Cargo.toml").is_file(),
            "{}",
            package.name
        );
    }
    let foreign: Vec<&Package> = packages
        .iter()
        .filter(|package| package.source.is_some())
        .collect();
    assert!(foreign.len() > 300);
    for package in foreign {
        let what = format!("{} {}", package.name, package.version);
        let source = package.source.as_deref().unwrap();
        assert!(
            source.starts_with("registry+"),
            "{what} comes from {source}"
        );
        assert_eq!(
            package.checksum.as_ref().map(String::len),
            Some(64),
            "{what}"
        );
    }
    for folder in ["web", "tests/browser"] {
        let lock = fs_err::read(repository().join(folder).join("package-lock.json")).unwrap();
        let lock: serde_json::Value = serde_json::from_slice(&lock).unwrap();
        let packages = lock["packages"].as_object().unwrap();
        for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
            assert!(
                package["integrity"].is_string(),
                "{folder}: {name} has no checksum"
            );
        }
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}
