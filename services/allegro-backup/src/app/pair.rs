//! Pairs of tokens that come from outside: what a user brings along from elsewhere.

use std::time::Duration;

use secrecy::SecretString;
use time::OffsetDateTime;

use super::access::CallError;
use crate::clients::allegro::{AllegroError, Bearer, Claims, Me};
use crate::state::State;
pub(crate) use crate::store::tokens::Pair;

/// Allegro's access tokens live so long, unless they or their bringer say otherwise.
const LIFE: Duration = Duration::from_secs(43_199);

/// A pair as it was brought.
#[derive(Debug)]
pub(crate) struct Brought {
    /// For calls.
    pub(crate) access: SecretString,
    /// For the next pair.
    pub(crate) refresh: SecretString,
    /// Seconds the access token still lives.
    pub(crate) expires_in: Option<u32>,
}

/// Why a pair is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PairError {
    /// Allegro does not take the access token.
    #[error("Allegro does not accept it; a new pair comes with POST /tokens/auth/initialize")]
    Refused,
    /// It was given to another application: ours cannot refresh it.
    #[error("was given to another application")]
    AnotherApplication,
    /// The refresh token is another seller's, or of another pair.
    #[error("does not belong to the access token")]
    NoPair,
    /// The refresh token has ended.
    #[error("has expired")]
    Expired,
    /// It could not be asked.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Asks Allegro whose pair it is. The refresh token is not used: it would be used up.
///
/// # Errors
/// What is wrong with it.
pub(crate) async fn check(state: &State, brought: Brought) -> Result<(Me, Pair), PairError> {
    let now = state.now();
    let (access, refresh) = (Claims::of(&brought.access), Claims::of(&brought.refresh));
    if access.client_id.as_deref().is_some_and(|it| it != state.allegro.client_id()) {
        return Err(PairError::AnotherApplication);
    }
    let me = match state.allegro.me(&Bearer::unconnected(brought.access.clone())).await {
        Ok(me) => me,
        Err(AllegroError::Unauthorized) => return Err(PairError::Refused),
        Err(error) => return Err(PairError::Call(error.into())),
    };
    let is_anothers = refresh.user_name.as_ref().is_some_and(|it| *it != me.id);
    if is_anothers || refresh.ati.is_some() && access.jti.is_some() && refresh.ati != access.jti {
        return Err(PairError::NoPair);
    }
    if refresh.expires_at().is_some_and(|end| end <= now) {
        return Err(PairError::Expired);
    }
    let told = brought.expires_in.map(|seconds| now + Duration::from_secs(seconds.into()));
    let ends: Option<OffsetDateTime> = [told, access.expires_at()].into_iter().flatten().min();
    let pair = Pair {
        access: brought.access,
        refresh: brought.refresh,
        expires_at: ends.unwrap_or(now + LIFE),
        scopes: access.scopes(),
    };
    Ok((me, pair))
}
