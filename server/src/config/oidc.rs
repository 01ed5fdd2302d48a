//! `[auth.oidc]`: single sign-on at an `OpenID` Connect provider.

use crate::identity::Role;
use kura_egress::{Egress, Peer};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use url::{Host, Url};

/// Largest difference of clocks that is put up with.
const MAX_CLOCK_SKEW_SECS: u64 = 600;

/// Single sign-on. It is off while `issuer` is empty. `default.toml` documents every key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// The provider's name, an address; empty: no single sign-on.
    pub issuer: String,
    /// What kura is called there.
    pub client_id: String,
    /// Where the secret lies; empty: kura is a public client.
    pub client_secret_file: PathBuf,
    /// What the button on the page is called; empty: the page's own words.
    pub label: String,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// Hosts beside the issuer's that the provider may use.
    pub hosts: Vec<String>,
    /// The claim that becomes the login of new users.
    pub name_claim: String,
    /// Whether people who are not known yet become users.
    pub create_users: bool,
    /// Claims that everyone must have, as `claim=value`.
    pub require_claims: Vec<String>,
    /// The claim with the provider's groups.
    pub groups_claim: String,
    /// The provider's groups that are groups of kura, as `theirs=ours`.
    pub groups: Vec<String>,
    /// What stands before the names of the provider's other groups; empty: these do not count.
    pub group_prefix: String,
    /// The provider's groups whose members are administrators.
    pub admin_groups: Vec<String>,
    /// Those of auditors.
    pub auditor_groups: Vec<String>,
    /// Those of editors.
    pub editor_groups: Vec<String>,
    /// Those of readers.
    pub reader_groups: Vec<String>,
    /// The role of all others; empty: they are refused.
    pub default_role: String,
    /// How far the clocks may differ, in seconds.
    pub clock_skew_secs: u64,
}

