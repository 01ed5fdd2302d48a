//! How much may be done at the same time, and by whom, so that kura stays quick for those it serves.
//!
//! - [`Class`]: what kind of work a request is. Health and metrics are never refused.
//! - [`Pool`]: places for searches, answers, models on the caller's texts, uploads and sign-ins, with short queues. What
//!   finds no place is refused at once or within 30 ms: 503 `overloaded`.
//! - [`Rates`] and [`Budgets`]: requests a minute and tokens a day of each user, or of a key with limits of its own: 429
//!   `rate_limited` and `budget_spent`.
//! - [`layer`]: where these stand around the routes.
//!
//! The operator (the admin API key, commands on the machine) has a share of the places like everyone else, and no rate and
//! no budget.

mod bill;
pub mod budget;
mod class;
mod layer;
mod pool;
mod rate;

pub use bill::Bill;
pub use budget::Budgets;
pub use class::Class;
pub use layer::{admit, admit_sign_in, count, recognize};
pub use pool::{Owner, Permit, Pool, Refused, Size};
pub use rate::{Counted, Rates, Standing};

use crate::auth::Principal;
use crate::config::{Config, LimitsConfig};
use crate::error::{ApiError, Code};
use crate::identity::Identity;
use jiff::Timestamp;
use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Requests whose key or session is looked up at the same time: the file is read by one at a time.
const RECOGNIZED: usize = 4;
/// Requests that wait for that.
const UNRECOGNIZED: usize = 512;
/// Sign-ins at the same time; of those two hash a password.
const SIGN_INS: Size = Size {
    places: 4,
    waiting: 32,
    reserved: 4,
};
/// Single sign-ons at the same time. They wait for the identity provider, for which nobody with a password should have to.
const SINGLE_SIGN_ONS: Size = Size {
    places: 64,
    waiting: 64,
    reserved: 64,
};
/// How often it is put on record that someone was limited.
const NOTED_EVERY: Duration = Duration::from_secs(60);
/// Those of whom it is remembered that it was.
const NOTED: usize = 1_000;

/// The limits in effect, and what counts against them.
pub struct Limits {
    /// Tokens spent.
    pub budgets: Budgets,
    config: LimitsConfig,
    rates: Rates,
    searches: Arc<Pool>,
    answers: Arc<Pool>,
    embeddings: Arc<Pool>,
    uploads: Arc<Pool>,
    sign_ins: Arc<Pool>,
    single_sign_ons: Arc<Pool>,
    /// Places for requests of all kinds.
    all: Arc<Semaphore>,
    recognized: Arc<Semaphore>,
    unrecognized: Arc<Semaphore>,
    /// Requests under way, by owner.
    open: Arc<Mutex<HashMap<Owner, u64>>>,
    noted: Mutex<HashMap<Owner, Instant>>,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is too much to do; of which kind, and when to try again.
    Shed(&'static str, u64),
    /// This owner asks for too much.
    Limited(&'static str, ApiLimit),
}

/// A limit of one owner that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiLimit {
    code: Code,
    detail: String,
    retry_after: u64,
}

/// What applies to a principal.
#[derive(Debug, Default, PartialEq, Eq)]
struct Allowed {
    requests: Vec<(Owner, NonZeroU32)>,
    questions: Option<(Owner, NonZeroU32)>,
    /// Tokens spent today and those that may be, of the key and of the user.
    tokens: Vec<(u64, u64)>,
}

impl Limits {
    /// Returns the limits that a configuration sets. `writes` says whether there is a generator, which answers one question
    /// after the other.
    #[must_use]
    pub fn new(config: &Config, identity: Identity, writes: bool) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let limits = &config.limits;
        let or = |set: usize, default: usize| if set > 0 { set } else { default };
        let answers = or(limits.answers, if writes { 1 } else { cores });
        let size = |places, waiting, reserved| Size {
            places,
            waiting,
            reserved,
        };
        let searches = size(or(limits.searches, cores), limits.searches_waiting, 0);
        let embeddings = size(limits.embeddings, limits.embeddings_waiting, 1);
        let uploads = size(limits.uploads, limits.uploads_waiting, 2);
        Self {
            budgets: Budgets::new(identity),
            rates: Rates::default(),
            searches: Pool::new("searches", searches),
            answers: Pool::new("answers", size(answers, limits.answers_waiting, 1)),
            embeddings: Pool::new("embeddings", embeddings),
            uploads: Pool::new("uploads", uploads),
            sign_ins: Pool::new("sign_ins", SIGN_INS),
            single_sign_ons: Pool::new("single_sign_ons", SINGLE_SIGN_ONS),
            all: Arc::new(Semaphore::new(config.server.max_concurrent_requests)),
            recognized: Arc::new(Semaphore::new(RECOGNIZED)),
            unrecognized: Arc::new(Semaphore::new(UNRECOGNIZED)),
            open: Arc::default(),
            noted: Mutex::default(),
            config: limits.clone(),
        }
    }

