//! An identity provider that does what it is told: by default all as it should be, and for each attack one thing wrong.

use axum::Router;
use axum::body::Body;
use axum::extract::{Form, Request, State};
use axum::http::{HeaderMap, Response, header};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openidconnect::core::{CoreHmacKey, CoreJwsSigningAlgorithm, CoreRsaPrivateSigningKey};
use openidconnect::{JsonWebKeyId, PrivateSigningKey as _};
use rsa::RsaPrivateKey;
use rsa::pkcs1::{EncodeRsaPrivateKey as _, LineEnding};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;
use tokio::runtime::Runtime;

pub(super) const CLIENT: &str = "kura";
pub(super) const SECRET: &str = "a secret & its + signs";

/// Keys to sign with; which of them the provider publishes, the script says.
static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let make = |_| {
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        key.to_pkcs1_pem(LineEnding::LF).unwrap().to_string()
    };
    (0..3).map(make).collect()
});

/// A running provider.
pub(super) struct Provider {
    pub(super) url: String,
    script: Arc<Mutex<Script>>,
    _runtime: Runtime,
}

/// Status, one header, and body.
type Answer = (u16, (&'static str, String), Vec<u8>);

/// What it does.
#[derive(Clone)]
pub(super) struct Script {
    /// Changes its description of itself; `null` removes.
    pub(super) description: Value,
    /// The keys that it publishes, each changed so.
    pub(super) keys: Vec<(usize, Value)>,
    /// Changes the header of ID tokens.
    pub(super) header: Value,
    /// Changes their claims.
    pub(super) claims: Value,
    /// How they are signed.
    pub(super) signer: Signer,
    /// Changes tokens as they are sent.
    pub(super) mangle: fn(String) -> String,
    /// Changes what the token endpoint says.
    pub(super) tokens: Value,
    /// What the user info endpoint says beside `sub`.
    pub(super) user_info: Value,
    /// What some paths answer whatever else is said: status, a header, body.
    pub(super) answers: HashMap<&'static str, Answer>,
    /// A path that takes so long.
    pub(super) slow: Option<(&'static str, Duration)>,
    /// What codes were given for.
    grants: BTreeMap<String, Grant>,
    /// Requests by path.
    pub(super) hits: BTreeMap<String, usize>,
}

#[derive(Clone, Copy)]
pub(super) enum Signer {
    /// With a key, RS256.
    Key(usize),
    /// With a key, PS256.
    Pss(usize),
    /// HS256 with these bytes.
    Shared(&'static [u8]),
    /// HS256 with the public key that the provider publishes, as its modulus is written.
    PublicKey,
    /// Not at all.
    Nobody,
}

#[derive(Clone)]
struct Grant {
    challenge: String,
    redirect_uri: String,
    claims: Map<String, Value>,
    used: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            description: json!({}),
            keys: vec![(0, json!({}))],
            header: json!({}),
            claims: json!({}),
            signer: Signer::Key(0),
            mangle: |token| token,
            tokens: json!({}),
            user_info: json!({}),
            answers: HashMap::new(),
            slow: None,
            grants: BTreeMap::new(),
            hits: BTreeMap::new(),
        }
    }
}

impl Provider {
    pub(super) fn start() -> Self {
        LazyLock::force(&KEYS);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let state = Shared {
            script: Arc::clone(&script),
            url: url.clone(),
        };
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(describe))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .route("/userinfo", get(user_info))
            .layer(axum::middleware::from_fn_with_state(state.clone(), meddle))
            .fallback(async || "nothing is here")
            .with_state(state);
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self {
            url,
            script,
            _runtime: runtime,
        }
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Does everything right again; codes and counts stay.
    pub(super) fn behave(&self) {
        let mut script = self.script();
        *script = Script {
            grants: script.grants.clone(),
            hits: script.hits.clone(),
            ..Script::default()
        };
    }

    /// Lets someone in, as a person at the provider's page would; returns the code.
    pub(super) fn grant(&self, asked: &HashMap<String, String>, person: &Value) -> String {
        let now = jiff::Timestamp::now().as_second();
        let mut claims = json!({
            "iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"],
        });
        merge(&mut claims, person);
        let code = format!("code-{}", uuid::Uuid::now_v7());
        let grant = Grant {
            challenge: asked["code_challenge"].clone(),
            redirect_uri: asked["redirect_uri"].clone(),
            claims: claims.as_object().unwrap().clone(),
            used: false,
        };
        assert_eq!(asked["code_challenge_method"], "S256");
        self.script().grants.insert(code.clone(), grant);
        code
    }

    /// Returns a token with these claims, signed as the script says.
    pub(super) fn sign(&self, claims: &Value) -> String {
        let script = self.script().clone();
        compact(&script, &script.header, claims)
    }
}

#[derive(Clone)]
struct Shared {
    script: Arc<Mutex<Script>>,
    url: String,
}

/// Counts requests, and answers those that are to be answered wrongly.
async fn meddle(
    State(state): State<Shared>,
    request: Request,
    next: axum::middleware::Next,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let (answer, slow) = {
        let mut script = state.script.lock().unwrap();
        *script.hits.entry(path.clone()).or_default() += 1;
        (script.answers.get(path.as_str()).cloned(), script.slow)
    };
    if let Some((_, time)) = slow.filter(|(slow, _)| *slow == path) {
        tokio::time::sleep(time).await;
    }
    match answer {
        Some((status, (name, value), body)) => Response::builder()
            .status(status)
            .header(name, value)
            .body(body.into())
            .unwrap(),
        None => next.run(request).await,
    }
}

fn answer(status: u16, body: &Value) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.to_string().into())
        .unwrap()
}

