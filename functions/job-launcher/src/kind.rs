//! What each kind of work hands to Redshift. A kind that is not SQL brings a port and a module of its own.

pub(crate) mod sql;
pub(crate) mod statement;
