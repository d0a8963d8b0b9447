//! An AWS on this machine, seeded with the reference system.
//!
//! Two emulators make it up: moto with a plugin of ours is the account looked
//! after (registry, services, databases …), ministack is the plumbing (runs the
//! function binaries, delivers schedules and events, keeps parameters, queues
//! and logs). Both are reached through [`Sandbox`] only, so that either can be
//! replaced.
//!
//! Everything binds to loopback, lives below `target/sandbox`, and is gone when
//! the process that started it is: also after a panic, an interrupt or a kill.

mod account;
mod arrange;
pub mod contract;
mod control;
pub mod deploy;
mod endpoints;
pub mod faults;
pub mod install;
pub mod lambda;
mod listener;
mod mailbox;
mod manifest;
mod paths;
mod process;
mod progress;
pub mod recorded;
mod role;
mod router;
mod run;
pub mod seed;
mod stack;
mod steps;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub use account::Account;
pub use arrange::{
    Alarm, CalendarType, Database, Environment, EnvironmentService, Group, LEDGER, Place,
    Repository, Sizes, container,
};
pub use control::{
    AlarmEdit, Call, Connection, Control, DatabaseEdit, Event, Fault, Image, ImageFailure,
    MetricEdit, Network, ReplicatedBackupEdit, Rows, SecurityGroups, SeededSnapshot, Settings,
    TargetEdit, TaskEdit, Trouble, TroubleKind, Visit,
};
pub use endpoints::{Endpoints, NotLoopback, refuse_beyond_loopback};
pub use listener::Listener;
pub use mailbox::{Letter, Mailbox};
pub use manifest::Manifest;
pub use process::StartError;
pub use progress::Progress;
pub use role::{Decision, Role};
pub use stack::Stack;
pub use steps::Steps;

use process::{RunDirectory, Server};

/// The account of every caller whose access key id is not an account number:
/// also of each function that runs with the credentials of its role.
pub const DEFAULT_ACCOUNT: &str = "123456789012";

/// What to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// The account looked after only.
    Moto,
    /// Also the plumbing.
    Both,
    /// Both, and what functions ask for is judged by their roles
    /// (`aws/ministack_enforcement.py`).
    Enforcing,
}

/// Running emulators. Dropping it stops them and removes what they wrote.
#[derive(Debug)]
pub struct Sandbox {
    endpoints: Endpoints,
    // Dropped in this order: the servers end before their directory goes.
    servers: Vec<Server>,
    run: RunDirectory,
}

impl Sandbox {
    /// Installs the emulators if that has not happened yet, and starts them.
    ///
    /// Blocks until they answer: a second or two, or a minute on first use.
    ///
    /// # Errors
    /// [`StartError`] names what is missing, or shows the end of the log of the
    /// emulator that did not come up.
    pub fn start(parts: Parts) -> Result<Self, StartError> {
        let venv = install::ensure()?;
        let root = paths::root();
        let run = RunDirectory::create(&root)?;
        let root = root.canonicalize().unwrap_or(root);
        let mut moto = Server::spawn("moto", &venv, &root, &run, &[])?;
        let moto_url = moto.ready()?;
        let mut servers = vec![moto];
        let mut ministack_url = None;
        if parts != Parts::Moto {
            let state = run.path().join("ministack");
            let state = state.to_string_lossy();
            let mut arguments = vec!["--state-dir", &*state, "--moto-url", &moto_url];
            if parts == Parts::Enforcing {
                arguments.push("--enforce");
            }
            let mut ministack = Server::spawn("ministack", &venv, &root, &run, &arguments)?;
            ministack_url = Some(ministack.ready()?);
            servers.push(ministack);
        }
        let endpoints = Endpoints::new(&moto_url, ministack_url.as_deref())?;
        Ok(Self {
            endpoints,
            servers,
            run,
        })
    }

    /// The sandbox that all tests of this process share, both parts, started at
    /// the first call. It holds nothing of any async runtime, so tests with
    /// runtimes of their own can share it.
    ///
    /// # Errors
    /// The [`StartError`] of the first call, at every call.
    pub fn shared() -> Result<&'static Self, &'static StartError> {
        static SHARED: OnceLock<Result<Sandbox, StartError>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Parts::Both)).as_ref()
    }

    /// An account of its own for one test: nothing in it, and nothing that
    /// happens in it is seen by any other.
    pub fn account(&self) -> Account {
        static NEXT: AtomicU64 = AtomicU64::new(200_000_000_001);
        Account::new(
            self.endpoints.clone(),
            NEXT.fetch_add(1, Ordering::Relaxed).to_string(),
        )
    }

    /// The account that deployed functions act in ([`DEFAULT_ACCOUNT`]).
    pub fn default_account(&self) -> Account {
        Account::new(self.endpoints.clone(), DEFAULT_ACCOUNT.to_owned())
    }

    /// Where the emulators listen.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The directory that holds what this sandbox writes, and goes with it.
    pub fn run_directory(&self) -> &std::path::Path {
        self.run.path()
    }

    /// The emulators' process ids.
    pub fn process_ids(&self) -> Vec<u32> {
        self.servers.iter().map(Server::process_id).collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // All at once, then each in turn is waited for.
        self.servers.iter_mut().for_each(Server::let_go);
    }
}
