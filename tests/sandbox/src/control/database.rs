//! Databases that are real servers, and the web application that answers from
//! them.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Control, ControlError};

/// How to get into a real database.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Connection {
    /// Its endpoint, on this machine.
    pub host: String,
    /// The port of its endpoint, which is that of its name.
    pub port: u16,
    /// The database inside.
    pub database: String,
    /// The master user.
    pub user: String,
    /// A file of the certificate authority that its certificate is from.
    pub authority: PathBuf,
}

impl Connection {
    /// The connection string with a password of the master user, as the
    /// secret `DATABASE_URL` of the reference system has it.
    pub fn url(&self, password: &str) -> String {
        let Self {
            host,
            port,
            database,
            user,
            ..
        } = self;
        format!("postgres://{user}:{password}@{host}:{port}/{database}")
    }
}

/// What a statement answered.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The values by row and column; what JSON has no type for as text.
    pub rows: Vec<Vec<Value>>,
}

/// What a visitor of the web application is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    /// The HTTP status.
    pub status: u16,
    /// The document; the text of a page that is none.
    pub body: Value,
}

impl Control {
    /// Lets a `PostgreSQL` instance be a real server from now on, with its
    /// master user and nothing else in it. Takes a second.
    ///
    /// # Errors
    /// When there is no such instance, or it is real already.
    pub async fn make_real(&self, instance: &str) -> Result<Connection, ControlError> {
        let body = json!({"instance": instance});
        self.post("/sandbox/database/real", body).await
    }

    /// How to get into a real database.
    ///
    /// # Errors
    /// When it is not there, or not real.
    pub async fn connection(&self, instance: &str) -> Result<Connection, ControlError> {
        let body = json!({"instance": instance});
        self.post("/sandbox/database/connection", body).await
    }

    /// Runs a statement in a real database as its master user, also while
    /// nobody is let in.
    ///
    /// # Errors
    /// When the database is not there, not real or stopped, or refuses it.
    pub async fn sql(&self, instance: &str, statement: &str) -> Result<Rows, ControlError> {
        let body = json!({"instance": instance, "sql": statement});
        self.post("/sandbox/database/sql", body).await
    }

    /// Lets the next instance that is created or restored by a name end in a
    /// state, as in `incompatible-restore`.
    ///
    /// # Errors
    /// When no new instance ends in such a state.
    pub async fn put_outcome(&self, instance: &str, status: &str) -> Result<(), ControlError> {
        let body = json!({"instance": instance, "status": status});
        self.post::<Value>("/sandbox/rds/outcomes", body).await?;
        Ok(())
    }

    /// The URL at which a load balancer, by its name or ARN, answers on this
    /// machine.
    ///
    /// # Errors
    /// When there is no such load balancer.
    pub async fn address(&self, load_balancer: &str) -> Result<String, ControlError> {
        #[derive(Deserialize)]
        struct Told {
            url: String,
        }
        let body = json!({"load_balancer": load_balancer});
        let told: Told = self.post("/sandbox/elbv2/address", body).await?;
        Ok(told.url)
    }

    /// What a load balancer answers to a request for a path.
    ///
    /// # Errors
    /// When there is no such load balancer.
    pub async fn visit(&self, load_balancer: &str, path: &str) -> Result<Visit, ControlError> {
        let uri = format!("{}{path}", self.address(load_balancer).await?);
        let (status, bytes) = super::send("GET", &uri, None)
            .await
            .map_err(|reason| ControlError::new("GET", &uri, reason))?;
        let text = String::from_utf8_lossy(&bytes);
        let body = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
        Ok(Visit { status, body })
    }
}
