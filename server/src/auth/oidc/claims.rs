//! What a provider says of a person, as kura understands it.

use super::refusal::{Reason, Refusal};
use super::token::Claims;
use crate::config::OidcConfig;
use crate::identity::{Arrival, is_group_name};
use serde_json::Value;

/// Returns whether what the ID token says is not all that kura wants to know.
pub(super) fn is_lacking(config: &OidcConfig, claims: &Claims) -> bool {
    let groups = Some(config.groups_claim.as_str()).filter(|name| !name.is_empty());
    let wanted = groups.into_iter().chain([config.name_claim.as_str()]);
    let mut wanted = wanted.chain(config.required().map(|(name, _)| name));
    wanted.any(|name| find(claims, name).is_none())
}

/// Returns whom the provider sent.
///
/// # Errors
/// When the person may not sign in, by what the configuration says.
pub(super) fn arrival(config: &OidcConfig, claims: &Claims) -> Result<Arrival, Refusal> {
    for (name, value) in config.required() {
        if !says(claims, name, value) {
            let cause = format!("the claim `{name}` is not `{value}`");
            return Err(Refusal::new(Reason::Claim, cause));
        }
    }
    let groups = groups(config, claims)?;
    let role = config.role_of(&groups).ok_or_else(|| {
        let cause = format!("none of the groups {groups:?} gives a role");
        Refusal::new(Reason::NoRole, cause)
    })?;
    let (mut mapped_groups, mut own_groups) = (Vec::new(), Vec::new());
    for theirs in &groups {
        let before = mapped_groups.len();
        mapped_groups.extend(config.groups_of(theirs).map(str::to_owned));
        let own = format!("{}{theirs}", config.group_prefix);
        let is_mapped = mapped_groups.len() > before;
        if !is_mapped && !config.group_prefix.is_empty() && is_group_name(&own) {
            own_groups.push(own);
        }
    }
    let text = |name: &str| {
        find(claims, name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let subject = text("sub").unwrap_or_default();
    Ok(Arrival {
        issuer: config.issuer.clone(),
        subject,
        login: text(&config.name_claim),
        display_name: text("name"),
        email: text("email"),
        role,
        mapped_groups,
        own_groups,
        sid: super::token::sid(claims),
        id_token: None,
        create: config.create_users,
    })
}

/// Returns the provider's groups.
fn groups(config: &OidcConfig, claims: &Claims) -> Result<Vec<String>, Refusal> {
    if config.groups_claim.is_empty() {
        return Ok(Vec::new());
    }
    match find(claims, &config.groups_claim) {
        Some(Value::Array(list)) => Ok(list
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        // Entra ID: the groups are somewhere else, because there are more than fit in a token.
        None if claims
            .get("_claim_names")
            .is_some_and(|names| names.get(&config.groups_claim).is_some()) =>
        {
            let cause = "the provider does not list so many groups; have it list only those of the application";
            Err(Refusal::new(Reason::TooManyGroups, cause))
        }
        _ => Ok(Vec::new()),
    }
}

/// Returns a claim, by its name or, where there is none of that name, by the path to it.
fn find<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    let within = claims.get(first)?;
    rest.split('.')
        .try_fold(within, |value, part| value.get(part))
}

/// Returns whether a claim has this value, or a list has it.
fn says(claims: &Claims, name: &str, value: &str) -> bool {
    let is = |found: &Value| match found {
        Value::String(text) => text == value,
        Value::Bool(flag) => flag.to_string() == value,
        Value::Number(number) => number.to_string() == value,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    match find(claims, name) {
        Some(Value::Array(list)) => list.iter().any(is),
        Some(found) => is(found),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Role;
    use serde_json::json;

    fn config() -> OidcConfig {
        OidcConfig {
            issuer: "https://login.example.com".to_owned(),
            name_claim: "preferred_username".to_owned(),
            groups_claim: "groups".to_owned(),
            default_role: "reader".to_owned(),
            ..OidcConfig::default()
        }
    }

    fn claims(value: Value) -> Claims {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_group_of_the_provider_is_one_of_kura_only_by_mapping_or_prefix() {
        let said = claims(json!({
            "sub": "1", "preferred_username": "taro",
            "groups": ["hr", "/Legal Team", "everyone", "admins", 7, "人事"],
        }));
        let plain = arrival(&config(), &said).unwrap();
        assert!(plain.mapped_groups.is_empty() && plain.own_groups.is_empty());
        let mapping = OidcConfig {
            groups: vec!["/Legal Team=law".to_owned(), "hr=hr".to_owned()],
            group_prefix: "sso-".to_owned(),
            ..config()
        };
        let mapped = arrival(&mapping, &said).unwrap();
        assert_eq!(mapped.mapped_groups, ["hr", "law"]);
        assert_eq!(
            mapped.own_groups,
            ["sso-everyone", "sso-admins", "sso-人事"]
        );
        assert_eq!(mapped.role, Role::Reader);
    }

    #[test]
    fn claims_are_found_where_providers_put_them() {
        let nested = OidcConfig {
            groups_claim: "realm_access.roles".to_owned(),
            admin_groups: vec!["ops".to_owned()],
            ..config()
        };
        let said = json!({ "sub": "1", "realm_access": { "roles": ["ops"] } });
        assert_eq!(arrival(&nested, &claims(said)).unwrap().role, Role::Admin);
        let named = OidcConfig {
            groups_claim: "https://example.com/groups".to_owned(),
            ..nested.clone()
        };
        let said = json!({ "sub": "1", "https://example.com/groups": "ops" });
        assert_eq!(arrival(&named, &claims(said)).unwrap().role, Role::Admin);
        let overflow = json!({ "sub": "1", "_claim_names": { "groups": "src1" } });
        let refused = arrival(&config(), &claims(overflow)).unwrap_err();
        assert_eq!(refused.reason, Reason::TooManyGroups);
    }

    #[test]
    fn required_claims_are_required() {
        let strict = OidcConfig {
            require_claims: vec!["hd=example.com".to_owned(), "ok=true".to_owned()],
            ..config()
        };
        let check = |said: Value| arrival(&strict, &claims(said)).map_err(|error| error.reason);
        assert!(check(json!({ "sub": "1", "hd": "example.com", "ok": true })).is_ok());
        assert!(check(json!({ "sub": "1", "hd": ["a", "example.com"], "ok": "true" })).is_ok());
        for said in [
            json!({ "sub": "1", "ok": true }),
            json!({ "sub": "1", "hd": "example.com.evil", "ok": true }),
            json!({ "sub": "1", "hd": "example.com", "ok": false }),
        ] {
            assert_eq!(check(said).unwrap_err(), Reason::Claim);
        }
        assert!(is_lacking(
            &strict,
            &claims(json!({ "groups": [], "preferred_username": "x" }))
        ));
    }
}
