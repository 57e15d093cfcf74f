//! Addresses of the database.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use url::Url;

use crate::servers;

/// The address of the database `zaplecze` for a role, from the superuser's address of the server.
pub fn database_of(server: &str, role: &str) -> Result<String> {
    let mut database: Url = server.parse()?;
    database.set_path("zaplecze");
    if database.set_username(role).is_err() {
        bail!("DATABASE_URL names no host");
    }
    Ok(database.into())
}

/// The path of psql.
pub fn psql() -> Result<PathBuf> {
    if servers::are_given() {
        return Ok(Path::new("psql").to_owned());
    }
    Ok(crate::programs::find()?.postgres.join("psql"))
}
