use std::{future::Future, ops::Deref, sync::Arc};

use crate::Result;

/// An implementation of ports whose calls go through a gate. `#[port]` implements every port for it.
#[derive(Debug, Clone)]
pub struct Gated<P, G> {
    /// The implementation.
    pub port: P,
    /// Decides what happens to a call.
    pub gate: G,
}

/// Decides what happens to a call of a port.
pub trait Gate: Send + Sync {
    /// Makes the call, or does not, and returns its result or another.
    fn pass<T: Send>(&self, call: impl Future<Output = Result<T>> + Send) -> impl Future<Output = Result<T>> + Send;
}

impl<G: Gate> Gate for Arc<G> {
    fn pass<T: Send>(&self, call: impl Future<Output = Result<T>> + Send) -> impl Future<Output = Result<T>> + Send {
        self.deref().pass(call)
    }
}

impl<G: Gate> Gate for &G {
    fn pass<T: Send>(&self, call: impl Future<Output = Result<T>> + Send) -> impl Future<Output = Result<T>> + Send {
        (**self).pass(call)
    }
}