impl OidcConfig {
    /// Returns whether there is single sign-on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.issuer.is_empty()
    }

    /// Returns whom signing in leads to; nobody if it is off.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        if !self.is_on() {
            return Vec::new();
        }
        let others = self.hosts.iter().map(|host| format!("https://{host}"));
        let urls = std::iter::once(self.issuer.clone()).chain(others);
        // What is no address was refused when the configuration was loaded.
        urls.flat_map(|url| Peer::of_url(&url)).collect()
    }

    /// Returns where signing in may connect to, which is nowhere else: the issuer's host and `hosts`.
    #[must_use]
    pub fn egress(&self) -> Egress {
        let issuer = Url::parse(&self.issuer).ok();
        let issuer = issuer.as_ref().and_then(Url::host_str);
        let hosts = self.hosts.iter().map(String::as_str).chain(issuer);
        // What is no host was refused when the configuration was loaded.
        Egress::to(hosts.flat_map(str::parse).collect())
    }

    /// Returns the groups of kura that a group of the provider stands for, beside those with the prefix.
    pub(crate) fn groups_of<'a>(&'a self, theirs: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.groups.iter().filter_map(|pair| pair.rsplit_once('='));
        pairs
            .filter(move |(known, _)| *known == theirs)
            .map(|(_, ours)| ours)
    }

    /// Returns the role that the provider's groups give: of several the first of admin, auditor, editor, reader.
    pub(crate) fn role_of(&self, theirs: &[String]) -> Option<Role> {
        let has = |groups: &[String]| groups.iter().any(|group| theirs.contains(group));
        let given = [
            (Role::Admin, &self.admin_groups),
            (Role::Auditor, &self.auditor_groups),
            (Role::Editor, &self.editor_groups),
            (Role::Reader, &self.reader_groups),
        ];
        let found = given.into_iter().find(|(_, groups)| has(groups));
        found
            .map(|(role, _)| role)
            .or_else(|| self.default_role.parse().ok())
    }

    /// Returns the claims that everyone must have, with their values.
    pub(crate) fn required(&self) -> impl Iterator<Item = (&str, &str)> {
        self.require_claims
            .iter()
            .filter_map(|pair| pair.split_once('='))
    }

    /// Returns what is wrong with it: keys below `auth.oidc`, each with what is wrong and what would be right.
    pub(super) fn problems(&self, public_url: &str) -> Vec<(&'static str, String)> {
        if !self.is_on() {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut require = |ok: bool, key, message: String| {
            if !ok {
                found.push((key, message));
            }
        };
        require(
            Url::parse(&self.issuer).is_ok_and(|url| is_issuer(&url)),
            "issuer",
            format!(
                "`{}` is no issuer like https://login.example.com/realm: it needs https (http only for 127.0.0.1, [::1] \
                 and localhost) and has neither query nor fragment; use exactly what the provider calls its issuer",
                self.issuer
            ),
        );
        require(
            !public_url.is_empty(),
            "issuer",
            "is set, but `auth.public_url` is not: the provider sends people back to that address"
                .to_owned(),
        );
        require(
            !self.client_id.is_empty(),
            "client_id",
            "is empty; it is what kura is registered as at the provider".to_owned(),
        );
        for host in &self.hosts {
            require(
                Url::parse(&format!("https://{host}/"))
                    .is_ok_and(|url| url.host_str() == Some(host.as_str()) && url.path() == "/"),
                "hosts",
                format!(
                    "`{host}` is no host name like login.example.com, in lower case and without a port"
                ),
            );
        }
        require(
            !self.name_claim.is_empty(),
            "name_claim",
            "is empty; new users get their login from it".to_owned(),
        );
        for scope in &self.scopes {
            require(
                !scope.is_empty() && !scope.contains(char::is_whitespace),
                "scopes",
                format!("`{scope}` is no scope; write each as an entry of its own"),
            );
        }
        for pair in &self.require_claims {
            require(
                pair.split_once('=')
                    .is_some_and(|(claim, value)| !claim.is_empty() && !value.is_empty()),
                "require_claims",
                format!("`{pair}` is not of the form `claim=value`"),
            );
        }
        for pair in &self.groups {
            let ours = pair
                .rsplit_once('=')
                .filter(|(theirs, _)| !theirs.is_empty());
            require(
                ours.is_some_and(|(_, ours)| crate::identity::is_group_name(ours)),
                "groups",
                format!(
                    "`{pair}` is not of the form `group of the provider=group of kura`; groups of kura have 1 to 64 \
                     letters, digits, `-`, `_` or `.`"
                ),
            );
        }
        require(
            self.group_prefix.is_empty() || crate::identity::is_group_name(&self.group_prefix),
            "group_prefix",
            format!(
                "`{}` cannot begin the name of a group; use letters, digits, `-`, `_` or `.`",
                self.group_prefix
            ),
        );
        let role: Result<Role, _> = self.default_role.parse();
        require(
            self.default_role.is_empty() || role.is_ok(),
            "default_role",
            format!(
                "`{}` is none of `reader`, `editor`, `admin`, `auditor` and \"\"",
                self.default_role
            ),
        );
        let by_group = [
            &self.admin_groups,
            &self.auditor_groups,
            &self.editor_groups,
            &self.reader_groups,
        ];
        require(
            !self.default_role.is_empty() || by_group.iter().any(|groups| !groups.is_empty()),
            "default_role",
            "is empty, and so are `admin_groups`, `auditor_groups`, `editor_groups` and `reader_groups`: nobody could \
             sign in"
                .to_owned(),
        );
        require(
            !self.groups_claim.is_empty() || self.default_role_suffices(),
            "groups_claim",
            "is empty, so groups can give neither roles nor membership".to_owned(),
        );
        require(
            self.clock_skew_secs <= MAX_CLOCK_SKEW_SECS,
            "clock_skew_secs",
            format!(
                "{} is more than {MAX_CLOCK_SKEW_SECS}; set the clocks",
                self.clock_skew_secs
            ),
        );
        found
    }

    fn default_role_suffices(&self) -> bool {
        let lists = [
            &self.admin_groups,
            &self.auditor_groups,
            &self.editor_groups,
            &self.reader_groups,
            &self.groups,
        ];
        lists.iter().all(|list| list.is_empty()) && self.group_prefix.is_empty()
    }
}

/// Returns whether an address may name a provider.
fn is_issuer(url: &Url) -> bool {
    let is_safe = match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(url),
        _ => false,
    };
    let is_plain = url.query().is_none() && url.fragment().is_none();
    is_safe && is_plain && url.username().is_empty() && url.password().is_none()
}

