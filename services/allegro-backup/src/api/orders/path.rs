//! Which order is meant.

use domain::{TokenId, UserId};
use serde::Deserialize;
use utoipa::IntoParams;
use web::{Caller, Problem};

use super::super::problems::{ORDER_NOT_FOUND, TOKEN_NOT_FOUND};
use crate::app::orders::{self, Listed};
use crate::state::State;

/// An order of a user.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OrderOfUser {
    /// The user whose accounts are meant.
    #[param(inline, example = "sklep-zielony")]
    pub(super) user_id: UserId,
    /// Allegro's id of the order.
    #[param(example = "29738e61-7f6a-11e8-ac45-09db60ede9d6")]
    pub(super) order_id: String,
}

/// An order of an account.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OrderOfAccount {
    /// The account.
    #[param(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")]
    pub(super) token_id: TokenId,
    /// Allegro's id of the order.
    #[param(example = "29738e61-7f6a-11e8-ac45-09db60ede9d6")]
    pub(super) order_id: String,
}

impl OrderOfUser {
    /// The order, if the caller may see it.
    pub(super) async fn find(
        &self,
        state: &State,
        caller: &Caller,
        token_id: Option<TokenId>,
    ) -> Result<Listed, Problem> {
        if !caller.may_see(Some(&self.user_id)) {
            return Err(Problem::new(&ORDER_NOT_FOUND));
        }
        let found = orders::find(state, &self.user_id, token_id, &self.order_id).await;
        found.map_err(|error| Problem::database(&error))?.ok_or_else(|| Problem::new(&ORDER_NOT_FOUND))
    }
}

impl OrderOfAccount {
    /// Refuses accounts that are not there or another user's.
    pub(super) async fn guard(&self, state: &State, caller: &Caller) -> Result<(), Problem> {
        let owner = orders::owner(state, self.token_id).await.map_err(|error| Problem::database(&error))?;
        let is_seen = owner.is_some() && caller.may_see(owner.as_deref());
        if is_seen { Ok(()) } else { Err(Problem::new(&TOKEN_NOT_FOUND)) }
    }
}
