//! The reference system with a real database, from which its web application
//! answers through its load balancer.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Reference;
use crate::account::Account;
use crate::arrange::Database;

/// Where the services' task definitions look for how to reach the database.
const SECRET: &str = "shop/database";

/// Lets the database of the reference system be a real server with a table
/// `orders` of so many rows, and the web application of its services answer
/// from it. Takes a second or two.
///
/// # Errors
/// When the system is not there, or alive already.
pub async fn bring_to_life(
    account: &Account,
    reference: &Reference,
    orders: u32,
) -> Result<Database> {
    let database = account
        .existing_database(&reference.system.database)
        .await?;
    let connection = database.make_real().await?;
    database
        .sql(
            "CREATE TABLE orders (id integer PRIMARY KEY, \
             placed_at timestamptz NOT NULL DEFAULT clock_timestamp())",
        )
        .await?;
    let fill = format!("INSERT INTO orders SELECT generate_series(1, {orders})");
    database.sql(&fill).await?;
    let (_, credentials) = database.managed_credentials().await?;
    let password = credentials.get("password").and_then(Value::as_str);
    let url = connection.url(password.context("no password")?);
    account
        .secretsmanager()
        .put_secret_value()
        .secret_id(SECRET)
        .secret_string(url)
        .send()
        .await
        .context("cannot tell the services where the database is")?;
    account.run_applications().await?;
    Ok(database)
}
