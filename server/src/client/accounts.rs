//! Users, groups and API keys.

use super::{Client, escape, read};
use crate::routes::List;
use crate::routes::api_keys::{ApiKey, MadeApiKey, NewApiKey};
use crate::routes::groups::{Group, Members, NewGroup};
use crate::routes::users::{NewUser, User, UserChange};
use anyhow::Context as _;

impl Client {
    /// Returns all users.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn users(&self) -> anyhow::Result<Vec<User>> {
        self.all("/api/v1/users?limit=200")
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn add_user(&self, new: &NewUser) -> anyhow::Result<User> {
        read(self.post("/api/v1/users", new)?)
    }

    /// Changes a user, given by id or login.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn change_user(&self, user: &str, change: &UserChange) -> anyhow::Result<User> {
        let response = self
            .agent
            .patch(format!("{}/api/v1/users/{}", self.url, escape(user)))
            .header("authorization", self.authorization())
            .send_json(change)
            .with_context(|| self.silent())?;
        read(response)
    }

    /// Deletes a user, given by id or login.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn delete_user(&self, user: &str) -> anyhow::Result<()> {
        self.delete(&format!("/api/v1/users/{}", escape(user)))
    }

    /// Removes a user's second factor.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn reset_totp(&self, user: &str) -> anyhow::Result<()> {
        self.delete(&format!("/api/v1/users/{}/totp", escape(user)))
    }

    /// Returns all groups.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn groups(&self) -> anyhow::Result<Vec<Group>> {
        let list: List<Group> = read(self.get("/api/v1/groups")?)?;
        Ok(list.items)
    }

    /// Adds a group.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn add_group(&self, new: &NewGroup) -> anyhow::Result<Group> {
        read(self.post("/api/v1/groups", new)?)
    }

    /// Sets a group's members.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn set_members(&self, group: &str, members: &Members) -> anyhow::Result<Group> {
        let response = self
            .agent
            .put(format!(
                "{}/api/v1/groups/{}/members",
                self.url,
                escape(group)
            ))
            .header("authorization", self.authorization())
            .send_json(members)
            .with_context(|| self.silent())?;
        read(response)
    }

    /// Deletes a group.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn delete_group(&self, group: &str) -> anyhow::Result<()> {
        self.delete(&format!("/api/v1/groups/{}", escape(group)))
    }

    /// Returns the API keys of a user, or all.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn api_keys(&self, user: Option<&str>) -> anyhow::Result<Vec<ApiKey>> {
        let user = escape(user.unwrap_or("*"));
        self.all(&format!("/api/v1/api-keys?limit=200&user={user}"))
    }

    /// Makes an API key.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn make_api_key(&self, new: &NewApiKey) -> anyhow::Result<MadeApiKey> {
        read(self.post("/api/v1/api-keys", new)?)
    }

    /// Revokes an API key.
    ///
    /// # Errors
    /// [`super::Refused`], or when the server does not answer.
    pub fn revoke_api_key(&self, id: &str) -> anyhow::Result<()> {
        self.delete(&format!("/api/v1/api-keys/{}", escape(id)))
    }
}
