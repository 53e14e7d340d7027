//! Sessions: each has a pinned connection, so that temporary tables and settings persist between statements.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::connection::Connection;
use crate::error::ApiError;
use crate::principal::Principal;
use crate::statements::Target;

/// `SessionStatusString` of the service model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionStatus {
    Available,
    Busy,
    Closed,
}

impl SessionStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Available => "AVAILABLE",
            Self::Busy => "BUSY",
            Self::Closed => "CLOSED",
        }
    }
}

/// The mutable state of a session.
pub(crate) struct SessionState {
    pub(crate) status: SessionStatus,
    pub(crate) running: Option<Uuid>,
    pub(crate) keep_alive: Duration,
    pub(crate) expires_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl SessionState {
    fn start(&mut self, statement: Uuid) {
        self.status = SessionStatus::Busy;
        self.running = Some(statement);
        self.updated_at = Timestamp::now();
    }
}

/// One session.
pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) owner: Principal,
    pub(crate) target: Target,
    pub(crate) created_at: Timestamp,
    /// The pinned connection; `None` before the first statement and after the session was closed.
    pub(crate) connection: tokio::sync::Mutex<Option<Connection>>,
    state: Mutex<SessionState>,
}

impl Session {
    pub(crate) fn new(owner: Principal, target: Target, keep_alive: Duration) -> Self {
        let now = Timestamp::now();
        Self {
            id: Uuid::new_v4(),
            owner,
            target,
            created_at: now,
            connection: tokio::sync::Mutex::default(),
            state: Mutex::new(SessionState {
                status: SessionStatus::Available,
                running: None,
                keep_alive,
                expires_at: now + keep_alive,
                updated_at: now,
            }),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, SessionState> {
        crate::lock(&self.state)
    }

    /// Reserves the session for `statement`.
    ///
    /// # Errors
    /// Returns `ValidationException` if the session runs another statement, is closed or has expired.
    pub(crate) fn take(&self, statement: Uuid, keep_alive: Option<Duration>) -> Result<(), ApiError> {
        let mut state = self.state();
        let free = state.status == SessionStatus::Available && Timestamp::now() < state.expires_at;
        if !free {
            return Err(ApiError::Validation("Session is not available".into()));
        }
        state.keep_alive = keep_alive.unwrap_or(state.keep_alive);
        state.start(statement);
        Ok(())
    }

    /// Reserves a new session that is not shared yet.
    pub(crate) fn take_new(&self, statement: Uuid) {
        self.state().start(statement);
    }

    /// Releases the session after a statement; closes it if its connection is lost.
    pub(crate) fn give_back(&self, connected: bool) {
        let mut state = self.state();
        let now = Timestamp::now();
        state.running = None;
        state.updated_at = now;
        state.expires_at = now + state.keep_alive;
        state.status = if connected { SessionStatus::Available } else { SessionStatus::Closed };
    }
}

/// All stored sessions.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Uuid, Arc<Session>>>);

impl Sessions {
    /// The session `id` of the caller's role.
    ///
    /// # Errors
    /// Returns `ValidationException` if the session does not exist.
    pub(crate) fn of(&self, id: &str, caller: &Principal) -> Result<Arc<Session>, ApiError> {
        let session = id.parse().ok().and_then(|id: Uuid| crate::lock(&self.0).get(&id).cloned());
        session
            .filter(|session| session.owner.role() == caller.role())
            .ok_or_else(|| ApiError::Validation(format!("Session with Id: {id} is invalid")))
    }

    pub(crate) fn get(&self, id: Uuid) -> Option<Arc<Session>> {
        crate::lock(&self.0).get(&id).cloned()
    }

    pub(crate) fn insert(&self, session: Arc<Session>) {
        crate::lock(&self.0).insert(session.id, session);
    }

    pub(crate) fn open_on(&self, warehouse: &str) -> usize {
        let sessions = crate::lock(&self.0);
        let open = |s: &&Arc<Session>| s.target.warehouse() == warehouse && s.state().status != SessionStatus::Closed;
        sessions.values().filter(open).count()
    }

    /// All sessions, newest first.
    pub(crate) fn newest_first(&self) -> Vec<Arc<Session>> {
        let mut all: Vec<_> = crate::lock(&self.0).values().cloned().collect();
        all.sort_by_key(|session| std::cmp::Reverse((session.created_at, session.id)));
        all
    }

    /// Closes expired sessions, and removes sessions that were closed more than `retention` ago.
    pub(crate) async fn expire(&self, retention: Duration) {
        let now = Timestamp::now();
        for session in self.newest_first() {
            {
                let mut state = session.state();
                if state.status != SessionStatus::Available || now < state.expires_at {
                    continue;
                }
                state.status = SessionStatus::Closed;
                state.updated_at = now;
            }
            session.connection.lock().await.take();
        }
        crate::lock(&self.0).retain(|_, session| {
            let state = session.state();
            state.status != SessionStatus::Closed || now.duration_since(state.updated_at).unsigned_abs() < retention
        });
    }
}
