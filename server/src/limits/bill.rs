//! What an answer costs.

use crate::app::AppState;
use crate::auth::Principal;
use kura_models::Usage;

/// The tokens of an answer under way. They are spent when it is dropped, so that going away early does not make answers
/// free.
pub struct Bill {
    app: AppState,
    principal: Principal,
    /// Pieces that the generator wrote: about a token each.
    pieces: u64,
    usage: Option<Usage>,
}

impl Bill {
    /// Begins a bill.
    #[must_use]
    pub fn new(app: &AppState, principal: &Principal) -> Self {
        Self {
            app: app.clone(),
            principal: principal.clone(),
            pieces: 0,
            usage: None,
        }
    }

    /// Notes that the generator wrote a piece.
    pub fn piece(&mut self) {
        self.pieces += 1;
    }

    /// Notes what was counted in the end.
    pub fn settle(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    fn tokens(&self) -> u64 {
        match self.usage {
            Some(usage) => (usage.prompt_tokens + usage.completion_tokens) as u64,
            None if self.pieces == 0 => 0,
            // Of one that was broken off nobody counts; its prompt was read in whole.
            None => self.app.config.answer.context_tokens as u64 + self.pieces,
        }
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        let tokens = self.tokens();
        self.app.limits.budgets.spend(&self.principal, tokens);
    }
}
