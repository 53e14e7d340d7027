//! What each kind of work hands to Redshift. A kind that is not SQL brings a port and a module of its own.

pub(crate) mod cdc;
pub(crate) mod copy;
pub(crate) mod sql;
pub(crate) mod statement;