    /// Returns the pool of a class, if it has one.
    fn pool(&self, class: Class) -> Option<&Arc<Pool>> {
        match class {
            Class::Free | Class::Light => None,
            Class::Search => Some(&self.searches),
            Class::Answer => Some(&self.answers),
            Class::Embed => Some(&self.embeddings),
            Class::Upload => Some(&self.uploads),
        }
    }

    /// Returns what applies to a principal. A key with a limit of its own below that of users counts for both; one above,
    /// which an administrator gave it, only for itself.
    fn allowed(&self, principal: &Principal) -> Allowed {
        let Some(user) = principal.user() else {
            return Allowed::default();
        };
        let (owner, key) = (owner(principal), principal.key());
        let mut allowed = Allowed::default();
        let of_users = small(self.config.requests_per_minute);
        let own = key.and_then(|key| Some((key, key.requests_per_minute?)));
        if let Some((key, own)) = own {
            let key = Owner::from(key.id.to_string());
            allowed.requests.push((key, own));
        }
        let is_beyond = own.is_some_and(|(_, own)| of_users.is_none_or(|most| own > most));
        if let Some(most) = of_users.filter(|_| !is_beyond) {
            allowed.requests.push((Arc::clone(&owner), most));
        }
        let questions = small(self.config.answers_per_minute);
        allowed.questions = questions.map(|most| (owner, most));

        let of_users = NonZeroU64::new(self.config.tokens_per_day);
        let own = key.and_then(|key| Some((key, key.tokens_per_day?)));
        if let Some((key, own)) = own {
            let spent = self.budgets.of_key(key.id, key.tokens_today);
            allowed.tokens.push((spent, own.get()));
        }
        let is_beyond = own.is_some_and(|(_, own)| of_users.is_none_or(|most| own > most));
        if let Some(most) = of_users.filter(|_| !is_beyond) {
            let spent = self.budgets.of_user(user.id, user.tokens_today);
            allowed.tokens.push((spent, most.get()));
        }
        allowed
    }

    /// Counts a request of a principal; returns how it stands, if it is counted at all.
    fn count(&self, principal: &Principal, class: Class) -> Result<Option<Standing>, Refusal> {
        let allowed = self.allowed(principal);
        let mut standing: Option<Standing> = None;
        for (owner, per_minute) in allowed.requests {
            let counted = self.rates.count(&owner, Counted::Requests, per_minute);
            let now = counted.map_err(|wait| too_many("requests", per_minute, wait))?;
            if standing.is_none_or(|known| now.remaining < known.remaining) {
                standing = Some(now);
            }
        }
        if let Some((owner, per_minute)) = allowed.questions.filter(|_| class == Class::Answer) {
            let counted = self.rates.count(&owner, Counted::Questions, per_minute);
            counted.map_err(|wait| too_many("questions", per_minute, wait))?;
        }
        Ok(standing)
    }

