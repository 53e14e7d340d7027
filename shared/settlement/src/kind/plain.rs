//! Kinds that take no steps around their attempts.

use super::AroundAttempts;

pub(super) struct Plain;

impl AroundAttempts for Plain {}