async fn describe(State(state): State<Shared>) -> Response<Body> {
    let url = &state.url;
    let mut description = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "end_session_endpoint": format!("{url}/logout"),
        "jwks_uri": format!("{url}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        "authorization_response_iss_parameter_supported": true,
        "backchannel_logout_supported": true,
    });
    merge(&mut description, &state.script.lock().unwrap().description);
    answer(200, &description)
}

async fn jwks(State(state): State<Shared>) -> Response<Body> {
    let script = state.script.lock().unwrap().clone();
    let keys: Vec<Value> = script
        .keys
        .iter()
        .map(|(n, change)| {
            let mut key = public(*n);
            merge(&mut key, change);
            key
        })
        .collect();
    answer(200, &json!({ "keys": keys }))
}

async fn token(
    State(state): State<Shared>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response<Body> {
    let mut script = state.script.lock().unwrap();
    let refused = |error: &str| answer(400, &json!({ "error": error }));
    if basic(&headers) != Some((CLIENT.to_owned(), SECRET.to_owned())) {
        return refused("invalid_client");
    }
    let Some(grant) = script.grants.get_mut(&form["code"]) else {
        return refused("invalid_grant");
    };
    let verifier = form.get("code_verifier").cloned().unwrap_or_default();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    if grant.used || challenge != grant.challenge || form["redirect_uri"] != grant.redirect_uri {
        return refused("invalid_grant");
    }
    grant.used = true;
    let mut claims = Value::Object(grant.claims.clone());
    merge(&mut claims, &script.claims);
    let token = compact(&script, &script.header, &claims);
    let mut tokens = json!({
        "access_token": "access", "token_type": "Bearer", "expires_in": 300, "id_token": (script.mangle)(token),
    });
    merge(&mut tokens, &script.tokens);
    answer(200, &tokens)
}

async fn user_info(State(state): State<Shared>, headers: HeaderMap) -> Response<Body> {
    if headers.get(header::AUTHORIZATION).unwrap() != "Bearer access" {
        return answer(401, &json!({}));
    }
    let script = state.script.lock().unwrap();
    // The person of the last code.
    let last = script.grants.values().rfind(|grant| grant.used).unwrap();
    let mut said = json!({ "sub": last.claims["sub"] });
    merge(&mut said, &script.user_info);
    answer(200, &said)
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let bytes = STANDARD.decode(text.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (name, secret) = text.split_once(':')?;
    // RFC 6749, 2.3.1: both are form-encoded first.
    let decoded = |text: &str| {
        let pair = format!("x={text}");
        let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
        pairs.next().map(|(_, value)| value.into_owned())
    };
    Some((decoded(name)?, decoded(secret)?))
}

/// Returns a token in its compact form.
fn compact(script: &Script, header: &Value, claims: &Value) -> String {
    let algorithm = match script.signer {
        Signer::Key(_) => "RS256",
        Signer::Pss(_) => "PS256",
        Signer::Shared(_) | Signer::PublicKey => "HS256",
        Signer::Nobody => "none",
    };
    let mut head = json!({ "alg": algorithm, "kid": "key-0" });
    if let Signer::Key(n) | Signer::Pss(n) = script.signer {
        head["kid"] = json!(format!("key-{n}"));
    }
    merge(&mut head, header);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&head), part(claims));
    let signature = signature(script.signer, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn signature(signer: Signer, signed: &[u8]) -> Vec<u8> {
    use CoreJwsSigningAlgorithm as A;
    let shared = |bytes: Vec<u8>| {
        let key = CoreHmacKey::new(bytes);
        key.sign(&A::HmacSha256, signed).unwrap()
    };
    match signer {
        Signer::Key(n) => private(n).sign(&A::RsaSsaPkcs1V15Sha256, signed).unwrap(),
        Signer::Pss(n) => private(n).sign(&A::RsaSsaPssSha256, signed).unwrap(),
        Signer::Shared(bytes) => shared(bytes.to_vec()),
        Signer::PublicKey => shared(public(0)["n"].as_str().unwrap().as_bytes().to_vec()),
        Signer::Nobody => Vec::new(),
    }
}

fn private(n: usize) -> CoreRsaPrivateSigningKey {
    let name = JsonWebKeyId::new(format!("key-{n}"));
    CoreRsaPrivateSigningKey::from_pem(&KEYS[n], Some(name)).unwrap()
}

/// Returns the public half of a key, as it is published.
pub(super) fn public(n: usize) -> Value {
    serde_json::to_value(private(n).as_verification_key()).unwrap()
}

/// Puts other claims into a token, and leaves the signature.
pub(super) fn tampered(token: String) -> String {
    let mut parts: Vec<&str> = token.split('.').collect();
    let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let mut claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["sub"] = json!("2");
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    parts[1] = &claims;
    parts.join(".")
}

/// Changes an object; `null` removes.
pub(super) fn merge(into: &mut Value, change: &Value) {
    let into = into.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            into.remove(name);
        } else {
            into.insert(name.clone(), value.clone());
        }
    }
}