    /// Fails when a principal, or its key, has spent its tokens of today.
    fn require_tokens(&self, principal: &Principal) -> Result<(), Refusal> {
        let spent = self.allowed(principal).tokens;
        let Some((spent, most)) = spent.into_iter().find(|(spent, most)| spent >= most) else {
            return Ok(());
        };
        let limit = ApiLimit {
            code: Code::BudgetSpent,
            detail: format!(
                "{spent} tokens of models were spent today, and {most} a day are allowed; try again tomorrow (UTC), or ask \
                 an administrator for a key with a larger budget"
            ),
            retry_after: budget::seconds_left(Timestamp::now()),
        };
        Err(Refusal::Limited("tokens", limit))
    }

    /// Counts a request as under way, until what is returned is dropped.
    fn open(&self, principal: &Principal) -> Result<Option<Open>, Refusal> {
        let most = self.config.concurrent_per_user;
        if principal.user().is_none() || most == 0 {
            return Ok(None);
        }
        let owner = owner(principal);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let n = open.entry(Arc::clone(&owner)).or_default();
        if *n >= most {
            let limit = ApiLimit {
                code: Code::RateLimited,
                detail: format!(
                    "{n} requests of this user are under way, and no more are worked on at the same time; wait until \
                     some have ended"
                ),
                retry_after: 1,
            };
            return Err(Refusal::Limited("concurrent", limit));
        }
        *n += 1;
        Ok(Some(Open {
            all: Arc::clone(&self.open),
            owner,
        }))
    }

    /// Returns whether it is to be put on record that this owner was limited: once a minute, since the log is no place for a
    /// flood.
    fn is_news(&self, owner: &Owner) -> bool {
        let now = Instant::now();
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Instant| now.duration_since(*at) < NOTED_EVERY;
        if noted.get(owner).is_some_and(is_recent) {
            return false;
        }
        noted.retain(|_, at| is_recent(at));
        if noted.len() >= NOTED {
            return false;
        }
        noted.insert(Arc::clone(owner), now);
        true
    }
}

/// A request that is under way.
struct Open {
    all: Arc<Mutex<HashMap<Owner, u64>>>,
    owner: Owner,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = all.get_mut(&self.owner) {
            *n -= 1;
            if *n == 0 {
                all.remove(&self.owner);
            }
        }
    }
}

impl Refusal {
    /// What is counted in the metrics.
    fn reason(&self) -> &'static str {
        match self {
            Self::Shed(reason, _) | Self::Limited(reason, _) => reason,
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (code, detail, seconds) = match refusal {
            Refusal::Shed(what, seconds) => {
                let detail = match what {
                    "requests" => {
                        "`server.max_concurrent_requests` requests are being worked on; retry later"
                            .to_owned()
                    }
                    what => format!(
                        "as many {what} as the server can do are under way; retry after the time in `Retry-After`"
                    ),
                };
                (Code::Overloaded, detail, seconds)
            }
            Refusal::Limited(_, limit) => (limit.code, limit.detail, limit.retry_after),
        };
        Self {
            retry_after: Some(seconds),
            ..Self::new(code, detail)
        }
    }
}

/// Returns whose requests are counted together: all keys and sessions of a user.
fn owner(principal: &Principal) -> Owner {
    match principal.user() {
        Some(user) => user.id.to_string().into(),
        None => principal.id().into(),
    }
}

fn too_many(what: &str, per_minute: NonZeroU32, wait: Duration) -> Refusal {
    let limit = ApiLimit {
        code: Code::RateLimited,
        detail: format!(
            "more than {per_minute} {what} a minute; retry after the time in `Retry-After`, or ask an administrator for a \
             key with a higher limit"
        ),
        retry_after: wait.as_secs() + 1,
    };
    Refusal::Limited(
        if what == "requests" {
            "requests_per_minute"
        } else {
            "answers_per_minute"
        },
        limit,
    )
}

/// Returns a limit as the counter takes it; `None` for 0, which is no limit.
fn small(limit: u64) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(limit).unwrap_or(u32::MAX))
}
