//! Tasks: what runs later, and again after a crash.

mod authorization;
mod refresh_tokens;
mod sync;

use domain::TokenId;
use tasks::{Run, TaskError};

pub(crate) use authorization::PollAuthorization;
pub(crate) use refresh_tokens::RefreshTokens;
pub(crate) use sync::handlers;

use crate::domain::order::Owner;
use crate::state::State;
use crate::store::tokens;

/// Whose task it is; a task of a removed account fails.
async fn owner(state: &State, run: &Run) -> Result<Owner, TaskError> {
    let named = run.task().payload.get("token_id").and_then(|id| id.as_str()?.parse::<TokenId>().ok());
    let token_id = named.ok_or_else(|| TaskError::Fail("the task names no account".to_owned()))?;
    let mut conn = state.pool.get().await?;
    let account = tokens::find(&mut conn, token_id).await?.filter(|account| account.is_active);
    let account = account.ok_or_else(|| TaskError::Fail("the account was removed".to_owned()))?;
    Ok(Owner {
        token_id,
        user_id: account.user_id,
        allegro_seller_id: account.allegro_seller_id,
        connected_at: account.connected_at,
    })
}
