//! Kinds whose attempt is all there is to do.

use super::AroundAttempts;

pub(super) struct Plain;

impl AroundAttempts for Plain {}
