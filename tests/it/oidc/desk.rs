//! A kura with single sign-on at a provider that does what it is told, and browsers in front of it.

use super::provider::{CLIENT, Provider, SECRET};
use kura::audit::Record;
use kura::audit::read::{self, Filter};
use kura::config::OidcConfig;
use kura_tests::{Client, Reply, TestApp, fake_models};
use serde_json::{Value, json};
use std::collections::HashMap;
use url::Url;

/// Where people reach kura, as it is told.
pub(super) const PUBLIC: &str = "http://kura.test";

pub(super) struct Desk {
    pub(super) app: TestApp,
    pub(super) provider: Provider,
    _dir: tempfile::TempDir,
}

/// A sign-in that is under way in one browser.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    /// `name=value`.
    pub(super) cookie: String,
    /// What the provider is asked.
    pub(super) asked: HashMap<String, String>,
}

impl Desk {
    pub(super) fn new(configure: impl FnOnce(&mut OidcConfig)) -> Self {
        let provider = Provider::start();
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        fs_err::write(&secret, format!("{SECRET}\n")).unwrap();
        let issuer = provider.url.clone();
        let app = TestApp::with(fake_models(&[]), |config| {
            config.auth.public_url = PUBLIC.to_owned();
            let oidc = &mut config.auth.oidc;
            oidc.issuer = issuer;
            oidc.client_id = CLIENT.to_owned();
            oidc.client_secret_file = secret;
            oidc.default_role = "reader".to_owned();
            configure(oidc);
        });
        Self {
            app,
            provider,
            _dir: dir,
        }
    }

    /// Begins to sign in.
    pub(super) fn begin(&self) -> Begun {
        let reply = self.start("/documents");
        let location = reply.header("location").unwrap();
        assert_eq!(reply.status, 303, "{reply:?}");
        assert!(
            location.starts_with(&format!("{}/authorize?", self.provider.url)),
            "{location}"
        );
        let asked: HashMap<String, String> = Url::parse(location)
            .unwrap()
            .query_pairs()
            .into_owned()
            .collect();
        let set = reply.header("set-cookie").unwrap();
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"] {
            assert!(set.contains(attribute), "{set}");
        }
        Begun {
            cookie: set.split(';').next().unwrap().to_owned(),
            asked,
        }
    }

    pub(super) fn start(&self, return_to: &str) -> Reply {
        let query: String = url::form_urlencoded::byte_serialize(return_to.as_bytes()).collect();
        let path = format!("/api/v1/session/oidc/start?return_to={query}");
        self.app.anonymous().get(&path)
    }

    /// Comes back from the provider with what stands in `answer`.
    pub(super) fn come_back(&self, cookie: Option<&str>, answer: &[(&str, &str)]) -> Reply {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let query = query.extend_pairs(answer).finish();
        // As a browser that comes from another site.
        let mut headers = vec![
            ("sec-fetch-site", "cross-site"),
            ("user-agent", "Browser/1.0"),
        ];
        headers.extend(cookie.map(|cookie| ("cookie", cookie)));
        let client = self.app.anonymous().with_headers(&headers);
        client.get(&format!("/api/v1/session/oidc/callback?{query}"))
    }

    /// Signs someone in from beginning to end.
    pub(super) fn sign_in(&self, person: &Value) -> Reply {
        let begun = self.begin();
        let code = self.provider.grant(&begun.asked, person);
        self.redeem(&begun, &code)
    }

    pub(super) fn redeem(&self, begun: &Begun, code: &str) -> Reply {
        let answer = [
            ("code", code),
            ("state", &begun.asked["state"]),
            ("iss", &self.provider.url),
        ];
        self.come_back(Some(&begun.cookie), &answer)
    }

    /// Returns a client with the session that someone was given, as kura's own page.
    pub(super) fn page(&self, reply: &Reply) -> Client {
        let cookie = session(reply).unwrap_or_else(|| panic!("{reply:?} {:?}", self.last()));
        let headers = [
            ("cookie", cookie.as_str()),
            ("sec-fetch-site", "same-origin"),
        ];
        self.app.anonymous().with_headers(&headers)
    }

    /// Signs someone in who is let in.
    pub(super) fn enter(&self, person: &Value) -> Client {
        let reply = self.sign_in(person);
        assert_eq!(
            (reply.status, reply.header("location")),
            (303, Some("/documents")),
            "{reply:?} {:?}",
            self.last()
        );
        self.page(&reply)
    }

    /// Sends a logout token as the provider would.
    pub(super) fn order(&self, token: &str) -> Reply {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let body = form.append_pair("logout_token", token).finish();
        let kind = "application/x-www-form-urlencoded";
        let body = Some((kind, body.into_bytes()));
        self.app
            .anonymous()
            .send("POST", "/api/v1/session/oidc/logout", body)
    }

    pub(super) fn last(&self) -> Option<Record> {
        self.records().into_iter().next()
    }

    /// All records, the latest first.
    pub(super) fn records(&self) -> Vec<Record> {
        let data_dir = &self.app.app.config.data_dir;
        read::latest(data_dir, &Filter::default(), None, 10_000).unwrap()
    }

    /// The one record of a request.
    pub(super) fn record_of(&self, reply: &Reply) -> Record {
        let id = reply.header("x-request-id").unwrap();
        let mut found = self.records();
        found.retain(|record| record.request.as_deref() == Some(id));
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    /// Fails unless a sign-in was refused for this reason, and the record says so.
    pub(super) fn assert_refused(&self, what: &str, reply: &Reply, reason: &str, shown: &str) {
        let record = self.record_of(reply);
        assert_eq!(record.action, "session.create", "{what}: {record:?}");
        assert_eq!(
            record.details["reason"].as_str(),
            Some(reason),
            "{what}: {record:?}"
        );
        assert_ne!(
            record.outcome.result,
            kura::audit::Ending::Success,
            "{what}"
        );
        assert_eq!(record.principal, None, "{what}: {record:?}");
        assert_eq!(reply.status, 303, "{what}: {reply:?}");
        let expected = format!("/?sign_in={shown}");
        assert_eq!(reply.header("location"), Some(expected.as_str()), "{what}");
        assert_eq!(session(reply), None, "{what}: {reply:?}");
    }
}

/// Someone at the provider.
pub(super) fn person(sub: &str, name: &str, groups: &[&str]) -> Value {
    json!({
        "sub": sub, "preferred_username": name, "name": format!("{name} of the provider"), "groups": groups,
        "email": format!("{name}@example.com"), "sid": format!("sid-{sub}"),
    })
}

/// Returns the session's cookie, if one was set.
pub(super) fn session(reply: &Reply) -> Option<String> {
    let set = reply
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie");
    let mut pairs = set.filter_map(|(_, value)| value.split(';').next());
    let cookie = pairs.find(|pair| pair.starts_with("kura_session="))?;
    Some(cookie.to_owned())
}