/// Returns whether an address is on this machine: nobody on the way could change what goes there.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> OidcConfig {
        OidcConfig {
            issuer: "https://login.example.com/realm".to_owned(),
            client_id: "kura".to_owned(),
            name_claim: "preferred_username".to_owned(),
            groups_claim: "groups".to_owned(),
            default_role: "reader".to_owned(),
            ..OidcConfig::default()
        }
    }

    fn keys(config: &OidcConfig) -> Vec<&'static str> {
        let problems = config.problems("https://kura.example.com");
        problems.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn what_cannot_be_is_named() {
        assert_eq!(keys(&config()), Vec::<&str>::new());
        assert_eq!(keys(&OidcConfig::default()), Vec::<&str>::new());
        assert_eq!(config().problems("").len(), 1);
        let list = |text: &str| vec![text.to_owned()];
        type Change = (&'static str, fn(&mut OidcConfig, &str), &'static str);
        let change: [Change; 15] = [
            (
                "issuer",
                |c, v| c.issuer = v.into(),
                "http://login.example.com",
            ),
            (
                "issuer",
                |c, v| c.issuer = v.into(),
                "https://a.example/?x=1",
            ),
            (
                "issuer",
                |c, v| c.issuer = v.into(),
                "https://a:b@c.example/",
            ),
            ("issuer", |c, v| c.issuer = v.into(), "login.example.com"),
            ("client_id", |c, v| c.client_id = v.into(), ""),
            (
                "hosts",
                |c, v| c.hosts = vec![v.into()],
                "https://a.example",
            ),
            ("hosts", |c, v| c.hosts = vec![v.into()], "a.example/x"),
            ("hosts", |c, v| c.hosts = vec![v.into()], "a.example:80"),
            ("name_claim", |c, v| c.name_claim = v.into(), ""),
            ("scopes", |c, v| c.scopes = vec![v.into()], "profile email"),
            (
                "require_claims",
                |c, v| c.require_claims = vec![v.into()],
                "hd",
            ),
            ("groups", |c, v| c.groups = vec![v.into()], "hr=everyone"),
            ("group_prefix", |c, v| c.group_prefix = v.into(), "user:"),
            ("default_role", |c, v| c.default_role = v.into(), "root"),
            ("default_role", |c, v| c.default_role = v.into(), ""),
        ];
        for (key, apply, value) in change {
            let mut changed = config();
            apply(&mut changed, value);
            assert_eq!(keys(&changed), [key], "{value}");
        }
        let skewed = OidcConfig {
            clock_skew_secs: 3600,
            ..config()
        };
        assert_eq!(keys(&skewed), ["clock_skew_secs"]);
        let blind = OidcConfig {
            groups_claim: String::new(),
            admin_groups: list("admins"),
            ..config()
        };
        assert_eq!(keys(&blind), ["groups_claim"]);
        for issuer in [
            "http://127.0.0.1:4400",
            "http://[::1]:4400/x",
            "http://localhost:4400",
        ] {
            let local = OidcConfig {
                issuer: issuer.to_owned(),
                ..config()
            };
            assert_eq!(keys(&local), Vec::<&str>::new(), "{issuer}");
        }
    }

    #[test]
    fn groups_give_one_role() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let config = OidcConfig {
            admin_groups: list(&["ops"]),
            auditor_groups: list(&["audit"]),
            editor_groups: list(&["writers", "docs"]),
            default_role: String::new(),
            groups: list(&["a=b=hr", "x=hr", "x=law"]),
            ..config()
        };
        let role = |names: &[&str]| config.role_of(&list(names));
        assert_eq!(role(&["docs", "ops"]), Some(Role::Admin));
        assert_eq!(role(&["docs", "audit"]), Some(Role::Auditor));
        assert_eq!(role(&["docs"]), Some(Role::Editor));
        // Names are compared as they are.
        assert_eq!(role(&["Docs", "op"]), None);
        assert_eq!(config.groups_of("a=b").collect::<Vec<_>>(), ["hr"]);
        assert_eq!(config.groups_of("x").collect::<Vec<_>>(), ["hr", "law"]);
        assert_eq!(config.groups_of("a").count(), 0);
    }
}
